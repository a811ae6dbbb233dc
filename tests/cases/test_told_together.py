"""Cases that end together with what is owed given back are announced by one intent; to the outside each is told of as ever."""

from dataclasses import replace
from typing import Any

import pytest
import redis as redis_py
from sqlalchemy import select, update

from tests.arena import put_back, snapshot
from tests.cases.test_drain import Down, Muted, drain, pending, put
from tests.cases.world import World, with_jobs
from tests.faults import Crash
from worker.cases.effects.effects import Performer
from worker.cases.overview import overview
from worker.errors import TryLater
from worker.store.effects import SUBJECTS
from worker.store.engine import Store
from worker.store.tables import effects, notices

JOBS = ("job_1", "job_2", "job_3")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def world(store: Store) -> World:
    return with_jobs(store, JOBS)


def intents(world: World) -> list[tuple[str, str]]:
    """Kind and state of every effect."""
    rows = world.store.read(lambda tx: tx.all(select(effects.c.kind, effects.c.state).order_by(effects.c.kind)))
    return [(row.kind, row.state) for row in rows]


def told(world: World) -> list[dict[str, Any]]:
    """What the product was told, by job."""
    return sorted(world.announced(), key=lambda note: note["data"]["job_id"])


def again(world: World) -> None:
    """Whoever announced died before that was recorded, and the claim is over."""
    died = update(effects).values(state="claimed", due_at=world.clock.now())
    world.store.write(lambda tx: tx.connection.execute(died))
    world.sweep()


def test_one_intent_tells_of_all_that_end_together(world: World, redis: redis_py.Redis) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    drain(world, redis).turn()
    assert intents(world) == [("announce_all", "done")]
    assert [note["id"] for note in told(world)] == [f"announce:job:{name}:refund.credits_reversed" for name in JOBS]
    assert [note["data"]["credits"] for note in told(world)] == [5, 5, 5]


def test_one_that_ends_by_itself_has_a_row_of_its_own(world: World, redis: redis_py.Redis) -> None:
    put(redis, world.failed("job_1"))
    drain(world, redis).turn()
    assert intents(world) == [("announce", "done")]


def test_what_may_be_told_again_and_what_is_not_over_have_rows_of_their_own(world: World, redis: redis_py.Redis) -> None:
    world.happen(*(world.submitted(name) for name in ("job_4", "job_5", "job_6")))
    put(
        redis,
        *(world.failed(name) for name in JOBS),
        world.failed("job_4", code="unsupported_format"),
        world.incomplete("job_5"),
        world.failed("job_6", code="nobody_knows_it"),
    )
    drain(world, redis).turn()
    assert [world.state(f"job_{n}") for n in (4, 5, 6)] == ["declined", "rerunning", "refunded"]
    assert intents(world) == [("announce", "done"), ("announce_all", "done"), ("rerun", "due")]
    assert [note["type"] for note in told(world)] == [
        *["refund.credits_reversed"] * 3,
        "refund.declined",
        "refund.credits_reversed",
    ]


def test_what_is_told_a_second_time_is_told_in_the_same_words(world: World, redis: redis_py.Redis) -> None:
    traced = world.failed("job_1").replace('"specversion"', f'"traceparent":"{TRACE}","specversion"', 1)
    put(redis, traced, world.failed("job_2"), world.failed("job_3", code="nobody_knows_it"))
    drain(world, redis).turn()
    first = told(world)
    assert "traceparent" in first[0]
    world.redis.delete("refunds:events")
    world.clock.pass_(minutes=5)
    # what comes of a case later changes nothing of what was to be told
    world.happen(world.succeeded("job_2", attempt=2))
    again(world)
    assert told(world) == first
    assert intents(world) == [("announce_all", "done")]


def test_death_after_the_commit_leaves_all_of_them_to_the_sweep(world: World, redis: redis_py.Redis) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    muted = Muted(*(getattr(world.performer, name) for name in Performer.__dataclass_fields__))
    with pytest.raises(Crash):
        drain(world, redis, performer=muted).turn()
    assert (pending(redis), intents(world)) == (0, [("announce_all", "claimed")])
    world.clock.pass_(seconds=31)
    world.sweep()
    assert [note["data"]["job_id"] for note in told(world)] == list(JOBS)
    assert world.audit().ok


