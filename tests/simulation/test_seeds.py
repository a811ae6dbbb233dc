"""A few simulated weeks and days at every commit; `make simulate` plays thousands. What a seed finds becomes a test of its own:
the same seed tells another story once the town draws something new.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.arena import Arena
from tests.servers import ON_POSTGRES
from tests.simulation.hub import BEFALLS, Weather
from tests.simulation.prove import never_met
from tests.simulation.seed import Played, play
from tests.simulation.size import DAYS, WEEKS, Size
from tests.simulation.town import Town
from worker.reruns import RerunOrder
from worker.store.engine import Store
from worker.store.tables import cases

SEEDS = (4, 5, 2, 8)
"""The first two at each commit; the third takes as long as half a dozen others."""
DAYS_SEEDS = (10, 11, 13, 14, 15, 12, *range(16, 22))
"""The first five at each commit; the next takes as long as two of them."""
CALM = Weather(duplicates=0.1)
STORMY = Weather(
    *(0.01, 0.01, 0.02, 0.02, 0.1, 0.01, 60.0, 0.2, 0.2),
    *(8, 4, 1, 1, 8, 1, 1, 3),
    *(True, True, True, True),
    hands_on=True,
    dies_during=0.01,
    deadlocks=0.05,
    jumps=3,
    people=True,
    dies_abroad=0.05,
    creem_lost=0.2,
)


def _some_at_night(seeds: Sequence[int], first: int) -> list[Any]:
    """The first of them at each commit, the others at night."""
    return [pytest.param(seed, marks=pytest.mark.nightly if place >= first else ()) for place, seed in enumerate(seeds)]


@pytest.mark.parametrize("seed", _some_at_night(SEEDS, 2))
def test_weeks_under_drawn_weather_end_as_the_policy_says(arena: Arena, seed: int) -> None:
    with arena.empty() as store:
        assert play(seed, store).wrong == []


@pytest.mark.parametrize("seed", _some_at_night(DAYS_SEEDS, 4))
def test_days_under_drawn_weather_end_as_the_policy_says(arena: Arena, seed: int) -> None:
    with arena.empty() as store:
        assert play(seed, store, size=DAYS).wrong == []


@pytest.mark.nightly
@ON_POSTGRES
@pytest.mark.parametrize("seed", SEEDS)
def test_weeks_on_postgres_end_as_the_policy_says(store: Store, seed: int) -> None:
    """`make simulate ARGS=--postgres` plays more."""
    assert play(seed, store).wrong == []


@pytest.mark.parametrize(("seed", "size"), [(2, DAYS), pytest.param(7, WEEKS, marks=pytest.mark.nightly)], ids=["days", "weeks"])
def test_every_trouble_at_once_ends_as_the_policy_says_and_twice_the_same_way(arena: Arena, seed: int, size: Size) -> None:
    traces = []
    for _ in range(2):
        with arena.empty() as store:
            played = play(seed, store, STORMY, size=size)
        assert played.wrong == []
        traces.append(played.trace)
    assert traces[0] == traces[1]
    assert played.deaths
    assert played.met["database set back"] == played.met["Redis emptied"] == 1


def spoilt(arena: Arena, statement: str, size: Size) -> list[str]:
    """What is found wrong with a calm town in whose books somebody wrote by hand."""

    def spoil(town: Town) -> None:
        town.store.write(lambda tx: tx.connection.execute(text(statement)))

    with arena.empty() as store:
        return play(8, store, CALM, spoil, size).wrong


@pytest.mark.parametrize(
    "statement",
    [
        "update cases set state = 'declined' where state = 'refunded' and kind = 'job'",
        "update cases set credits_reversed = credits_reversed + 1 where state = 'refunded' and kind = 'job'",
        "update inbox set event_id = event_id || '-other' where id = (select max(id) from inbox where type like 'layer_job%')",
    ],
)
def test_reference_notices_books_that_were_tampered_with(arena: Arena, statement: str) -> None:
    assert spoilt(arena, statement, DAYS)


@pytest.mark.landing
@pytest.mark.parametrize(
    "statement",
    [
        "update payments set state = 'unknown', closed_at = null, due_at = created_at where state = 'refunded'",
        "update inbox set state = 'new' where state = 'handled' and stream_id is not null",
    ],
)
def test_way_that_no_model_goes_is_noticed(arena: Arena, statement: str) -> None:
    assert any(wrong.startswith("no way of the model") for wrong in spoilt(arena, statement, WEEKS))


def test_run_in_which_something_never_went_wrong_says_so_once_it_is_long_enough() -> None:
    plenty = [Played(1, met=Counter(dict.fromkeys(BEFALLS, 1)))] * WEEKS.enough
    assert never_met(plenty, WEEKS) == []
    for name in BEFALLS:
        but_one = [Played(1, met=Counter(dict.fromkeys(BEFALLS - {name}, 1), **{name: 0}))] * WEEKS.enough
        assert never_met(but_one, WEEKS) == [name]
        assert never_met(but_one[1:], WEEKS) == []
        assert never_met(but_one, DAYS) == []


def test_reference_notices_a_rerun_of_what_had_come_back_as_credits(arena: Arena) -> None:
    def spoil(town: Town) -> None:
        case = town.rows(select(cases).where(cases.c.state == "refunded", cases.c.kind == "job", cases.c.reruns == 0))[0]
        town.reacts(RerunOrder(case.job_id, 2, case.case_id, "late", town.clock.now()))

    with arena.empty() as store:
        [wrong] = play(8, store, CALM, spoil, DAYS).wrong
    assert wrong.endswith("was run again after its credits came back")
