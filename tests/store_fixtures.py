"""The database with its schema, as plain fixtures: `addopts` in `pyproject.toml` makes them known."""

from collections.abc import Iterator
from copy import copy
from functools import lru_cache

import pytest
from sqlalchemy import make_url

from tests.arena import Arena, PutBack, SqliteArena
from worker.store.engine import Store


@lru_cache(maxsize=2)
def _kept(url: str) -> Store:
    """A third of what a test takes would go into compiling the statements that the one before it has compiled."""
    return Store(url)


@pytest.fixture
def store(request: pytest.FixtureRequest, database_url: str) -> Iterator[Store]:
    """A database of its own for this test, with the schema of this release, once on each engine. What listens to its engine does
    so to the end of the test.
    """
    on_postgres = make_url(database_url).get_backend_name() == "postgresql"
    kept = request.getfixturevalue("kept_postgres").store if on_postgres else _kept(database_url)
    made = copy(kept)
    made.engine = made.engine.execution_options()
    yield made
    if not on_postgres:
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
