"""Consent: a person at a terminal is asked; a script gave it by naming what it wants."""

import ctypes
import os
import socket
import stat
import sys
from contextlib import suppress
from typing import TextIO

from rich.text import Text

from worker.cli.output import clean, err, stop

MOST = 16
"""Bytes that an answer has at most."""
AT_ONCE = 2
"""SPLICE_F_NONBLOCK of Linux."""


def ask(question: str, *, yes: bool) -> None:
    """Goes on only with consent; otherwise the command ends with 1.

    A terminal is asked, on stderr, and anything but a yes is a no. Elsewhere a no that waits on stdin at this moment is one; a
    yes, anything else and nothing at all go on. It is only looked at: a loop may read its names from the same stdin. Into a
    pipe one can look on Linux alone; on other systems nothing is heard there.
    """
    if yes or sys.stdin is None:
        return
    if sys.stdin.isatty():
        err.print(Text(f"{clean(question)} [y/N] "), end="", soft_wrap=True)
        consents = sys.stdin.readline().strip().lower() in {"y", "yes"}
    else:
        line = _look(sys.stdin).partition(b"\n")[0]
        consents = line.strip().lower() not in {b"n", b"no"}
    if not consents:
        stop("left as it is", 1)


def _look(stdin: TextIO) -> bytes:
    """The next bytes that wait in the file, socket or pipe, and go on waiting; none where none do, or it is none of these."""
    with suppress(OSError):
        number = stdin.fileno()
        kind = os.fstat(number).st_mode
        if stat.S_ISREG(kind):
            return os.pread(number, MOST, os.lseek(number, 0, os.SEEK_CUR))
        if stat.S_ISSOCK(kind):
            # what Node gives the processes that it starts
            with socket.socket(fileno=os.dup(number)) as peer:
                return peer.recv(MOST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        if stat.S_ISFIFO(kind):
            return _look_into_pipe(number)
    return b""


def _look_into_pipe(number: int) -> bytes:
    copy = getattr(ctypes.CDLL(None), "tee", None)
    if copy is None:
        return b""
    out, into = os.pipe()
    try:
        copied = int(copy(number, into, ctypes.c_size_t(MOST), AT_ONCE))
        return os.read(out, copied) if copied > 0 else b""
    finally:
        os.close(out)
        os.close(into)
