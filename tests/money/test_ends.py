"""Every end of a claim is told whole: in its row, in the history of its case, to the product, and in the log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from policy.lifecycle import CaseState
from tests.logs import heard
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from tests.servers import POSTGRES_AT_NIGHT
from worker.cases.book.rows import case_of
from worker.cases.money.close import Closing, hand_over, overdue
from worker.clock import written
from worker.sandbox.creem.words import Ending, Fault, Lie, Lost, Meanwhile, RefundAnswer, SecondRefund
from worker.store.bulk import Tx
from worker.store.tables import cases, creem_refunds, payment_attempts, payments, postings

OWED = "the same 9.00 USD was charged 5 minutes after ord_0, which stays valid"
SHOWN_AS_PAID = "not proved within 24 hours: Creem still shows the charge as paid"
LOW = "no money moved: Creem answered 400: Insufficient balance to refund this transaction"
KEPT, FROZEN, TAKEN = (100, 0, 0), (0, 100, 0), (0, 0, 100)
"""(left, frozen, void) of the lot of the later charge."""


@dataclass(frozen=True)
class End:
    """How a claim on the later of two charges ends."""

    claim: str
    case: str
    why: str
    """What the claim's row and its last line in the history say."""
    lot: tuple[int, int, int]
    credits: str
    """What is said of the lot's hundred credits."""
    reason: str | None = None
    """What the case says in the end, where that is not the same."""
    tells: str | None = "refund.in_review"
    days: float = 3


ENDS: dict[str, tuple[dict[str, Any], End]] = {
    "another hand before the call": (
        {"before_read": Meanwhile.FULL_REFUND},
        End(
            "not_needed",
            "external",
            "the charge was refunded in full by another hand before we sent anything",
            TAKEN,
            "credits_voided",
            reason=OWED,
            tells=None,
        ),
    ),
    "another hand, and our call refused for it": (
        {"meanwhile": Meanwhile.FULL_REFUND, "second_refund": SecondRefund.REFUSED},
        End(
            "not_needed", "external", "the charge was refunded by another hand", TAKEN, "credits_voided", reason=OWED, tells=None
        ),
    ),
    "not the charge that was approved": (
        {"get": Lie.OTHER_CURRENCY},
        End("mismatch", "review", "the transaction is in EUR, the purchase in USD", KEPT, "credits_released"),
    ),
    "Creem says that it failed": (
        {"answer": RefundAnswer.FAILED},
        End("rejected", "review", "no money moved: Creem answered failed", KEPT, "credits_released"),
    ),
    "the balance stays too low": (
        {"low_balance": 99},
        End("refused", "review", LOW, KEPT, "credits_released", days=20),
    ),
}


@pytest.fixture
def told() -> Iterator["Told"]:
    with heard("info") as written:
        yield Told(written)


@dataclass
class Told:
    """What was logged."""

    written: Any

    def of(self, event: str) -> list[dict[str, Any]]:
        """Its lines, without the time."""
        lines = map(json.loads, self.written.getvalue().splitlines())
        return [{k: v for k, v in line.items() if k not in {"timestamp", "event"}} for line in lines if line["event"] == event]


def play(world: MoneyWorld, *, days: float = 3, **switches: Any) -> dict[str, Any]:
    """Two charges five minutes apart; the case of the later one, some days after."""
    world.double.switches = replace(NASTY, **switches)
    world.twice_charged()
    world.settle_down(days=days)
    world.sweep()
    assert world.audit().breaches == []
    return case(world)


def case(world: MoneyWorld) -> dict[str, Any]:
    found = world.case("ord_1")
    assert found is not None
    return found


def notes(found: dict[str, Any], event: str) -> list[dict[str, Any]]:
    return [line["detail"] for line in found["history"] if line["event"] == event]


