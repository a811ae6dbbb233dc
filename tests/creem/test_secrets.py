"""The key goes into one header of one request, and nowhere else."""

import io
import json
import logging
import pickle
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.creem.world import KEY, TEST, TRACE, a_transaction, an_error, at, here, saying
from tests.sockets import Server, Wire, http, server
from worker.creem.answers import BODY_LIMIT
from worker.creem.client import Armed, CreemHttp, CreemRefused
from worker.creem.wire import HIDDEN
from worker.errors import TryLater

SLASHED = KEY.replace("a", "\\u0061")
"""The key as JSON may write it, too."""


@contextmanager
def every_log(libraries: int = logging.WARNING) -> Iterator[tuple[list[dict[str, Any]], io.StringIO]]:
    """What we log, as events, and what everybody logs, as text; the libraries below us as in production, or at their most
    talkative.
    """
    text, root = io.StringIO(), logging.getLogger()
    events: list[dict[str, Any]] = []
    handlers = [logging.StreamHandler(text), _Events(events)]
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in (None, "httpx", "httpcore")}
    for logger in levels:
        logger.setLevel(logging.DEBUG if logger is root else libraries)
    for handler in handlers:
        root.addHandler(handler)
    try:
        with capture_logs() as captured:
            yield events, text
            events += [dict(each) for each in captured]
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)


