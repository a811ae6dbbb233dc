"""A charge that a person declined to give back stays, whatever becomes of others: nothing is claimed of it without a person."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.cases.world import an_account, moves
from tests.requests.world import PeopleWorld
from tests.servers import POSTGRES_AT_NIGHT
from worker.settings import Mode
from worker.store.tables import cases


def charges_at(world: PeopleWorld, *minutes: float) -> list[dict[str, Any]]:
    """One customer charged for the same at each of these minutes; what the product's history says of each."""
    began, found = world.clock.now() - timedelta(hours=3), []
    for number, minute in enumerate(minutes):
        at, name = began + timedelta(minutes=minute), f"tran_{number}"
        world.double.pay(name, customer_id="cust_1", amount=900, order_id=f"ord_{number}", paid_at=at)
        found.append(world.bought(f"ord_{number}", name, at.isoformat()))
    return found


def in_mode(world: PeopleWorld, mode: Mode) -> None:
    """Every process is started again in this mode."""
    world.bench = replace(world.bench, mode=mode)
    world.settler = replace(world.settler, bench=world.bench)
    world.assessor = replace(world.assessor, bench=world.bench, settler=world.settler)
    world.sweeper = replace(world.sweeper, assessor=world.assessor, bench=world.bench)
    world.reviewer = replace(world.reviewer, bench=world.bench)


def days_go_by(world: PeopleWorld, days: int = 3) -> None:
    """Everything is read at Creem each night, and what is due is done."""
    for _ in range(days):
        world.clock.pass_(days=1)
        world.reconciler().reconcile()
        world.sweep()
        world.settle_down(days=0.1)


def duplicate(world: PeopleWorld, order: str) -> Any:
    return world.rows(select(cases).where(cases.c.kind == "duplicate_charge", cases.c.subject == order))[0]


@pytest.mark.parametrize("order", [("ord_2", "ord_1"), ("ord_1", "ord_2")], ids=["backwards", "forwards"])
def test_charges_of_a_chain_that_are_all_declined_all_stay(world: PeopleWorld, order: tuple[str, str]) -> None:
    """Once the third was sent back: the no to the second made it one of three minutes after one that stays."""
    world.load(an_account(), *charges_at(world, 0, 30, 41))
    for each in order:
        world.decide(duplicate(world, each).case_id, "decline", reason="all three are meant")
    days_go_by(world)
    assert [duplicate(world, each).state for each in order] == ["declined", "declined"]
    assert ([*world.claims()], world.queue()) == ([], [])


def test_no_to_a_charge_minutes_after_one_that_is_declined_later_stays(world: PeopleWorld) -> None:
    world.load(an_account(), *charges_at(world, 0, 30, 33))
    for each in ("ord_2", "ord_1"):
        world.decide(duplicate(world, each).case_id, "decline", reason="all three are meant")
    days_go_by(world)
    assert (duplicate(world, "ord_2").state, [*world.claims()], world.queue()) == ("declined", [], [])


@pytest.mark.parametrize("before", ["the no", "the mode"])
def test_no_to_what_the_mode_held_back_stays_when_money_may_leave_again(world: PeopleWorld, before: str) -> None:
    """Once it was overturned in the transaction of the no itself, or by the next read: the customer was told both."""
    in_mode(world, Mode.CREDITS_ONLY)
    world.twice_charged()
    if before == "the no":
        in_mode(world, Mode.FULL)
    world.decide("ord_1", "decline", reason="the customer says that both are meant")
    assert world.state("ord_1") == "declined"
    in_mode(world, Mode.FULL)
    days_go_by(world)
    assert (world.state("ord_1"), [*world.claims()], world.queue()) == ("declined", [], [])
    assert [letter["Subject"] for letter in world.written()] == ["Your case: no refund is due"]


def first_goes_back(world: PeopleWorld) -> None:
    world.load(an_account(), *charges_at(world, 0, 30, 33))
    world.decide(duplicate(world, "ord_2").case_id, "decline", reason="three are meant")
    world.double.refund_in_dashboard("tran_0")
    days_go_by(world, 1)


def one_more_is_known(world: PeopleWorld) -> None:
    first, other, last = charges_at(world, 0, 30, 33)
    world.load(an_account(), first, last)
    world.decide(duplicate(world, "ord_2").case_id, "decline", reason="two are meant")
    world.load(first, other, last)
    world.decide(duplicate(world, "ord_1").case_id, "decline", reason="that one is meant too")


def declined_in_dispute(world: PeopleWorld) -> None:
    world.load(an_account(), *charges_at(world, 0, 30))
    world.double.dispute("tran_1")
    world.settle_down(days=0.1)
    world.clock.pass_(days=1)
    world.sweep()
    world.decide(duplicate(world, "ord_1").case_id, "decline", reason="the bank has it")


def own_dispute_ends(world: PeopleWorld) -> None:
    declined_in_dispute(world)
    world.decide("tran_1", "won", reason="the bank said so")


