"""`python -m worker.cli`, and `refunds`."""

import gc
import signal

# whoever interrupts a command that has not begun yet is not shown what Python was importing
interrupted = signal.getsignal(signal.SIGINT)
if interrupted is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
# a command lives for about a second, a fifth of which would go into collecting what importing does not throw away
gc.disable()
from worker.cli.main import run  # noqa: E402

gc.enable()
signal.signal(signal.SIGINT, interrupted)

if __name__ == "__main__":
    run()
