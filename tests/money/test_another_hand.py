"""Money that went back by another hand takes its credits along, whatever became of our own claim on it before."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.money.plans import NASTY, impatient_terms
from tests.money.world import MoneyWorld
from tests.requests.world import PeopleWorld
from tests.servers import POSTGRES_AT_NIGHT
from worker.errors import Refused
from worker.sandbox.creem.words import Ending, Fault, Lie, Meanwhile, RefundAnswer, SecondRefund
from worker.store.engine import Store
from worker.store.tables import effects, postings

FAILED: dict[str, dict[str, Any]] = {
    "rejected": {"answer": RefundAnswer.FAILED},
    "mismatch": {"get": Lie.OTHER_CURRENCY},
    "refused": {"low_balance": 99},
}
"""How a claim ends with no money moved, and by what."""


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store, switches=NASTY)
    yield made
    assert made.audit().breaches == []
    made.close()


def claim_fails(world: MoneyWorld, how: str) -> None:
    """Two charges; the claim on the later one comes to nothing, and a person has the case."""
    world.double.switches = replace(NASTY, **FAILED[how])
    world.twice_charged()
    world.settle_down(days=20)
    assert (world.claim("tran_1").state, world.state("ord_1"), world.lot("ord_1")) == (how, "review", (100, 0, 0))
    world.double.switches = NASTY


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("how", FAILED)
def test_charge_that_a_person_refunds_after_our_claim_failed_takes_its_credits_along(world: MoneyWorld, how: str) -> None:
    """Once the customer kept both: the end of a claim was taken for the end of what may happen to its charge."""
    claim_fails(world, how)
    world.double.refund_in_dashboard("tran_1")
    world.settle_down(days=1)
    assert world.lot("ord_1") == (0, 0, 100)
    assert world.state("ord_1") == "external"
    assert world.claim("tran_1").state == how
    assert world.double.gone("tran_1") == 900


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("how", FAILED)
def test_parts_that_a_person_refunds_after_our_claim_failed_take_their_shares_along(world: MoneyWorld, how: str) -> None:
    claim_fails(world, how)
    for part, left in ((300, (67, 0, 33)), (300, (34, 0, 66)), (300, (0, 0, 100))):
        world.double.refund_in_dashboard("tran_1", part)
        world.settle_down(days=0.1)
        assert world.lot("ord_1") == left


def test_part_that_went_back_before_our_call_takes_its_share_along(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, before_read=Meanwhile.PART_REFUND)
    world.twice_charged()
    world.settle_down(days=1)
    assert (world.claim("tran_1").state, world.state("ord_1")) == ("mismatch", "review")
    assert world.lot("ord_1") == (50, 0, 50)
    found = world.case("ord_1")
    assert found is not None
    closed = next(line["detail"] for line in found["history"] if line["event"] == "payment.closed")
    assert (closed["credits_released"], closed["credits_voided"]) == (100, 50)
    booked = world.store.read(lambda tx: tx.all(select(postings).where(postings.c.key.like("%:ord_1:outside.%"))))
    assert [(row.credits, row.case_id) for row in booked] == [(50, found["case_id"])] * 2


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(("minutes", "before"), [(5, 1), (40, 1), (40, 2)], ids=["at once", "known after", "known before"])
def test_duplicate_of_a_charge_of_which_a_part_went_back_is_a_persons(
    store: Store, tmp_path: Path, minutes: int, before: int
) -> None:
    """Once it was closed as owed nothing, for "no earlier charge stands": one did, a tenth of it had been given as a favour."""
    world = PeopleWorld(store, tmp_path, switches=NASTY)
    history = world.history_of_charges(2, apart=timedelta(minutes=minutes))
    world.load(*history[: 1 + before])
    world.double.refund_in_dashboard("tran_0", 90)
    world.settle_down(days=0.1)
    world.load(*history)
    world.settle_down(days=1)
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], found["decision"]["rule"]) == ("review", "earlier_charge_partly_refunded")
    assert (world.queue(), world.double.gone("tran_1")) == ([found["case_id"]], 0)
    world.decide("ord_1", "money", reason="charged twice all the same")
    world.settle_down(days=1)
    assert (world.state("ord_1"), world.double.gone("tran_0"), world.double.gone("tran_1")) == ("refunded", 90, 900)
    assert world.audit().breaches == []
    world.close()


@pytest.mark.parametrize(("part", "left"), [(None, (0, 0, 100)), (1071, (0, 0, 100)), (1070, (1, 0, 99)), (535, (51, 0, 49))])
def test_share_is_of_what_was_paid_with_tax(world: MoneyWorld, part: int | None, left: tuple[int, int, int]) -> None:
    """Once the price was compared with what was paid: of a charge that went back whole, some credits were left to spend."""
    world.twice_charged(charges=1, tax=171)
    world.double.refund_in_dashboard("tran_0", part)
    world.settle_down(days=1)
    assert world.lot("ord_0") == left


def test_credits_that_come_back_to_a_lot_of_which_a_part_went_back_are_void_in_proportion(store: Store, tmp_path: Path) -> None:
    """Once the second booking for one and the same part was refused, and with it every nightly look at the charge."""
    world = PeopleWorld(store, tmp_path, switches=NASTY)
    transaction = world.bought_once(credits=20)
    world.happen(world.submitted("job_1", credits=15))
    world.double.refund_in_dashboard(transaction, 450)
    world.settle_down(days=0.1)
    assert world.lot("ord_1") == (0, 0, 5)
    world.happen(world.failed("job_1"))
    assert world.state("job_1") == "review"
    assert "the share of what went back stays void" in world.choices("job_1")["credits"]["does"]
    told = world.decide("job_1", "credits", reason="ours")["told"]
    assert told == "15 credits came back, 5 of them void: their money went back before"
    assert world.lot("ord_1") == (10, 0, 10)
    world.clock.pass_(minutes=5)
    assert "10 credits are back on your account" in [mail["Subject"] for mail in world.written()]
    for _ in range(2):
        assert world.reconciler().reconcile().ok
        world.settle_down(days=1)
    assert world.lot("ord_1") == (10, 0, 10)
    assert world.audit().breaches == []
    world.close()


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("word", ["pending", "requiresAction", "processing", "Succeeded"])
def test_refund_by_another_hand_is_waited_for_whatever_its_word_until_it_comes_to_nothing(world: MoneyWorld, word: str) -> None:
    """Once only `succeeded` counted: both refunds left, for a read goes on showing what pends as paid."""
    world.twice_charged()
    hear_of_refund(world, "tran_1", word)
    world.settle_down(days=1)
    claim = world.claim("tran_1")
    assert (claim.state, claim.attempts, world.double.gone("tran_1")) == ("claimed", 0, 0)
    assert claim.detail == "Creem told of a refund of the charge and does not show it yet"
    hear_of_refund(world, "tran_1", "failed")
    world.settle_down(days=0.1)
    assert (world.state("ord_1"), world.double.gone("tran_1")) == ("refunded", 900)


def test_refund_by_another_hand_that_neither_ends_nor_is_shown_is_a_persons(world: MoneyWorld) -> None:
    world.twice_charged()
    hear_of_refund(world, "tran_1", "pending")
    world.settle_down(days=4)
    assert (world.state("ord_1"), world.claim("tran_1").state, world.double.posts("tran_1")) == ("review", "claimed", 0)
    world.double.refund_in_dashboard("tran_1")
    world.settle_down(days=0.1)
    assert (world.state("ord_1"), world.claim("tran_1").state) == ("external", "not_needed")


def test_person_approves_no_money_while_a_refund_by_another_hand_pends(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path, switches=NASTY)
    world.twice_charged(charges=1)
    world.mail("Please refund my order ord_0.")
    world.sweep()
    hear_of_refund(world, "tran_0", "pending")
    world.settle_down(days=0.1)
    (case_id,) = world.queue()
    assert "what becomes of that comes first" in world.choices(case_id)["money"]["refused"]
    hear_of_refund(world, "tran_0", "canceled")
    world.settle_down(days=0.1)
    assert world.choices(case_id)["money"]["refused"] is None
    assert world.audit().breaches == []
    world.close()


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("ends", [Ending.SUCCEEDED, Ending.FAILED])
@pytest.mark.parametrize("claimed", [False, True], ids=["charged again after it was sent", "claimed before it was sent"])
def test_charge_is_no_duplicate_of_one_whose_own_refund_is_under_way(
    store: Store, tmp_path: Path, ends: Ending, claimed: bool
) -> None:
    """Once both went back, the later one as a duplicate of the earlier, "which stays valid"."""
    pends = replace(NASTY, answer=RefundAnswer.PENDING, ends=ends, turns_early=False, settle_after=600.0)
    world = PeopleWorld(store, tmp_path, switches=pends, terms_dir=impatient_terms())
    history = world.history_of_charges()
    world.load(*(history if claimed else history[:2]))
    world.mail("Please refund my order ord_0.")
    world.sweep()
    request = next(name for name in world.queue() if "money" in world.choices(name))
    world.decide(request, "money")
    world.pay()
    world.load(*history)
    world.pay()
    assert (world.double.posts("tran_0"), world.double.posts("tran_1")) == (1, 0)
    assert (world.claim("tran_1") is not None) is claimed
    world.double.switches = NASTY
    if ends is Ending.FAILED:
        world.clock.pass_(minutes=10)
        hear_of_refund(world, "tran_0", "failed")
    world.settle_down(days=3, done=lambda: world.at_rest() and world.state("ord_1") != "review")
    if ends is Ending.SUCCEEDED:
        assert (world.double.gone("tran_0"), world.double.gone("tran_1")) == (900, 0)
        assert (world.state("ord_1"), world.lot("ord_1")) == ("nothing_owed", (100, 0, 0))
    else:
        assert (world.double.gone("tran_0"), world.double.gone("tran_1")) == (0, 900)
        assert (world.state("ord_1"), world.lot("ord_0")) == ("refunded", (100, 0, 0))
    assert world.audit().breaches == []
    world.close()


def test_charge_is_no_duplicate_of_one_that_another_hand_may_be_refunding(world: MoneyWorld) -> None:
    history = world.history_of_charges()
    world.load(*history[:2])
    hear_of_refund(world, "tran_0", "pending")
    world.load(*history)
    world.settle_down(days=0.1)
    assert (world.state("ord_1"), world.claim("tran_1"), world.double.posts("tran_1")) == ("review", None, 0)
    world.double.refund_in_dashboard("tran_0")
    world.settle_down(days=0.1)
    assert (world.state("ord_1"), world.lot("ord_1"), world.double.posts("tran_1")) == ("nothing_owed", (100, 0, 0), 0)


@pytest.mark.parametrize("ours", [False, True], ids=["by another hand", "by our claim"])
def test_person_cannot_send_back_the_later_charge_beside_an_earlier_one_that_may_go(
    store: Store, tmp_path: Path, ours: bool
) -> None:
    """Once it was offered as the remedy at hand, without a word, and both went back."""
    pends = replace(NASTY, answer=RefundAnswer.PENDING, ends=Ending.SUCCEEDED, turns_early=False, settle_after=600.0)
    world = PeopleWorld(store, tmp_path, switches=pends)
    history = world.history_of_charges()
    world.load(*history[:2])
    if ours:
        world.mail("Please refund my order ord_0.")
        world.decide(world.queue()[0], "money")
        world.pay()
    else:
        hear_of_refund(world, "tran_0", "pending")
    world.load(*history)
    why = "a refund of the earlier charge tran_0 is under way: if it goes back, this one stays"
    for choice in (None, "money"):
        with pytest.raises(Refused, match=why):
            world.decide("ord_1", choice)
    found = world.case("ord_1")
    assert found is not None
    assert (found["state"], found["reason"].partition("; ")[2]) == ("review", f"not sent by itself: {why}")
    [told] = [row for row in world.rows(select(effects.c.payload)) if row.payload.get("order_id") == "ord_1"]
    assert (told.payload["type"], why in told.payload["reason"]) == ("refund.in_review", False)
    if not ours:
        hear_of_refund(world, "tran_0", "failed")
    world.settle_down(days=3, done=lambda: world.at_rest() and world.state("ord_1") != "review")
    assert (world.double.gone("tran_0"), world.double.gone("tran_1")) == ((900, 0) if ours else (0, 900))
    assert world.audit().breaches == []
    world.close()


def test_charge_whose_word_nobody_knows_is_a_persons_however_much_of_it_is_missing(world: MoneyWorld) -> None:
    """Once it was booked as given back, its credits were void and the case was over: the bank may have the money."""
    world.hears = False
    world.twice_charged()
    world.double.refund_in_dashboard("tran_1")
    world.double.switches = replace(NASTY, get=Lie.UNKNOWN_STATUS)
    world.settle_down(days=0.1)
    assert (world.state("ord_1"), world.claim("tran_1").state, world.lot("ord_1")) == ("review", "mismatch", (100, 0, 0))


@pytest.mark.parametrize(
    "said_no",
    [
        {"meanwhile": Meanwhile.FULL_REFUND},
        {"meanwhile": Meanwhile.FULL_REFUND, "answer": RefundAnswer.FAILED, "second_refund": SecondRefund.NO_MONEY},
    ],
    ids=["refused", "failed"],
)
def test_claim_is_not_ended_by_a_word_that_nobody_knows_though_creem_said_no(world: MoneyWorld, said_no: dict[str, Any]) -> None:
    """Once it was closed as "no money moved", and the credits of money that is gone could be spent."""
    world.hears = False
    world.double.switches = replace(NASTY, probe=Lie.UNKNOWN_STATUS, **said_no)
    world.twice_charged()
    world.settle_down(days=2)
    found = world.case("ord_1")
    assert found is not None
    why = "the charge is shown as inReview while our refund was not proved: compare with the dashboard"
    assert next(line["detail"]["why"] for line in found["history"] if line["event"] == "case.handed_over") == why
    assert (found["state"], world.claim("tran_1").closed_at, world.lot("ord_1")) == ("review", None, (0, 100, 0))
    world.double.switches = replace(world.double.switches, probe=Fault.NONE)
    world.settle_down(days=2)
    assert world.claim("tran_1").closed_at is not None
    assert (world.lot("ord_1"), world.double.posts("tran_1")) == ((0, 0, 100), 1)


def hear_of_refund(world: MoneyWorld, transaction_id: str, word: str) -> None:
    """Creem tells what became of the one refund of the charge that was made in its dashboard; no read shows it."""
    now = int(world.clock.now().timestamp() * 1000)
    transaction = {"id": transaction_id, "mode": "test", "amount": 900, "amount_paid": 900, "currency": "USD", "status": "paid"}
    refund = {"id": f"ref_{transaction_id}", "mode": "test", "status": word, "refund_amount": 900, "refund_currency": "USD"}
    said = refund | {"transaction": transaction, "created_at": now}
    event = {"id": f"evt_{transaction_id}_{word}", "eventType": "refund.created", "created_at": now, "object": said}
    world.receiver.receive(json.dumps(event).encode())
    world.sweep()
