"""The stream of either kind of Redis, for every test that reads one."""

import fakeredis
import pytest

from tests.intake.readers import Reading
from worker.intake.stream import open_stream_client


@pytest.fixture(params=["fakeredis", "real"])
def reading(request: pytest.FixtureRequest) -> Reading:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()
        return Reading(lambda: fakeredis.FakeRedis(server=server))
    url = request.getfixturevalue("redis_server")
    request.getfixturevalue("redis")  # emptied
    return Reading(lambda: open_stream_client(url))
