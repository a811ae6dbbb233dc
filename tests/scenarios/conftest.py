"""Fixtures of the scenarios: a fresh installation on each engine, on a Redis that the test may kill."""

import fcntl
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import IO

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


@pytest.fixture(params=["a disk that is full", "a pipe that nobody reads", "a pipe whose reader stands still"])
def nowhere(request: pytest.FixtureRequest) -> Iterator[IO[bytes]]:
    """Where no line can be written."""
    if request.param == "a disk that is full":
        with Path("/dev/full").open("wb") as full:
            yield full
    elif request.param == "a pipe that nobody reads":
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            yield pipe
    else:
        reader, writer = os.pipe()
        # the smallest that there is, with room for little more than Celery's own word to whoever runs it as root
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
        os.write(writer, b"\n" * (select.PIPE_BUF - 1000))
        with os.fdopen(writer, "wb") as pipe:
            yield pipe
        os.close(reader)
