"""Reads: asked again where that helps, within their time, at our own pace; and what cannot be had is said (A19, A20)."""

import pickle
import threading
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.world import HandClock
from tests.creem.world import TRACE, Here, a_transaction, an_error, at, here, saying
from tests.sockets import Wire, http, server
from worker.creem.client import CreemAway, CreemRefused
from worker.creem.reads import TRIES
from worker.creem.wire import Pace
from worker.errors import TryLater
from worker.sandbox.servers import free_port

GOOD = saying(a_transaction())
NO_ANSWER = httpx.ReadError("reset")


def read(world: Here) -> str:
    """How a read of a transaction ended, in a word."""
    try:
        return "nothing" if world.creem.transaction("tran_1") is None else "read"
    except CreemRefused as refusal:
        return f"refused {refusal.http_status}{' key' if refusal.key_trouble else ''}"
    except TryLater:
        return "later"


# HTTP | body (E: Creem's error body, E-: without trace_id, H: a page) | how it ends | tries
TABLE = """
200 | {"id":"tran_1"}           | later       | 4
200 | H                         | later       | 4
200 |                           | later       | 4
200 | []                        | later       | 4
200 | null                      | later       | 4
201 | {"id":"tran_1"}           | later       | 4
204 |                           | later       | 4
301 | E                         | later       | 1
307 |                           | later       | 1
400 | E                         | refused 400 | 1
400 | H                         | later       | 1
400 | {"error":{"code":"no"}}   | refused 400 | 1
401 | E                         | refused 401 key | 1
401 | H                         | refused 401 key | 1
401 |                           | refused 401 key | 1
403 | E                         | refused 403 key | 1
403 | E-                        | refused 403 key | 1
403 | {"error":{"code":"no"}}   | refused 403 key | 1
403 | H                         | later       | 1
403 | {"error_code":1020}       | later       | 1
403 |                           | later       | 1
404 | E                         | nothing     | 1
404 | E-                        | later       | 4
404 | {"error":"not found"}     | later       | 4
404 | H                         | later       | 4
404 |                           | later       | 4
408 | E                         | later       | 4
409 | E                         | refused 409 | 1
425 | E                         | later       | 4
429 | E                         | later       | 4
429 | H                         | later       | 4
500 | E                         | later       | 4
502 | H                         | later       | 4
503 |                           | later       | 4
"""


def answer(status: int, text: str) -> httpx.Response:
    if text in {"E", "E-"}:
        return saying(an_error(status, "no", **({"trace_id": ...} if text == "E-" else {})), status)
    if text == "H":
        return httpx.Response(
            status, content=b"<html>", headers={"content-type": "text/html", "location": "https://evil.invalid"}
        )
    return httpx.Response(status, content=text.encode(), headers={"content-type": "application/json"})


@pytest.mark.parametrize("row", TABLE.strip().splitlines(), ids=lambda row: row[:30].strip())
def test_status_decides_whether_it_is_asked_again(row: str) -> None:
    status, text, ends, tries = (part.strip() for part in row.split("|"))
    world = here(answer(int(status), text), read_seconds=1e6)
    assert (read(world), len(world.sent)) == (ends, int(tries))


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.WriteError, httpx.PoolTimeout,
              httpx.RemoteProtocolError, httpx.LocalProtocolError, OSError]
)  # fmt: skip
def test_no_answer_is_asked_again_and_a_late_one_counts(error: type[Exception]) -> None:
    world = here(error("gone"), error("gone"), error("gone"), GOOD, read_seconds=1e6)
    assert (read(world), len(world.sent)) == ("read", 4)
    world = here(error("gone"), read_seconds=1e6)
    with pytest.raises(TryLater) as raised:
        world.creem.transaction("tran_1")
    assert str(raised.value) == f"Creem is not reachable: no answer ({error.__name__}): gone (4 tries)"


def test_pauses_grow_to_their_cap_and_are_as_long_as_chance_has_it() -> None:
    for chance in (1.0, 0.25, 0.0):
        world = here(NO_ANSWER, read_seconds=1e6, chance=chance)
        assert read(world) == "later"
        assert world.pauses == [0.5 * chance, 1.0 * chance, 2.0 * chance]


@settings(deadline=None)
@given(seconds=st.floats(0.1, 30), took=st.floats(0, 10), chance=st.floats(0, 1))
def test_no_try_begins_after_the_time_of_the_whole_question(seconds: float, took: float, chance: float) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        world.timer.at += took
        raise httpx.ReadTimeout("slow", request=request)

    world = here(slow, read_seconds=seconds, chance=chance)
    began = world.timer()
    assert read(world) == "later"
    assert all(at < began + seconds for at in world.script.times)
    assert 1 <= len(world.sent) <= TRIES
    # each try may take what is left and no more, a millisecond at the least
    limits = [request.extensions["timeout"]["read"] for request in world.sent]
    assert limits == [pytest.approx(max(0.001, began + seconds - at), abs=1e-6) for at in world.script.times]


