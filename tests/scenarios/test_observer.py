"""An observer beside the live installation: the same events, a database of its own, no effect that anybody notices."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from tests.scenarios.system import System, a_purchase, a_system, an_account, failed, kill_group, submitted
from tests.servers import ON_POSTGRES, eventually
from worker.sandbox.servers import RunningRedis

pytestmark = [pytest.mark.landing, ON_POSTGRES]


@pytest.fixture
def both(database_url: str, own_redis: RunningRedis, tmp_path: Any) -> Iterator[tuple[System, System]]:
    """The live installation, and one that observes it."""
    with (
        a_system(database_url, own_redis.url) as live,
        a_system(f"sqlite:///{tmp_path / 'next.db'}", own_redis.url, REFUNDS_OBSERVER="next") as observer,
    ):
        yield live, observer


def decided(system: System, jobs: int) -> bool:
    found = system.json("status")
    return not found["backlog"] and not found["stream"]["undelivered"] and sum(found["cases"].values()) == jobs


def test_observer_decides_what_the_live_one_decides_and_does_nothing(
    both: tuple[System, System], own_redis: RunningRedis
) -> None:
    live, observer = both
    for system in both:
        system.load([an_account(), a_purchase(credits=500)])
        system.worker()
    names = [f"job_{n}" for n in range(30)]
    live.emit([submitted(name) for name in names])
    live.emit([failed(name) for name in names[:20]] + [failed(name, code="job_timeout") for name in names[20:]])
    assert eventually(lambda: decided(live, 30) and decided(observer, 30), within=90), live.logs() + observer.logs()
    assert live.states() == {"refunded": 20, "rerunning": 10}
    assert observer.states() == {"review": 30}, "everything is held"
    assert (live.credits("acc_1"), observer.credits("acc_1")) == (450, 350)
    with redis_py.Redis.from_url(own_redis.url, decode_responses=True) as client:
        assert client.xlen("layer-jobs:commands") == 10, "the orders of the live one alone"
        assert client.xlen("refunds:events") == 20
        known = ("refunds:", "observer:next:", "layer-jobs:", "_kombu")
        assert [key for key in client.scan_iter() if not key.startswith(known)] == []
    compared = observer.json("compare", "--with", live.database_url)
    assert (compared["same"], compared["alike"]) == (True, 30)
    assert "observer:next has read to" in live.refunds("doctor", expect=None).stdout
    for system in both:
        system.audit()
    assert "Drained" in observer.refunds("drain").stdout
    live.emit([submitted("job_x"), failed("job_x")])
    live.comes_to("refunded", "job_x")
    for process in observer.processes:
        kill_group(process)
    live.emit([submitted("job_y"), failed("job_y")])
    live.comes_to("refunded", "job_y")
