"""The one POST over real sockets: what a broken line lets us know, and that it is never tried again (A1, A2, A17)."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.creem.world import at, spent
from tests.sockets import NOWHERE, Behaviour, Server, Wire, dripping_head, http, server, silent
from worker.creem.answers import Answer, CallOutcome
from worker.creem.client import Armed
from worker.errors import TryLater
from worker.sandbox.servers import free_port

LIMIT = 0.5
"""Seconds a call may take where the test is about time."""


def refund(url: str, seconds: float = 5.0, refund_seconds: float = 5.0) -> tuple[Answer, float]:
    """The answer, and how long it took."""
    creem = at(url, refund_seconds=refund_seconds)
    armed = Armed("tran_1", time.monotonic() + seconds)
    began = time.monotonic()
    answer = creem.refund(armed)
    assert spent(armed)
    return answer, time.monotonic() - began


def close_unread(wire: Wire) -> None:
    wire.socket.recv(1)


def reset_unread(wire: Wire) -> None:
    wire.reset()


def reset_half_read(wire: Wire) -> None:
    wire.socket.recv(1)
    wire.reset()


def close_read(wire: Wire) -> None:
    wire.hear()


def reset_read(wire: Wire) -> None:
    wire.hear()
    wire.reset()


def reset_in_the_body(wire: Wire) -> None:
    wire.hear()
    wire.say(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status":')
    wire.reset()


BROKEN: dict[str, tuple[Behaviour | bytes, int | None]] = {
    "closed_before_the_request_was_read": (close_unread, None),
    "reset_before_the_request_was_read": (reset_half_read, None),
    "closed_after_the_request_was_read": (close_read, None),
    "reset_after_the_request_was_read": (reset_read, None),
    "half_a_status_line": (b"HTTP/1.1 20", None),
    "half_a_head": (b"HTTP/1.1 200 OK\r\nContent-Le", None),
    "garbage": (b"\x16\x03\x01\x02\x00\xff\xfe nothing of HTTP\r\n\r\n", None),
    "half_a_body": (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status":"succeeded"}', 200),
    "half_a_chunk": (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{"status":"succee', 200),
    "no_last_chunk": (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{"status":"succeeded"}\r\n', 200),
    "half_a_refusal": (b'HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{"trace_id":"t"}', 400),
    "reset_in_the_body": (reset_in_the_body, 200),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_line_leaves_the_outcome_unknown_and_is_not_tried_again(name: str) -> None:
    behaviour, http_status = BROKEN[name]
    with server(behaviour) as creem:
        answer, _ = refund(creem.url)
        assert (answer.outcome, answer.http_status, answer.status) == (CallOutcome.UNKNOWN, http_status, None)
        assert len(creem.wires) == 1


def test_a_body_without_an_announced_end_is_judged_by_what_it_says() -> None:
    for body, outcome in ((b'{"status":"pending"}', CallOutcome.ACCEPTED), (b'{"status":"pen', CallOutcome.UNKNOWN)):
        with server(b"HTTP/1.1 200 OK\r\n\r\n" + body) as creem:
            assert refund(creem.url)[0].outcome is outcome


def test_port_where_nobody_listens_is_not_sent() -> None:
    answer, _ = refund(f"http://127.0.0.1:{free_port()}")
    assert answer.outcome is CallOutcome.NOT_SENT
    assert answer.detail.startswith("no connection (ConnectError)")


def test_reset_while_connecting_is_not_sent_or_unknown_and_never_more() -> None:
    # which of both depends on who is quicker; with the first, the connection was gone before a byte was written
    with server(reset_unread) as creem:
        answer, _ = refund(creem.url)
        assert answer.outcome in {CallOutcome.NOT_SENT, CallOutcome.UNKNOWN}
        assert creem.whole_requests == []


def plain_text(wire: Wire) -> None:
    wire.socket.recv(4096)
    wire.say(b"HTTP/1.1 400 Bad Request\r\n\r\nthis is no TLS")


def test_tls_that_fails_is_not_sent() -> None:
    for behaviour in (plain_text, close_unread, reset_unread):
        with server(behaviour) as creem:
            answer, _ = refund(creem.url.replace("http:", "https:"))
            assert answer.outcome is CallOutcome.NOT_SENT
            assert len(creem.wires) == 1
            assert b"x-api-key" not in creem.wires[0].received


def test_tls_handshake_that_never_ends_is_not_sent_and_ends_in_time() -> None:
    with server(lambda wire: (wire.over.wait(20), None)[1]) as creem:
        answer, took = refund(creem.url.replace("http:", "https:"), refund_seconds=LIMIT)
        assert answer.outcome is CallOutcome.NOT_SENT
        assert LIMIT * 0.8 < took < LIMIT * 3


@contextmanager
def full_at(host: str, port: int = 0) -> Iterator[Server]:
    """A server whose queue is full: connecting to it takes for ever."""
    with socket.socket() as listener:
        listener.bind((host, port))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield Server(listener.getsockname()[1])
        for one in waiting:
            one.close()


@pytest.fixture
def full() -> Iterator[Server]:
    with full_at("127.0.0.1") as server:
        yield server


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the resolver of this host give these addresses for `localhost`, in this order."""

    def give(*addresses: str) -> None:
        ask = socket.getaddrinfo

        def answer(host: Any, *more: Any, **named: Any) -> list[Any]:
            hosts = addresses if host == "localhost" else [host]
            return [found for each in hosts for found in ask(each, *more, **named)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return give


def test_connecting_that_never_ends_is_not_sent_and_ends_in_time(full: Server) -> None:
    answer, took = refund(full.url, refund_seconds=LIMIT)
    assert answer.outcome is CallOutcome.NOT_SENT
    assert LIMIT * 0.8 < took < LIMIT * 3


def test_address_where_nobody_is_leaves_time_for_the_next_one(named: Callable[..., None]) -> None:
    """Once it took all of the time, as where a host has IPv6 addresses and no way to them, and no refund ever left."""
    with server(http("200 OK", b'{"status":"pending"}')) as creem, full_at("127.0.0.2", creem.port):
        named("127.0.0.2", "127.0.0.1")
        answer, took = refund(f"http://localhost:{creem.port}", refund_seconds=LIMIT * 2)
        assert answer.outcome is CallOutcome.ACCEPTED
        assert took < LIMIT * 2
        assert len(creem.whole_requests) == 1


def test_addresses_where_nobody_is_take_the_whole_time_together_and_not_each(full: Server, named: Callable[..., None]) -> None:
    named(*["127.0.0.1"] * 8)
    answer, took = refund(full.url.replace("127.0.0.1", "localhost"), refund_seconds=LIMIT)
    assert answer.outcome is CallOutcome.NOT_SENT
    assert LIMIT * 0.8 < took < LIMIT * 3


def test_name_that_no_address_is_known_for_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    answer, _ = refund("http://localhost:1")
    assert answer.outcome is CallOutcome.NOT_SENT
    assert "(ConnectError)" in answer.detail
    assert "Name or service not known" in answer.detail


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"


def dripping_body(wire: Wire) -> None:
    wire.hear()
    wire.say(HEAD)
    wire.drip(b'{"status":"succeeded"}' + b" " * 478, 0.02)


def continuing_for_ever(wire: Wire) -> None:
    wire.hear()
    while not wire.over.wait(0.02):
        wire.say(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize("behaviour", [silent, dripping_head, dripping_body, continuing_for_ever])
@pytest.mark.parametrize("ends_by", ["the_limit_of_the_call", "the_permission"])
def test_slow_answer_ends_with_the_whole_time_and_is_unknown(behaviour: Behaviour, ends_by: str) -> None:
    limits = {"refund_seconds": LIMIT} if ends_by == "the_limit_of_the_call" else {"seconds": LIMIT}
    with server(behaviour) as creem:
        answer, took = refund(creem.url, **limits)
        assert answer.outcome is CallOutcome.UNKNOWN
        assert LIMIT * 0.8 < took < LIMIT * 3
        assert len(creem.whole_requests) == 1


def test_flood_is_read_no_further_than_the_limit() -> None:
    sent = 0

    def flood(wire: Wire) -> None:
        nonlocal sent
        wire.hear()
        wire.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while sent < 20_000_000:
            sent += wire.socket.send(b" " * 65_536)

    with server(flood) as creem:
        answer, _ = refund(creem.url)
    assert answer.outcome is CallOutcome.UNKNOWN
    assert len(answer.raw) == 65_536
    # what the buffers of both sides hold comes on top
    assert sent < 15_000_000


def test_redirect_is_not_followed_with_the_key() -> None:
    with server(http("200 OK", b'{"status":"succeeded"}')) as elsewhere:
        for status in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
            with server(http(status, b"", f"Location: {elsewhere.url}/v1/refunds")) as creem:
                answer, _ = refund(creem.url)
                assert answer.outcome is CallOutcome.UNKNOWN
                with pytest.raises(TryLater, match="redirects are not followed"):
                    at(creem.url).transaction("tran_1")
                assert len(creem.wires) == 2
        assert elsewhere.wires == []


@pytest.mark.parametrize("where", NOWHERE)
def test_redirect_that_leads_nowhere_is_a_redirect_like_any_other(where: str) -> None:
    with server(http("302 Found", b"", f"Location: {where}")) as creem:
        answer, _ = refund(creem.url)
        assert (answer.outcome, answer.http_status) == (CallOutcome.UNKNOWN, 302)
        with pytest.raises(TryLater, match="redirects are not followed"):
            at(creem.url).transaction("tran_1")
        assert len(creem.wires) == 2


def test_every_call_has_a_connection_of_its_own() -> None:
    answer = http("200 OK", b'{"status":"pending"}', "Connection: keep-alive")

    def answers_for_ever(wire: Wire) -> None:
        while not wire.over.is_set():
            wire.received.clear()
            wire.hear()
            wire.say(answer)

    with server(answers_for_ever) as creem:
        client = at(creem.url)
        for number in range(3):
            assert client.refund(Armed(f"tran_{number}", time.monotonic() + 5)).outcome is CallOutcome.ACCEPTED
        assert len(creem.wires) == 3


def test_nothing_of_one_answer_goes_into_the_next_request() -> None:
    with server(http("200 OK", b'{"status":"pending"}', "Set-Cookie: who=canary; Path=/", "Set-Cookie: a=b")) as creem:
        client = at(creem.url)
        for number in range(2):
            client.refund(Armed(f"tran_{number}", time.monotonic() + 5))
        assert not [request for request in creem.whole_requests if b"cookie" in request.lower()]


def test_proxy_of_the_environment_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with server(http("200 OK", b'{"status":"pending"}')) as creem:
        assert refund(creem.url)[0].outcome is CallOutcome.ACCEPTED
