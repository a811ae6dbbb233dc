"""One installation with a mailroom, whose books hold at the end of each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requests.world import PeopleWorld
from worker.store.engine import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    yield made
    made.sweep()
    assert made.audit().breaches == []
    made.close()