class _Events(logging.Handler):
    """Our own events where another test has already bound our log to the standard library's."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, dict):
            self._events.append(record.msg)


def echo(wire: Wire) -> None:
    """Says the key in every place an answer has."""
    wire.hear()
    status = (wire.received.split(b" ")[1] == b"/v1/refunds" and b"400 Bad Request") or b"403 Forbidden"
    body = json.dumps(an_error(400, f"your key {KEY} is", KEY, trace_id=KEY, error=KEY)).encode()
    body = body.replace(b"is", SLASHED.encode())
    wire.say(http(status.decode(), body, f"X-Echo: {KEY}", f"Retry-After: {KEY}"))


def page(wire: Wire) -> None:
    wire.hear()
    wire.say(f"HTTP/1.1 502 Bad\r\nContent-Type: text/{KEY}\r\nContent-Length: {len(KEY)}\r\n\r\n{KEY}".encode())


def broken(wire: Wire) -> None:
    wire.hear()
    wire.say(f"{KEY} garbage\r\n\r\n".encode())


def accepted(wire: Wire) -> None:
    wire.hear()
    wire.say(http("200 OK", json.dumps({"status": KEY, "id": KEY, "transaction_id": KEY, "mode": KEY}).encode()))


def told_of_a_refund(creem: Server) -> str:
    answer = at(creem.url).refund(Armed("tran_1", time.monotonic() + 5))
    return repr(answer) + str(pickle.dumps(answer))


def told_of_reads(creem: Server) -> Iterator[str]:
    client = at(creem.url, chance=lambda: 0.0)
    for ask in (client.transaction, client.transactions_of_customer):
        try:
            yield repr(ask("x_1"))
        except (TryLater, CreemRefused) as error:
            yield str(error) + repr(error) + str(pickle.dumps(error)) + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("behaviour", [echo, page, broken, accepted, b""])
def test_key_is_in_no_log_no_answer_and_no_error(behaviour: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with server(behaviour) as creem, every_log() as (events, text):
        said = [told_of_a_refund(creem), *told_of_reads(creem)]
    assert creem.whole_requests
    assert all(f"x-api-key: {KEY}".encode() in request for request in creem.whole_requests)
    everything = "".join([*said, json.dumps(events, default=str), text.getvalue(), *capfd.readouterr()])
    assert "creem.asked" in everything
    assert "canary" not in everything
    assert SLASHED not in "".join(said)


def test_no_library_writes_down_what_we_send(capfd: pytest.CaptureFixture[str]) -> None:
    with server(http("200 OK", b'{"status":"pending"}')) as creem, every_log(logging.DEBUG) as (_, text):
        assert "pending" in told_of_a_refund(creem)
    assert "send_request_headers" in text.getvalue()
    assert "canary" not in text.getvalue() + "".join(capfd.readouterr())


def test_key_that_is_cut_by_a_limit_is_hidden_whole() -> None:
    for before in range(200, 330, 7):
        world = here(saying(an_error(400, "x" * before + KEY), 400))
        answer = world.creem.refund(world.armed())
        assert "creem_test" not in answer.detail
    for before in range(65_536 - len(KEY) - 2, 65_540):
        world = here(httpx.Response(502, content=b"x" * before + KEY.encode() + b"x" * 99))
        answer = world.creem.refund(world.armed())
        assert set(answer.raw) <= {"x", "*"}
        assert len(answer.raw) <= 65_536


def test_key_that_comes_in_two_pieces_at_the_limit_is_hidden_whole() -> None:
    class Pieces(httpx.BaseTransport):
        def handle_request(self, _: httpx.Request) -> httpx.Response:
            text = b"x" * (BODY_LIMIT - 10) + KEY.encode()
            return httpx.Response(502, stream=Stream(text[: BODY_LIMIT + 1], text[BODY_LIMIT + 1 :]))

    class Stream(httpx.SyncByteStream):
        def __init__(self, *pieces: bytes) -> None:
            self._pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            yield from self._pieces

    creem = CreemHttp(TEST, KEY, client=httpx.Client(transport=Pieces()))
    answer = creem.refund(Armed("tran_1", time.monotonic() + 5))
    assert set(answer.raw) == {"x", "*"}


def test_what_creem_says_stays_readable_around_the_key() -> None:
    world = here(saying(an_error(403, f"the key {KEY} may not refund"), 403))
    answer = world.creem.refund(world.armed())
    assert answer.detail == f"Creem answered 403: the key {HIDDEN} may not refund"
    assert HIDDEN in answer.raw


def test_client_shows_where_it_asks_and_not_with_what() -> None:
    for creem in (here().creem, at("http://127.0.0.1:1")):
        shown = repr(creem) + str(creem) + f"{creem}" + repr(vars(creem))
        assert "127.0.0.1" in shown or "test-api.creem.io" in shown
        assert "canary" not in shown
    world = here(saying(a_transaction()))
    assert "canary" not in repr(world.creem._reads._wire.__dict__)
    assert SecretStr(KEY).get_secret_value() == KEY


def test_every_request_is_on_record() -> None:
    refused = saying(an_error(503), 503)
    world = here(refused, saying(a_transaction()), saying({"status": "pending", "trace_id": TRACE}), httpx.ReadTimeout("slow"))
    with every_log() as (events, _):
        world.creem.transaction("tran_1")
        world.creem.refund(world.armed("tran_2"))
        world.creem.refund(world.armed("tran_3"))
    asked = [event for event in events if event["event"] == "creem.asked"]
    names = ("method", "path", "transaction_id", "attempt", "status", "trace_id", "error")
    assert [tuple(event.get(name) for name in names) for event in asked] == [
        ("GET", "/v1/transactions", "tran_1", 1, 503, TRACE, None),
        ("GET", "/v1/transactions", "tran_1", 2, 200, None, None),
        ("POST", "/v1/refunds", "tran_2", 1, 200, TRACE, None),
        ("POST", "/v1/refunds", "tran_3", 1, None, None, "ReadTimeout"),
    ]
    assert all(event["seconds"] >= 0 for event in asked)


def test_ids_of_customers_and_bodies_are_not_on_record() -> None:
    items = {"items": [a_transaction(customer="cust_private")], "pagination": {"next_page": None}}
    with every_log() as (events, _):
        here(saying(items)).creem.transactions_of_customer("cust_private")
    assert len(events) == 1
    assert "private" not in json.dumps(events, default=str)
