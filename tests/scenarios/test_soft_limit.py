"""A task that reaches Celery's soft limit is ended in our words: it says what it waited for, and its process goes on."""

import json

import psycopg
import pytest
import redis as redis_py

from tests.scenarios.system import a_system
from tests.servers import ON_POSTGRES, conninfo, eventually
from worker.broker import celery_of
from worker.settings import Settings

pytestmark = [ON_POSTGRES, pytest.mark.landing]


def test_task_that_is_ended_while_it_waits_for_the_database_says_so_and_its_process_goes_on(
    database_url: str, redis_server: str, redis: redis_py.Redis
) -> None:
    with a_system(database_url, redis_server, REFUNDS_LOG_FORMAT="json") as system:
        process = system.start("celery", "-A", "worker", "worker", "--concurrency", "1")
        assert eventually(lambda: " ready." in system.logs(), within=90), system.logs()
        sender = celery_of(Settings(redis_url=system.redis_url))

        def said() -> list[str]:
            told = [json.loads(line) for line in system.logs().splitlines() if '"task.later"' in line]
            return [str(record["error"]) for record in told]

        with psycopg.connect(conninfo(database_url)) as lunch:
            lunch.execute("lock table cases in access exclusive mode")
            # less than ours wait for a lock
            sender.send_task("refunds.sweep", queue="sweep", soft_time_limit=2)
            assert eventually(lambda: len(said()) == 1, within=30), system.logs()
            assert said() == ["the database had not answered when the time of the task was over"]
            # the same process, on a connection that works: it waits for the lock until its own patience is over
            sender.send_task("refunds.sweep", queue="sweep")
            assert eventually(lambda: len(said()) == 2, within=30), system.logs()
            assert said()[1].startswith("the database: another session holds a row that is needed")
        assert process.poll() is None
        assert "Traceback" not in system.logs()
