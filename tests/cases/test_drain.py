"""Draining ends as the ordinary way does, and what a draining process leaves behind when it dies is found by the sweep."""

import threading
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from typing import Any

import pytest
import redis as redis_py
from sqlalchemy import Row, event, select

from tests.cases.test_poison import Allergic
from tests.cases.world import World, a_purchase, an_account, with_jobs
from tests.faults import Crash
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import Assessor
from worker.cases.assess.drain import Drain
from worker.cases.effects.effects import Performer
from worker.credits.ledger import JobCredits, Ledger
from worker.errors import TryLater
from worker.intake.accept import Accepted, Desk, Reading
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.notices.outcomes import Outcome, OutcomeStream
from worker.observe import log
from worker.settings import GROUP
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.store.tables import effects, inbox

STREAM = "drained:events"
JOBS = ("job_1", "job_2", "job_3")


@pytest.fixture
def world(store: Store) -> World:
    return with_jobs(store, JOBS)


def drain(world: World, client: redis_py.Redis, *, assessor: Assessor | None = None, performer: Performer | None = None) -> Drain:
    return Drain(client, STREAM, world.desk, assessor or world.assessor, performer or world.performer)


def put(client: redis_py.Redis, *documents: str) -> None:
    for document in documents:
        client.xadd(STREAM, {"event": document})


def pending(client: redis_py.Redis) -> int:
    return int(client.xpending(STREAM, GROUP)["pending"])


def ends(world: World) -> list[str | None]:
    return [world.state(name) for name in JOBS]


def test_drained_batch_is_decided_announced_and_acknowledged(world: World, redis: redis_py.Redis) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    draining = drain(world, redis)
    done = draining.turn()
    assert done is not None
    assert done.handled == 3
    assert ends(world) == ["refunded"] * 3
    assert world.credits() == 100
    assert [note["data"]["job_id"] for note in world.announced()] == list(JOBS)
    assert pending(redis) == 0
    assert draining.turn() is None, "nothing waits"
    assert world.sweep().idle, "nothing is left for the sweep"
    assert len(world.announced()) == 3
    assert world.audit().ok


def test_same_event_twice_in_one_batch_and_again_later_counts_once(world: World, redis: redis_py.Redis) -> None:
    put(redis, world.failed("job_1"), world.failed("job_1"))
    drain(world, redis).turn()
    put(redis, world.failed("job_1"))
    drain(world, redis).turn()
    world.sweep()
    assert world.state("job_1") == "refunded"
    assert world.credits() == 90, "five came back once; the two other jobs still hold theirs"
    assert len(world.announced()) == 1


def test_report_before_its_job_waits_and_is_handled_when_the_job_comes(world: World, redis: redis_py.Redis) -> None:
    put(redis, world.failed("late"))
    drain(world, redis).turn()
    assert world.state("late") == "waiting"
    put(redis, world.submitted("late"))
    drain(world, redis).turn()
    assert world.state("late") == "refunded"


class Deadly(Ledger):
    """The process dies over what it handles, whichever way that came."""

    def booked(self, rows: Iterable[Row[Any]]) -> dict[str, JobCredits]:
        raise Crash


def dying(world: World, client: redis_py.Redis) -> Drain:
    return drain(world, client, assessor=replace(world.assessor, ledger=Deadly()))


def heir(draining: Drain, client: redis_py.Redis) -> Drain:
    """The same, to whom what a dead process held is handed at once."""
    draining._consumer = Consumer(
        client, draining, stream=STREAM, group=GROUP, name="heir", log=log, block_ms=1, reclaim_idle_ms=0, reclaim_every=0.0
    )
    return draining


class Muted(Performer):
    """The process dies after the commit, before anything is announced."""

    def announce_claimed(self, written: Sequence[Record]) -> None:
        raise Crash


def rows(world: World) -> Sequence[tuple[str, int]]:
    """State and attempts of the reports in the inbox."""
    asked = select(inbox.c.state, inbox.c.attempts).where(inbox.c.type == "layer_job.failed")
    return [tuple(row) for row in world.store.read(lambda tx: tx.all(asked))]


def test_first_delivery_is_taken_in_and_handled_in_one_transaction(world: World, redis: redis_py.Redis) -> None:
    put(redis, *(world.failed(name) for name in JOBS), world.failed("late"), "{no json")
    commits: list[str] = []
    event.listen(world.store.engine, "commit", lambda _: commits.append("commit"))
    done = drain(world, redis).turn()
    assert len(commits) == 2, "the work, and what was announced"
    assert done is not None
    assert (done.handled, done.waiting) == (3, 1)
    assert sorted(rows(world)) == [("handled", 1)] * 3 + [("waiting", 1)]
    assert [reason for reason, _ in world.dead()] == ["not_json"]


