"""The decisions of two installations side by side."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cases.world import HandClock, World, a_purchase, an_account
from worker.cases.editions.beside import Compared, Difference, compare
from worker.store.engine import Store
from worker.store.schema import upgrade


@pytest.fixture
def other(tmp_path: Path) -> World:
    store = Store(f"sqlite:///{tmp_path / 'other.db'}")
    upgrade(store)
    return World(store)


def both(ours: World, theirs: World, *jobs: str) -> None:
    for world in (ours, theirs):
        world.load(an_account(), a_purchase(credits=100))
        world.happen(*map(world.submitted, jobs))


def beside(ours: World, theirs: World, examples: int = 1) -> Compared:
    return theirs.store.read(lambda t: ours.store.read(lambda o: compare(t, o, None, examples=examples)))


def test_same_decisions_are_alike_however_the_names_are_ordered(store: Store, other: World) -> None:
    ours, jobs = World(store), ("job_1", "Job_2", "job-3", "JOB", "job_10", "job")
    both(ours, other, *jobs)
    for world in (ours, other):
        world.happen(*map(world.failed, jobs))
    found = beside(ours, other)
    assert (found.same, found.alike, found.only_ours, found.only_theirs) == (True, 6, 0, 0)


def test_what_differs_is_counted_by_rule_with_its_credits_and_examples(store: Store, other: World) -> None:
    ours = World(store)
    both(ours, other, "job_1", "job_2", "job_3")
    other.happen(other.failed("job_1", code="invalid_image"), other.failed("job_2", code="invalid_image"), other.failed("job_3"))
    ours.happen(*map(ours.failed, ("job_1", "job_2", "job_3")))
    found = beside(ours, other)
    (row,) = found.differences.values()
    assert row == Difference("decline by input_fault", "reverse_credits by server_fault", 2, 10, ["job_1"])
    assert (found.same, found.alike) == (False, 1)
    (row,) = beside(ours, other, examples=100).differences.values()
    assert row.examples == ["job_1", "job_2"]


def test_what_only_one_side_has_is_no_difference(store: Store, other: World) -> None:
    ours = World(store)
    both(ours, other, "job_1", "job_2", "job_3")
    ours.happen(ours.failed("job_1"), ours.failed("job_2"))
    other.happen(other.failed("job_2"), other.failed("job_3"))
    found = beside(ours, other)
    assert (found.same, found.alike, found.only_ours, found.only_theirs) == (True, 1, 1, 1)


def test_what_failed_before_is_left_out(store: Store, other: World) -> None:
    ours = World(store)
    both(ours, other, "job_1")
    ours.happen(ours.failed("job_1"))
    since = HandClock().now() + timedelta(days=9)
    found = other.store.read(lambda t: ours.store.read(lambda o: compare(t, o, since)))
    assert replace(found) == Compared()
    from_its_moment_on = other.store.read(lambda t: ours.store.read(lambda o: compare(t, o, HandClock().now())))
    assert from_its_moment_on != Compared()


def test_differences_are_told_by_how_many_cases_they_are() -> None:
    differ = {("a", each): Difference("a", each, cases) for each, cases in (("b", 1), ("c", 3), ("d", 2))}
    assert [one["cases"] for one in Compared(differences=differ).document()["differences"]] == [3, 2, 1]
