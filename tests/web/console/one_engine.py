"""For tests of what happens before the database is asked."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """One engine is enough for what happens before the database is asked."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path)}"
