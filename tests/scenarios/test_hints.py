"""However much comes, few tasks are sent for it: one a batch, and of those that take everything along one for each moment."""

import json
import subprocess
import sys
from collections import Counter

import redis as redis_py

from tests.scenarios.many_hints import ROUNDS
from tests.scenarios.system import System

BATCH, PROCESSES = 50, 3
DRAINS_EVERY, ANNOUNCES_EVERY = 0.5, 0.1
"""Seconds from one hint of that kind to the next."""


def test_flood_of_events_is_no_flood_of_tasks(system: System) -> None:
    system.load([])
    environ = {**system.environ, "REFUNDS_BATCH": str(BATCH), "REFUNDS_CONCURRENCY": str(PROCESSES)}
    command = [sys.executable, "-m", "tests.scenarios.many_hints"]
    done = subprocess.run(command, env=environ, cwd=system.folder, capture_output=True, text=True, check=True, timeout=120)
    seconds = float(done.stdout.split()[-1])
    sent: Counter[str] = Counter()
    with redis_py.Redis.from_url(system.redis_url) as client:
        for queue in ("assess", "remedies", "money", "sweep"):
            sent.update(json.loads(message)["headers"]["task"] for message in client.lrange(f"refunds:{queue}", 0, -1))
    assert sent.keys() == {"refunds.assess", "refunds.drain", "refunds.announce"}
    assert sent["refunds.assess"] == ROUNDS
    assert sent["refunds.drain"] <= PROCESSES * (1 + seconds // DRAINS_EVERY)
    assert sent["refunds.announce"] <= 1 + seconds // ANNOUNCES_EVERY