def told_to_the_product(world: MoneyWorld) -> dict[str, Any]:
    """The one announcement; its ids are checked here, and that it gives the reason of the decision, whatever held it up."""
    (said,) = world.announced()
    data = dict(said["data"])
    case_id = case(world)["case_id"]
    known_by = f"announce:duplicate_charge:ord_1:{said['type']}"
    assert (said["id"], said["subject"], data.pop("case_id")) == (known_by, case_id, case_id)
    always = {
        "job_id": None,
        "case_kind": "duplicate_charge",
        "account_id": "acc_1",
        "order_id": "ord_1",
        "credits": 0,
        "outcome": "refund_payment",
        "clause": "duplicate-charge",
        "terms": "2025-12-03",
        "decided_by": "policy",
        "reason": OWED,
    }
    assert {name: data.pop(name) for name in always} == always
    return {"type": said["type"], **data}


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("which", ENDS)
def test_end_without_money_is_told_whole(world: MoneyWorld, told: Told, which: str) -> None:
    switches, end = ENDS[which]
    found = play(world, days=end.days, **switches)
    claim = world.claim("tran_1")
    assert (claim.state, claim.next_step, claim.due_at, claim.refunded, claim.detail) == (end.claim, "read", None, 0, end.why)
    assert (found["state"], found["decision"]["reason"]) == (end.case, end.reason or end.why)
    assert notes(found, "payment.closed") == [
        {"transaction_id": "tran_1", "state": end.claim, "why": end.why, end.credits: 100},
    ]
    assert notes(found, "case.moved")[-1] == {"from": "refunding", "to": end.case}
    assert world.lot("ord_1") == end.lot
    assert postings_of(world, "ord_1")[-1].endswith(f":{claim.payment_id}.{claim.turn}")
    if end.tells is None:
        assert world.announced() == []
        assert (found["closed_at"], found["next_action_at"]) == (claim_closed(world), None)
    else:
        said = told_to_the_product(world)
        assert said == {"type": end.tells, "amount": 900, "currency": "USD"}
        assert found["closed_at"] is None
    assert told.of("payment.closed") == [
        {
            "level": "warning",
            "case_id": found["case_id"],
            "transaction_id": "tran_1",
            "state": end.claim,
            "why": end.why,
        }
    ]


def test_case_without_money_is_looked_at_again_in_a_day(world: MoneyWorld) -> None:
    found = play(world, get=Lie.OTHER_CURRENCY)
    assert found["closed_at"] is None
    assert found["next_action_at"] == claim_closed(world, timedelta(days=1))


def claim_closed(world: MoneyWorld, after: timedelta = timedelta(0)) -> str:
    """That long after the claim ended, as it is written."""
    at = world.claim("tran_1").closed_at + after
    return str(at.isoformat(timespec="microseconds").replace("+00:00", "Z"))


def postings_of(world: MoneyWorld, purchase_id: str) -> list[str]:
    """The keys of what was booked on a lot, first to last."""
    chosen = select(postings.c.key).where(postings.c.purchase_id == purchase_id).order_by(postings.c.id)
    return [row.key for row in world.store.read(lambda tx: tx.all(chosen))]


def test_dispute_keeps_the_lot_frozen(world: MoneyWorld, told: Told) -> None:
    world.double.switches = replace(NASTY, get_lag=600.0)
    world.twice_charged()
    world.double.dispute("tran_1")
    world.double.tick()
    world.pay()
    while world.claim("tran_1").closed_at is None:
        world.sweep()
        world.clock.pass_(seconds=30)
        world.pay()
    (line,) = told.of("payment.closed")
    assert (line["state"], line["why"]) == ("not_needed", "the charge is under dispute: nothing is sent beside it")
    assert world.lot("ord_1") == FROZEN
    found = world.case(line["case_id"])
    assert found is not None
    assert notes(found, "payment.closed") == [
        {"transaction_id": "tran_1", "state": "not_needed", "why": line["why"], "credits_kept_frozen": 100}
    ]