def test_first_delivery_that_its_process_does_not_survive_comes_again_as_a_counted_row(
    world: World, redis: redis_py.Redis
) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    with pytest.raises(Crash):
        dying(world, redis).turn()
    assert (pending(redis), rows(world)) == (3, [])
    with pytest.raises(Crash):
        heir(dying(world, redis), redis).turn()
    assert (pending(redis), rows(world)) == (0, [("new", 1)] * 3)
    world.clock.pass_(seconds=31)
    world.sweep()
    assert ends(world) == ["refunded"] * 3


def test_death_before_the_work_leaves_claimed_rows_that_come_due_with_the_lease(world: World, redis: redis_py.Redis) -> None:
    put(redis, *(world.failed(name) for name in JOBS))
    for process in (dying(world, redis), heir(dying(world, redis), redis)):
        with pytest.raises(Crash):
            process.turn()
    assert pending(redis) == 0, "what is a row is acknowledged"
    world.sweep()
    assert ends(world) == [None] * 3, "they are somebody's"
    world.clock.pass_(seconds=31)
    world.sweep()
    assert ends(world) == ["refunded"] * 3
    assert rows(world) == [("handled", 2)] * 3, "the death was counted"


def test_death_before_the_announcement_is_made_good_when_the_claim_ends(world: World, redis: redis_py.Redis) -> None:
    put(redis, world.failed("job_1"), world.failed("job_2"))
    muted = Muted(*(getattr(world.performer, name) for name in Performer.__dataclass_fields__))
    with pytest.raises(Crash):
        drain(world, redis, performer=muted).turn()
    world.sweep()
    assert world.announced() == [], "somebody may be announcing it this moment"
    world.clock.pass_(seconds=31)
    world.sweep()
    assert sorted(note["data"]["job_id"] for note in world.announced()) == ["job_1", "job_2"]


class Down(OutcomeStream):
    """Redis is away when the announcement is made."""

    def announce(self, outcomes: Sequence[Outcome]) -> None:
        raise TryLater("Redis", "connection refused")


def test_announcement_that_fails_is_tried_again_by_the_sweep(world: World, redis: redis_py.Redis) -> None:
    put(redis, world.failed("job_1"), world.failed("job_2"))
    down = replace(world.performer, outcomes=Down(world.redis, "refunds:events"))
    with pytest.raises(TryLater):
        drain(world, redis, performer=down).turn()
    world.clock.pass_(minutes=5)
    world.sweep()
    assert len(world.announced()) == 2
    assert {row.state for row in world.store.read(lambda tx: tx.all(select(effects.c.state)))} == {"done"}


def test_poison_in_a_drained_batch_costs_only_itself(store: Store, redis: redis_py.Redis) -> None:
    before = World(store)
    before.load(an_account(), a_purchase())
    before.happen(*(before.submitted(name) for name in ("job_1", "poison", "job_3")))
    world = World(store, ledger=Allergic(), clock=before.clock)
    put(redis, world.failed("job_1"), world.failed("poison"), world.failed("job_3"), "{no json")
    done = drain(world, redis).turn()
    assert done is not None
    assert done.failed == 1
    assert [world.state(name) for name in ("job_1", "poison", "job_3")] == ["refunded", None, "refunded"]
    assert [reason for reason, _ in world.dead()] == ["not_json"]
    for _ in range(8):
        world.clock.pass_(minutes=1)
        world.sweep()
    assert sorted(reason for reason, _ in world.dead()) == ["keeps_failing", "not_json"]


def test_database_away_leaves_the_entries_pending_for_the_next_turn(world: World, redis: redis_py.Redis) -> None:
    outage = [True]

    class Away(Desk):
        def take_in(self, tx: Tx, reading: Reading, left: Set[str]) -> list[Accepted]:
            if outage:
                raise TryLater("the database", "connection refused")
            return super().take_in(tx, reading, left)

    put(redis, world.failed("job_1"))
    away = Drain(redis, STREAM, Away(world.store, world.clock), world.assessor, world.performer)
    with pytest.raises(TryLater):
        away.turn()
    assert pending(redis) == 1
    assert drain(world, redis).turn() is None, "it is the other's until it has been idle"
    outage.clear()
    assert away.turn() is not None
    assert world.state("job_1") == "refunded"


def test_redis_away_is_said_as_such(world: World) -> None:
    nobody = redis_py.Redis(port=1, socket_connect_timeout=0.2)
    with pytest.raises(TryLater, match="Redis"):
        drain(world, nobody).turn()


def test_second_thread_of_a_process_has_nothing_to_do_meanwhile(world: World, redis: redis_py.Redis) -> None:
    put(redis, world.failed("job_1"))
    entered, leave = threading.Event(), threading.Event()

    class Slow(Desk):
        def read(self, entries: Sequence[Entry]) -> Reading:
            entered.set()
            leave.wait(10)
            return super().read(entries)

    draining = Drain(redis, STREAM, Slow(world.store, world.clock), world.assessor, world.performer)
    turns: list[Assessed | None] = []
    first = threading.Thread(target=lambda: turns.append(draining.turn()))
    first.start()
    assert entered.wait(10)
    assert draining.turn() is None
    leave.set()
    first.join(10)
    assert turns[0] is not None
    assert turns[0].handled == 1
