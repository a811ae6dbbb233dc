"""A transaction of the product's that takes long holds the row of one account: its credits come later, everybody else's now."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis as redis_py
from sqlalchemy import text

from tests.cases.test_drain import drain, pending, put
from tests.cases.world import World, a_purchase, an_account
from tests.credits.test_balances import audited, balance, product, rows, run, world_of
from tests.money.test_reconcile import a_report, charged, failed_behind_our_back
from tests.money.world import MoneyWorld
from tests.servers import ON_POSTGRES
from tests.store.rows import waiting_for_locks
from worker.cases.assess.assessor import HELD_FOR
from worker.store.engine import Store

pytestmark = ON_POSTGRES
SPENDS = "update profiles set credits = credits - 1 where id = 'acc_1'"


@contextmanager
def in_hand(store: Store, statement: str) -> Iterator[None]:
    """The product has done this in a transaction that goes on, and commits it at the end."""
    with store.engine.connect() as long:
        long.execute(text(statement))
        yield
        long.commit()


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    """Two accounts, each with a job that runs. Nobody waits for a lock longer than a quarter of a second."""
    product(store)
    run(store, "insert into profiles (id, credits) values ('acc_1', 95), ('acc_2', 95)")
    with waiting_for_locks(store, milliseconds=250) as hasty:
        made = world_of(hasty)
        for number in (1, 2):
            made.load(an_account(f"acc_{number}"), a_purchase(f"ord_{number}", f"acc_{number}", 100))
            made.happen(made.submitted(f"job_{number}", account=f"acc_{number}", credits=5))
        yield made


def failures(world: World) -> list[str]:
    return [world.failed(f"job_{number}", account=f"acc_{number}") for number in (1, 2)]


def comes_to_its_end(world: World) -> None:
    assert (world.state("job_1"), world.state("job_2"), balance(world, "acc_2")) == (None, "refunded", 100)
    world.clock.at += HELD_FOR
    world.sweep()
    assert (world.state("job_1"), balance(world)) == ("refunded", 99), "the product took one meanwhile"
    assert audited(world) == []


def test_events_of_others_in_its_batch_are_handled_and_its_own_wait_uncounted(world: World, store: Store) -> None:
    world.arrive(*failures(world))
    with in_hand(store, SPENDS):
        done = world.assessor.assess()
        assert (done.handled, done.failed, done.dead) == (1, 1, 0)
        assert rows(store, "select state, attempts from inbox where handled_at is null") == [("new", 0)]
    comes_to_its_end(world)


def test_backlog_on_the_stream_goes_on_beside_it(world: World, store: Store, redis: redis_py.Redis) -> None:
    put(redis, *failures(world))
    with in_hand(store, SPENDS):
        done = drain(world, redis).turn()
        assert done is not None
        assert (done.handled, done.failed, pending(redis)) == (1, 1, 0)
    comes_to_its_end(world)


def test_reconcile_makes_others_good_beside_it(store: Store) -> None:
    product(store)
    run(store, "insert into profiles (id, credits) values ('acc_cust_1', 95), ('acc_cust_2', 95)")
    with waiting_for_locks(store, milliseconds=100) as hasty:
        world = MoneyWorld(hasty, ledger=world_of(hasty).settler.ledger)
        charged(world, "cust_1", "cust_2")
        for name in ("1", "2"):
            world.happen(world.submitted(f"job_{name}", account=f"acc_cust_{name}", credits=5))
        failed_behind_our_back(world, ["job_1", "job_2"], [a_report(world)])
        with in_hand(store, SPENDS.replace("acc_1", "acc_cust_1")):
            assert [found.row for found in world.reconciler().reconcile().findings if found.check == "failed_job"] == ["job_1"]
            assert (world.state("job_1"), world.state("job_2")) == (None, "refunded")
        world.reconciler().reconcile()
        assert rows(store, "select id, credits from profiles order by id") == [("acc_cust_1", 99), ("acc_cust_2", 100)]
        world.close()


def test_rows_that_refer_to_the_account_are_in_nobodys_way(world: World, store: Store) -> None:
    with in_hand(store, "insert into credit_entries (ref, user_id, amount, by) values ('bought', 'acc_1', 1, 'them')"):
        world.happen(*failures(world))
        assert (world.state("job_1"), world.state("job_2")) == ("refunded", "refunded")
    assert (balance(world), audited(world)) == (100, [])
