"""Consent: a person at a terminal is asked; a script gave it by naming what it wants."""

import ctypes
import os
import select
import socket
import stat
import sys

from rich.text import Text

from worker.cli.output import clean, err, stop

MOST = 16
"""Bytes that an answer has at most."""
AT_ONCE = 2
"""SPLICE_F_NONBLOCK of Linux."""


def ask(question: str, *, yes: bool) -> None:
    """Goes on only with consent; otherwise the command ends with 1.

    A terminal is asked, on stderr, and anything but a yes is a no. Elsewhere a no that waits on stdin at this moment is one; a
    yes, anything else and nothing at all go on.
    """
    if yes:
        return
    if sys.stdin is not None and sys.stdin.isatty():
        err.print(Text(f"{clean(question)} [y/N] "), end="", soft_wrap=True)
        consents = sys.stdin.readline().strip().lower() in {"y", "yes"}
    else:
        consents = _waiting().strip().lower() not in {"n", "no"}
    if not consents:
        stop("left as it is", 1)


def _waiting() -> str:
    """The line that waits on stdin, "" where none does; it stays there for whoever reads names from the same stdin in a loop."""
    if sys.stdin is None:
        return ""
    try:
        number = sys.stdin.fileno()
        seen = _look(number) if select.select([number], [], [], 0)[0] else b""
    except (OSError, ValueError):
        return ""
    return seen.partition(b"\n")[0].decode(errors="replace")


def _look(number: int) -> bytes:
    """The next bytes of the file, which are not taken from it."""
    kind = os.fstat(number).st_mode
    if stat.S_ISREG(kind):
        return os.pread(number, MOST, os.lseek(number, 0, os.SEEK_CUR))
    if stat.S_ISSOCK(kind):
        with socket.socket(fileno=os.dup(number)) as peer:
            return peer.recv(MOST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return _look_into_pipe(number) if stat.S_ISFIFO(kind) else b""


def _look_into_pipe(number: int) -> bytes:
    copy = getattr(ctypes.CDLL(None), "tee", None)
    if copy is None:
        # not Linux: a pipe cannot be looked into, and a no weighs more than what else may wait there
        return os.read(number, MOST)
    out, into = os.pipe()
    try:
        copied = int(copy(number, into, ctypes.c_size_t(MOST), AT_ONCE))
        return os.read(out, copied) if copied > 0 else b""
    finally:
        os.close(out)
        os.close(into)