def test_proof_is_told_whole(world: MoneyWorld, told: Told) -> None:
    # looked at in vain before
    found = play(world, settle_after=60.0, turns_early=False)
    claim = world.claim("tran_1")
    assert [line["said"] for line in told.of("payment.turn")][-2:] == [
        "not proved yet: Creem still shows the charge as paid",
        "refunded",
    ]
    last = world.store.read(lambda tx: tx.all(select(postings).where(postings.c.kind == "void")))[-1]
    assert (last.key, last.case_id) == (f"void:ord_1:{claim.payment_id}.{claim.turn}", found["case_id"])
    assert (claim.state, claim.next_step, claim.due_at, claim.refunded, claim.detail) == ("refunded", "read", None, 900, None)
    assert (found["state"], found["decision"]["reason"]) == ("refunded", OWED)
    assert (found["closed_at"], found["next_action_at"]) == (claim_closed(world), None)
    assert notes(found, "payment.refunded") == [
        {"transaction_id": "tran_1", "amount": 900, "currency": "USD", "credits_voided": 100}
    ]
    assert world.lot("ord_1") == TAKEN
    assert told_to_the_product(world) == {
        "type": "refund.payment_refunded",
        "amount": 900,
        "currency": "USD",
        "transaction_id": "tran_1",
        "credits_void": 100,
    }
    assert told.of("payment.refunded") == [
        {"level": "info", "case_id": found["case_id"], "transaction_id": "tran_1", "amount": 900}
    ]


def test_claim_that_is_not_proved_goes_to_a_person_and_on(world: MoneyWorld, told: Told) -> None:
    found = play(world, ends=Ending.NEVER, turns_early=False)
    claim = world.claim("tran_1")
    assert (claim.state, claim.next_step, claim.closed_at) == ("in_progress", "read", None)
    assert claim.detail == "Creem still shows the charge as paid"
    assert (found["state"], found["decision"]["reason"], found["closed_at"]) == ("review", SHOWN_AS_PAID, None)
    assert notes(found, "case.handed_over") == [{"why": SHOWN_AS_PAID}]
    assert world.lot("ord_1") == FROZEN
    assert told_to_the_product(world) == {"type": "refund.in_review"}
    assert told.of("payment.needs_person") == [{"level": "error", "case_id": found["case_id"], "why": SHOWN_AS_PAID}]


def test_looks_at_a_claim_grow_rarer_and_end_on_the_hour_a_person_is_called(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    armed = world.claim("tran_1").armed_at
    due = []
    while world.clock.now() < armed + timedelta(days=3):
        due.append(world.claim("tran_1").due_at - world.clock.now())
        world.clock.at = world.claim("tran_1").due_at
        world.pay()
    first = [5.0, 30.0, 120.0, 600.0]
    seconds = [pause.total_seconds() for pause in due]
    assert seconds[1:4] == pytest.approx(first[1:], abs=1)
    hourly, daily = seconds[4:-3], seconds[-3:]
    assert hourly[:-1] == pytest.approx([3600.0] * (len(hourly) - 1), abs=1)
    assert sum(seconds[:-2]) == pytest.approx(86_400, abs=2), "the last look of the first day is at its end"
    assert daily[-2:] == pytest.approx([86_400.0] * 2, abs=1)


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    ("switches", "why"),
    [
        ({"probe": Lie.NOT_FOUND}, "Creem does not know the transaction"),
        ({"probe": Lie.OTHER_TRANSACTION}, "Creem answered with another transaction, "),
        ({"probe": Lie.OTHER_MODE}, "the transaction is of mode prod"),
        ({"probe": Lie.OTHER_CURRENCY}, "the transaction is in EUR now"),
        ({"probe": Lie.OTHER_AMOUNT}, "Creem shows 990 minor units as paid, and showed 900 before the call"),
    ],
)
def test_read_that_is_not_of_our_call_proves_nothing(world: MoneyWorld, switches: dict[str, Any], why: str) -> None:
    found = play(world, days=1.2, answer=RefundAnswer.SUCCEEDED, post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT, **switches)
    assert world.claim("tran_1").detail.startswith(why)
    assert world.claim("tran_1").state == "unknown"
    assert found["state"] == "review"
    assert found["decision"]["reason"].startswith(f"not proved within 24 hours: {why}")
    world.double.switches = replace(world.double.switches, probe=Fault.NONE)
    world.settle_down(days=2)
    assert world.state("ord_1") == "refunded"
    assert world.double.gone("tran_1") == 900


