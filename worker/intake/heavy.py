"""Answers of Redis that weigh too much to be read: each is given up before it is in memory.

How large one field may be is Redis's to say (`proto-max-bulk-len`); how many an entry has, nothing there limits, so one entry can
weigh more than a process may. Whoever reads entries asks for fewer then, and gives up what weighs too much alone.
"""

import re
from typing import Any

import redis
from redis.connection import DefaultParser

MOST_BYTES = 64 * 2**20
"""Most that is read of one answer: twice a full read of the largest documents that are taken."""
_HEAD = 512
_ID = re.compile(rb"\$\d+\r\n(\d+-\d+)\r\n")
_Parser: Any = DefaultParser


class TooHeavy(redis.RedisError):
    """An answer was given up. `first_id` is the first id of an entry that it names, None where none stands at its beginning."""

    def __init__(self, head: bytes, most: int) -> None:
        super().__init__(
            f"an answer of Redis weighs more than {most / 2**20:.0f} MiB: the stream holds entries that are too large"
        )
        found = _ID.search(head)
        self.first_id = found[1].decode() if found else None


def fewer(count: int) -> int:
    """How many entries to ask for after so many were too heavy."""
    return max(1, count // 32)


def weighing(most: int) -> type:
    """What reads answers for connections of redis-py, of at most so many bytes each."""

    class Weighing(_Parser):  # type: ignore[misc]
        """A parser that gives up."""

        _sock: Any

        def on_connect(self, connection: Any, **more: Any) -> None:
            """Puts the scales between the parser and its socket."""
            super().on_connect(connection, **more)
            self._sock = _Scales(self._sock, most)

        def read_response(self, *how: Any, **more: Any) -> Any:
            """The next answer. Raises `TooHeavy`, after which the connection is closed."""
            if isinstance(self._sock, _Scales):
                self._sock.begin()
            return super().read_response(*how, **more)

    return Weighing


class _Scales:
    """A socket whose bytes are counted, from the beginning of each answer."""

    def __init__(self, socket: Any, most: int) -> None:
        self._socket, self._most = socket, most
        self.begin()

    def begin(self) -> None:
        """An answer begins."""
        self._taken, self._head = 0, b""

    def recv_into(self, buffer: bytearray, *more: Any) -> int:
        """As a socket does."""
        taken = int(self._socket.recv_into(buffer, *more))
        self._head += bytes(buffer[: min(taken, _HEAD - len(self._head))])
        self._taken += taken
        if self._taken > self._most:
            raise TooHeavy(self._head, self._most)
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
