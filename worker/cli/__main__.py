"""`python -m worker.cli`, and `refunds`."""

import gc

# a command lives for about a second, a fifth of which would go into collecting what importing does not throw away
gc.disable()
from worker.cli.main import run  # noqa: E402

gc.enable()

if __name__ == "__main__":
    run()
