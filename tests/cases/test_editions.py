"""An edition that decided anything stays what it was (failure-modes.md, V5 and TM36)."""

import shutil
from pathlib import Path

import pytest

from policy import Editions, load_editions
from tests.cases.world import World, a_purchase, an_account
from worker.cases.editions import changed, hold
from worker.errors import Misconfigured
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped terms, to be written to."""
    shutil.copytree(DEFAULT_TERMS, tmp_path / "terms")
    return tmp_path / "terms"


def edited(folder: Path) -> Editions:
    """The same edition with another number in it."""
    [file] = folder.glob("*.toml")
    text = file.read_text()
    assert "promise_business_days = 3" in text
    file.write_text(text.replace("promise_business_days = 3", "promise_business_days = 4"))
    return load_editions(folder)


def test_edition_that_decided_something_may_not_change(store: Store, folder: Path) -> None:
    world, shipped = World(store), load_editions(folder)
    store.write(lambda tx: hold(tx, shipped))
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    store.write(lambda tx: hold(tx, shipped))
    other = edited(folder)
    with pytest.raises(Misconfigured, match=f"edition 2025-12-03 has changed .* SHA-256 {shipped.latest.digest}"):
        store.write(lambda tx: hold(tx, other))
    assert len(store.read(lambda tx: changed(tx, other))) == 1
    assert store.read(lambda tx: changed(tx, shipped)) == []


def test_edition_that_nothing_was_decided_by_may_still_change(store: Store, folder: Path) -> None:
    store.write(lambda tx: hold(tx, load_editions(folder)))
    other = edited(folder)
    store.write(lambda tx: hold(tx, other))
    assert store.read(lambda tx: changed(tx, other)) == []
