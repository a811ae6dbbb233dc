"""Fixtures of the scenarios: a fresh installation on each engine, on a Redis that the test may kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.system import System, a_system
from worker.sandbox.servers import RunningRedis, start_redis

pytestmark = pytest.mark.landing


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RunningRedis]:
    """A Redis with AOF for this test alone."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with start_redis(folder) as server:
        assert server.kind != "fakeredis", "scenarios of durability need a real Redis"
        yield server


@pytest.fixture
def system(database_url: str, own_redis: RunningRedis) -> Iterator[System]:
    """A fresh installation, nothing running yet."""
    with a_system(database_url, own_redis.url) as made:
        yield made
