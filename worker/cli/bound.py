"""A process that ends with the one that started it: `python -m worker.cli.bound PARENT COMMAND…`."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From Linux' `prctl.h`: the signal that a process gets when its parent has died."""


def main(parent: int, *command: str) -> None:
    """Becomes the command. Where the parent dies, however that comes, the command is told to end as it would be by it; where the
    system cannot tell it (it is not Linux), it goes on alone.
    """
    tell = getattr(ctypes.CDLL(None), "prctl", None)
    if tell is not None:
        tell(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the process that started this one has died meanwhile")
    os.execv(command[0], command)  # noqa: S606 - a list, and no shell


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
