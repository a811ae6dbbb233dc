"""Answers that do not come, come from elsewhere, or lie; and on which side of the commit."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.cases.world import START
from tests.sandbox.test_creem_world import World, a_world
from worker.sandbox.creem import Lost, Switches
from worker.sandbox.creem.switches import from_document, merge
from worker.sandbox.creem.words import POST_LIES, Fault, Lie, Nested, SecondRefund

RAISED: dict[Fault, type[httpx.TransportError]] = {
    Fault.NOT_SENT: httpx.ConnectError,
    Fault.RESET: httpx.ReadError,
    Fault.DISCONNECTED: httpx.RemoteProtocolError,
    Fault.TIMEOUT: httpx.ReadTimeout,
    Fault.CUT_SHORT: httpx.RemoteProtocolError,
}
ENVELOPED = {Fault.ERROR_500: 500, Fault.REQUEST_TIMEOUT: 408, Fault.TOO_EARLY: 425, Fault.THROTTLED: 429, Fault.KEY_REFUSED: 403}
BARE = {
    Fault.ERROR_503: 503,
    Fault.HTML_502: 502,
    Fault.BARE_429: 429,
    Fault.REDIRECT: 307,
    Fault.BARE_400: 400,
    Fault.BARE_404: 404,
}
UNREADABLE = (Fault.EMPTY, Fault.NOT_JSON, Fault.NOT_AN_OBJECT, Fault.HUGE)
FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)


def met(fault: Fault, ask: Any) -> None:
    """Asks, and makes sure that the fault is what comes."""
    if fault in RAISED:
        with pytest.raises(RAISED[fault]):
            ask()
        return
    answer: httpx.Response = ask()
    if fault in ENVELOPED:
        assert (answer.status_code, answer.json()["status"]) == (ENVELOPED[fault], ENVELOPED[fault])
        assert "trace_id" in answer.json()
    elif fault in BARE:
        assert answer.status_code == BARE[fault]
        assert b"trace_id" not in answer.content
    else:
        assert fault in UNREADABLE
        assert answer.status_code == 200
        try:
            said = json.loads(answer.content)
            sound = isinstance(said, dict) and len(answer.content) < 64 * 1024
        except ValueError:
            sound = False
        assert not sound


def test_every_fault_is_one_of_these_kinds() -> None:
    assert {*RAISED, *ENVELOPED, *BARE, *UNREADABLE} == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
@pytest.mark.parametrize("side", list(Lost), ids=lambda side: side.value)
def test_a_spoilt_answer_to_a_post_hides_a_refund_or_none(fault: Fault, side: Lost) -> None:
    with a_world(Switches(post=fault, post_side=side, post_times=1)) as world:
        met(fault, world.refund)
        committed = side is Lost.AFTER_COMMIT and fault is not Fault.NOT_SENT
        assert world.gone == (5831 if committed else 0)
        assert world.double.posts("tran_1") == (0 if fault is Fault.NOT_SENT else 1)
        world.pass_(seconds=2)
        assert world.endpoint.kinds == (["refund.created"] if committed else [])
        assert world.refund().status_code == (400 if committed else 200), "it has healed"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
def test_a_read_meets_its_fault_before_any_post_and_another_after_one(fault: Fault) -> None:
    def read(world: World) -> httpx.Response:
        return world.get("/v1/transactions", transaction_id="tran_1")

    with a_world(Switches(get=fault, get_times=2)) as world:
        met(fault, lambda: read(world))
        met(fault, lambda: read(world))
        assert read(world).json()["id"] == "tran_1"
    with a_world(Switches(probe=fault)) as world:
        assert read(world).json()["id"] == "tran_1"
        world.refund()
        for _ in range(5):
            met(fault, lambda: read(world))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
def test_searches_and_subscriptions_have_a_fault_of_their_own(fault: Fault) -> None:
    with a_world(Switches(read=fault, read_times=2)) as world:
        world.double.pay("tran_2", customer_id="cust_1", amount=900, subscription_id="sub_1")
        met(fault, lambda: world.get("/v1/transactions/search"))
        met(fault, lambda: world.get("/v1/subscriptions", subscription_id="sub_1"))
        assert world.get("/v1/transactions/search").status_code == 200


POST_LIES_IN_ORDER = [lie for lie in Lie if lie in POST_LIES]
WRONG: dict[Lie, dict[str, Any]] = {
    Lie.OTHER_MODE: {"mode": "prod"},
    Lie.UNKNOWN_STATUS: {"status": "inReview"},
    Lie.OTHER_AMOUNT: {"amount_paid": 6414},
    Lie.OTHER_CURRENCY: {"currency": "USD"},
    Lie.PAID_NULL: {"amount_paid": None},
    Lie.PAID_ZERO: {"amount_paid": 0},
    Lie.PAID_FRACTION: {"amount_paid": 5831.5},
    Lie.PAID_TEXT: {"amount_paid": "5831"},
    Lie.REFUNDED_NEGATIVE: {"refunded_amount": -1},
}


@pytest.mark.parametrize("lie", list(Lie), ids=lambda lie: lie.value)
def test_a_read_that_lies_is_wrong_in_one_thing(lie: Lie) -> None:
    with a_world() as world:
        truth = world.transaction()
        world.double.set("tran_1", Switches(get=lie, get_times=1))
        answer = world.get("/v1/transactions", transaction_id="tran_1")
        told = answer.json()
        if lie is Lie.NOT_FOUND:
            assert (answer.status_code, "trace_id" in told) == (404, True)
        elif lie is Lie.NO_STATUS:
            assert told == {name: value for name, value in truth.items() if name != "status"}
        elif lie in (Lie.OTHER_TRANSACTION, Lie.OTHER_CUSTOMER):
            name = "id" if lie is Lie.OTHER_TRANSACTION else "customer"
            assert told == truth | {name: told[name]}
            assert told[name] != truth[name]
        else:
            assert told == truth | WRONG[lie]
        assert world.transaction() == truth


@pytest.mark.parametrize("lie", POST_LIES_IN_ORDER, ids=lambda lie: lie.value)
@pytest.mark.parametrize("side", list(Lost), ids=lambda side: side.value)
def test_a_post_may_be_answered_with_a_lie_whatever_was_done(lie: Lie, side: Lost) -> None:
    with a_world(Switches(post=lie, post_side=side)) as world:
        answer = world.refund()
        said = answer.json()
        assert world.gone == (5831 if side is Lost.AFTER_COMMIT else 0)
        match lie:
            case Lie.NOT_FOUND:
                assert answer.status_code == 404
            case Lie.NO_STATUS:
                assert said == {"ok": True}
            case Lie.OTHER_MODE:
                assert said == {"status": "pending", "mode": "prod"}
            case _:
                assert said["transaction"] == said["transaction_id"] != "tran_1"


@pytest.mark.parametrize("retry_after", [None, "7", "Mon, 02 Mar 2026 10:00:30 GMT"])
def test_too_many_requests_may_say_when_to_come_back(retry_after: str | None) -> None:
    for fault in (Fault.THROTTLED, Fault.BARE_429):
        with a_world(Switches(get=fault, post=fault, retry_after=retry_after)) as world:
            for answer in (world.get("/v1/transactions", transaction_id="tran_1"), world.refund()):
                assert (answer.status_code, answer.headers.get("retry-after")) == (429, retry_after)
            assert world.gone == 0


def test_a_slow_post_is_committed_when_the_client_has_long_gone() -> None:
    with a_world(Switches(slow_commit=45, slow_times=1)) as world:
        with pytest.raises(httpx.ReadTimeout):
            world.refund()
        assert world.double.requests[-1].status is None
        world.pass_(seconds=44)
        assert (world.status(), world.gone) == (("paid", None), 0)
        assert world.double.next_due() == START + timedelta(seconds=45)
        world.pass_(seconds=1)
        assert (world.status(), world.gone) == (("refunded", 5831), 5831)
        assert world.double.movements[0].at == START + timedelta(seconds=45)


@pytest.mark.parametrize("rule", list(SecondRefund))
def test_a_slow_post_meets_what_has_become_of_the_payment_by_then(rule: SecondRefund) -> None:
    with a_world(Switches(slow_commit=45, slow_times=1, second_refund=rule)) as world:
        with pytest.raises(httpx.ReadTimeout):
            world.refund()
        assert world.refund().status_code == 200
        world.pass_(days=1)
        assert world.gone == (2 * 5831 if rule is SecondRefund.PAYS_AGAIN else 5831)


def test_reads_lag_behind_what_has_happened_and_the_event_is_there_first() -> None:
    with a_world(Switches(get_lag=20)) as world:
        world.refund()
        world.pass_(seconds=2)
        assert world.endpoint.kinds == ["refund.created"]
        assert world.status() == ("paid", None)
        assert world.get("/v1/transactions/search").json()["items"][0]["status"] == "paid"
        world.pass_(seconds=17)
        assert world.status() == ("paid", None)
        world.pass_(seconds=1)
        assert world.status() == ("refunded", 5831)


def test_a_new_payment_is_found_by_searching_only_later() -> None:
    with a_world(Switches(search_lag=20)) as world:
        assert world.get("/v1/transactions/search").json()["items"] == []
        assert world.transaction()["id"] == "tran_1"
        world.pass_(seconds=20)
        assert [item["id"] for item in world.get("/v1/transactions/search").json()["items"]] == ["tran_1"]


def test_statuses_may_be_spelt_as_in_the_prose_of_the_docs() -> None:
    with a_world(Switches(docs_spelling=True)) as world:
        world.double.refund_in_dashboard("tran_1", 31)
        assert world.status() == ("partially_refunded", 31)
        assert world.get("/v1/transactions/search").json()["items"][0]["status"] == "partially_refunded"
        world.double.dispute("tran_1")
        assert world.status() == ("chargeback", 5831)
        world.double.tick()
        assert world.endpoint.events[-1]["object"]["transaction"]["status"] == "chargeback"


# --- the switches themselves


def test_merging_keeps_what_either_says_and_the_second_counts_where_both_do() -> None:
    both = merge(Switches(low_balance=2, answer="failed"), Switches(answer="succeeded", get=Lie.PAID_NULL))
    assert both == Switches(low_balance=2, answer="succeeded", get=Lie.PAID_NULL)


def test_switches_are_read_from_a_document() -> None:
    document = {"post": "reset", "post_side": "after", "get": "paid_null", "settle_after": 5, "nested": "ids", "answer": "odd"}
    wanted = Switches(post=Fault.RESET, post_side=Lost.AFTER_COMMIT, get=Lie.PAID_NULL, settle_after=5.0, nested=Nested.IDS)
    assert from_document(document) == merge(wanted, Switches(answer="odd"))
    assert from_document({"retry_after": None, "turns_early": False}) == Switches(retry_after=None, turns_early=False)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"answr": "failed"}, "there is no switch 'answr'"),
        ({"post": "flood"}, "post may be one of: none, not_sent, reset"),
        ({"post": "paid_null"}, "a POST cannot be answered with"),
        ({"read": "paid_null"}, "read may be one of"),
        ({"settle_after": "2"}, "'2' does not fit"),
        ({"low_balance": True}, "True does not fit"),
        ({"answer": None}, "None does not fit"),
    ],
)
def test_a_document_that_says_something_else_is_refused(document: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_document(document)
