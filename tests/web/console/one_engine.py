"""For tests of what happens before the database is asked."""

from pathlib import Path

import pytest

from tests.servers import copied_again


@pytest.fixture
def database_url(migrated_sqlite: Path, kept_sqlite: Path) -> str:
    """One engine is enough for what happens before the database is asked."""
    return copied_again(migrated_sqlite, kept_sqlite)
