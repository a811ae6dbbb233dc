"""Which cases a filter means, and dead letters by what they have in common."""

from datetime import timedelta
from typing import Any

import pytest

from policy.lifecycle import CaseKind, CaseState
from tests.cases.world import World, a_purchase, an_account
from worker.store.engine import Store


@pytest.fixture
def world(store: Store) -> World:
    """One job made whole, and three reports that wait: two of one account, an hour apart, one of another."""
    found = World(store)
    found.load(an_account(), an_account("acc_2"), a_purchase())
    found.happen(found.submitted("whole"), found.failed("whole"))
    for name, account in (("first", "acc_1"), ("second", "acc_2"), ("third", "acc_1")):
        found.clock.pass_(hours=1)
        found.happen(found.failed(name, account))
    return found


def matching(world: World, **wanted: Any) -> list[str | None]:
    chosen, _ = world.requeuer.matching(limit=wanted.pop("limit", 100), **wanted)
    return [found["job_id"] if (found := world.case(case_id)) else None for case_id in chosen]


def test_those_longest_open_come_first_and_settled_ones_never(world: World) -> None:
    assert matching(world) == ["first", "second", "third"]
    assert matching(world, state=CaseState.REFUNDED) == []


def test_filters_narrow_together(world: World) -> None:
    assert matching(world, state=CaseState.WAITING, account="acc_1") == ["first", "third"]
    assert matching(world, kind=CaseKind.JOB, before=world.clock.now() - timedelta(minutes=30)) == ["first", "second"]
    assert matching(world, kind=CaseKind.DISPUTE) == []
    assert matching(world, stuck=True) == []


def test_limit_takes_the_oldest_and_tells_how_many_there_are(world: World) -> None:
    chosen, in_all = world.requeuer.matching(state=CaseState.WAITING, limit=1)
    assert (len(chosen), in_all) == (1, 3)


def test_cases_that_stay_as_they_are_keep_none_behind_them_out_of_reach(world: World) -> None:
    seen: list[str] = []
    for _ in range(3):
        [one], in_all = world.requeuer.matching(limit=1, after=seen[-1] if seen else None)
        assert in_all == 3 - len(seen)
        seen.append(one)
    assert world.requeuer.matching(limit=1, after=seen[-1]) == ([], 0)
    assert len({*seen}) == 3


def test_dead_letters_by_reason(world: World) -> None:
    world.arrive("no json", "nor this", world.failed("later").replace("layer_job.failed", "layer_job.frozen"))
    groups = world.letters.by_reason()
    assert [(group["reason"], group["count"]) for group in groups] == [("not_json", 2), ("unknown_type", 1)]
    assert world.letters.one(groups[0]["for_example"])["reason"] == "not_json"
    both, _ = world.letters.of_reason("not_json", 10)
    assert len(both) == 2
    oldest = both[0]
    world.letters.discard(oldest, by="tester", reason="seen")
    assert [group["count"] for group in world.letters.by_reason()] == [1, 1]


def test_letters_that_stay_open_keep_none_behind_them_out_of_reach(world: World) -> None:
    world.arrive("no json", "nor this", "and neither this")
    everyone, after = world.letters.of_reason("not_json", 3)
    assert (len(everyone), after) == (3, None)
    first, after = world.letters.of_reason("not_json", 2)
    assert (first, after) == (everyone[:2], everyone[1])
    assert world.letters.of_reason("not_json", 2, after) == (everyone[2:], None)
