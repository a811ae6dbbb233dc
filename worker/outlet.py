"""Where lines go that somebody reads, or has stopped to read: a log collector that stands still holds up nobody's work."""

import io
import os
import select
import stat
import sys
import time
from contextlib import suppress
from typing import Any, TextIO

WAITS_SECONDS = 1.0
"""How long a reader may keep a line waiting. Once it has, each line goes at once or not at all, until one does."""
AT_ONCE = 32 * 1024
"""Bytes that fit into a socket that says it has room."""


class Outlet:
    """A pipe or a socket that takes whole lines, in their order."""

    def __init__(self, number: int) -> None:
        self.number, self._most = _unblocked(number)
        self._ready = select.poll()
        self._ready.register(self.number, select.POLLOUT)
        self._rest, self._stands = b"", False

    def take(self, line: bytes) -> bool:
        """Passes the line on; False where nobody reads, and it is lost. Raises `OSError` where nobody ever will."""
        until = time.monotonic() + (0.0 if self._stands else WAITS_SECONDS)
        # what is left of a line that was begun goes first, or whoever reads on has two in one
        went = self._pass_on(until) and self._begin(line, until)
        self._stands = not went
        return went

    def close(self) -> None:
        """Gives back what was opened for it."""
        with suppress(OSError):
            os.close(self.number)

    def _begin(self, line: bytes, until: float) -> bool:
        self._rest = line
        if self._pass_on(until):
            return True
        if len(self._rest) == len(line):
            self._rest = b""
            return False
        return True

    def _pass_on(self, until: float) -> bool:
        """Writes what is to be written; False where that took too long."""
        while self._rest:
            if not self._ready.poll(max(0.0, until - time.monotonic()) * 1000):
                return False
            # what other processes write there may have taken the room meanwhile
            with suppress(BlockingIOError):
                self._rest = self._rest[os.write(self.number, self._rest[: self._most]) :]
        return True


def outlet_of(number: int) -> Outlet | None:
    """The outlet behind this file of the process; None for a file, a terminal and the like, which stand still for nobody."""
    kind = os.fstat(number).st_mode
    return Outlet(number) if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else None


class _Words(io.RawIOBase):
    """Takes everything, and passes on what can be."""

    def __init__(self, number: int) -> None:
        self._outlet, self._number = outlet_of(number), number
        if self._outlet is not None:
            # what is written there past us waits no more either, and whoever goes on as another program keeps the file
            os.dup2(self._outlet.number, number)

    def write(self, words: Any) -> int:
        # neither a disk that is full nor a reader that has gone is a reason to end
        with suppress(OSError):
            if self._outlet is None:
                os.write(self._number, words)
            else:
                self._outlet.take(bytes(words))
        return len(words)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number


def patient(stream: TextIO | None) -> TextIO:
    """In place of stdout or stderr, for a process that stays: what it says there holds it up no more than its log does, and ends
    it by no error. A terminal stays what it is; where the process has no such file, nothing is said.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if stream.isatty():
        return stream
    return io.TextIOWrapper(io.BufferedWriter(_Words(stream.fileno())), "utf-8", "backslashreplace", line_buffering=True)


def _unblocked(number: int) -> tuple[int, int]:
    """A way there of our own, and how many bytes may be written at once where there is room for anything."""
    # opened anew, for the one that is there is shared with others, who may want to wait for it
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK), sys.maxsize
    # a socket, which then has most of its room free, or a pipe that belongs to another user
    return os.dup(number), AT_ONCE if stat.S_ISSOCK(os.fstat(number).st_mode) else select.PIPE_BUF
