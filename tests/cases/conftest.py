from collections.abc import Iterator

import pytest

from worker.observe import configure_logging
from worker.settings import Settings
from worker.store.engine import Store
from worker.store.tables import metadata


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url)
    metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="session")
def quiet() -> None:
    configure_logging(Settings(log_level="error", log_format="json"))
