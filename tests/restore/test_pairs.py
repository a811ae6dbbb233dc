"""No restore pays twice. Here a part of all pairs, spread evenly; `python -m tests.restore.prove` plays them all."""

from pathlib import Path

import pytest

from tests.arena import Arena, put_back, snapshot
from tests.restore.pairs import STORIES, Pair, pairs_of, play
from tests.servers import ON_POSTGRES
from worker.store.engine import Store

EVERY, EVERY_ON_POSTGRES = 401, 1471
"""Prime, so that every story, state and kind of loss has its turn."""


@pytest.fixture(scope="module")
def every_pair(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    found: list[Pair] = []
    for story in STORIES:
        with arena.empty() as store:
            found += pairs_of(store, tmp_path_factory.mktemp(story), story)
    return found


def test_no_restore_pays_twice(arena: Arena, every_pair: list[Pair], tmp_path: Path) -> None:
    wrong: list[str] = []
    for number, pair in enumerate(every_pair[::EVERY]):
        with arena.empty() as store:
            wrong += play(store, tmp_path / str(number), pair)
    assert wrong == []


@pytest.mark.nightly
@ON_POSTGRES
def test_no_restore_pays_twice_on_postgres(store: Store, every_pair: list[Pair], tmp_path: Path) -> None:
    wrong, nothing = list[str](), snapshot(store)
    for number, pair in enumerate(every_pair[::EVERY_ON_POSTGRES]):
        put_back(store, nothing)
        wrong += play(store, tmp_path / str(number), pair)
    assert wrong == []
