"""Which Redis feeds a database is known from its marks, and one that was exchanged is none."""

from datetime import datetime, timedelta

from sqlalchemy import select

from tests.store.rows import NOON
from worker.store import feeders
from worker.store.engine import Store
from worker.store.tables import leases


def mark(store: Store, redis: str, now: datetime) -> None:
    store.write(lambda tx: feeders.mark(tx, redis, f"an intake, {redis}", now))


def beside(store: Store, redis: str | None, now: datetime) -> list[str]:
    return [one.redis for one in store.read(lambda tx: feeders.others(tx, redis, now))]


def test_two_that_feed_one_database_find_each_other(store: Store) -> None:
    now = NOON
    for _ in range(3):
        mark(store, "a", now)
        mark(store, "b", now + timedelta(seconds=30))
        now += timedelta(minutes=1)
    assert (beside(store, "a", now), beside(store, "b", now), beside(store, None, now)) == (["b"], ["a"], ["a", "b"])
    [one] = store.read(lambda tx: feeders.others(tx, "a", now))
    assert (one.by, one.since, one.last) == ("an intake, b", NOON + timedelta(seconds=30), now - timedelta(seconds=30))
    later = now + feeders.PRESENT
    mark(store, "a", later)
    assert beside(store, "a", later) == [], "the other is gone"


def test_redis_that_took_the_place_of_another_is_alone(store: Store) -> None:
    """One that was emptied has a new name, and nobody hears of a fault; nor where the old one comes back after a while."""
    now = NOON
    for name, seconds in (("old", 0), ("old", 60), ("new", 1), ("new", 60), ("new", 300), ("old", 1)):
        now += timedelta(seconds=seconds)
        mark(store, name, now)
        assert beside(store, name, now) == []


def test_mark_is_no_other_lease_and_is_forgotten_after_a_day(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(leases.insert().values(name="money", holder="somebody", until=NOON))
    mark(store, "old", NOON)
    mark(store, "new", NOON + timedelta(days=1, minutes=4))
    assert beside(store, None, NOON + timedelta(days=1, minutes=4)) == ["new"]
    left = store.read(lambda tx: tx.all(select(leases.c.name).order_by(leases.c.name)))
    assert [row.name for row in left] == ["fed_by:new", "money"]
