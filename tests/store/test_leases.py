"""One holder at a time, until its lease ends or it leaves."""

from datetime import timedelta

import pytest

from tests.cases.world import START
from worker.store import leases
from worker.store.engine import Store

MINUTE = timedelta(minutes=1)


def take(store: Store, holder: str, at: int, name: str = "floor") -> bool:
    now = START + at * MINUTE
    return store.write(lambda tx: leases.take(tx, name, holder, now, now + 10 * MINUTE))


@pytest.mark.parametrize(("at", "taken"), [(9, False), (10, True)])
def test_lease_is_nobody_elses_until_it_ends(store: Store, at: int, taken: bool) -> None:
    assert take(store, "one", 0)
    assert take(store, "another", at) is taken


def test_lease_is_lengthened_by_its_holder_alone(store: Store) -> None:
    assert take(store, "one", 0)
    assert take(store, "one", 5)
    assert not take(store, "another", 14)
    assert take(store, "another", 15)


def test_lease_is_free_once_its_holder_leaves_and_no_one_elses_leaving_frees_it(store: Store) -> None:
    assert take(store, "one", 0)
    store.write(lambda tx: leases.leave(tx, "floor", "another"))
    assert not take(store, "another", 1)
    store.write(lambda tx: leases.leave(tx, "floor", "one"))
    assert take(store, "another", 1)


def test_holder_that_leaves_one_keeps_its_others(store: Store) -> None:
    assert take(store, "one", 0)
    assert take(store, "one", 0, "door")
    store.write(lambda tx: leases.leave(tx, "floor", "one"))
    assert not take(store, "another", 1, "door")
    assert take(store, "another", 1)
