"""Calls counted by several processes at once."""

from datetime import timedelta

from tests.servers import ON_POSTGRES
from tests.store.rows import NOON
from tests.threads import at_once
from worker.store.breakers import CREEM, answered, closed_to, unheard
from worker.store.engine import Store

TIMES = 300


@ON_POSTGRES
def test_call_that_nobody_hears_is_counted_while_those_of_another_process_are_answered(store: Store) -> None:
    def nobody_hears() -> None:
        for _ in range(TIMES):
            store.write(lambda tx: unheard(tx, CREEM, "timed out", NOON, timedelta(minutes=10)))

    def hears() -> None:
        for _ in range(TIMES):
            store.write(lambda tx: answered(tx, CREEM))

    at_once(nobody_hears, hears)


@ON_POSTGRES
def test_calls_that_nobody_hears_at_the_same_moment_are_each_counted(store: Store) -> None:
    def nobody_hears() -> None:
        store.write(lambda tx: unheard(tx, CREEM, "timed out", NOON, timedelta(minutes=10)))

    at_once(*[nobody_hears] * 4)
    assert store.read(lambda tx: closed_to(tx, [CREEM], NOON)) is None
    nobody_hears()
    assert store.read(lambda tx: closed_to(tx, [CREEM], NOON)) == ("creem: timed out", NOON + timedelta(minutes=1))
