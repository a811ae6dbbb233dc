"""A Redis that answers and takes no writes: a worker stays through it, and one that starts meanwhile works afterwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.scenarios.system import System, a_purchase, an_account, failed, submitted
from tests.servers import ON_SQLITE, eventually
from worker.intake.stream import open_stream_client
from worker.sandbox.servers import RunningRedis

pytestmark = [pytest.mark.landing, ON_SQLITE]


@dataclass(frozen=True)
class Refusal:
    """How Redis comes to refuse writes, how it takes them again, and what a worker is told meanwhile."""

    begin: Callable[[Any, Path], None]
    end: Callable[[Any, Path], None]
    said: str


def demoted(client: Any, _: Path) -> None:
    client.replicaof("127.0.0.1", "1")


def promoted(client: Any, _: Path) -> None:
    client.replicaof("NO", "ONE")


def full_disk(client: Any, folder: Path) -> None:
    (folder / "dump.rdb").mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()


def room_on_disk(client: Any, folder: Path) -> None:
    (folder / "dump.rdb").rmdir()
    client.config_set("save", "")


def full_memory(client: Any, _: Path) -> None:
    client.config_set("maxmemory", 1)


def room_in_memory(client: Any, _: Path) -> None:
    client.config_set("maxmemory", 0)


A_REPLICA = Refusal(demoted, promoted, "read only replica")
FULL_DISK = Refusal(full_disk, room_on_disk, "MISCONF")
FULL_MEMORY = Refusal(full_memory, room_in_memory, "maxmemory")


@pytest.fixture
def client(own_redis: RunningRedis) -> Iterator[redis.Redis]:
    with open_stream_client(own_redis.url) as found:
        yield found


def refused(client: redis.Redis) -> bool:
    try:
        client.set("probe", 1)
    except redis.ResponseError:
        return True
    return False


@pytest.mark.parametrize(
    "refusal",
    [A_REPLICA, *(pytest.param(one, marks=pytest.mark.nightly) for one in (FULL_DISK, FULL_MEMORY))],
    ids=["replica", "full disk", "full memory"],
)
def test_workers_old_and_new_live_through_it_and_work_afterwards(
    system: System, own_redis: RunningRedis, client: redis.Redis, refusal: Refusal
) -> None:
    system.load([an_account(), a_purchase()])
    system.start("worker.cli", "intake")
    old = system.start("celery", "-A", "worker.app", "worker", "-c", "1")
    system.emit([submitted("before"), failed("before")])
    system.settles(cases=1)
    refusal.begin(client, own_redis.folder)
    assert eventually(lambda: refused(client))
    new = system.start("celery", "-A", "worker.app", "worker", "-c", "1")
    log = system.folder / "celery-2.log"
    assert eventually(lambda: new.poll() is not None or refusal.said in log.read_text(), within=60), system.logs()
    assert (old.poll(), new.poll()) == (None, None), system.logs()
    refusal.end(client, own_redis.folder)
    assert eventually(lambda: not refused(client))
    old.terminate()
    old.wait(60)
    system.emit([submitted("after"), failed("after")])
    system.settles(cases=2)
    assert new.poll() is None, system.logs()


def test_worker_that_redis_refuses_says_why_in_one_line_each_time(
    system: System, own_redis: RunningRedis, client: redis.Redis
) -> None:
    """Of 390 kB a minute half was of what Celery may change one day, there was a stack every other second, and no word of why."""
    client.set("refunds:assess", "another program's")
    worker = system.start("celery", "-A", "worker.app", "worker", "-c", "1", "--without-mingle", "--without-gossip")
    system.load([an_account(), a_purchase()])
    system.start("worker.cli", "intake")
    system.start("celery", "-A", "worker.app", "beat")
    system.emit([submitted("job_1"), failed("job_1")])
    log = system.folder / "celery-0.log"
    said = "Connection to broker lost. Trying to re-establish the connection... "
    assert eventually(lambda: said in log.read_text() and "Frequent restarts" in log.read_text(), within=40), system.logs()
    lines = log.read_text().splitlines()
    assert all("LLEN refunds:assess" in line and "WRONGTYPE" in line for line in lines if said in line), system.logs()
    assert not [line for line in lines if "Traceback" in line or "CPendingDeprecationWarning" in line], system.logs()
    client.delete("refunds:assess")
    system.settles(cases=1)
    assert worker.poll() is None, system.logs()
