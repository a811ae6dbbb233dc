"""Many threads on one job, and batches over the same accounts in opposite orders: one reversal each, and nobody meets an error.

Threads share the connections of a few processes, as in production; each handles a row or an entry of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, select

from tests.cases.test_held import held
from tests.cases.world import World, a_purchase, an_account
from tests.servers import ON_POSTGRES
from tests.store.rows import before, waiting_for_locks
from tests.threads import at_once
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import Assessor
from worker.errors import LockedOut
from worker.intake.accept import Desk
from worker.intake.entry import Entry
from worker.store.engine import Store
from worker.store.tables import accounts, case_history, cases, inbox

Work = Callable[[], Assessed | None]
ENTRY = count(1)


class Crowd:
    """A world whose steps several processes take, each with connections of its own."""

    def __init__(self, store: Store, *, processes: int, batch: int) -> None:
        self.world = World(store, batch=batch)
        self.stores = [Store(store.url) for _ in range(processes)]
        self.undone: list[str] = []
        """What the database refused, and every transaction that had to begin again."""
        for one in self.stores:
            event.listen(one.engine, "handle_error", lambda context: self.undone.append(repr(context.original_exception)))
            event.listen(one.engine, "rollback", lambda _: self.undone.append("rolled back"))

    def assessor(self, number: int) -> Assessor:
        return replace(self.world.assessor, store=self.stores[number % len(self.stores)])

    def handles(self, number: int, documents: Sequence[str]) -> Work:
        """A thread that handles rows that came in before."""
        ids = [row.inbox_id for row in self.world.arrive(*documents)]
        return partial(self.assessor(number).assess, ids)

    def takes_in(self, number: int, documents: Sequence[str]) -> Work:
        """A thread that takes entries in and handles them in one transaction."""
        entries = [Entry(f"{next(ENTRY)}-1", raw, {b"event": raw}) for raw in (document.encode() for document in documents)]
        assessor = self.assessor(number)
        return partial(assessor.at_once, Desk(assessor.store, self.world.clock), entries)

    def left(self) -> list[tuple[str, int, str | None]]:
        """Rows that were not handled at the first attempt."""
        asked = select(inbox.c.state, inbox.c.attempts, inbox.c.last_error).where(
            (inbox.c.state != "handled") | (inbox.c.attempts != 1)
        )
        return [tuple(row) for row in self.world.store.read(lambda tx: tx.all(asked.where(inbox.c.source == "/image-pipeline")))]


@contextmanager
def crowd(store: Store, *, processes: int, batch: int = 1) -> Iterator[Crowd]:
    made = Crowd(store, processes=processes, batch=batch)
    try:
        yield made
    finally:
        for one in made.stores:
            one.close()


def dither(store: Store, chance: Random, share: float, most: float) -> None:
    """Lets the server pause before a share of the statements, up to so many seconds, wherever they stand in a transaction."""

    def pause(connection: Any, *_: Any) -> None:
        if chance.random() < share:
            with connection.connection.cursor() as cursor:
                cursor.execute("select pg_sleep(%s)", [chance.uniform(0, most)])

    event.listen(store.engine, "before_cursor_execute", pause)


def threads_on_one_job(made: Crowd, threads: int, rounds: int) -> None:
    world = made.world
    world.load(an_account(), a_purchase(credits=100))
    for turn in range(rounds):
        world.clock.pass_(days=1)  # the limit of reversals a day is another test's
        job = f"job_{turn}"
        world.happen(world.submitted(job))
        # half of them in rows that came before, half from the stream; every fourth is told what its neighbour is told
        said = [world.failed(job, id=f"{job}-{n - 2 if n % 4 == 3 else n}") for n in range(threads)]
        works = [(made.takes_in if n % 2 else made.handles)(n, [document]) for n, document in enumerate(said)]
        done = at_once(*works)
        assert None not in done, "nothing stood in anybody's way"
        moves = [(move.state, move.credits) for one in done if one for move in one.moves]
        assert moves == [("refunded", 5)], f"round {turn}"
        assert made.left() == []
    assert world.credits() == 100
    assert world.dead() == []
    assert world.audit().breaches == []


def test_sixteen_threads_on_one_job_give_its_credits_back_once(store: Store) -> None:
    with crowd(store, processes=2) as made:
        threads_on_one_job(made, 16, 12 if store.dialect == "postgresql" else 3)
        assert made.undone == [], "each waited for its turn, none had to begin again"


def test_sixteen_jobs_of_one_account_at_once_are_each_taken_given_back_and_counted(store: Store) -> None:
    with crowd(store, processes=2, batch=2) as made:
        world = made.world
        world.load(an_account(), *(a_purchase(f"ord_{n}", credits=20) for n in range(4)))
        jobs = [f"job_{n}" for n in range(16)]
        works = [(made.handles, made.takes_in)[n % 2](n, [world.failed(job), world.submitted(job)]) for n, job in enumerate(jobs)]
        at_once(*works)
        assert [world.state(job) for job in jobs] == ["refunded"] * 16
        assert world.store.read(lambda tx: tx.all(select(accounts.c.reversals_today))) == [(16,)]
        world.clock.pass_(minutes=1)
        world.sweep()  # tells what the threads left claimed for themselves to tell
        assert world.credits() == 80
        assert made.left() == []
        assert world.audit().breaches == []
        assert made.undone == []


@ON_POSTGRES  # SQLite has one writer at a time
@pytest.mark.parametrize("way", [Crowd.handles, Crowd.takes_in], ids=["from_rows", "from_the_stream"])
def test_batches_over_the_same_jobs_in_opposite_orders_give_each_back_once(
    store: Store, way: Callable[[Crowd, int, Sequence[str]], Work]
) -> None:
    jobs, batches = 24, 4
    with crowd(store, processes=2, batch=jobs) as made:
        world = made.world
        world.load(*(record for n in range(jobs) for record in (an_account(f"acc_{n}"), a_purchase(f"ord_{n}", f"acc_{n}"))))
        for turn in range(2):
            names = [(f"job_{turn}_{n}", f"acc_{n}") for n in range(jobs)]
            world.happen(*(world.submitted(job, account) for job, account in names))
            works = []
            for n in range(batches):
                said = [world.failed(job, account, id=f"{job}-{n}") for job, account in names]
                works.append(way(made, n, said[:: 1 if n % 2 else -1]))
            done = at_once(*works)
            assert None not in done, "nothing stood in anybody's way"
            moved = sorted(move.subject for one in done if one for move in one.moves)
            assert moved == sorted(job for job, _ in names)
            assert made.left() == []
        assert [world.credits(f"acc_{n}") for n in range(jobs)] == [100] * jobs
        assert world.dead() == []
        assert world.audit().breaches == []
        assert made.undone == [], "all lock in one order"


@ON_POSTGRES
def test_share_of_the_promise_that_went_by_while_its_case_was_judged_is_noted_once(store: Store) -> None:
    with crowd(store, processes=1, batch=10) as made:
        world = made.world
        world.load(an_account(), a_purchase())
        world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.failed("job_1"))
        case = world.store.read(lambda tx: tx.all(select(cases)))[0]
        assert (case.state, case.warn_at > case.next_action_at) == ("review", True), "both are due at once"
        world.clock.at = case.warn_at
        other = replace(world.sweeper, store=made.stores[0])
        with before(store, "UPDATE cases", other._watch_promises):
            world.assessor.wake([case.case_id])
        world.sweep()
        noted = select(case_history.c.detail).where(case_history.c.event == "promise.warned")
        assert [row.detail["percent"] for row in world.store.read(lambda tx: tx.all(noted))] == [50]


@ON_POSTGRES
def test_case_is_put_back_by_nobody_while_another_has_its_account_in_hand(store: Store) -> None:
    with waiting_for_locks(store, milliseconds=250) as hasty:
        world = World(hasty)
        world.load(an_account(), a_purchase())
        world.arrive(world.submitted("job_1"), world.failed("job_1"))
        world.assessor.assess()
        with held(store, "acc_1"), pytest.raises(LockedOut):
            world.requeuer.requeue("job_1", by="ada", reason="announce it")


@pytest.mark.nightly
@ON_POSTGRES
def test_sixty_four_threads_that_pause_anywhere_give_its_credits_back_once(store: Store) -> None:
    with crowd(store, processes=8) as made:
        for number, one in enumerate(made.stores):
            dither(one, Random(number), share=0.1, most=0.01)
        threads_on_one_job(made, 64, 60)
        assert made.undone == []
