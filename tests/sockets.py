"""A TCP server that behaves as badly as a test wants, and keeps every byte it was sent."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"


@dataclass
class Wire:
    """One connection as the server sees it."""

    socket: socket.socket
    over: threading.Event
    received: bytearray = field(default_factory=bytearray)

    def hear(self) -> None:
        """Reads one request to its end."""
        while not self.whole:
            got = self.socket.recv(65_536)
            if not got:
                return
            self.received += got

    @property
    def whole(self) -> bool:
        """True when a whole request was sent: head and body."""
        head, end, body = bytes(self.received).partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        return bool(end) and len(body) >= sum(lengths)

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """One byte at a time: no single read ever waits long."""
        for byte in data:
            self.say(bytes([byte]))
            if self.over.wait(every):
                return

    def reset(self) -> None:
        """The end comes as RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


Behaviour = Callable[[Wire], None]


def silent(wire: Wire) -> None:
    wire.hear()
    wire.over.wait(20)


def dripping_head(wire: Wire) -> None:
    wire.hear()
    wire.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 500, 0.02)


@dataclass
class Server:
    """Its address, and its connections in order."""

    port: int
    wires: list[Wire] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def whole_requests(self) -> list[bytes]:
        return [bytes(wire.received) for wire in self.wires if wire.whole]


@contextmanager
def server(*behaviours: Behaviour | bytes) -> Iterator[Server]:
    """Each connection gets the next behaviour, the last one for ever; bytes are the answer to a request that was heard."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    made, over, threads = Server(listener.getsockname()[1]), threading.Event(), []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            behaviour = behaviours[min(len(made.wires), len(behaviours) - 1)]
            made.wires.append(Wire(connection, over))
            threads.append(threading.Thread(target=answer, args=(made.wires[-1], behaviour), daemon=True))
            threads[-1].start()

    def answer(wire: Wire, behaviour: Behaviour | bytes) -> None:
        with wire.socket:
            wire.socket.settimeout(5)
            try:
                if callable(behaviour):
                    behaviour(wire)
                else:
                    wire.hear()
                    wire.say(behaviour)
            except OSError:
                pass

    listening = threading.Thread(target=serve, daemon=True)
    listening.start()
    try:
        yield made
    finally:
        over.set()
        # wakes accept() where closing alone would not
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [listening, *threads]:
            thread.join()


NOWHERE = ("javascript:void(0)", "mailto:", "a:b:c", "https://xn--0/x", "http://[::1", "")
"""Where redirects may lead that nobody can follow."""


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
