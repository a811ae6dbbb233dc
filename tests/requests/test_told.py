"""What customers are told of their cases: in words made for them, to the end, and nothing that is no longer so."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.requests.world import PeopleWorld, text_of
from worker.cases.money import limits
from worker.store.engine import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    yield made
    made.sweep()
    assert made.audit().breaches == []
    made.close()


def stopped_by_a_person(world: PeopleWorld) -> str:
    said = "we suspect a colleague of stealing"
    world.store.write(lambda tx: limits.stop(tx, by="ann", reason=said, now=world.clock.now()))
    world.twice_charged()
    world.pay()
    world.clock.pass_(days=1)
    world.pay()
    return said


def of_another_customer(world: PeopleWorld) -> str:
    charged = world.history_of_charges(2)
    paid_at = world.clock.now() - timedelta(minutes=55)
    world.double.pay("tran_x", customer_id="cust_secret", amount=900, paid_at=paid_at)
    charged[2]["transaction_id"] = "tran_x"
    world.load(*charged)
    world.settle_down(days=0.2)
    return "cust_secret"


@pytest.mark.parametrize("held_up", [stopped_by_a_person, of_another_customer])
def test_what_holds_money_up_is_for_the_person_and_never_for_the_customer(
    world: PeopleWorld, held_up: Callable[[PeopleWorld], str]
) -> None:
    """Whom a colleague suspects and whose transaction it is once went into the letter."""
    internal = held_up(world)
    [case_id] = world.queue()
    assert internal in world.reviewer.look(case_id, by="ann")["case"]["decision"]["reason"]
    world.clock.pass_(minutes=5)
    [letter] = world.written()
    assert internal not in letter.as_string()
    assert "Why: the same 9.00 USD were charged 5 minutes after ord_0, which stays valid" in text_of(letter)
    world.sweep()
    [said] = world.announced()
    assert (said["type"], internal in said["data"]["reason"]) == ("refund.in_review", False)


def test_reason_of_a_persons_decision_outlives_a_hand_over_in_between(world: PeopleWorld) -> None:
    """Once the case and the letter about the money gave what had held it up: not proved within 24 hours."""
    world.bought_once()
    taken = world.mail()
    world.double.switches = replace(world.double.switches, settle_after=2 * 86_400.0, turns_early=False)
    world.decide(taken.case_id, reason="never used, and asked for in time")
    for _ in range(4):
        world.pay()
        world.clock.pass_(days=1)
    case = world.case(taken.case_id)
    assert case is not None
    assert "case.handed_over" in [row["event"] for row in case["history"]]
    assert (case["state"], case["decision"]["reason"]) == ("refunded", "never used, and asked for in time")
    [sent] = [said for said in map(text_of, world.written()) if "We sent 9.00 USD" in said]
    assert "Why: never used, and asked for in time" in sent
