"""What one person gives alone in a day: up to the terms' limit, and beyond it only with a second, different person."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.cases.world import a_purchase
from tests.requests.world import PeopleWorld
from tests.review.test_review import in_review
from tests.threads import ends
from worker.cases.money import limits
from worker.errors import Refused
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.tables import approvals

LIMITS = """approval_second_person_above_credits_per_day = 12
approval_second_person_above_minor_units_per_day = 2000
approval_second_person_above_minor_units ="""


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    """One person may give 20.00 and 12 credits alone in a day."""
    terms = (DEFAULT_TERMS / "2025-12-03.toml").read_text()
    (tmp_path / "terms").mkdir()
    limited = terms.replace("approval_second_person_above_minor_units =", LIMITS, 1)
    (tmp_path / "terms/2025-12-03.toml").write_text(limited)
    made = PeopleWorld(store, tmp_path, terms_dir=tmp_path / "terms")
    yield made
    assert made.audit().breaches == []
    made.close()


def a_request(world: PeopleWorld, number: int, amount: int = 900, **more: Any) -> str:
    """A mail of a customer of their own that asks for the money of an unused purchase; returns its case."""
    order, account = f"ord_{number}", f"acc_{number}"
    world.bought_once(order, account, amount=amount, **more)
    known = {"sender": f"{account}@example.org", "message_id": f"<{number}@example.org>"}
    return world.mail(f"Please refund my order {order}.", **known).case_id


def because(world: PeopleWorld, case_id: str, choice: str, by: str = "ann") -> str | None:
    found = world.choices(case_id, by)[choice]
    assert found["needs_second"] == (found["second_because"] is not None)
    said: str | None = found["second_because"]
    return said


def test_slices_that_reach_the_limit_are_given_alone_and_one_cent_more_is_not(world: PeopleWorld) -> None:
    first, second, third = a_request(world, 1, 1200), a_request(world, 2, 800), a_request(world, 3, 1)
    assert world.decide(first)["done"]
    assert because(world, second, "money") is None
    assert world.decide(second)["done"]
    said = "ann: 20.00 of 20.00 USD and 0 of 12 credits approved alone in 24 hours; this would be 0.01 USD more"
    assert because(world, third, "money") == said
    told = world.decide(third)
    assert told["waits_for_second"]
    assert said in told["told"]
    assert world.claim("tran_ord_3") is None
    proposed = next(row for row in world.case(third)["history"] if row["event"] == "review.proposed")  # type: ignore[index]
    assert proposed["detail"]["because"] == said
    with pytest.raises(Refused, match="a second, different person has to agree"):
        world.decide(third, by=" Ann")
    assert world.decide(third, by="bob")["done"]
    world.settle_down(days=2)
    assert world.state(third) == "refunded"


def test_one_cent_above_the_limit_is_proposed(world: PeopleWorld) -> None:
    assert world.decide(a_request(world, 1, 1200))["done"]
    assert world.decide(a_request(world, 2, 801))["waits_for_second"]


def test_credits_have_a_limit_of_their_own(world: PeopleWorld) -> None:
    world.decide(a_request(world, 9, 2000))
    held = [in_review(world), in_review(world, "job_2"), in_review(world, "job_3")]
    assert [world.decide(case_id, "credits")["done"] for case_id in held[:2]] == [True, True]
    said = "ann: 20.00 of 20.00 USD and 10 of 12 credits approved alone in 24 hours; this would be 5 credits more"
    assert because(world, held[2], "credits") == said
    assert world.decide(held[2], "credits")["waits_for_second"]
    assert world.credits() == 45
    assert world.decide(held[2], "credits", by="bob")["done"]
    assert world.credits() == 50


def test_limit_is_each_persons_own_and_spelling_makes_no_other_person(world: PeopleWorld) -> None:
    world.decide(a_request(world, 1, 2000), by="console")
    other = a_request(world, 2)
    assert because(world, other, "money", by="ann") is None
    assert because(world, other, "money", by=" CONSOLE") is not None
    assert world.decide(other, by="ann")["done"]
    assert world.decide(a_request(world, 3), by="Console ")["waits_for_second"]


def test_day_is_the_last_24_hours(world: PeopleWorld) -> None:
    world.decide(a_request(world, 1, 2000))
    waits = a_request(world, 2)
    world.clock.pass_(hours=23, minutes=59)
    assert because(world, waits, "money") is not None
    world.clock.pass_(minutes=1)
    assert because(world, waits, "money") is None
    assert world.decide(waits)["done"]
    world.settle_down(days=1)


def test_what_is_declined_proposed_or_withdrawn_counts_for_nobody(world: PeopleWorld) -> None:
    declined, large, last = a_request(world, 1, 1500), a_request(world, 2, 2500), a_request(world, 3, 2000)
    world.decide(declined, "decline")
    assert world.decide(large)["waits_for_second"]
    assert because(world, last, "money") is None
    world.reviewer.withdraw(large, by="ann", reason="wrong order")
    assert world.decide(last)["done"]


def test_what_two_people_agreed_to_counts_for_neither(world: PeopleWorld) -> None:
    large = a_request(world, 1, 2500)
    world.decide(large, by="ann")
    world.decide(large, by="bob")
    assert world.decide(a_request(world, 2, 2000), by="ann")["done"]
    assert world.decide(a_request(world, 3, 2000), by="bob")["done"]
    assert [row.by for row in world.rows(select(approvals).order_by(approvals.c.id))] == ["ann", "bob"]


def test_claim_that_is_approved_anew_counts_once(world: PeopleWorld) -> None:
    """Once each approval of one claim that waited counted, and five of them used up the day."""
    asked = a_request(world, 1, 1500)
    world.decide(asked)
    world.store.write(lambda tx: limits.stop(tx, by="bob", reason="a look", now=world.clock.now()))
    world.clock.pass_(hours=25)
    for _ in range(4):
        world.pay()
        assert because(world, asked, "money") is None
        assert world.decide(asked, "money")["done"]
        world.clock.pass_(minutes=6)
    # the first one's day is over
    assert [(row.by, row.minor_units) for row in world.rows(select(approvals))] == 2 * [("ann", 1500)]
    assert world.decide(a_request(world, 2, 500))["done"]
    assert world.decide(a_request(world, 3, 1))["waits_for_second"]
    world.store.write(lambda tx: limits.release(tx, by="bob", reason="looked", now=world.clock.now()))
    world.settle_down(days=1)


def test_two_decisions_of_one_person_at_once_see_each_other(world: PeopleWorld) -> None:
    for day in range(3):
        asked = [a_request(world, 10 * day + number, 1500) for number in (1, 2, 3)]
        found = ends(*(lambda case_id=case_id: world.decide(case_id, "money") for case_id in asked), of=Refused)
        assert sorted(one["done"] for one in found) == [False, False, True], found
        for case_id, one in zip(asked, found, strict=True):
            if not one["done"]:
                world.reviewer.withdraw(case_id, by="bob", reason="too many at once")
        world.clock.pass_(hours=25)
        world.settle_down(days=1)


def test_dispute_that_was_won_counts_the_credits_it_sets_free(world: PeopleWorld) -> None:
    transaction = world.bought_once(ago=timedelta(days=2), credits=50)
    world.double.dispute(transaction)
    world.double.tick()
    world.sweep()
    [case_id] = world.queue()
    assert because(world, case_id, "won") is not None
    assert because(world, case_id, "lost") is None
    assert world.decide(case_id, "won")["waits_for_second"]
    assert world.credits() == 0
    world.decide(case_id, "won", by="bob")
    assert world.credits() == 50


def test_everybody_who_approved_something_is_shown_with_the_sums(world: PeopleWorld) -> None:
    world.bought_once()
    world.load(a_purchase("ord_9", "acc_1", 10, transaction_id="tran_9") | {"amount": 700, "currency": "EUR"})
    world.decide(in_review(world, "job_2"), "credits", by="cat")
    world.decide(a_request(world, 4, 900), by="ann")
    world.decide(a_request(world, 5, 700, currency="EUR"), by="ann")
    world.decide(a_request(world, 6, 1700), by="bob")
    assert [each["said"] for each in world.reviewer.approved()] == [
        "bob: 17.00 of 20.00 USD and 0 of 12 credits approved alone in 24 hours",
        "ann: 16.00 of 20.00 EUR + USD and 0 of 12 credits approved alone in 24 hours",
        "cat: 0.00 of 20.00 and 5 of 12 credits approved alone in 24 hours",
    ]
    assert world.reviewer.approved_by("Cat")["credits"] == 5
    assert world.reviewer.look("job_2", by="ann")["approved_by_you"]["minor_units"] == 1600
