"""What lies in Celery's keys and is no message of Celery's: it ends nobody, or one process at most, and never comes again."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.scenarios.system import System, a_purchase, an_account, failed, submitted
from tests.servers import ON_SQLITE, eventually
from worker.intake.stream import open_stream_client
from worker.sandbox.servers import RunningRedis

pytestmark = [pytest.mark.landing, ON_SQLITE]
QUEUE, TAKEN, SINCE = "refunds:assess", "refunds:unacked", "refunds:unacked_index"


def a_message(**changed: Any) -> bytes:
    """A hint as the intake sends it, but for that."""
    headers = {"task": "refunds.assess", "id": "1", "lang": "py", "timelimit": [None, None], "argsrepr": "", "kwargsrepr": ""}
    message = {
        "body": b64encode(b'[[], {"inbox": []}, {}]').decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {
            "delivery_tag": "1",
            "delivery_info": {"exchange": "", "routing_key": "assess"},
            "body_encoding": "base64",
            "correlation_id": "1",
        },
    }
    return json.dumps(message | changed).encode()


NO_KOMBU = (b"garbage", b"\xff\x00", b"", b"[]", b"7", b"{}", b"[" * 100_000, a_message(properties={}), a_message(headers=7))
NO_CELERY = (a_message(body=""), a_message(headers={"task": "refunds.assess"}))


@pytest.fixture
def client(own_redis: RunningRedis) -> Iterator[redis.Redis]:
    with open_stream_client(own_redis.url) as found:
        yield found


@pytest.fixture
def begun(system: System) -> System:
    system.load([an_account(), a_purchase()])
    system.start("worker.cli", "intake")
    return system


def test_what_is_no_message_is_dropped_with_a_line_each_and_tasks_go_on(begun: System, client: redis.Redis) -> None:
    worker = begun.start("celery", "-A", "worker.app", "worker", "-c", "1")
    # left unacknowledged long ago
    client.hset(TAKEN, "some tag", "garbage")
    client.zadd(SINCE, {"some tag": 1})
    client.rpush(QUEUE, *NO_KOMBU, *NO_CELERY)
    log = begun.folder / "celery-1.log"
    each = len(NO_KOMBU) + len(NO_CELERY) + 1
    assert eventually(lambda: log.read_text().count('"task.no_message"') == each or worker.poll() is not None, within=30)
    assert worker.poll() is None, begun.logs()
    begun.emit([submitted("job_1"), failed("job_1")])
    begun.settles(cases=1)
    assert worker.poll() is None, begun.logs()
    assert (client.llen(QUEUE), client.hlen(TAKEN), client.zcard(SINCE)) == (0, 0, 0)
    assert "Traceback" not in log.read_text(), begun.logs()


def test_task_that_celery_begins_and_cannot_do_ends_one_process_and_none_after_it(begun: System, client: redis.Redis) -> None:
    first = begun.start("celery", "-A", "worker.app", "worker", "-c", "1")
    client.rpush(QUEUE, a_message(headers={"task": "refunds.assess", "id": "1", "timelimit": "x"}))
    assert first.wait(40) != 0
    second = begun.start("celery", "-A", "worker.app", "worker", "-c", "1")
    begun.emit([submitted("job_1"), failed("job_1")])
    begun.settles(cases=1)
    assert second.poll() is None, begun.logs()
