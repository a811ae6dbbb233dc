"""One installation with a provider that pays whatever it is asked to."""

from collections.abc import Iterator

import pytest

from tests.money.plans import NASTY
from tests.money.world import MoneyWorld
from worker.store.engine import Store


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store, switches=NASTY)
    yield made
    made.close()
