"""For tests of what happens before the database is asked: one engine, its schema made once."""

import shutil
from pathlib import Path

import pytest

from worker.store.engine import Store
from worker.store.schema import upgrade


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema and nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "refunds.db"
    made = Store(f"sqlite:///{path}")
    upgrade(made)
    made.close()
    return path


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    """One engine is enough for what happens before the database is asked."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path)}"
