"""A pooler before a Postgres, as pgbouncer is in transaction mode: its clients share a few sessions of the server, each session
theirs for one transaction at a time. Like pgbouncer up to 1.20 it knows nothing of prepared statements and turns startup options
away.
"""

import os
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import LifoQueue

from psycopg import pq
from sqlalchemy import make_url

from tests.servers import conninfo

_ENCRYPTED, _CANCEL = {80877103, 80877104}, 80877102
_ENDS_IN_READY = {b"Q", b"S"}
_TOLD = ("server_version", "server_encoding", "client_encoding", "DateStyle", "integer_datetimes", "standard_conforming_strings")


class _Session:
    """One session of the server, past its sign-in, whose bytes we pass on."""

    def __init__(self, url: str) -> None:
        self._signed_in = pq.PGconn.connect(conninfo(url).encode())
        assert self._signed_in.status == pq.ConnStatus.OK, self._signed_in.get_error_message()
        self.wire = socket.socket(fileno=os.dup(self._signed_in.socket))
        self.wire.setblocking(True)

    def parameters(self) -> dict[str, bytes]:
        """What the server said of itself at the sign-in."""
        return {name: self._signed_in.parameter_status(name.encode()) or b"" for name in _TOLD}

    def close(self) -> None:
        """Ends it, with whatever is open in it."""
        self.wire.close()
        self._signed_in.finish()


class Pooler:
    """Listens until closed; every client has a thread."""

    def __init__(self, server_url: str, sessions: int) -> None:
        self._all = [_Session(server_url) for _ in range(sessions)]
        # the last that came free goes out first, as with pgbouncer
        self._free: LifoQueue[_Session] = LifoQueue()
        for session in self._all:
            self._free.put(session)
        self._listening = socket.create_server(("127.0.0.1", 0))
        host, port = self._listening.getsockname()
        self.url = make_url(server_url).set(host=host, port=port).render_as_string(hide_password=False)
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Ends what is open: sessions, and clients with them."""
        self._listening.close()
        for session in self._all:
            session.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError):
            # an answer is passed on in pieces, of which the second would wait for word of the first
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._welcomed(client):
                while self._transaction(client):
                    pass

    def _welcomed(self, client: socket.socket) -> bool:
        """Whether the client may go on: said as a server says it, with a number of ours to cancel by."""
        while True:
            length, code = struct.unpack("!II", _exactly(client, 8))
            said = _exactly(client, length - 8)
            if code == _CANCEL:
                return False
            if code not in _ENCRYPTED:
                break
            client.sendall(b"N")
        if b"options" in said.split(b"\0")[::2]:
            client.sendall(_message(b"E", b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"))
            return False
        told = [_message(b"S", name.encode() + b"\0" + value + b"\0") for name, value in self._all[0].parameters().items()]
        key = _message(b"K", secrets.token_bytes(8))
        client.sendall(_message(b"R", struct.pack("!I", 0)) + b"".join(told) + key + _message(b"Z", b"I"))
        return True

    def _transaction(self, client: socket.socket) -> bool:
        """One transaction of the client in one session; False once it said farewell."""
        kind, asked = _next(client)
        if kind == b"X":
            return False
        session = self._free.get()
        state = b"T"
        try:
            while True:
                session.wire.sendall(asked)
                if kind in _ENDS_IN_READY:
                    state = _answer(session.wire, client)
                    if state == b"I":
                        return True
                kind, asked = _next(client)
                if kind == b"X":
                    return False
        finally:
            if state != b"I":
                # who goes in the middle leaves nothing to the next
                session.wire.sendall(_message(b"Q", b"rollback\0"))
                _answer(session.wire, None)
            self._free.put(session)


@contextmanager
def a_pooler(server_url: str, sessions: int = 2) -> Iterator[str]:
    """The URL under which the database is reached through a pooler with so many sessions."""
    pooler = Pooler(server_url, sessions)
    try:
        yield pooler.url
    finally:
        pooler.close()


def _answer(server: socket.socket, client: socket.socket | None) -> bytes:
    """Passes on what the server says until it is ready; returns whether a transaction is open: I, T or E."""
    while True:
        kind, said = _next(server)
        if client is not None:
            client.sendall(said)
        if kind == b"Z":
            return said[-1:]


def _next(wire: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(wire, 5)
    return head[:1], head + _exactly(wire, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(wire: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = wire.recv(size - len(read))
        if not part:
            raise EOFError
        read += part
    return read


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
