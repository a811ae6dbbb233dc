"""However much comes, few tasks are sent for it: one a batch, and of those that take everything along one for each moment."""

import json
import subprocess
import sys
from collections import Counter

import pytest
import redis as redis_py

from tests.scenarios.many_hints import ROUNDS
from tests.scenarios.system import System, submitted
from tests.servers import ON_POSTGRES, eventually

BATCH, PROCESSES = 50, 3
DRAINS_EVERY, ANNOUNCES_EVERY = 0.5, 0.1
"""Seconds from one hint of that kind to the next."""


def test_flood_of_events_is_no_flood_of_tasks(system: System) -> None:
    system.load([])
    environ = {**system.environ, "REFUNDS_BATCH": str(BATCH), "REFUNDS_CONCURRENCY": str(PROCESSES)}
    command = [sys.executable, "-m", "tests.scenarios.many_hints"]
    done = subprocess.run(command, env=environ, cwd=system.folder, capture_output=True, text=True, check=True, timeout=120)
    seconds = float(done.stdout.split()[-1])
    sent = tasks_sent(system)
    assert sent.keys() == {"refunds.assess", "refunds.drain", "refunds.announce"}
    assert sent["refunds.assess"] == ROUNDS
    assert sent["refunds.drain"] <= PROCESSES * (1 + seconds // DRAINS_EVERY)
    assert sent["refunds.announce"] <= 1 + seconds // ANNOUNCES_EVERY


FULL = 500
"""What one read of an intake takes."""


@ON_POSTGRES
@pytest.mark.parametrize(
    ("last", "batch"),
    [
        pytest.param("no event", "500", id="one cannot be read"),
        pytest.param("the first again", "500", id="one was told twice"),
        pytest.param("one more", "1000", id="a transaction takes more than a read"),
    ],
)
def test_task_processes_are_called_to_a_backlog_whatever_of_it_is_new(system: System, last: str, batch: str) -> None:
    events = [submitted(f"job_{number}") for number in range(FULL)]
    events[-1] = {"no event": last, "the first again": events[0]}.get(last, events[-1])
    system.emit(events)
    system.start("worker.cli", "intake", REFUNDS_BATCH=batch)
    assert eventually(lambda: tasks_sent(system)["refunds.assess"], within=60), system.logs()
    assert tasks_sent(system)["refunds.drain"]


def tasks_sent(system: System) -> Counter[str]:
    """How many of each task lie in the queues."""
    sent: Counter[str] = Counter()
    with redis_py.Redis.from_url(system.redis_url) as client:
        for queue in ("assess", "remedies", "money", "sweep"):
            sent.update(json.loads(message)["headers"]["task"] for message in client.lrange(f"refunds:{queue}", 0, -1))
    return sent
