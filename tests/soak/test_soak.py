"""Seconds of the soak at every commit: real processes, a handful of faults. `make soak` commits hundreds."""

from pathlib import Path

import pytest

from tests.soak.soak import Wanted, soak
from worker.sandbox.servers import start_postgres, start_redis

pytestmark = pytest.mark.slow


@pytest.mark.nightly
def test_events_under_faults_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    wanted = Wanted(events=600, faults=6, seconds=10, charges=2, mails=2, raw=False, reruns=0.0, seed=3)
    with start_postgres() as postgres, start_redis(tmp_path / "redis") as cache:
        found = soak(wanted, tmp_path, (postgres, cache), lambda *_: None)
    assert found.wrong == []
    assert found.kills
    assert found.faults.total() >= wanted.faults
