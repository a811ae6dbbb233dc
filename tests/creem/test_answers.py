"""Every answer the one POST can get, and what it lets us know (failure-modes.md, 2.4)."""

import inspect
import json
import ssl
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.creem.world import a_transaction, an_error, here, saying, spent
from worker.creem.answers import BODY_LIMIT, Answer, CallOutcome, classify, classify_error
from worker.creem.environment import Environment

HTML = "<html><body>502 Bad Gateway</body></html>"
# row | HTTP | content type | body (E: Creem's error body and message, E-: without trace_id, H: a page) | outcome | more
TABLE = """
A4  | 200 | json | {"status":"succeeded"}                             | accepted  | status=succeeded
A4  | 201 | json | {"status":"succeeded"}                             | accepted  | status=succeeded
A4  | 200 | json | {"id":"ref_1","status":"succeeded"}                | accepted  | status=succeeded refund_id=ref_1
A4  | 200 | json | {"id":7,"status":"succeeded"}                      | accepted  | status=succeeded
A5  | 200 | json | {"status":"pending"}                               | accepted  | status=pending
A5  | 200 | json | {"status":"requiresAction"}                        | accepted  | status=requiresAction
A5  | 200 | json | {"status":"awaitingSettlement","more":{}}          | accepted  | status=awaitingSettlement
A5  | 200 | none | {"status":"pending"}                               | accepted  | status=pending
A6  | 200 | json | {"status":"failed"}                                | accepted  | status=failed
A6  | 200 | json | {"status":"canceled"}                              | accepted  | status=canceled
A7  | 200 | json |                                                    | unknown   |
A7  | 204 | json |                                                    | unknown   |
A7  | 200 | json | {"status":"succ                                    | unknown   |
A7  | 200 | json | ["succeeded"]                                      | unknown   |
A7  | 200 | json | "succeeded"                                        | unknown   |
A7  | 200 | json | {}                                                 | unknown   |
A7  | 200 | json | {"status":null}                                    | unknown   |
A7  | 200 | json | {"status":true}                                    | unknown   |
A7  | 200 | json | {"status":""}                                      | unknown   |
A7  | 200 | json | {"status":"a\\u0000b"}                             | unknown   |
A7  | 200 | json | {"status":"\\ud800"}                               | unknown   |
A7  | 200 | json | {"status":"failed","status":"succeeded"}           | unknown   |
A7  | 200 | json | {"status":"succeeded","n":NaN}                     | unknown   |
A7  | 200 | json | E refused in a 200                                 | unknown   |
A7  | 200 | html | {"status":"succeeded"}                             | unknown   |
A7  | 200 | html | H                                                  | unknown   |
A8  | 200 | json | {"status":"pending"}                               | accepted  | status=pending
A9  | 200 | json | {"status":"succeeded"}                             | accepted  | status=succeeded
A10 | 400 | json | E Transaction has already been refunded            | refused   |
A10 | 400 | json | E Transaction has no refunds left                  | refused   |
A11 | 400 | json | E Insufficient balance to refund this transaction  | refused   | low_balance
A11 | 400 | json | E Not enough FUNDS                                 | refused   | low_balance
A11 | 400 | json | E Your balance is too low                          | refused   | low_balance
A10 | 400 | json | E A refund of this balance transaction is already in progress | refused |
A10 | 400 | json | E Insufficient balance: a refund is already in progress | refused |
A10 | 400 | json | E Insufficient balance: the refund is pending      | refused   |
A12 | 400 | json | E Balance transaction not found                    | refused   |
A12 | 400 | json | E Insufficient permissions                         | refused   |
A12 | 400 | json | E transaction_id must be a string                  | refused   |
A12 | 404 | json | E Transaction not found                            | refused   |
A12 | 404 | json | E- Cannot POST /v1/refunds                         | refused   |
A12 | 404 | json | E your balance is not the reason                   | refused   |
A12 | 409 | json | E email taken                                      | refused   |
A12 | 422 | json | E-                                                 | refused   |
A12 | 409 | json | {"trace_id":"t_1","status":"succeeded"}            | unknown   |
A12 | 409 | json | {"trace_id":"t_1","status":"pending","message":"x"} | unknown  |
A12 | 400 | json | {"trace_id":"t_1","status":200,"message":"x"}      | unknown   |
A12 | 400 | json | {"trace_id":"t_1","status":null}                   | unknown   |
A13 | 403 | json | {"trace_id":"t_1","status":"succeeded"}            | unknown   |
A16 | 429 | json | {"trace_id":"t_1","status":"pending"}              | unknown   |
A12 | 400 | json | {"trace_id":"t_1"}                                 | refused   |
A13 | 401 | json | E Invalid API key                                  | refused   | key_trouble
A13 | 403 | json | E                                                  | refused   | key_trouble
A13 | 403 | json | E-                                                 | refused   | key_trouble
A14 | 400 | html | H                                                  | unknown   |
A14 | 403 | html | H                                                  | unknown   |
A14 | 404 | json | {"error":"not found"}                              | unknown   |
A14 | 403 | json | {"message":"Forbidden"}                            | unknown   |
A14 | 400 | json | {"status":403,"error":"Forbidden"}                 | unknown   |
A14 | 400 | json | {"status":"400","error":"Bad Request"}             | unknown   |
A14 | 400 | json | {"trace_id":""}                                    | unknown   |
A14 | 400 | json |                                                    | unknown   |
A14 | 403 | html | E behind a page                                    | unknown   |
A15 | 408 | json | E Request Timeout                                  | unknown   |
A15 | 425 | json | E Too Early                                        | unknown   |
A15 | 500 | json | E Internal Server Error                            | unknown   |
A15 | 502 | html | H                                                  | unknown   |
A15 | 503 | none |                                                    | unknown   |
A15 | 599 | json | {"status":"succeeded"}                             | unknown   |
A16 | 429 | json | E Too many requests                                | throttled |
A16 | 429 | html | H                                                  | unknown   |
A16 | 429 | json |                                                    | unknown   |
A17 | 301 | html | H                                                  | unknown   |
A17 | 302 | json | {"status":"succeeded"}                             | unknown   |
A17 | 307 | none |                                                    | unknown   |
A17 | 304 | none |                                                    | unknown   |
A18 | 200 | json | {"status":"pending","transaction_id":"tran_2"}     | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","transaction":"tran_2"}        | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","transaction":{"id":"tran_2"}} | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","transaction_id":7}            | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","mode":"prod"}                 | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","mode":["test"]}               | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","transaction":{"mode":"live"}} | accepted  | status=pending mismatch
A18 | 200 | json | {"status":"pending","transaction_id":"tran_1"}     | accepted  | status=pending
A18 | 200 | json | {"status":"pending","transaction":{"id":"tran_1"}} | accepted  | status=pending
A18 | 200 | json | {"status":"pending","mode":"sandbox"}              | accepted  | status=pending
A21 | 400 | json | E already refunded in the dashboard                | refused   |
"""
ROWS = [tuple(part.strip() for part in row.split("|")) for row in TABLE.strip().splitlines()]


