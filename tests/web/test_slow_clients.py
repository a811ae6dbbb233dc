"""Clients that send nothing, half of something, or read nothing: over real sockets, however many, they keep nobody out."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.logs import heard
from tests.servers import eventually
from tests.web.listening import running
from worker.clock import Every
from worker.web.connections import MOST, Connection
from worker.web.serve import config_of

BUFFER = 8 * 1024
LARGE = b"x" * 512 * 1024
"""More than sockets and the server hold for a client that does not read."""


UNREAD = {"/unread", "/large"}
IN_HAND: list[Scope] = []
READ: list[bytes] = []
"""What came of bodies."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole request, unless it is answered unread, then answers it."""
    while scope["path"] not in UNREAD:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
        READ.append(message["body"])
    if scope["path"] == "/held":
        IN_HAND.append(scope)
        # until the client leaves
        await receive()
        return
    body = LARGE if scope["path"] == "/large" else b"here"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    for start in range(0, len(body), 2**16):
        await send({"type": "http.response.body", "body": body[start : start + 2**16], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class Hasty(Connection):
    """The same, in a test's time."""

    head_seconds = 0.5


class Full(Connection):
    """The same where somebody has to give way at once."""

    grace_seconds = 0.0


@contextmanager
def serving(kind: type[Connection] | None = None) -> Iterator[tuple[str, int]]:
    """The process's own limits on a port of their own."""
    config = config_of(app)
    if kind is not None:
        config.http = kind
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=MOST) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        with running(server, sockets=[listening]):
            yield listening.getsockname()


def answered(one: socket.socket) -> bool:
    """True once the whole answer is there; False where the connection ends before."""
    one.settimeout(10)
    said = b""
    while not said.endswith(b"here"):
        if not (more := one.recv(4096)):
            return False
        said += more
    return True


HELD = {
    "silent": b"",
    "half a head": b"POST /webhooks/creem HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /webhooks/creem HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
    "answered": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "reading nothing": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("sent", HELD.values(), ids=HELD)
def test_connections_that_keep_us_waiting_keep_nobody_out(sent: bytes) -> None:
    with serving() as at, contextlib.ExitStack() as held:
        for _ in range(MOST + 44):
            one = held.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            one.connect(at)
            one.sendall(sent)

        def well() -> bool:
            return httpx.get(f"http://{at[0]}:{at[1]}/healthz", trust_env=False).text == "here"

        assert eventually(well, within=5), "those who had a second to say something give way"
        assert all(well() for _ in range(5))


def test_more_requests_at_once_than_there_is_room_for_are_answered_or_told_to_come_again() -> None:
    """What a client sent with its connection is not read yet when the next one comes: once that was taken for silence."""
    with serving() as at, contextlib.ExitStack() as held:
        ones = []
        for _ in range(MOST + 44):
            one = held.enter_context(socket.socket())
            one.connect(at)
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            ones.append(one)
        for one in ones:
            one.settimeout(10)
            assert one.recv(4096).startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))


def test_upload_that_goes_on_stays_and_a_silent_connection_gives_way() -> None:
    with serving(Full) as at, contextlib.ExitStack() as held:
        upload = held.enter_context(socket.create_connection(at))
        upload.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        silent = [held.enter_context(socket.create_connection(at)) for _ in range(MOST - 3)]
        asks = held.enter_context(socket.create_connection(at))
        asks.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answered(asks), "all before it were taken in"
        READ.clear()
        upload.sendall(b"a")
        # an answer to what another connection sends later tells nothing: the kernel may bring that one first
        assert eventually(lambda: b"a" in READ)
        one_too_many = held.enter_context(socket.create_connection(at))
        one_too_many.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answered(one_too_many)
        upload.sendall(b"b")
        assert answered(upload)
        silent[0].settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert silent[0].recv(1) == b""


def test_whoever_comes_where_all_others_are_in_hand_is_told_to_come_again() -> None:
    with serving(Full) as at, contextlib.ExitStack() as held:
        IN_HAND.clear()
        for _ in range(MOST - 1):
            one = held.enter_context(socket.create_connection(at))
            one.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        assert eventually(lambda: len(IN_HAND) == MOST - 1)
        assert httpx.get(f"http://{at[0]}:{at[1]}/", trust_env=False).status_code == 503


def test_log_says_once_that_connections_gave_way() -> None:
    class Told(Full):
        telling = Every(60.0)

    with heard("warning") as said, serving(Told) as at, contextlib.ExitStack() as held:
        for _ in range(MOST + 10):
            held.enter_context(socket.create_connection(at))
        assert httpx.get(f"http://{at[0]}:{at[1]}/", trust_env=False).text == "here"
    assert said.getvalue().count("web.connections_given_up") == 1


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["from the start", "after an answer"])
def test_head_that_trickles_in_has_an_end(first: bytes) -> None:
    with serving(Hasty) as at, socket.create_connection(at) as one:
        one.settimeout(10)
        if first:
            one.sendall(first)
            assert answered(one)
        began = time.monotonic()
        one.sendall(b"GET / HTTP/1.1\r\nX: ")

        def over() -> bool:
            try:
                one.sendall(b"x")
                one.settimeout(0.05)
                return one.recv(4096) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        assert eventually(over)
        assert 0.2 < time.monotonic() - began < 5


def test_silent_connection_is_closed_and_one_that_asks_again_in_time_is_not() -> None:
    with serving(Hasty) as at, socket.create_connection(at) as silent, socket.create_connection(at) as lively:
        for _ in range(4):
            lively.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answered(lively)
            # until the silent one has a good part of its time behind it, and in the end all of it
            silent.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                silent.recv(1)
        silent.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_request_in_hand_may_take_longer_than_a_head() -> None:
    with serving(Hasty) as at, socket.create_connection(at) as one:
        one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        for byte in (b"a", b"b", b"c", b"d", b"e", b"f"):
            one.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                one.recv(4096)
            one.sendall(byte)
        assert answered(one)


def test_request_that_tells_two_lengths_is_refused_with_all_that_follows_it() -> None:
    both = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    behind = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with serving() as address, socket.create_connection(address, timeout=10) as client:
        client.sendall(both + behind)
        said = b""
        while part := client.recv(4096):
            said += part
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/", "/unread", "/large"])
@pytest.mark.parametrize("together", [True, False], ids=["with its head", "after a while"])
def test_body_that_is_none_ends_the_connection_whatever_was_answered_before_and_is_no_error_of_ours(
    path: str, together: bool
) -> None:
    head, body = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode(), b"zz\r\nno chunk\r\n"
    with heard("warning") as said, serving() as at, socket.create_connection(at, timeout=10) as one:
        one.sendall(head + body if together else head)
        if not together:
            one.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                one.recv(1)
            one.settimeout(10)
            one.sendall(body)
        with contextlib.suppress(ConnectionResetError):
            while one.recv(2**16):
                pass
    assert [json.loads(line)["event"] for line in said.getvalue().splitlines()] == ["Invalid HTTP request received."]
