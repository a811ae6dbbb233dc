"""Credits that come back cover the jobs that wait for some, in whatever batches their events come (contract.md, "Order is not
assumed").
"""

import pytest

from tests.cases.world import World, a_purchase, an_account
from worker.cases.book.lots import wake_uncovered
from worker.clock import written
from worker.store.engine import Store


@pytest.fixture
def small(store: Store) -> World:
    """An account whose only lot covers one job at a time."""
    world = World(store)
    world.load(an_account(), a_purchase(credits=5))
    return world


def test_jobs_on_one_small_lot_are_all_made_whole_in_one_batch_as_one_by_one(small: World) -> None:
    told = [word for n in range(4) for word in (small.submitted(f"mine{n}"), small.failed(f"mine{n}"))]
    small.happen(*told)
    small.load(an_account("acc_2"), a_purchase("ord_2", "acc_2", credits=5))
    for word in told:
        small.happen(word.replace("mine", "other").replace("acc_1", "acc_2"))
    assert {small.state(f"{name}{n}") for name in ("mine", "other") for n in range(4)} == {"refunded"}
    assert (small.credits(), small.credits("acc_2")) == (5, 5)
    assert small.audit().breaches == []


def test_job_that_waits_from_an_earlier_batch_is_covered_by_what_a_later_one_gives_back(small: World) -> None:
    small.happen(small.submitted("job_1"))
    small.happen(small.submitted("job_2"))
    small.happen(small.failed("job_2"))
    assert small.state("job_2") == "waiting"
    small.happen(small.failed("job_1"))
    assert (small.state("job_1"), small.state("job_2"), small.credits()) == ("refunded", "refunded", 5)
    assert small.audit().breaches == []


def test_running_job_that_waits_takes_what_comes_back_before_a_newer_one(small: World) -> None:
    small.happen(small.submitted("job_1"))
    small.clock.pass_(minutes=1)
    small.happen(small.submitted("job_2"))
    small.happen(small.failed("job_1"))
    assert small.credits() == 0
    small.clock.pass_(minutes=1)
    small.happen(small.submitted("job_3"), small.failed("job_3"))
    assert small.state("job_3") == "waiting"
    small.happen(small.failed("job_2"))
    assert (small.state("job_2"), small.state("job_3"), small.credits()) == ("refunded", "refunded", 5)
    assert small.audit().breaches == []


def test_oldest_lot_is_spent_first_of_what_came_back(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase("new", credits=5, paid_at="2026-03-01T10:00:00Z"), a_purchase("old", credits=3))
    world.happen(world.submitted("job_1", credits=8))
    world.happen(world.submitted("job_2", credits=4), world.failed("job_1"))
    assert [(lot["purchase_id"], lot["remaining"]) for lot in world.account("acc_1")["lots"]] == [("old", 0), ("new", 4)]


def test_budget_for_doubt_is_spent_once_by_jobs_on_one_lot(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase(credits=200))
    for n in range(3):
        world.clock.pass_(minutes=1)
        world.happen(world.submitted(f"job_{n}", credits=200))
    world.happen(*(world.failed(f"job_{n}", code="gremlins") for n in range(3)))
    assert [world.state(f"job_{n}") for n in range(3)] == ["refunded", "refunded", "review"]


def test_dearer_job_that_nothing_covers_does_not_stand_in_the_way(small: World) -> None:
    small.happen(small.submitted("job_1"))
    small.happen(small.submitted("dear", credits=6), small.failed("dear"), small.submitted("job_2"), small.failed("job_2"))
    small.happen(small.failed("job_1"))
    assert [small.state(name) for name in ("dear", "job_2")] == ["waiting", "refunded"]
    assert small.audit().breaches == []


def test_credits_that_can_be_spent_again_wake_no_other_accounts_cases(small: World) -> None:
    small.load(an_account("acc_2"), a_purchase("ord_2", "acc_2", credits=5))
    for name, account in (("dear", "acc_1"), ("others", "acc_2")):
        small.happen(small.submitted(name, account, credits=6), small.failed(name, account))
    before = small.case("others")
    small.clock.pass_(minutes=5)
    small.store.write(lambda tx: wake_uncovered(tx, ["ord_1"], small.clock.now()))
    mine, others = small.case("dear"), small.case("others")
    assert mine
    assert (mine["next_action_at"], others) == (written(small.clock.now()), before)


def test_job_that_credits_come_back_to_and_are_too_few_waits_on_to_its_end(small: World) -> None:
    """It stood due for days: every sweep looked at it, and a batch of such cases would have kept all others waiting."""
    small.happen(small.submitted("dear", credits=6), small.failed("dear"))
    before = small.case("dear")
    small.clock.pass_(minutes=5)
    # as when a forfeit is withdrawn, or a dispute is over
    small.store.write(lambda tx: wake_uncovered(tx, ["ord_1"], small.clock.now()))
    # raises where it never comes to rest
    small.sweep()
    assert small.case("dear") == before
    small.load(a_purchase("more", credits=1))
    assert (small.state("dear"), small.credits()) == ("refunded", 6)
    assert small.audit().breaches == []