def body_of(text: str, status: int) -> bytes:
    kind, _, message = text.partition(" ")
    if kind in {"E", "E-"}:
        changes: dict[str, Any] = {"trace_id": ...} if kind == "E-" else {}
        return json.dumps(an_error(status, *([message] if message else []), **changes)).encode()
    return (HTML if text == "H" else text).encode()


def answered(status: int, kind: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    named = {"json": {"content-type": "application/json; charset=utf-8"}, "html": {"content-type": "text/html"}, "none": {}}[kind]
    world = here(httpx.Response(status, headers=[*named.items(), *headers], content=body))
    return world.creem.refund(world.armed())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}-{row[3][:30]}")
def test_every_answer_has_its_class(row: tuple[str, ...]) -> None:
    _, status, kind, text, outcome, more = row
    body = body_of(text, int(status))
    answer = answered(int(status), kind, body)
    said = [f"{name}={getattr(answer, name)}" for name in ("status", "refund_id") if getattr(answer, name) is not None]
    said += [name for name in ("key_trouble", "low_balance", "mismatch") if getattr(answer, name)]
    assert (answer.outcome.value, " ".join(said)) == (outcome, more)
    assert answer.http_status == int(status)
    assert answer.raw.encode() == body
    assert answer.detail.startswith(f"Creem answered {status}")
    # a page of somebody else's is kept, and not repeated
    assert "<html>" not in answer.detail


def test_every_row_of_the_failure_modes_is_told_somewhere() -> None:
    elsewhere = {
        "A1": "test_only_a_connection_that_never_was_is_not_sent, test_sockets.py",
        "A2": "test_only_a_connection_that_never_was_is_not_sent, test_sockets.py",
        "A3": "test_a_call_that_is_broken_off_is_no_answer_and_its_permission_is_gone",
        "A19": "test_a_transaction_that_lies_is_shown_as_it_lies, test_transactions.py",
        "A20": "test_reads.py",
    }
    assert {row[0] for row in ROWS} | set(elsewhere) == {f"A{number}" for number in range(1, 22)}


NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}
ERRORS = """
HTTPError RequestError TransportError TimeoutException ConnectTimeout ReadTimeout WriteTimeout PoolTimeout NetworkError
ConnectError ReadError WriteError CloseError ProtocolError LocalProtocolError RemoteProtocolError ProxyError
UnsupportedProtocol DecodingError TooManyRedirects HTTPStatusError InvalidURL CookieConflict StreamError StreamConsumed
StreamClosed ResponseNotRead RequestNotRead
"""


