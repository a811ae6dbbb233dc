"""Calls counted by several processes at once."""

import json
from datetime import timedelta

from tests.logs import heard
from tests.servers import ON_POSTGRES, ON_SQLITE
from tests.store.rows import NOON
from tests.threads import at_once
from worker.store.breakers import BREAK_FOR, CREEM, PIPELINE, answered, closed_to, unheard
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


@ON_SQLITE
def test_service_that_is_asked_on_while_it_is_away_is_told_of_once_and_after_each_pause(store: Store) -> None:
    """As the pipeline is: orders that were given are tried every two seconds for as long as it takes."""
    with heard("warning") as said:
        for seconds in [*range(0, 240, 2), 400]:
            now = NOON + timedelta(seconds=seconds)
            store.write(lambda tx, now=now: unheard(tx, PIPELINE, "timed out", now, BREAK_FOR))  # type: ignore[misc]
    assert [json.loads(line)["failures"] for line in said.getvalue().splitlines()] == [5, 121]
