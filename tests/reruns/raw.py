"""A TCP server that answers with whatever bytes a test wants, as slowly or as brokenly as it wants."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket], None]


@dataclass
class RawServer:
    """Its address, and every request it read as far as the end of its body."""

    port: int
    over: threading.Event
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def raw_server(*behaviours: Behaviour | bytes) -> Iterator[RawServer]:
    """Each connection gets the next behaviour, the last one for ever; bytes are sent and the connection closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = RawServer(listener.getsockname()[1], threading.Event())

    def serve() -> None:
        turn = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            behaviour = behaviours[min(turn, len(behaviours) - 1)]
            turn += 1
            threading.Thread(target=answer, args=(connection, behaviour), daemon=True).start()

    def answer(connection: socket.socket, behaviour: Behaviour | bytes) -> None:
        with connection:
            connection.settimeout(5)
            try:
                server.requests.append(_request(connection))
                if callable(behaviour):
                    behaviour(connection)
                else:
                    connection.sendall(behaviour)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        # wakes accept() where closing alone would not
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _request(connection: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(4096)
    head, _, body = read.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(4096)
    return head + b"\r\n\r\n" + body


def answer(status: str, body: bytes = b"{}", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def dripping(data: bytes, every: float, over: Callable[[], threading.Event]) -> Behaviour:
    """Sends one byte each `every` seconds until the test is over: no single read ever waits long."""

    def drip(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            if over().wait(every):
                return

    return drip
