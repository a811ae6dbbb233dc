"""`python -m worker.cli`, and `refunds`."""

import signal

from worker import imported_for_good

# whoever interrupts a command that has not begun yet is not shown what Python was importing
interrupted = signal.getsignal(signal.SIGINT)
if interrupted is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
with imported_for_good():
    from worker.cli.main import run
signal.signal(signal.SIGINT, interrupted)

if __name__ == "__main__":
    run()
