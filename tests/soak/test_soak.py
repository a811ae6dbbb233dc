"""A minute of the soak at every commit: real processes, a dozen faults. `make soak` commits hundreds."""

from pathlib import Path

import pytest

from tests.soak.soak import Wanted, soak
from worker.sandbox.servers import start_postgres, start_redis

pytestmark = pytest.mark.slow


def test_a_thousand_events_survive_a_dozen_faults(tmp_path: Path) -> None:
    wanted = Wanted(events=1000, faults=8, seconds=15, charges=3, mails=2, raw=False, reruns=0.0, seed=3)
    with start_postgres() as postgres, start_redis(tmp_path / "redis") as cache:
        found = soak(wanted, tmp_path, (postgres, cache), lambda *_: None)
    assert found.wrong == []
    assert found.kills
    assert found.faults.total() >= wanted.faults
