"""The database with its schema, as plain fixtures: `pytest_plugins` in `tests/conftest.py` makes them known."""

from collections.abc import Iterator

import pytest

from tests.arena import Arena, PutBack, SqliteArena
from worker.store.engine import Store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A database of its own for this test, with the schema of this release, once on each engine."""
    made = Store(database_url)
    yield made
    made.close()


@pytest.fixture
def stage(store: Store) -> PutBack:
    """The same, made empty again for each play of this test."""
    return PutBack(store)


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    """One SQLite database for many plays of a module."""
    made = SqliteArena()
    yield made
    made.close()
