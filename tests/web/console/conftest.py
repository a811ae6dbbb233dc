"""A lively installation for every test that asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requests.world import PeopleWorld
from tests.web.console.scene import a_scene
from tests.web.console.site import Browser, Site
from worker.store.engine import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = a_scene(store, tmp_path)
    yield made
    made.close()


@pytest.fixture
def local(world: PeopleWorld) -> Browser:
    return Site(world, flower_url="https://flower.example.org/").browser()
