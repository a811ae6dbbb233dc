"""An account whose row somebody holds, by hand or by standing still, costs its own events a delay and nobody else's anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis as redis_py
from sqlalchemy import event, select, text, update

from tests.cases.test_drain import drain, pending, put
from tests.cases.test_first_hand import first_hand, handed
from tests.cases.world import World, a_job, a_purchase, an_account
from tests.servers import ON_POSTGRES
from tests.store.rows import statements, waiting_for_locks
from worker.cases.assess.assessor import HELD_FOR
from worker.errors import LockedOut
from worker.store.engine import Store
from worker.store.tables import cases, effects, inbox

pytestmark = ON_POSTGRES
HELD, OTHERS = "acc_held", [f"acc_{n}" for n in range(4)]
LEFT = [f"left_{n}" for n in range(3)]
JOBS = [f"job_{n}" for n in range(8)]


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    """Every account has jobs that run. Nobody waits for a lock longer than a quarter of a second."""
    with waiting_for_locks(store, milliseconds=250) as hasty:
        made = World(hasty)
        names = [HELD, *OTHERS]
        made.load(*(record for name in names for record in (an_account(name), a_purchase(f"ord_{name}", name))))
        made.load(*(a_job(job, HELD) for job in LEFT), *(a_job(job, OTHERS[n % 4]) for n, job in enumerate(JOBS)))
        yield made


@contextmanager
def held(store: Store, *account_ids: str) -> Iterator[None]:
    """Somebody has looked at the rows `for update` and gone to lunch."""
    with store.engine.connect() as lunch:
        lunch.execute(text("select 1 from accounts where account_id = any(:ids) for update"), {"ids": list(account_ids)})
        yield
        lunch.rollback()


def news(world: World) -> list[str]:
    """A failure of every job, those of the held account between the others."""
    left = [world.failed(job, HELD) for job in LEFT]
    return [*left[:2], *(world.failed(job, OTHERS[n % 4]) for n, job in enumerate(JOBS)), *left[2:]]


def states(world: World, jobs: list[str]) -> set[str | None]:
    return {world.state(job) for job in jobs}


def uncounted(world: World) -> set[tuple[str, int]]:
    """State and attempts of the failures of the held account."""
    failures = select(inbox).where(inbox.c.account_id == HELD, inbox.c.type == "layer_job.failed")
    rows = world.store.read(lambda tx: tx.all(failures))
    return {(row.state, row.attempts) for row in rows}


def comes_to_its_end(world: World) -> None:
    """The held ones were left uncounted, and are made good like everybody once they can be."""
    assert states(world, JOBS) == {"refunded"}
    assert states(world, LEFT) == {None}
    assert uncounted(world) == {("new", 0)}
    world.clock.at += HELD_FOR
    world.sweep()
    assert states(world, LEFT) == {"refunded"}
    assert world.audit().ok


def test_others_of_its_batch_are_handled_and_its_own_wait_uncounted(world: World, store: Store) -> None:
    world.arrive(*news(world))
    with held(store, HELD):
        done = world.assessor.assess()
        assert (done.handled, done.failed, done.dead) == (len(JOBS), len(LEFT), 0)
    comes_to_its_end(world)


def test_drain_goes_on_beside_it(world: World, store: Store, redis: redis_py.Redis) -> None:
    put(redis, *news(world))
    with held(store, HELD):
        done = drain(world, redis).turn()
        assert done is not None
        assert (done.handled, done.failed, pending(redis)) == (len(JOBS), len(LEFT), 0)
    comes_to_its_end(world)


def test_backlog_beside_it_is_waited_for_once_and_then_handled_at_once(world: World, store: Store, redis: redis_py.Redis) -> None:
    waited, commits = list[object](), list[object]()
    event.listen(world.store.engine, "handle_error", lambda context: waited.append(context))
    event.listen(world.store.engine, "commit", lambda connection: commits.append(connection))
    draining = drain(world, redis)
    with held(store, HELD):
        for left, others in zip(LEFT, (JOBS[:3], JOBS[3:6], JOBS[6:]), strict=True):
            put(redis, world.failed(left, HELD), *(world.failed(job, OTHERS[JOBS.index(job) % 4]) for job in others))
            commits.clear()
            done = draining.turn()
            assert done is not None
            assert (done.handled, done.failed, pending(redis)) == (len(others), 1, 0)
            assert len(commits) == 3, "a look who is held, the work, and what was announced"
    assert len(waited) == 1
    comes_to_its_end(world)


def test_event_of_it_alone_is_taken_in_and_left(world: World, store: Store, redis: redis_py.Redis) -> None:
    world.happen(*(world.failed(job, OTHERS[n % 4]) for n, job in enumerate(JOBS)))
    with held(store, HELD):
        for job in LEFT:
            done = first_hand(world, redis).handle(handed(redis, world.failed(job, HELD)))
            assert (done.handled, done.failed) == (0, 1)
        assert pending(redis) == 0
    comes_to_its_end(world)


def test_who_is_known_to_be_held_is_not_waited_for_again(world: World, store: Store) -> None:
    with held(store, HELD):
        world.arrive(world.failed(LEFT[0], HELD))
        world.assessor.assess()
        for n, job in enumerate(JOBS[:2]):
            world.arrive(world.failed(LEFT[1 + n], HELD), world.failed(job, OTHERS[n]))
            with statements(world.store) as sent:
                assert world.assessor.assess().handled == 1
            waiting = [one for one in sent if "accounts" in one and one.endswith("FOR UPDATE")]
            assert len(waiting) == 1, "for the other's account only"
    world.clock.at += timedelta(seconds=5)
    world.happen(*(world.failed(job, OTHERS[n % 4]) for n, job in enumerate(JOBS) if n > 1))
    assert states(world, [*LEFT, *JOBS]) == {"refunded"}
    assert world.assessor.held == set()
    assert world.audit().ok


def test_job_that_is_named_is_judged_as_soon_as_its_account_is_free(world: World, store: Store) -> None:
    """Reconcile names jobs: that an account was held once keeps no later look from it."""
    with held(store, HELD):
        world.arrive(world.failed(LEFT[0], HELD))
        world.assessor.assess()
        with pytest.raises(LockedOut):
            world.assessor.judge_jobs([(LEFT[0], HELD)])
    assert world.assessor.held == {HELD}
    assert world.assessor.judge_jobs([(LEFT[0], HELD)]).moves == []


def test_cases_of_others_whose_time_has_come_are_judged(world: World, store: Store) -> None:
    early = [world.failed(f"early_{n}", account) for n, account in enumerate([HELD, *OTHERS])]
    world.happen(*early)
    names = [f"early_{n}" for n in range(len(early))]
    assert states(world, names) == {"waiting"}
    world.clock.pass_(days=30)
    with held(store, HELD):
        world.sweeper.sweep()
        assert [world.state(name) for name in names] == ["waiting", *["review"] * len(OTHERS)]
    world.sweep()
    assert states(world, names) == {"review"}


def test_due_cases_of_a_held_account_take_no_place_from_those_of_others(store: Store) -> None:
    with waiting_for_locks(store, milliseconds=250) as hasty:
        world = World(hasty, batch=2)
        world.load(an_account(HELD), an_account("acc_0"))
        mine = [f"mine_{n}" for n in range(3)]
        world.happen(*(world.failed(name, HELD) for name in mine))
        world.happen(world.failed("later", "acc_0"))
        world.clock.pass_(days=30)
        with held(store, HELD):
            world.sweeper.sweep()
            assert states(world, [*mine, "later"]) == {"waiting"}, "the first two are found, and left"
            world.sweeper.sweep()
            assert states(world, mine) == {"waiting"}
            assert world.state("later") == "review"
        # nothing else is due that would make it look
        for _ in range(2):
            world.sweeper.sweep()
        assert states(world, mine) == {"review"}


def test_lock_on_something_else_gives_everything_back(world: World, store: Store) -> None:
    world.arrive(*news(world))
    with store.engine.connect() as other:
        other.execute(text("lock table accounts in access exclusive mode"))
        with pytest.raises(LockedOut, match="another session holds"):
            world.assessor.assess()
        other.rollback()
    assert uncounted(world) == {("new", 0)}
    world.sweep()
    assert states(world, [*LEFT, *JOBS]) == {"refunded"}
    assert world.audit().ok


def test_case_that_is_held_while_its_promise_is_late_holds_back_nobodys_rerun(world: World) -> None:
    world.happen(world.incomplete(LEFT[0], HELD))
    late = {"warn_at": world.clock.now() - timedelta(seconds=1), "next_action_at": None}
    world.store.write(lambda tx: tx.connection.execute(update(cases).where(cases.c.subject == LEFT[0]).values(late)).rowcount)
    world.arrive(world.incomplete(JOBS[0], OTHERS[0]))
    asked = select(effects.c.state).where(effects.c.job_id == JOBS[0])
    with world.store.engine.connect() as lunch:
        lunch.execute(text("select 1 from cases where subject = :job for update"), {"job": LEFT[0]})
        world.clock.pass_(seconds=30)
        world.sweep()
        assert [row.state for row in world.store.read(lambda tx: tx.all(asked))] == ["done"]
        lunch.rollback()
