"""One permission, one request: nothing that moves money is sent twice, late, or by anybody who was not permitted to."""

import ast
import copy
import pickle
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

import worker.creem
from tests.creem.world import KEY, HandTimer, Script, an_error, here, saying, spent
from tests.sockets import http, server
from worker.clock import SystemClock
from worker.creem.answers import CallOutcome
from worker.creem.client import Armed, CreemHttp, DeadlinePassed
from worker.creem.environment import address_of
from worker.creem.reading import Unreadable
from worker.creem.reads import REPEATABLE, CreemRefused, Reads
from worker.creem.wire import Ask, Pace, Wire
from worker.deadline import DeadlineTransport
from worker.errors import InvariantBroken, RefundsError, TryLater

# --- the permission


def test_permission_is_good_once() -> None:
    armed = Armed("tran_1", until=10.0)
    assert armed.spend(9.9) == "tran_1"
    for now in (9.9, 10.0, 0.0):
        with pytest.raises(InvariantBroken, match="tran_1 was used before"):
            armed.spend(now)


@pytest.mark.parametrize("now", [10.0, 10.1, float("inf")])
def test_late_permission_is_no_permission_and_stays_used_up(now: float) -> None:
    armed = Armed("tran_1", until=10.0)
    with pytest.raises(DeadlinePassed, match="nothing was sent"):
        armed.spend(now)
    with pytest.raises(InvariantBroken):
        armed.spend(0.0)
    assert issubclass(DeadlinePassed, RefundsError)


def test_of_many_threads_one_gets_it() -> None:
    for _ in range(50):
        armed, start = Armed("tran_1", until=10.0), threading.Barrier(8)
        got: list[str] = []

        def take(armed: Armed = armed, start: threading.Barrier = start, got: list[str] = got) -> None:
            start.wait()
            with suppress(InvariantBroken):
                got.append(armed.spend(0.0))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == ["tran_1"]


def test_permission_does_not_travel_and_a_copy_shares_its_use() -> None:
    armed = Armed("tran_1", until=10.0)
    for carry in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            carry(armed)
    twin = copy.copy(armed)
    armed.spend(0.0)
    with pytest.raises(InvariantBroken):
        twin.spend(0.0)
    assert repr(armed) == "Armed('tran_1', until=10.0, spent)"
    assert repr(Armed("tran_2", until=10.0)) == "Armed('tran_2', until=10.0, unspent)"


# --- one request for each


def test_spent_or_late_permission_sends_no_byte() -> None:
    with server(http("200 OK", b'{"status":"pending"}')) as creem:
        timer = HandTimer()
        client = CreemHttp(address_of(KEY, creem.url), KEY, timer=timer, sleep=timer.sleep)
        late, used = Armed("tran_1", until=timer()), Armed("tran_1", until=timer() + 60)
        with pytest.raises(DeadlinePassed):
            client.refund(late)
        assert client.refund(used).outcome is CallOutcome.ACCEPTED
        with pytest.raises(InvariantBroken):
            client.refund(used)
        assert len(creem.wires) == 1


def test_permission_that_runs_out_while_the_pace_is_kept_is_not_used() -> None:
    world = here(saying({"status": "pending"}), per_second=0.1)
    world.creem.refund(world.armed("tran_1"))
    with pytest.raises(DeadlinePassed):
        world.creem.refund(world.armed("tran_2", seconds=5))
    assert len(world.sent) == 1


TROUBLE = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("slow"),
    httpx.ReadTimeout("slow"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    saying(an_error(429, "slow down"), 429, retry_after="1"),
    saying(an_error(503), 503, retry_after="0"),
    saying(an_error(408), 408),
    saying({"nothing": 1}),
    httpx.Response(502, content=b"<html>"),
]


