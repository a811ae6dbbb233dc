"""Old cases under other terms: what would change, by clause, in credits and money, and nothing is done."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from policy import Terms, load_terms
from policy.terms import FaultClass
from tests.cases.world import World, a_purchase, an_account
from worker.cases.editions.replay import count_cases, replay
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store

TERMS = load_terms(next(Path(DEFAULT_TERMS).glob("*.toml")))


def harsher(code: str) -> Terms:
    """Terms under which this code is the customer's own doing."""
    faults = {fault: tuple(c for c in codes if c != code) for fault, codes in TERMS.faults.items()}
    faults[FaultClass.INPUT] = (*faults[FaultClass.INPUT], code)
    rerunnable = tuple(c for c in TERMS.rerunnable_codes if c != code)
    return replace(TERMS, edition="2027-01-01", faults=faults, rerunnable_codes=rerunnable)


@pytest.fixture
def world(store: Store) -> World:
    """Four jobs made whole for two reasons, and one that is waiting for its account."""
    found = World(store)
    found.load(an_account(), a_purchase())
    for number, code in enumerate(("model_error", "model_error", "worker_crashed", "worker_crashed"), 1):
        found.happen(found.submitted(f"job_{number}"), found.failed(f"job_{number}", code=code))
        found.clock.pass_(hours=1)
    found.happen(found.failed("job_unknown"))
    return found


def test_same_terms_change_nothing(world: World) -> None:
    found = replay(world.store, world.bench.editions, TERMS)
    assert (found.asked, found.undecided, found.changed, found.credits) == (4, 1, 0, 0)
    assert found.rows() == []


def test_harsher_terms_show_whom_they_cost_what(world: World) -> None:
    before = world.digest()
    found = replay(world.store, world.bench.editions, harsher("model_error"))
    assert (found.changed, found.credits) == (2, -10)
    [row] = found.rows()
    assert (row["clause"], row["before"], row["after"]) == ("failed-job", "reverse_credits", "decline")
    assert (row["cases"], row["credits"], row["money"]) == (2, -10, {})
    assert [change.subject for change in found.examples] == ["job_1", "job_2"]
    assert found.document()["items"][0]["after"]["outcome"] == "decline"
    assert world.digest() == before, "nothing was done"
    assert world.credits() == 100


def test_only_cases_since_a_day_are_asked(world: World) -> None:
    since = world.clock.now() - timedelta(hours=3)
    assert count_cases(world.store, since) == 4
    assert count_cases(world.store, None) == 5
    found = replay(world.store, world.bench.editions, harsher("model_error"), since=since)
    assert (found.asked, found.changed) == (3, 1)


def test_no_more_examples_than_asked_for(world: World) -> None:
    found = replay(world.store, world.bench.editions, harsher("model_error"), examples=1)
    assert (found.changed, len(found.examples)) == (2, 1)


def test_progress_adds_up_to_every_case(world: World) -> None:
    told: list[int] = []
    replay(world.store, world.bench.editions, TERMS, on_progress=told.append)
    assert sum(told) == count_cases(world.store, None)
