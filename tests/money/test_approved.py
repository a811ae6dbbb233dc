"""Nothing is sent unless the charge, and the one that stays, stand at Creem as they were approved (creem-api.md 14.3)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.cases.world import an_account
from tests.money.between import PassesOn
from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from tests.servers import ON_POSTGRES, ON_SQLITE
from worker.cases.money import charges as charges_known
from worker.cases.money import claims
from worker.cases.money.clocks import apart, database_time
from worker.cases.money.turn import Turn, take
from worker.clock import Clock
from worker.credits.ledger import Ledger
from worker.creem.answers import Answer
from worker.creem.client import Armed
from worker.creem.transactions import Transaction
from worker.errors import Collision
from worker.sandbox.creem.words import Ending, Lie, Meanwhile
from worker.settings import Mode
from worker.store.engine import Store
from worker.store.tables import charges, payments, purchases


@dataclass
class Between(PassesOn):
    """A client that lets something happen between the last read of a turn and what follows it, or after the answer."""

    after_read: Callable[[], object] = lambda: None
    after_call: Callable[[], object] = lambda: None

    def transaction(self, transaction_id: str) -> Transaction | None:
        seen = self.inner.transaction(transaction_id)
        self.after_read()
        return seen

    def refund(self, armed: Armed) -> Answer:
        answer = self.inner.refund(armed)
        self.after_call()
        return answer


def stopped(world: MoneyWorld, why: str) -> None:
    """No call was made, and the claim says why."""
    assert world.double.posts("tran_1") == 0
    assert why in world.claim("tran_1").detail
    assert world.audit().breaches == []


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (Lie.OTHER_TRANSACTION, "another transaction"),
        (Lie.OTHER_MODE, "the transaction is of mode prod"),
        (Lie.OTHER_CUSTOMER, "the transaction is of customer"),
        (Lie.OTHER_CURRENCY, "the transaction is in EUR"),
        (Lie.PAID_NULL, "does not say what was paid"),
        (Lie.PAID_ZERO, "does not say what was paid"),
    ],
)
def test_charge_that_is_not_the_one_approved_is_a_persons(world: MoneyWorld, lie: Lie, why: str) -> None:
    world.double.switches = replace(NASTY, get=lie)
    world.twice_charged()
    world.pay()
    stopped(world, why)
    assert world.state("ord_1") == "review"
    # whoever reads it later is told the same
    world.reconciler().reconcile()
    assert world.state("ord_1") == "review"


def test_charge_of_another_amount_than_was_booked_is_a_persons(world: MoneyWorld) -> None:
    paid = world.clock.now()
    for which in range(2):
        world.double.pay(f"tran_{which}", amount=1500, customer_id="cust_1", order_id=f"ord_{which}", paid_at=paid)
    # booked as 900 by the product
    world.load(an_account(), *(world.bought(f"ord_{which}", f"tran_{which}", paid.isoformat()) for which in range(2)))
    world.pay()
    stopped(world, "the transaction is of 1500 minor units, 900 were approved")


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("taxed", [0, 1])
def test_charge_of_the_same_price_paid_with_another_tax_is_a_persons_whichever_fact_came_first(
    world: MoneyWorld, taxed: int, read_first: bool
) -> None:
    """Once 9.00 went back beside a charge of 10.71 where the claim was made before either had been read."""
    records, began = [an_account()], world.clock.now() - timedelta(hours=1)
    for which in range(2):
        at, name = began + which * timedelta(minutes=5), f"tran_{which}"
        tax = 171 if which == taxed else 0
        world.double.pay(name, amount=900, tax=tax, customer_id="cust_1", order_id=f"ord_{which}", paid_at=at)
        records.append(world.bought(f"ord_{which}", name, at.isoformat()))
    for name in ("tran_0", "tran_1") if read_first else ():
        seen = world.creem.transaction(name)
        assert seen is not None
        world.store.write(lambda tx, seen=seen: charges_known.observe(tx, seen, world.clock.now()))  # type: ignore[misc]
    world.load(*records)
    world.settle_down(days=2)
    world.reconciler().reconcile()
    world.sweep()
    found, claim = world.case("ord_1"), world.claim("tran_1")
    assert found is not None
    assert (found["state"], found["decision"]["rule"]) == ("review", "duplicate_in_doubt")
    assert (world.double.posts("tran_1"), claim and claim.state) == (0, None if read_first else "mismatch")


@pytest.mark.parametrize(
    ("gone", "why", "state"),
    [
        (lambda world: world.double.refund_in_dashboard("tran_0"), "stands as refunded", "nothing_owed"),
        (lambda world: world.double.refund_in_dashboard("tran_0", 1), "stands as", "review"),
        (lambda world: world.double.dispute("tran_0"), "is under dispute", "nothing_owed"),
    ],
    ids=["refunded", "refunded in part", "disputed"],
)
def test_earlier_charge_has_to_stand(world: MoneyWorld, gone: Callable[[MoneyWorld], None], why: str, state: str) -> None:
    world.twice_charged()
    gone(world)
    world.pay()
    stopped(world, f"the earlier charge, which was to stay, {why}")
    assert world.state("ord_1") == state


BACK = "has already been refunded"


@pytest.mark.parametrize(
    ("happens", "rule", "clause", "told"),
    [
        (
            lambda world: world.double.dispute("tran_1"),
            "charge_under_dispute",
            "dispute-hold",
            "the charge of 9.00 USD is under dispute at the bank, so nothing is sent beside it",
        ),
        (
            lambda world: world.double.refund_in_dashboard("tran_1", 300),
            "charge_partly_refunded",
            "duplicate-charge",
            f"3.00 USD of the charge of 9.00 USD {BACK}",
        ),
        (
            lambda world: world.double.refund_in_dashboard("tran_0", 300),
            "earlier_charge_partly_refunded",
            "duplicate-charge",
            f"3.00 USD of the earlier charge, ord_0, which was to stay, {BACK}",
        ),
        (lambda world: world.double.dispute("tran_0"), "no_earlier_charge_stands", "duplicate-charge", None),
        (lambda world: world.double.refund_in_dashboard("tran_0"), "no_earlier_charge_stands", "duplicate-charge", None),
    ],
    ids=["disputed", "back in part", "first back in part", "first disputed", "first back"],
)
def test_duplicate_that_is_stopped_is_decided_anew_and_told_as_that(
    world: MoneyWorld, happens: Callable[[MoneyWorld], None], rule: str, clause: str, told: str | None
) -> None:
    """Once the customer was told that the earlier charge stays valid, and for a day the later one was said to be owed."""
    world.twice_charged()
    happens(world)
    world.pay()
    found = world.case("ord_1")
    assert found is not None
    assert (found["decision"]["rule"], found["decision"]["clause"]) == (rule, clause)
    world.sweep()
    assert [(said["type"], said["data"]["reason"], said["data"]["clause"]) for said in world.announced()] == (
        [] if told is None else [("refund.in_review", told, clause)]
    )
    world.clock.pass_(days=2)
    world.sweep()
    again = world.case("ord_1")
    assert again is not None
    assert (again["state"], again["decision"]) == (found["state"], found["decision"])
    assert world.audit().breaches == []


def test_read_that_took_too_long_is_read_again(world: MoneyWorld) -> None:
    world.twice_charged()
    slow = world.payer()
    told = replace(slow, creem=Between(slow.creem, after_read=lambda: world.clock.pass_(seconds=15))).pay()
    assert any("the charge was read too long ago" in each for each in told)
    assert world.double.posts("tran_1") == 0
    world.settle_down()
    assert world.state("ord_1") == "refunded"


def test_webhook_nobody_has_looked_at_comes_first(world: MoneyWorld) -> None:
    world.twice_charged()
    slow = world.payer()
    heard: list[int] = []

    def told_meanwhile() -> None:
        # after the read of the charge, of which it is; it is in the inbox, and no task has handled it
        if not heard:
            world.double.refund_in_dashboard("tran_1", 450)
            heard.append(world.double.tick())

    replace(slow, creem=Between(slow.creem, after_read=told_meanwhile)).pay()
    assert heard[0] > 0
    stopped(world, "a webhook is not handled yet")


def test_answer_that_comes_when_the_claim_has_gone_on_is_kept_and_moves_nothing(world: MoneyWorld) -> None:
    world.twice_charged()
    frozen = world.payer()

    def others_prove_it() -> None:
        world.clock.pass_(minutes=5)
        while world.pay():
            world.clock.pass_(minutes=1)

    told = replace(frozen, creem=Between(frozen.creem, after_call=others_prove_it)).pay()
    assert any("late answer kept" in each for each in told)
    assert world.claim("tran_1").state == "refunded"
    assert world.double.posts("tran_1") == 1
    assert world.audit().breaches == []


def test_proof_that_contradicts_the_read_before_the_call_proves_nothing(world: MoneyWorld) -> None:
    # found by a simulated week: 9.90 were booked as gone, and told to the customer, of 9.00
    world.double.switches = replace(NASTY, probe=Lie.OTHER_AMOUNT, probe_times=2)
    world.twice_charged()
    world.pay()
    world.clock.pass_(minutes=1)
    world.pay()
    assert world.claim("tran_1").state == "in_progress"
    assert "Creem shows 990 minor units as paid, and showed 900 before the call" in world.claim("tran_1").detail
    world.settle_down()
    assert (world.claim("tran_1").state, world.claim("tran_1").refunded) == ("refunded", 900)
    assert [told["data"]["amount"] for told in world.announced()] == [900]


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.CREDITS_ONLY])
def test_claim_made_before_the_mode_was_changed_waits(world: MoneyWorld, mode: Mode) -> None:
    world.twice_charged()
    full = world.payer()
    replace(full, settler=replace(full.settler, bench=replace(full.settler.bench, mode=mode))).pay()
    stopped(world, f"no money leaves in mode {mode.value}")
    world.settle_down()
    assert world.state("ord_1") == "refunded"


def test_charge_of_which_a_part_went_back_is_a_persons(world: MoneyWorld) -> None:
    world.twice_charged()
    world.double.switches = replace(NASTY, before_read=Meanwhile.PART_REFUND)
    world.pay()
    stopped(world, "450 of 900 minor units went back by another hand")


def test_webhook_says_where_to_look_and_not_how_much(world: MoneyWorld) -> None:
    world.twice_charged()
    world.double.refund_in_dashboard("tran_0", 450)
    world.double.tick()
    world.sweep()

    def known() -> tuple[int, bool]:
        row = world.store.read(lambda tx: tx.all(select(charges).where(charges.c.transaction_id == "tran_0")))[0]
        return int(row.refunded), row.due_at is not None

    assert known() == (0, True), "told of, to be read, and not believed"
    world.pay()
    assert known() == (450, False)


def test_claim_is_taken_by_one_until_its_lease_ends(world: MoneyWorld) -> None:
    world.twice_charged()
    lease = timedelta(seconds=50)

    def taken() -> Turn | None:
        now = world.clock.now()
        return world.store.write(lambda tx: take(tx, "test", now=now, lease=lease))

    first = taken()
    assert first is not None
    assert taken() is None
    world.clock.pass_(seconds=51)
    second = taken()
    assert second is not None
    assert (second.payment_id, second.turn) == (first.payment_id, first.turn + 1)


def test_process_whose_lease_ended_arms_nothing(world: MoneyWorld) -> None:
    world.twice_charged()
    slow = world.payer()

    def another_takes_it() -> None:
        world.clock.pass_(seconds=51)
        now = world.clock.now()
        world.store.write(lambda tx: take(tx, "test", now=now, lease=timedelta(seconds=50)))

    told = replace(slow, creem=Between(slow.creem, after_read=another_takes_it)).pay()
    assert any("another process took it over" in each for each in told)
    assert world.double.posts("tran_1") == 0


def test_process_whose_turn_ran_out_while_it_read_proves_nothing(world: MoneyWorld) -> None:
    world.double.switches = replace(NASTY, ends=Ending.NEVER, turns_early=False)
    world.twice_charged()
    world.pay()
    world.clock.at = world.claim("tran_1").due_at
    slow, others = world.payer(), list[str]()

    def overtaken() -> None:
        if not others:
            world.clock.pass_(seconds=61)
            others.extend(world.payer().pay())

    told = replace(slow, creem=Between(slow.creem, after_read=overtaken)).pay()
    assert others == ["not proved yet: Creem still shows the charge as paid tran_1"]
    assert told == ["nothing to prove tran_1"]
    assert world.claim("tran_1").probes == 1


def test_charge_is_claimed_once(world: MoneyWorld) -> None:
    world.twice_charged()
    row = dict(world.store.read(lambda tx: tx.all(select(payments)))[0]._mapping)
    second: Any = row | {"payment_id": "pay_second"}
    with pytest.raises(Collision, match="1 charges were claimed meanwhile"):
        world.store.write(lambda tx: claims.insert(tx, Ledger(), [second], world.clock.now()))
    frozen = world.store.read(lambda tx: tx.all(select(purchases.c.frozen).where(purchases.c.purchase_id == "ord_1")))
    assert (len(list(world.claims())), frozen[0].frozen) == (1, 100)


@pytest.mark.parametrize("off", [timedelta(minutes=-3), timedelta(minutes=3), timedelta(days=365)])
def test_nothing_leaves_by_a_clock_that_jumped_and_it_goes_on_when_it_is_right_again(world: MoneyWorld, off: timedelta) -> None:
    world.twice_charged()
    jumped = replace(world.payer(), other_clock=lambda tx: world.clock.now() + off)
    (told,) = jumped.pay()
    assert "the clock of this host is" in told
    assert world.double.posts("tran_1") == 0
    world.clock.pass_(minutes=6)
    slow = replace(world.payer(), other_clock=lambda tx: world.clock.now() + timedelta(minutes=1))
    slow.pay()
    assert world.double.posts("tran_1") == 1


@dataclass
class Ahead:
    """The clock of a host that runs a day before all others."""

    right: Clock

    def now(self) -> datetime:
        return self.right.now() + timedelta(days=1)


def test_host_whose_clock_jumped_ahead_keeps_no_other_from_paying(world: MoneyWorld) -> None:
    world.twice_charged()
    # it takes the floor and dies: what it leaves must not last for a day
    jumped = replace(world.payer(), clock=Ahead(world.clock), other_clock=lambda tx: world.clock.now())
    assert jumped._may_call()
    world.clock.pass_(seconds=51)
    world.payer().pay()
    assert world.double.posts("tran_1") == 1


@ON_POSTGRES
def test_database_tells_its_own_time(store: Store) -> None:
    told = store.read(database_time)
    assert told is not None
    assert apart(told, datetime.now(UTC)) is None
    assert apart(told, datetime.now(UTC) + timedelta(minutes=3)) == "the clock of this host is 180 s ahead of the database's"


@ON_SQLITE
def test_database_without_a_clock_is_compared_with_nothing(store: Store) -> None:
    assert apart(store.read(database_time), datetime.now(UTC)) is None
