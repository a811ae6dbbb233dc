"""Servers killed or standing still under those who use them, and back again: nothing lost, nobody restarted."""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from sqlalchemy import event, select

from tests.cases.world import World, a_purchase, an_account
from tests.intake.readers import GROUP, STREAM, Inbox, Log, running
from tests.postgres import start_postgres
from tests.scenarios.system import descendants
from tests.servers import ON_SQLITE, eventually
from worker.errors import TryLater
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.stream import backlog, open_stream_client
from worker.sandbox.servers import Running, RunningRedis, start_redis
from worker.store.engine import Store
from worker.store.schema import upgrade
from worker.store.tables import inbox as rows


@pytest.fixture
def server(tmp_path: Path) -> RunningRedis:
    return start_redis(tmp_path / "redis")


@contextmanager
def frozen(server: Running) -> Iterator[None]:
    """The server stands still with all its processes; its connections stay open and say nothing."""
    pids = [server.pid, *descendants(server.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def held_at(store: Store, name: str, nth: int) -> tuple[Event, Event]:
    """Holds the next transaction of the store at the nth event of that name: what says that it is there, and what lets it go."""
    reached, goes_on = Event(), Event()
    passed = count(1)

    def hold(*_: Any) -> None:
        if next(passed) == nth:
            reached.set()
            goes_on.wait(10)

    event.listen(store.engine, name, hold)
    return reached, goes_on


def add(server: RunningRedis, documents: list[str]) -> set[bytes]:
    with open_stream_client(server.url) as producer:
        # the promise under test is about entries that Redis has on disk (WAITAOF would say so, from 7.2 on)
        producer.config_set("appendfsync", "always")
        for document in documents:
            producer.xadd(STREAM, {"event": document})
    return {document.encode() for document in documents}


def test_a_killed_and_restarted_redis_loses_no_entry_and_needs_no_restart_of_the_consumer(server: RunningRedis) -> None:
    inbox, log = Inbox(), Log()
    consumer = Consumer(
        open_stream_client(server.url), inbox, stream=STREAM, group=GROUP, name="one", log=log, read_count=7, block_ms=100
    )
    with server, running(consumer):
        sent = add(server, [f"before-{n}" for n in range(200)])
        assert eventually(lambda: len(inbox.kept) > 20)
        for round in range(3):
            server.kill()
            assert eventually(lambda: "intake.held_up" in log.events("warning"))
            server.restart()
            sent |= add(server, [f"{round}-{n}" for n in range(200)])
        assert eventually(lambda: set(inbox.documents) == sent, within=15)
        with open_stream_client(server.url) as client:
            assert eventually(lambda: backlog(client, STREAM, GROUP).pending == 0)
    assert "intake.goes_on" in log.events("info")


def test_a_redis_that_comes_later_is_waited_for(server: RunningRedis) -> None:
    inbox, log = Inbox(), Log()
    server.kill()
    consumer = Consumer(open_stream_client(server.url), inbox, stream=STREAM, name="one", log=log, block_ms=100)
    with server, running(consumer):
        assert eventually(lambda: log.events("warning") == ["intake.held_up"])
        server.restart()
        sent = add(server, ["a", "b"])
        assert eventually(lambda: set(inbox.documents) == sent)


def test_a_redis_that_takes_no_writes_is_waited_out(server: RunningRedis) -> None:
    # out of memory: reading for a group writes too, so it is refused until there is room again
    inbox, log = Inbox(), Log()
    with server, open_stream_client(server.url) as client:
        add(server, ["a"])
        client.config_set("maxmemory", "1")
        consumer = Consumer(open_stream_client(server.url), inbox, stream=STREAM, name="one", log=log, block_ms=100)
        with running(consumer):
            assert eventually(lambda: log.events("warning") == ["intake.held_up"])
            client.config_set("maxmemory", "0")
            assert eventually(lambda: inbox.documents == [b"a"])


@contextmanager
def one_that_waits(server: RunningRedis) -> Iterator[tuple[Any, Inbox, Log]]:
    """A consumer that has read "a" and waits for more: a client of its Redis, its inbox and what it said."""
    inbox, log = Inbox(), Log()
    consumer = Consumer(open_stream_client(server.url), inbox, stream=STREAM, name="one", log=log, block_ms=1_000)
    with server, open_stream_client(server.url) as client, running(consumer):
        add(server, ["a"])
        assert eventually(lambda: inbox.documents == [b"a"])
        yield client, inbox, log


def test_a_flush_while_the_consumer_waits_is_noticed(server: RunningRedis) -> None:
    with one_that_waits(server) as (client, inbox, _):
        client.flushall()
        add(server, ["b"])
        assert eventually(lambda: inbox.documents == [b"a", b"b"])


def test_redis_that_becomes_a_replica_while_the_consumer_waits_has_not_lost_the_group(server: RunningRedis) -> None:
    """A failover ends the read that waits: nothing is made again, and nobody is told that it is."""
    with one_that_waits(server) as (client, inbox, log):
        assert eventually(lambda: client.info("clients")["blocked_clients"] == 1)
        client.replicaof("127.0.0.1", "1")
        assert eventually(lambda: "intake.held_up" in log.events("warning"))
        client.replicaof("NO", "ONE")
        add(server, ["b"])
        assert eventually(lambda: inbox.documents == [b"a", b"b"])
    assert set(log.events("warning")) == {"intake.held_up"}


def test_the_clients_own_retries_are_off(server: RunningRedis) -> None:
    with server, open_stream_client(server.url) as client:
        client.ping()
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()


@pytest.mark.landing
@ON_SQLITE
def test_a_redis_that_stands_still_for_seconds_loses_and_doubles_nothing(server: RunningRedis, store: Store) -> None:
    world, log = World(store), Log()
    jobs = [(f"job_{n}", f"acc_{n % 4}") for n in range(60)]
    world.load(*(record for n in range(4) for record in (an_account(f"acc_{n}"), a_purchase(f"ord_{n}", f"acc_{n}"))))

    class Accepting:
        def accept(self, entries: Sequence[Entry]) -> None:
            world.desk.accept(entries)

    def taken_in() -> int:
        return len(store.read(lambda tx: tx.all(select(rows.c.id).where(rows.c.stream_id.is_not(None)))))

    consumer = Consumer(
        open_stream_client(server.url), Accepting(), stream=STREAM, group=GROUP, name="one", log=log, read_count=3, block_ms=100
    )
    with server, open_stream_client(server.url) as client:
        add(server, [world.submitted(*job) for job in jobs])
        with running(consumer):
            assert eventually(lambda: taken_in() > 6)
            with frozen(server):
                assert eventually(lambda: "intake.held_up" in log.events("warning")), "it is not waited for without end"
            add(server, [world.failed(*job) for job in jobs])
            assert eventually(lambda: taken_in() == 120, within=15)
            assert eventually(lambda: backlog(client, STREAM, GROUP).pending == 0)
    assert log.events("info") == ["intake.goes_on"]
    world.sweep()
    assert world.digest() == sorted((job, "refunded", 5, 0) for job, _ in jobs)
    assert world.dead() == []
    assert world.audit().breaches == []


PLACES = {
    "before the claim": ("before_cursor_execute", 1),
    "in the work": ("before_cursor_execute", 4),
    "at the commit": ("commit", 2),
}


@pytest.mark.landing
def test_a_postgres_that_stands_still_anywhere_in_a_step_is_waited_for_and_each_step_ends_once() -> None:
    """New connections give up in time meanwhile; those that wait within a transaction go on with it."""
    with start_postgres(durable=False) as server, ExitStack() as stack:
        store, other, *theirs = [stack.enter_context(closing(Store(server.url))) for _ in range(2 + len(PLACES))]
        upgrade(store)
        world = World(store, batch=3)
        jobs = [(f"job_{n}", f"acc_{n // 3}") for n in range(9)]
        world.load(*(record for n in range(3) for record in (an_account(f"acc_{n}"), a_purchase(f"ord_{n}", f"acc_{n}"))))
        world.happen(*(world.submitted(*job) for job in jobs))
        came = [row.inbox_id for row in world.arrive(*(world.failed(*job) for job in jobs))]
        held = [held_at(one, *place) for one, place in zip(theirs, PLACES.values(), strict=True)]
        with ThreadPoolExecutor() as pool:
            steps = [
                pool.submit(replace(world.assessor, store=one).assess, came[3 * n : 3 * n + 3]) for n, one in enumerate(theirs)
            ]
            assert all(reached.wait(10) for reached, _ in held)
            with frozen(server):
                for _, goes_on in held:
                    goes_on.set()
                with pytest.raises(TryLater, match="the database is not reachable"):
                    pool.submit(other.read, lambda tx: tx.all(select(1))).result(10)
                assert not any(step.done() for step in steps)
            assert [step.result(10).handled for step in steps] == [3, 3, 3]
        world.sweep()
        assert world.digest() == [(job, "refunded", 5, 0) for job, _ in jobs]
        tried = store.read(lambda tx: tx.all(select(rows.c.attempts).where(rows.c.id.in_(came))))
        assert [row.attempts for row in tried] == [1] * 9, "nothing was begun twice"
        assert world.dead() == []
        assert world.audit().breaches == []
