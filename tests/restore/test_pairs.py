"""No restore pays twice. Here a part of all pairs, spread evenly; `python -m tests.restore.prove` plays them all."""

from pathlib import Path

import pytest

from tests.arena import Arena, Stage
from tests.restore.pairs import STORIES, Pair, pairs_of, play
from tests.servers import ON_POSTGRES

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
    assert wrong_of(arena, every_pair[::EVERY], tmp_path) == []


@pytest.mark.nightly
@ON_POSTGRES
def test_no_restore_pays_twice_on_postgres(stage: Stage, every_pair: list[Pair], tmp_path: Path) -> None:
    assert wrong_of(stage, every_pair[::EVERY_ON_POSTGRES], tmp_path) == []


def wrong_of(stage: Stage, pairs: list[Pair], folder: Path) -> list[str]:
    wrong: list[str] = []
    for number, pair in enumerate(pairs):
        with stage.empty() as store:
            wrong += play(store, folder / str(number), pair)
    return wrong