def first_stands_again(world: PeopleWorld) -> None:
    world.load(an_account(), *charges_at(world, 0, 30))
    world.double.refund_in_dashboard("tran_1", 300)
    world.settle_down(days=0.1)
    world.double.dispute("tran_0")
    days_go_by(world, 1)
    world.decide(duplicate(world, "ord_1").case_id, "decline", reason="the bank has the other one")
    world.decide("tran_0", "won", reason="the bank said so")


FIRST_IS_GONE = "as a second charge beside ord_0, which no longer stands; ord_1 does"
NOT_KNOWN = "before it was known how often the same was charged: it is one again of ord_1"
DISPUTE_OVER = "while the charge was under dispute at the bank, which is over: it stands again"
NONE_STOOD = "when no earlier charge for the same thing stood, and ord_0 does"


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(
    ("happens", "order", "why", "then"),
    [
        (first_goes_back, "ord_2", FIRST_IS_GONE, "decline"),
        (first_goes_back, "ord_2", FIRST_IS_GONE, "money"),
        (one_more_is_known, "ord_2", NOT_KNOWN, "decline"),
        (one_more_is_known, "ord_2", NOT_KNOWN, "money"),
        (own_dispute_ends, "ord_1", DISPUTE_OVER, "decline"),
        (first_stands_again, "ord_1", NONE_STOOD, "decline"),
    ],
)
def test_what_a_person_could_not_know_puts_a_declined_charge_to_a_person_once_and_sends_nothing(
    world: PeopleWorld, happens: Callable[[PeopleWorld], None], order: str, why: str, then: str
) -> None:
    happens(world)
    row = duplicate(world, order)
    assert (row.state, row.outcome, row.rule) == ("review", "decline", "decided_by_person")
    assert row.reason == f"a person declined it {why}"
    days_go_by(world, 4)
    row = duplicate(world, order)
    assert (row.state, row.closed_at, world.claim(f"tran_{order[-1]}")) == ("review", None, None)
    assert moves(world.case(row.case_id)).count("case.handed_over") == 1
    assert moves(world.case(row.case_id)).count("promise.breached") == 1, "it runs while the case waits for a person again"
    world.decide(row.case_id, then, reason="looked at it again")
    days_go_by(world)
    assert (duplicate(world, order).state, world.queue()) == ("declined" if then == "decline" else "refunded", [])


def test_declined_charge_that_a_person_looks_at_again_is_owed_nothing_once_no_earlier_one_stands(world: PeopleWorld) -> None:
    first_goes_back(world)
    world.double.refund_in_dashboard("tran_1")
    days_go_by(world, 1)
    assert (duplicate(world, "ord_2").state, world.queue()) == ("nothing_owed", [])


def another_is_heard_of(world: PeopleWorld, at: datetime) -> None:
    """One more charge for the same, of which history and Creem tell only now."""
    world.double.pay("tran_9", customer_id="cust_1", amount=900, order_id="ord_9", paid_at=at)
    world.load(world.bought("ord_9", "tran_9", at.isoformat()))


def test_charge_that_a_person_looks_at_again_is_not_the_one_that_stays_for_a_later_one(world: PeopleWorld) -> None:
    began = world.clock.now() - timedelta(hours=3)
    first_goes_back(world)
    assert duplicate(world, "ord_2").state == "review"
    another_is_heard_of(world, began + timedelta(minutes=40))
    assert duplicate(world, "ord_9").facts["first"]["purchase_id"] == "ord_1"


def test_no_is_not_forgotten_over_a_time_in_which_nothing_was_owed(world: PeopleWorld) -> None:
    """Once the money left by itself when a third charge became known late."""
    began = world.clock.now() - timedelta(hours=3)
    first_goes_back(world)
    world.double.refund_in_dashboard("tran_1")
    days_go_by(world, 1)
    assert duplicate(world, "ord_2").state == "nothing_owed"
    another_is_heard_of(world, began + timedelta(minutes=28))
    days_go_by(world, 2)
    assert (duplicate(world, "ord_2").state, world.double.gone("tran_2")) == ("review", 0)


def test_declined_charge_whose_dispute_is_lost_stays_as_it_is(world: PeopleWorld) -> None:
    declined_in_dispute(world)
    world.decide("tran_1", "lost", reason="the bank gave it back")
    days_go_by(world, 2)
    row = duplicate(world, "ord_1")
    assert (row.state, world.queue()) == ("declined", [])
    assert "case.handed_over" not in moves(world.case(row.case_id))


@POSTGRES_AT_NIGHT
def test_dispute_that_was_won_after_months_is_read_until_creem_shows_it(world: PeopleWorld) -> None:
    world.load(an_account(), *charges_at(world, 0, 30))
    world.settle_down(days=0.1)
    world.double.dispute("tran_1")
    days_go_by(world, 75)
    world.decide("tran_1", "won", reason="the bank said so")
    case_id = duplicate(world, "ord_1").case_id
    assert "still shows the charge as charged back" in world.choices(case_id)["money"]["refused"]
    world.double.win_dispute("tran_1")
    charge = world.double._charge("tran_1")
    charge.disputed_at = None
    world.double._book._refresh(charge, world.clock.now())
    days_go_by(world, 2)
    assert world.choices(case_id)["money"]["refused"] is None