def test_unknown_outcome_is_closed_by_nothing_but_a_proof(world: MoneyWorld) -> None:
    """Creem goes on showing the charge as paid, and tells of a refund that failed: of which one, nobody knows."""
    world.double.switches = replace(NASTY, post=Fault.TIMEOUT, post_side=Lost.BEFORE_COMMIT, post_times=1)
    world.twice_charged()
    world.pay()
    tell_of_a_refund(world, "ref_1", "tran_1", "failed", world.clock.now())
    world.settle_down(days=2)
    claim = world.claim("tran_1")
    assert (claim.state, claim.closed_at, claim.detail) == ("unknown", None, "Creem still shows the charge as paid")
    assert world.double.posts("tran_1") == 1


def tell_of_a_refund(world: MoneyWorld, refund_id: str, transaction_id: str, status: str, at: datetime) -> None:
    """Creem told by webhook of a refund of this charge, made at that time."""
    row = {
        "refund_id": refund_id,
        "transaction_id": transaction_id,
        "amount": 900,
        "currency": "USD",
        "status": status,
        "reason": "duplicate",
    }
    world.store.write(lambda tx: tx.insert(creem_refunds, [{**row, "created_at": at, "heard_at": world.clock.now()}]))


@pytest.mark.parametrize("word", ["failed", "canceled"])
def test_refund_that_creem_named_ends_the_claim_when_that_one_came_to_nothing(world: MoneyWorld, word: str) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    world.store.write(lambda tx: tx.connection.execute(update(payment_attempts).values(refund_id="ref_ours")))
    armed = world.claim("tran_1").armed_at
    # what a colleague tried in the dashboard is not ours
    tell_of_a_refund(world, "ref_theirs", "tran_1", word, armed)
    tell_of_a_refund(world, "ref_ours", "tran_1", "pending", armed)
    look(world)
    assert world.claim("tran_1").closed_at is None, "ours may still be paid"
    settled = update(creem_refunds).where(creem_refunds.c.refund_id == "ref_ours").values(status=word)
    world.store.write(lambda tx: tx.connection.execute(settled))
    look(world)
    claim = world.claim("tran_1")
    assert (claim.state, claim.detail) == ("rejected", "no money moved: Creem still shows the charge as paid")
    assert world.state("ord_1") == "review"
    assert world.lot("ord_1") == KEPT


@pytest.mark.parametrize("word", ["failed", "canceled"])
def test_the_one_refund_that_came_to_nothing_ends_a_claim_only_when_ours_was_not_proved_in_time(
    world: MoneyWorld, word: str
) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    tell_of_a_refund(world, "ref_two", "tran_1", word, world.claim("tran_1").armed_at)
    look(world)
    claim, said = world.claim("tran_1"), "Creem still shows the charge as paid, and told of one refund of it"
    # it may be another hand's: until then the credits stay frozen, and nobody is told that nothing moved
    assert (claim.state, claim.closed_at) == ("in_progress", None)
    assert claim.detail == f"{said} that failed, not whether it is ours"
    world.settle_down(days=3)
    claim = world.claim("tran_1")
    assert (claim.state, claim.detail) == ("rejected", f"no money moved: {said}, which failed")
    assert world.state("ord_1") == "review"
    assert world.lot("ord_1") == KEPT


def test_refund_of_another_hand_that_failed_while_ours_was_on_its_way_changes_nothing(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, turns_early=False, settle_after=3600 * 5)
    world.twice_charged()
    world.pay()
    tell_of_a_refund(world, "ref_theirs", "tran_1", "failed", world.claim("tran_1").armed_at)
    world.settle_down(days=2)
    assert (world.claim("tran_1").state, world.state("ord_1")) == ("refunded", "refunded")
    assert world.double.posts("tran_1") == 1


