"""An installation whose Postgres is reached through a pooler, as many hosts give it."""

import pytest

from tests.pooler import a_pooler
from tests.scenarios.system import a_purchase, a_system, an_account, failed, kill_group, submitted
from tests.servers import ON_POSTGRES, eventually
from worker.sandbox.servers import RunningRedis

pytestmark = [pytest.mark.landing, ON_POSTGRES]
FEW_SESSIONS = 3


def test_processes_behind_a_pooler_do_their_work_once(database_url: str, own_redis: RunningRedis) -> None:
    jobs = [f"job_{number}" for number in range(60)]
    with a_pooler(database_url, FEW_SESSIONS) as url, a_system(url, own_redis.url) as system:
        assert "one stands before the server" in system.refunds("doctor", expect=None).stdout
        system.load([an_account(), a_purchase(credits=1000)])
        first = system.worker()
        system.emit([line for job in jobs[:30] for line in (submitted(job, credits=1), failed(job, code="model_error"))])
        assert eventually(lambda: sum(system.states().values()) > 0, within=60), system.logs()
        kill_group(first)
        system.worker()
        system.emit([line for job in jobs for line in (submitted(job, credits=1), failed(job, code="model_error"))])
        system.settles(cases=len(jobs))
        assert system.states() == {"refunded": len(jobs)}
        assert system.credits("acc_1") == 1000
        system.audit()
        assert not any("prepared statement" in line for line in system.logs().splitlines())
