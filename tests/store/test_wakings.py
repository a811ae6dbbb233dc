"""A case is woken by one process at a time, and each beginning is on record until one comes to an end."""

from datetime import timedelta

from sqlalchemy import select

from tests.cases.world import START
from worker.store import wakings
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import wakings as claimed

LEASE = timedelta(minutes=1)
LATER = START + LEASE


def begun(store: Store) -> dict[str, int]:
    return {row.case_id: row.begun for row in store.read(lambda tx: tx.all(select(claimed)))}


def test_claim_is_one_processs_until_its_lease_ends_and_counts(store: Store) -> None:
    def claim(*names: str, late: bool = False) -> set[str]:
        return store.write(lambda tx: wakings.claim(tx, names, LATER if late else START, LEASE))

    assert claim("b", "a") == {"a", "b"}
    assert claim("a", "b", "c") == {"c"}
    assert claim("a", late=True) == {"a"}
    assert begun(store) == {"a": 2, "b": 1, "c": 1}


def test_what_was_woken_is_forgotten_and_what_is_given_back_is_free_and_uncounted(store: Store) -> None:
    def work(tx: Tx) -> set[str]:
        wakings.claim(tx, ["a", "b", "c"], START, LEASE)
        wakings.end(tx, ["a"])
        wakings.give_back(tx, ["a", "b"], START)
        return wakings.claim(tx, ["b", "c"], START, LEASE)

    assert store.write(work) == {"b"}
    assert begun(store) == {"b": 1, "c": 1}