def test_promise_is_kept_with_creems_acceptance_and_runs_again_where_that_came_to_nothing(world: MoneyWorld) -> None:
    found = play(world, days=6, ends=Ending.NEVER, turns_early=False)
    assert found["due_at"] < written(world.clock.now())
    assert [*notes(found, "promise.warned"), *notes(found, "promise.breached")] == []
    tell_of_a_refund(world, "ref_two", "tran_1", "failed", world.claim("tran_1").armed_at)
    look(world)
    assert world.claim("tran_1").state == "rejected"
    world.sweep()
    assert [line["percent"] for line in notes(case(world), "promise.breached")] == [100]


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    "told_of",
    [[], [("ref_0", "tran_0", 0)], [("ref_old", "tran_1", -1)], [("ref_a", "tran_1", 0), ("ref_b", "tran_1", 0)]],
    ids=["none", "others", "earlier", "several"],
)
def test_refund_of_another_charge_or_of_another_time_ends_no_claim(
    world: MoneyWorld, told_of: list[tuple[str, str, int]]
) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    for name, transaction_id, seconds in told_of:
        tell_of_a_refund(world, name, transaction_id, "failed", world.claim("tran_1").armed_at + timedelta(seconds=seconds))
    look(world)
    world.settle_down(days=2)
    assert (world.claim("tran_1").state, world.claim("tran_1").closed_at) == ("in_progress", None)
    assert world.state("ord_1") == "review"


def test_refund_heard_of_before_our_call_ends_no_claim_whatever_creems_clock_says(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    tell_of_a_refund(world, "ref_theirs", "tran_1", "canceled", world.clock.now() + timedelta(hours=1))
    world.clock.pass_(minutes=30)
    world.pay()
    world.settle_down(days=2)
    assert (world.claim("tran_1").state, world.claim("tran_1").closed_at) == ("in_progress", None)


def look(world: MoneyWorld) -> None:
    """The next look at the claim."""
    world.clock.at = max(world.clock.at, world.claim("tran_1").due_at)
    world.pay()


DAY = timedelta(hours=24)
LITTLE = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("left", "armed", "made", "said"),
    [
        (False, None, DAY, "nothing could be sent for 24 hours: so it is"),
        (False, timedelta(0), DAY, "nothing could be sent for 24 hours: so it is"),
        (False, None, DAY - LITTLE, None),
        (True, DAY, 2 * DAY, "not proved within 24 hours: so it is"),
        (True, DAY - LITTLE, 2 * DAY, None),
        (True, None, DAY, "not proved within 24 hours: so it is"),
    ],
)
def test_person_is_called_when_the_time_of_the_terms_is_over(
    world: MoneyWorld, left: bool, armed: timedelta | None, made: timedelta, said: str | None
) -> None:
    """Counted from the call where one may have left, from the claim where none did, whatever was refused in between."""
    world.twice_charged()
    now = world.clock.now()
    since = {"created_at": now - made, "armed_at": None if armed is None else now - armed}
    changed = update(payments).where(payments.c.transaction_id == "tran_1").values(**since)
    with_ = Closing(world.settler, now)

    def wait(tx: Tx) -> str | None:
        tx.connection.execute(changed)
        payment = tx.all(select(payments).where(payments.c.transaction_id == "tran_1"))[0]
        waiting = case_of(tx.all(select(cases).where(cases.c.case_id == payment.case_id))[0])
        overdue(tx, payment, waiting, "so it is", with_, left=left)
        return waiting.reason if waiting.state is CaseState.REVIEW else None

    assert world.store.write(wait) == said


def test_person_is_told_once_of_one_reason_and_again_of_another(world: MoneyWorld, told: Told) -> None:
    world.twice_charged()
    now = world.clock.now()

    def tell(tx: Tx) -> tuple[list[str], datetime | None]:
        waiting = case_of(tx.all(select(cases).where(cases.c.order_id == "ord_1"))[0])
        for why in ("one", "one", "two", "two"):
            hand_over(tx, waiting, why, now)
        return [detail["why"] for event, detail in waiting.history if event == "case.handed_over"], waiting.next_action_at

    assert world.store.write(tell) == (["one", "two"], now + timedelta(days=1))
    assert [line["why"] for line in told.of("payment.needs_person")] == ["one", "two"]
