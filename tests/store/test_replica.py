"""A server that only replays is no place for these books: they would be read as they were (failure-modes.md, X6)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.errors import Misconfigured
from worker.sandbox.servers import start_postgres
from worker.store import schema
from worker.store.engine import Store


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the user whom Postgres runs as can reach."""
    with tempfile.TemporaryDirectory(prefix="refunds-replica-") as made:
        Path(made).chmod(0o711)
        yield Path(made) / "postgres"


@pytest.mark.slow
def test_replica_is_refused_in_one_line(folder: Path) -> None:
    with start_postgres(folder, durable=False) as server:
        schema.upgrade(server.url)
    (folder / "data" / "standby.signal").touch()
    with start_postgres(folder, durable=False) as server:
        store = Store(server.url)
        with pytest.raises(Misconfigured, match=r"^the database server is a read-only replica: name the primary$"):
            schema.require_current(store)
        store.close()