def exceptions_of_httpx() -> list[type[Exception]]:
    return [each for _, each in inspect.getmembers(httpx, inspect.isclass) if issubclass(each, Exception)]


def test_no_exception_of_httpx_is_new() -> None:
    assert {each.__name__ for each in exceptions_of_httpx()} == set(ERRORS.split())


@pytest.mark.parametrize("kind", exceptions_of_httpx(), ids=lambda kind: kind.__name__)
def test_only_a_connection_that_never_was_is_not_sent(kind: type[Exception]) -> None:
    error = kind.__new__(kind, "said\nwhat")
    wanted = CallOutcome.NOT_SENT if kind.__name__ in NOT_SENT else CallOutcome.UNKNOWN
    answer = classify_error(error)
    assert (answer.outcome, answer.http_status) == (wanted, None)
    assert kind.__name__ in answer.detail
    assert "\n" not in answer.detail
    # an answer had begun: there was a connection, whatever the error is called
    assert classify_error(error, 200).outcome is CallOutcome.UNKNOWN
    if issubclass(kind, httpx.TransportError):
        world = here(kind("said"))
        assert world.creem.refund(world.armed()).outcome is wanted
        assert len(world.sent) == 1


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), ssl.SSLError("tls"), TimeoutError("slow"), BrokenPipeError()])
def test_error_that_no_library_translated_is_unknown(error: OSError) -> None:
    world = here(error)
    assert world.creem.refund(world.armed()).outcome is CallOutcome.UNKNOWN


class Stopped(BaseException):
    """A signal, or the end of the process."""


def test_a_call_that_is_broken_off_is_no_answer_and_its_permission_is_gone() -> None:
    def stop(_: httpx.Request) -> httpx.Response:
        raise Stopped

    world = here(stop)
    armed = world.armed()
    with pytest.raises(Stopped):
        world.creem.refund(armed)
    assert spent(armed)


def test_body_is_taken_up_to_its_limit_and_not_beyond() -> None:
    start, end = b'{"status":"succeeded","padding":"', b'"}'
    for size, outcome in ((BODY_LIMIT, CallOutcome.ACCEPTED), (BODY_LIMIT + 1, CallOutcome.UNKNOWN)):
        body = start + b"x" * (size - len(start) - len(end)) + end
        answer = answered(200, "json", body)
        assert (answer.outcome, len(answer.raw)) == (outcome, BODY_LIMIT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(["status", "error", "message", "trace_id", "id", "transaction", "transaction_id", "mode"])


@settings(deadline=None)
@given(
    status=st.integers(100, 599),
    body=st.dictionaries(NAMES, JSON, max_size=6).map(json.dumps).map(str.encode) | st.binary(max_size=80),
)
def test_no_answer_is_more_than_it_says(status: int, body: bytes) -> None:
    answer = classify(httpx.Response(status), body, asked="tran_1", environment=Environment.TEST)
    assert answer.outcome is not CallOutcome.NOT_SENT
    assert (answer.outcome is CallOutcome.ACCEPTED) == (answer.status is not None) <= (200 <= status < 300)
    assert (answer.outcome is CallOutcome.REFUSED) <= (400 <= status < 500 and status not in {408, 425, 429})
    assert answer.key_trouble <= (answer.outcome is CallOutcome.REFUSED)
    assert answer.low_balance <= (answer.outcome is CallOutcome.REFUSED)
    for text in (answer.detail, answer.status or "", answer.trace_id or "", answer.refund_id or ""):
        assert text.isprintable()
        text.encode()


def test_request_is_the_documented_one() -> None:
    world = here(saying({"status": "pending"}))
    world.creem.refund(world.armed("tran_7Qd"))
    (request,) = world.sent
    assert (request.method, str(request.url)) == ("POST", "https://test-api.creem.io/v1/refunds")
    assert json.loads(request.content) == {"transaction_id": "tran_7Qd"}
    assert {name: request.headers[name] for name in ("accept", "accept-encoding", "content-type", "user-agent")} == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "layer-refunds",
    }
    assert "authorization" not in request.headers
    assert "idempotency-key" not in request.headers


def test_a_transaction_that_lies_is_shown_as_it_lies() -> None:
    # A19: what to do about it is decided where it is compared with what was approved
    lie = a_transaction(id="tran_2", mode="prod", customer="cust_9", currency="USD", amount_paid=None)
    seen = here(saying(lie)).creem.transaction("tran_1")
    assert seen is not None
    assert (seen.id, seen.mode, seen.customer, seen.currency, seen.remaining) == ("tran_2", "prod", "cust_9", "USD", None)
