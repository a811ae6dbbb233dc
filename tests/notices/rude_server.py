"""A mail server that behaves until it is told not to: each step of the conversation may go wrong in every way."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

USUAL = {
    "CONNECT": "220 rude",
    "EHLO": "250-rude\r\n250-AUTH PLAIN\r\n250 STARTTLS",
    "STARTTLS": "220 go on",
    "AUTH": "235 come in",
    "MAIL": "250 fine",
    "RCPT": "250 fine",
    "DATA": "354 go on",
    "DOT": "250 taken",
    "QUIT": "221 bye",
}


class Trouble(Enum):
    """What happens instead of an answer."""

    CLOSE = auto()
    SILENT = auto()
    DRIP = auto()
    """One byte at a time for ever, so that no single read waits long."""
    FLOOD = auto()
    """Lines for ever, and no last one."""
    HALF = auto()
    """The beginning of an answer of several lines, and the connection is closed."""
    CUT = auto()
    """Two digits, and the connection is closed."""
    LONG = auto()
    """One line longer than any may be, beginning like a refusal."""
    ECHO = auto()
    """A refusal that repeats what was said."""
    DEAF = auto()
    """Says the usual, and reads nothing more."""


@dataclass
class RudeServer:
    """Its port, and everything it heard."""

    troubles: Mapping[str, str | Trouble]
    port: int
    heard: bytearray = field(default_factory=bytearray)
    over: threading.Event = field(default_factory=threading.Event)

    def converse(self, connection: socket.socket) -> None:
        """Plays one connection to its end."""
        lines = connection.makefile("rb")
        with lines:
            said = self._say(connection, "CONNECT", b"")
            while said and (line := lines.readline()):
                self.heard += line
                verb = line.split(b" ")[0].strip().decode(errors="replace").upper()
                said = self._say(connection, verb, line)
                if verb == "DATA" and said == USUAL["DATA"]:
                    while (line := lines.readline()) not in {b".\r\n", b""}:
                        self.heard += line
                    said = self._say(connection, "DOT", line) if line else None
                if verb == "QUIT":
                    return

    def _say(self, connection: socket.socket, step: str, line: bytes) -> str | None:
        """Answers; None where this was the last thing said."""
        usual = USUAL.get(step, "500 what")
        trouble = self.troubles.get(step, usual)
        match trouble:
            case str():
                connection.sendall(f"{trouble}\r\n".encode())
                return trouble
            case Trouble.SILENT:
                self.over.wait(30)
            case Trouble.DRIP:
                while not self.over.wait(0.02):
                    connection.sendall(b"2")
            case Trouble.FLOOD:
                while not self.over.is_set():
                    connection.sendall(f"{usual[:3]}-more\r\n".encode() * 100)
            case Trouble.HALF:
                connection.sendall(f"{usual[:3]}-and\r\n".encode())
            case Trouble.CUT:
                connection.sendall(b"25")
            case Trouble.LONG:
                connection.sendall(b"550 " + b"x" * 10_000 + b"\r\n")
            case Trouble.ECHO:
                connection.sendall(b"535 no: " + line)
                return "echo"
            case Trouble.DEAF:
                connection.sendall(f"{usual}\r\n".encode())
                self.over.wait(30)
            case Trouble.CLOSE:
                pass
        return None


@contextmanager
def rude_server(troubles: Mapping[str, str | Trouble]) -> Iterator[RudeServer]:
    """A server on this machine that goes wrong at the named steps."""
    listener = socket.socket()
    # small, so that a message that is not read does not fit into it
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = RudeServer(troubles, listener.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                with suppress(OSError):
                    server.converse(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        # wakes accept() where closing alone would not
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
