"""The `refunds` command: what operators and scripts use (contract.md, "`refunds` command line")."""

import os
import sys


def _open_what_is_closed() -> None:
    """Makes the three standard files be there, as if started with /dev/null for what was closed.

    Before anything is opened: a socket that got one of their numbers would be given what is printed.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= 2:
        os.set_inheritable(number, True)
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
    # they stay open for as long as the process lives
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


_open_what_is_closed()