def test_what_waits_in_the_inbox_is_told_together_too(world: World) -> None:
    world.happen(*(world.failed(name) for name in JOBS))
    assert intents(world) == [("announce_all", "done")]
    assert [note["data"]["job_id"] for note in told(world)] == list(JOBS)


def test_every_customer_is_written_to(world: World, redis: redis_py.Redis) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    drain(world, redis).turn()
    keys = world.store.read(lambda tx: tx.all(select(notices.c.key)))
    case_ids = [str((world.case(name) or {})["case_id"]) for name in JOBS]
    assert {row.key for row in keys} == {f"notice:{case_id}:credits_returned" for case_id in case_ids}


def test_what_is_not_yet_told_is_counted_by_the_case_and_brought_forward_by_any_of_them(
    world: World, redis: redis_py.Redis
) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    down = replace(world.performer, outcomes=Down(world.redis, "refunds:events"))
    with pytest.raises(TryLater):
        drain(world, redis, performer=down).turn()
    due = world.store.read(lambda tx: overview(tx, world.clock.now()))["effects_due"]
    assert (due["announce"]["count"], due["announce"]["failing"]) == (3, 3)
    for name in JOBS:
        assert world.requeuer.plan(name).effects[0].startswith("announce_all")
    world.requeuer.requeue("job_3", by="tester", reason="Redis is back")
    world.sweep()
    assert len(told(world)) == 3


@pytest.mark.parametrize("before", [JOBS, JOBS[:1]])
@pytest.mark.parametrize("after", [JOBS, JOBS[:1]])
def test_what_a_database_that_was_set_back_decides_again_is_told_under_the_same_identity(
    world: World, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    backup = snapshot(world.store)
    world.happen(*(world.failed(name) for name in before))
    first = {note["id"]: note["data"]["case_id"] for note in told(world)}
    put_back(world.store, backup)
    world.redis.delete("refunds:events")
    world.clock.pass_(hours=1)
    world.happen(*(world.failed(name) for name in after))
    again = {note["id"]: note["data"]["case_id"] for note in told(world)}
    # the product adds the credits of an identity once, whatever the case is called by now
    both = [name for name in JOBS if name in before and name in after]
    assert sorted(set(first) & set(again)) == [f"announce:job:{name}:refund.credits_reversed" for name in both]
    assert not set(first.values()) & set(again.values())


def test_intent_of_a_release_before_is_told_under_the_identity_that_it_may_have_been_told_by(
    world: World, redis: redis_py.Redis
) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    with pytest.raises(TryLater):
        drain(world, redis, performer=replace(world.performer, outcomes=Down(world.redis, "refunds:events"))).turn()
    [named] = [row.payload for row in world.store.read(lambda tx: tx.all(select(effects)))]
    of_before = {name: value for name, value in named.items() if name != SUBJECTS}
    world.store.write(lambda tx: tx.connection.execute(update(effects).values(payload=of_before)))
    again(world)
    case_ids = [str((world.case(name) or {})["case_id"]) for name in JOBS]
    assert [note["id"] for note in told(world)] == [f"announce:{case_id}:refund.credits_reversed" for case_id in case_ids]


def test_intents_that_piled_up_are_all_made_in_one_turn(store: Store) -> None:
    """Once a sweep made one of them, for as few cases as had come together: they were behind for hours after an outage."""
    names = [f"job_{number}" for number in range(12)]
    world = with_jobs(store, names)
    for first in range(0, len(names), 3):
        world.arrive(*(world.failed(name) for name in names[first : first + 3]))
        world.assessor.assess()
    assert intents(world) == [("announce_all", "due")] * 4
    world.sweeper.sweep()
    assert intents(world) == [("announce_all", "done")] * 4
    assert len(told(world)) == len(names)
