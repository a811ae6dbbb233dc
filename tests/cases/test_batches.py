"""Any number of events in one step: as many statements as for one, no deadlock between steps, a busy account holds up nobody."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from cProfile import Profile
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from sqlalchemy import text

from tests.arena import Arena
from tests.cases.test_drain import STREAM, put
from tests.cases.test_first_hand import handed
from tests.cases.world import START, World, a_job, a_purchase, an_account
from tests.servers import ON_POSTGRES, commands, eventually
from tests.store.rows import statements, waiting_for_locks
from worker.cases.assess.assess import Assessed
from worker.cases.assess.drain import Drain
from worker.cases.assess.first_hand import FirstHand
from worker.cases.assess.surroundings import SERVICE_JOBS
from worker.cases.book.book import Book
from worker.cases.book.load import load_jobs
from worker.credits.ledger import Ledger
from worker.intake.stream import open_stream_client
from worker.notices.outcomes import OutcomeStream
from worker.sandbox.servers import start_redis
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import layer_jobs


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[redis_py.Redis]:
    """A server of its own: what it is asked is asked by us."""
    with start_redis(tmp_path / "redis") as server, open_stream_client(server.url) as client:
        yield client


@pytest.fixture
def patient(store: Store) -> Iterator[Store]:
    """Whose sessions wait for a lock longer than any of these tests."""
    with waiting_for_locks(store, milliseconds=60_000) as made:
        yield made


def stocked(store: Store, jobs: int, *, accounts: int = 1, batch: int = 500) -> World:
    """`jobs` running jobs, dealt to the accounts in turn."""
    world = World(store, batch=batch)
    names = [f"acc_{n}" for n in range(accounts)]
    shop = [record for name in names for record in (an_account(name), a_purchase(f"ord_{name}", name, credits=100_000))]
    world.load(*shop, *(a_job(f"job_{n}", names[n % accounts]) for n in range(jobs)))
    return world


def failures(world: World, numbers: Iterable[int], accounts: int) -> list[str]:
    return [world.failed(f"job_{n}", f"acc_{n % accounts}") for n in numbers]


def test_step_sends_as_many_statements_for_three_hundred_events_as_for_ten(store: Store) -> None:
    world = stocked(store, 310, accounts=100)
    sent: list[list[str]] = []
    for numbers in (range(10), range(10, 310)):
        world.arrive(*failures(world, numbers, 100))
        with statements(store) as meanwhile:
            assert world.assessor.assess().handled == len(numbers)
        sent.append(meanwhile)
    few, many = sent
    assert many == few, "the same statements, to the letter"
    assert len(few) < 30
    assert world.audit().ok


def few_and_many(world: World, client: redis_py.Redis, work: Callable[[range], object]) -> list[Counter[str]]:
    """Does the work for ten jobs and for three hundred: the same statements, to the letter; returns the commands to Redis."""
    sent: list[list[str]] = []
    asked: list[Counter[str]] = []
    for numbers in (range(10, 20), range(20, 320)):
        with statements(world.store) as meanwhile, commands(client) as done:
            work(numbers)
        sent.append(meanwhile)
        asked.append(Counter({name: times for name, times in done.items() if name.split("|")[0] not in BY_THE_CLOCK}))
    few, many = sent
    assert many == few
    assert len(few) < 30
    return asked


BY_THE_CLOCK = {"time", "xautoclaim", "xinfo", "xpending", "xtrim"}
"""What a consumer asks every few seconds, however much it reads."""


def draining(world: World, client: redis_py.Redis) -> Drain:
    """A task process that reads, and has begun."""
    performer = replace(world.performer, outcomes=OutcomeStream(client, "refunds:events"))
    drain = Drain(client, STREAM, world.desk, world.assessor, performer)
    put(client, world.failed("unheard_of"))
    assert drain.turn() is not None
    assert drain.turn() is None
    return drain


def test_draining_sends_as_many_statements_and_reads_for_three_hundred_events_as_for_ten(
    store: Store, redis: redis_py.Redis
) -> None:
    world = stocked(store, 320, accounts=100)
    drain = draining(world, redis)

    def work(numbers: range) -> None:
        put(redis, *failures(world, numbers, 100))
        assert [done.handled for done in iter(drain.turn, None)] == [len(numbers)]

    few, many = few_and_many(world, redis, work)
    # the test's own entries, and an announcement for each
    assert few == {"xreadgroup": 2, "xack": 1, "xadd": 2 * 10}
    assert many == {"xreadgroup": 2, "xack": 1, "xadd": 2 * 300}


def test_entries_at_first_hand_cost_a_read_each_and_the_same_statements(store: Store, redis: redis_py.Redis) -> None:
    world = stocked(store, 320, accounts=100)
    ids = handed(redis, *failures(world, range(320), 100))

    def work(numbers: range) -> None:
        first_hand = FirstHand(redis, STREAM, world.desk, world.assessor)
        assert first_hand.handle([ids[n] for n in numbers]).handled == len(numbers)

    few, many = few_and_many(world, redis, work)
    assert few == {"xrange": 10, "xack": 1}
    assert many == {"xrange": 300, "xack": 1}, "a task is handed one entry"


@ON_POSTGRES
def test_event_alone_is_four_round_trips_up_to_its_commit(store: Store, redis: redis_py.Redis) -> None:
    world = stocked(store, 1)
    first_hand = FirstHand(redis, STREAM, world.desk, world.assessor)
    with statements(store) as sent:
        assert first_hand.handle(handed(redis, world.failed("job_0", "acc_0"))).handled == 1
    assert len(sent) == 4, "taken in, its account locked, all read that is known, all written"


@ON_POSTGRES
def test_batch_reads_no_more_of_tables_that_have_grown(store: Store) -> None:
    """Also where Postgres does not know yet that they have: it takes a kind of cases for few, until somebody counts them."""
    world = stocked(store, 2_000, accounts=200)
    world.happen(*failures(world, range(1_500), 200))
    few = [f"job_{n}" for n in range(1_480, 1_520)]
    names = ("layer_jobs", "reruns", "cases")
    rows = text("select relname, seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = any(:names)")

    def so_far(tx: Tx) -> Counter[str]:
        return Counter({row[0]: row[1] for row in tx.connection.execute(rows, {"names": list(names)})})

    def look(tx: Tx) -> Counter[str]:
        book, before = Book(world.clock.now()), so_far(tx)
        load_jobs(tx, book, few, Ledger())
        assert (len(book.jobs), len(book.cases)) == (40, 20)
        return so_far(tx) - before

    read = store.write(look)
    assert read["layer_jobs"] >= 40
    assert {name: n for name, n in read.items() if n > 3 * len(few)} == {}


def test_desk_sends_as_many_statements_for_three_hundred_entries_as_for_ten(store: Store, redis: redis_py.Redis) -> None:
    world = stocked(store, 320, accounts=100)
    assert few_and_many(world, redis, lambda numbers: world.arrive(*failures(world, numbers, 100))) == [Counter()] * 2
    again: list[int] = []
    for numbers in (range(10, 20), range(20, 320)):
        with statements(store) as meanwhile:
            assert world.arrive(*failures(world, numbers, 100)) == []
        again.append(len(meanwhile))
    assert again[0] == again[1] < 5, "what comes again is compared with what stands, all in one look"


@pytest.mark.parametrize(("waiting", "taken"), [(1, [1]), (49, [49]), (50, [50]), (120, [50, 50, 20])])
def test_batch_is_as_large_as_what_waits_up_to_its_limit(
    store: Store, redis: redis_py.Redis, waiting: int, taken: list[int]
) -> None:
    world = stocked(store, 2 * waiting + 1, accounts=20, batch=50)
    drain = draining(world, redis)
    put(redis, *failures(world, range(waiting), 20))
    with commands(redis) as asked:
        drained = [done.handled for done in iter(drain.turn, None)]
    assert (drained, asked["xreadgroup"], asked["xack"]) == (taken, len(taken) + 1, len(taken)), "the last read finds nothing"

    world.arrive(*failures(world, range(waiting, 2 * waiting), 20))
    assert [done.handled for done in iter(world.assessor.assess, Assessed())] == taken


def somebody_waits(store: Store) -> bool:
    """Whether a session waits for another's lock."""
    waiting = text("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
    with store.engine.connect() as fresh:
        return bool(fresh.execute(waiting).scalar_one())


@ON_POSTGRES
def test_account_that_is_held_holds_up_nobody_who_has_nothing_in_its_batch(store: Store, patient: Store) -> None:
    """Who has waits along, until it is clear that the account is held (`test_held.py`)."""
    world = stocked(patient, 50, accounts=5, batch=20)
    world.load(an_account("acc_hot"), a_purchase("ord_hot", "acc_hot"), *(a_job(f"hot_{n}", "acc_hot") for n in range(10)))
    by_account = sorted(range(50), key=lambda n: n % 5)
    world.arrive(*(world.failed(f"hot_{n}", "acc_hot") for n in range(10)), *failures(world, by_account, 5))
    hold = text("select account_id from accounts where account_id = 'acc_hot' for update")
    with ThreadPoolExecutor(1) as other, store.engine.connect() as holder:
        assert holder.execute(hold).all() == [("acc_hot",)]
        step = other.submit(world.assessor.assess)
        assert eventually(lambda: somebody_waits(store))
        assert [world.assessor.assess().handled for _ in range(3)] == [20, 20, 0], "those of its batch are claimed"
        assert [world.state(f"job_{n}") for n in range(50)].count("refunded") == 40
        assert not step.done()
        holder.rollback()
        assert step.result(30).handled == 20
    world.sweep()
    states = Counter(world.state(job) for job in (*(f"job_{n}" for n in range(50)), *(f"hot_{n}" for n in range(10))))
    assert states == {"refunded": 60}
    assert world.audit().ok


@ON_POSTGRES
def test_step_that_waits_for_an_account_holds_none_that_comes_after_it(store: Store) -> None:
    """All take accounts in one order: whoever waits holds only what comes before, so no two can wait for one another."""
    world = stocked(store, 48, accounts=24)
    world.arrive(*reversed(failures(world, range(48), 24)))
    lock = "select account_id from accounts where account_id {} 'acc_0' for update skip locked"
    with ThreadPoolExecutor(1) as other, store.engine.connect() as first, store.engine.connect() as looker:
        assert first.execute(text(lock.format("="))).all() == [("acc_0",)]
        step = other.submit(world.assessor.assess)
        assert eventually(lambda: somebody_waits(store))
        assert len(looker.execute(text(lock.format("<>"))).all()) == 23
        looker.rollback()
        first.rollback()
        assert step.result(30).handled == 48
    assert world.audit().ok


@ON_POSTGRES
def test_step_that_waited_for_an_account_decides_on_what_was_committed_meanwhile(store: Store) -> None:
    world = stocked(store, 5)
    world.happen(*(world.succeeded(f"job_{n}", "acc_0") for n in range(1, 5)))
    world.arrive(world.failed("job_0", "acc_0"))
    meanwhile = text("update accounts set reversals_today = 20, reversals_day = :day where account_id = 'acc_0'")
    with ThreadPoolExecutor(1) as other, store.engine.connect() as first:
        first.execute(meanwhile, {"day": world.clock.now().date()})
        step = other.submit(world.assessor.assess)
        assert eventually(lambda: somebody_waits(store))
        first.commit()
        assert step.result(30).handled == 1
    assert world.state("job_0") == "review", "the day's limit was reached while it waited"


def test_service_is_judged_by_its_latest_ten_thousand_jobs_however_many_ended(store: Store) -> None:
    """What a batch of a busy account reads stays bounded in a storm of millions."""
    world = stocked(store, 21)
    job = {"account_id": "acc_0", "paid_with": "subscription", "price": 0, "undebited": False, "reports": [], "downloads": 0}
    ended = [
        {**job, "job_id": f"{status}_{n}", "status": status, "ended_at": world.clock.now() - timedelta(minutes=minutes)}
        for status, minutes in (("failed", 40), ("succeeded", 20))
        for n in range(SERVICE_JOBS)
    ]
    store.write(lambda tx: tx.insert(layer_jobs, ended))
    world.happen(*failures(world, range(21), 1))
    assert Counter(world.state(f"job_{n}") for n in range(21)) == {"refunded": 20, "review": 1}


def test_event_of_its_own_task_is_handled_before_a_thousand_of_a_busy_account(store: Store) -> None:
    world = stocked(store, 400, batch=50)
    world.load(an_account("acc_quiet"), a_purchase("ord_quiet", "acc_quiet"), a_job("job_quiet", "acc_quiet"))
    world.arrive(*failures(world, range(400), 1))
    [quiet] = world.arrive(world.failed("job_quiet", "acc_quiet"))
    world.assessor.assess([quiet.inbox_id])
    assert world.state("job_quiet") == "refunded"


@pytest.mark.parametrize("poison_at", [0, 37, 99])
def test_batch_with_one_unreadable_event_handles_the_other_ninety_nine(store: Store, poison_at: int) -> None:
    world = stocked(store, 100, accounts=20)
    documents = failures(world, range(100), 20)
    documents[poison_at] = documents[poison_at].replace('"attempt":1', '"attempt":-1')
    world.happen(*documents)
    states = [world.state(f"job_{n}") for n in range(100)]
    assert states.count("refunded") == 99
    assert states[poison_at] is None
    assert len(world.dead()) == 1


def bought(numbers: Iterable[int], *, product: str = "prod_{}", hours: int = 25, credits: int = 1) -> list[dict[str, Any]]:
    """Purchases of one customer, one after another."""
    return [
        a_purchase(
            f"ord_{n}",
            credits=credits,
            paid_at=(START - timedelta(days=2_000) + n * timedelta(hours=hours)).isoformat(),
            customer_id="cust_1",
            product_id=product.format(n),
            transaction_id=f"tran_{n}",
        )
        for n in numbers
    ]


def jobs(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [a_job(f"job_{n}", credits=1) for n in numbers]


def calls(work: Callable[[], object]) -> int:
    """How many functions are called meanwhile: what is looked at, whatever it takes."""
    counting = Profile()
    counting.runcall(work)
    return sum(line.callcount for line in counting.getstats())


OF_ONE_ACCOUNT: dict[str, Callable[[range], tuple[list[dict[str, Any]], list[dict[str, Any]]]]] = {
    "the same bought again and again": lambda n: ([], bought(n, product="prod")),
    "charged again and again": lambda n: ([], bought(n, product="prod", hours=0)),
    "jobs on a lot each": lambda n: (bought(n), jobs(n)),
    "jobs that wait for a lot each": lambda n: (jobs(n), bought(n)),
}


@pytest.mark.parametrize("history", OF_ONE_ACCOUNT.values(), ids=OF_ONE_ACCOUNT)
def test_batch_of_one_account_costs_four_times_as_much_for_four_times_as_many(
    arena: Arena, history: Callable[[range], tuple[list[dict[str, Any]], list[dict[str, Any]]]]
) -> None:
    """Once each purchase was compared with all of its account, and each debit looked at every lot."""
    needed: dict[int, int] = {}
    for many in (75, 75, 300):
        with arena.empty() as store:
            world = World(store)
            before, then = history(range(many))
            world.load(an_account(), *before)
            # what is built once for all is built in the first round
            needed[many] = calls(partial(world.load, *then))
            assert world.audit().ok
    assert needed[300] < 4.5 * needed[75]


def test_purchases_of_other_things_make_the_next_ones_of_their_account_no_dearer(arena: Arena) -> None:
    """Once each batch read all charges of the customer and all lots of the account, and an account of thousands never ended."""
    with arena.empty() as store:
        world = World(store)
        world.load(an_account())
        needed = [calls(partial(world.load, *bought(range(n, n + 50)))) for n in range(0, 500, 50)]
        assert needed[-1] < 1.1 * needed[1]