def throttled(value: str, **more: Any) -> httpx.Response:
    return saying(an_error(429, "slow down"), 429, retry_after=value, **more)


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        (throttled("3"), 3.0),
        (throttled("0"), 0.5),
        (throttled("Mon, 02 Mar 2026 10:00:04 GMT", date="Mon, 02 Mar 2026 10:00:00 GMT"), 4.0),
        (throttled("Mon, 02 Mar 2026 10:00:04 GMT"), 1.0),
        (throttled("soon"), 0.5),
        (httpx.Response(503, headers={"retry-after": "2"}), 2.0),
    ],
)
def test_retry_after_is_waited_for_if_it_is_longer_than_our_own_pause(reply: httpx.Response, pause: float) -> None:
    world = here(reply, GOOD, clock=HandClock(datetime(2026, 3, 2, 10, 0, 3, tzinfo=UTC)))
    assert read(world) == "read"
    assert world.pauses == [pause]


def test_retry_after_beyond_the_time_is_handed_on() -> None:
    world = here(throttled("11"), GOOD, read_seconds=10)
    with pytest.raises(TryLater) as raised:
        world.creem.transaction("tran_1")
    assert isinstance(raised.value, CreemAway)
    assert (raised.value.service, raised.value.retry_after, len(world.sent)) == ("Creem", 11.0, 1)
    assert pickle.loads(pickle.dumps(raised.value)).retry_after == 11.0
    assert str(pickle.loads(pickle.dumps(raised.value))) == "Creem is not reachable: Creem answered 429: slow down"


def test_refusal_says_what_creem_said_and_survives_the_journey() -> None:
    with pytest.raises(CreemRefused) as raised:
        here(saying(an_error(400, "one", "two"), 400)).creem.transaction("tran_1")
    for refusal in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert (refusal.http_status, str(refusal), refusal.key_trouble) == (400, "Creem answered 400: one; two", False)


def test_ids_stand_in_the_query_and_nowhere_else() -> None:
    for name in ("tran_1", "../../admin", "a&b=c#d", "a b+c%2f", "@evil", "ü" * 20):
        world = here(GOOD)
        world.creem.transaction(name)
        (request,) = world.sent
        assert (request.url.host, request.url.path, dict(request.url.params)) == (
            "test-api.creem.io",
            "/v1/transactions",
            {"transaction_id": name},
        )


@pytest.mark.parametrize("name", ["", "a\r\nb", "\ud800", "\x00", "x" * 257])
def test_id_that_cannot_be_one_is_not_asked_for(name: str) -> None:
    world = here(GOOD)
    assert world.creem.transaction(name) is None
    assert world.creem.transactions_of_customer(name) == []
    assert world.sent == []


# --- the pace


@settings(deadline=None)
@given(per_second=st.floats(0.5, 50), rests=st.lists(st.floats(0, 2), min_size=1, max_size=12), refunds=st.booleans())
def test_never_more_than_so_many_requests_a_second(per_second: float, rests: list[float], refunds: bool) -> None:
    world = here(GOOD, per_second=per_second)
    for number, rest in enumerate(rests):
        world.timer.at += rest
        if refunds and number % 2:
            world.creem.refund(world.armed(seconds=1e6))
        else:
            world.creem.transaction("tran_1")
    times = world.script.times
    assert all(later - earlier >= 1 / per_second - 1e-6 for earlier, later in pairwise(times))
    # who comes late enough does not wait
    assert times[0] == 1000.0 + rests[0]


def test_tries_keep_the_pace_too() -> None:
    world = here(NO_ANSWER, per_second=0.1, chance=0.0, read_seconds=1e6)
    assert read(world) == "later"
    assert [later - earlier for earlier, later in pairwise(world.script.times)] == [10, 10, 10]


def test_threads_share_the_pace() -> None:
    slept: list[float] = []
    pace = Pace(4.0, slept.append, lambda: 0.0)
    threads = [threading.Thread(target=pace.wait) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slept) == [0.25 * number for number in range(1, 9)]


# --- on sockets


def test_dripping_answer_ends_with_the_whole_time() -> None:
    def drip(wire: Wire) -> None:
        wire.hear()
        wire.drip(http("200 OK", b" " * 500), 0.02)

    with server(drip) as creem, pytest.raises(TryLater, match="ReadTimeout"):
        at(creem.url, read_seconds=0.4, chance=lambda: 0.0).transaction("tran_1")


def test_port_where_nobody_listens_is_asked_four_times() -> None:
    with pytest.raises(TryLater, match=r"ConnectError.*\(4 tries\)"):
        at(f"http://127.0.0.1:{free_port()}", chance=lambda: 0.0).transaction("tran_1")


def test_whole_answer_after_broken_ones_is_read() -> None:
    good = http("200 OK", GOOD.content)
    with server(b"", good[:-20], http("200 OK", b"\x1f\x8b\x08 packed", "Content-Encoding: gzip"), good) as creem:
        seen = at(creem.url, chance=lambda: 0.0).transaction("tran_1")
        assert seen is not None
        assert len(creem.whole_requests) == 4


def test_trace_is_a_trace() -> None:
    # a 404 is a word on the id only where Creem itself wrote it
    for trace, ends in ((TRACE, "nothing"), ("", "later"), (7, "later"), (None, "later")):
        assert read(here(saying(an_error(404, "no", trace_id=trace), 404), read_seconds=1e6)) == ends