@settings(deadline=None)
@given(replies=st.lists(st.sampled_from(TROUBLE), min_size=1, max_size=4))
def test_refund_is_sent_once_whatever_comes(replies: list[Any]) -> None:
    world = here(*replies)
    armed = world.armed()
    assert world.creem.refund(armed).outcome is not CallOutcome.ACCEPTED
    assert (len(world.sent), world.timer.slept, spent(armed)) == (1, [], True)


def reads_of(script: Script) -> Reads:
    timer = HandTimer()
    wire = Wire("https://test-api.creem.io", SecretStr(KEY), httpx.Client(transport=script), timer)
    pace = Pace(1e9, timer.sleep, timer)
    return Reads(wire, pace, seconds=1e6, sleep=timer.sleep, timer=timer, clock=SystemClock(), chance=lambda: 0.0)


PATHS = st.sampled_from(["/v1/refunds", "/v1/transactions", "/v1/transactions/search", "/v1/checkouts", "/v1/transactions/"])
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=12).map(lambda word: f"/v1/{word}")


@settings(deadline=None)
@given(
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "get", "post"]),
    path=PATHS | WORDS,
    reply=st.sampled_from(TROUBLE),
)
def test_only_what_is_on_the_list_is_sent_again(method: str, path: str, reply: Any) -> None:
    script = Script((reply,))
    with pytest.raises((TryLater, CreemRefused)):
        reads_of(script).ask(Ask(method, path, content=b"{}" if method == "POST" else None), lambda _: refuse())
    assert len(script.requests) == (4 if (method, path) in REPEATABLE else 1)


def refuse() -> None:
    raise Unreadable("not this")


def test_list_holds_nothing_but_reads() -> None:
    paths = ("/v1/transactions", "/v1/transactions/search", "/v1/customer-credits/accounts")
    assert {("GET", path) for path in paths} == REPEATABLE


# --- frozen on the way


class Frozen:
    """A timer that jumps by an hour at one of its readings: the process was stopped right before it."""

    def __init__(self, at: int) -> None:
        self.at, self.readings = at, 0

    def __call__(self) -> float:
        self.readings += 1
        return 3600.0 if self.readings >= self.at else 0.0


def test_nothing_leaves_after_the_permission_ran_out_wherever_the_process_was_frozen() -> None:
    seen = set()
    for at in range(1, 40):
        with server(http("200 OK", b'{"status":"succeeded"}')) as creem:
            timer = Frozen(at)
            client = httpx.Client(transport=DeadlineTransport(timer), trust_env=False)
            creem_http = CreemHttp(address_of(KEY, creem.url), KEY, client=client, timer=timer)
            try:
                answer = creem_http.refund(Armed("tran_1", until=10.0))
            except DeadlinePassed:
                seen.add("late")
                assert creem.wires == []
                continue
            kind = answer.outcome.value + (" on the way" if "on the way" in answer.detail else "")
            seen.add(kind)
            if answer.outcome is CallOutcome.NOT_SENT:
                assert all(not wire.received for wire in creem.wires)
            if "on the way" in answer.detail:
                assert creem.whole_requests == []
            if answer.outcome is CallOutcome.ACCEPTED:
                break
    # before the look, before connecting (seen by us or by the transport), before writing, while reading, when all was there
    assert seen == {"late", "not_sent on the way", "not_sent", "unknown on the way", "unknown", "accepted"}


# --- one place


def test_one_module_asks_for_refunds_and_it_cannot_repeat() -> None:
    folder = Path(worker.creem.__file__).parent
    texts = {path.name: path.read_text() for path in sorted(folder.glob("*.py"))}
    # what is posted to the accounts of customers moves no money, and carries a key
    assert [name for name, text in texts.items() if '"POST"' in text] == ["credits.py", "post.py"]
    assert [name for name, text in texts.items() if "/v1/refunds" in text.replace("`POST /v1/refunds`", "")] == ["post.py"]
    tree = ast.parse((folder / "post.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not {name for name in imported if name and name.startswith(("tenacity", "worker.creem.reads", "worker.store"))}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While)]
