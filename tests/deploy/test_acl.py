"""A Redis that lets each part do its own and nothing else: the whole main job goes through it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.deploy.shipped import as_user, guarded_redis
from tests.scenarios.system import a_purchase, a_system, an_account, failed, submitted
from tests.servers import ON_POSTGRES, ON_SQLITE, eventually
from tests.web.test_app import SECRET, a_refund, signed
from worker.broker import QUEUES
from worker.intake.stream import as_text, entries_read_so_far
from worker.intake.upkeep import kept_for, trim
from worker.sandbox.servers import RunningRedis, free_port


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with guarded_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.landing
@ON_POSTGRES
def test_main_job_goes_through_with_each_part_under_its_own_user(
    database_url: str, guarded: RunningRedis, tmp_path: Path
) -> None:
    pipeline = redis.Redis.from_url(as_user(guarded, "pipeline"))
    product: Any = redis.Redis.from_url(as_user(guarded, "product"))
    watching = a_system(f"sqlite:///{tmp_path / 'next.db'}", as_user(guarded, "observer"), REFUNDS_OBSERVER="next")
    with a_system(database_url, as_user(guarded, "refunds")) as system, watching as observer:
        for one in (system, observer):
            one.load([an_account(), a_purchase()])
            one.worker(1)
        for document in (submitted("job_1"), failed("job_1")):
            pipeline.xadd("layer-jobs:events", {"event": document})
        system.comes_to("refunded")
        assert eventually(lambda: product.xread({"refunds:events": "0"}), within=30), system.logs()
        [found] = [finding for finding in system.json("doctor", expect=None)["findings"] if finding["check"] == "redis"]
        assert found["ok"], found
        observer.comes_to("review")
        assert "no permissions" not in system.logs() + observer.logs()


@pytest.mark.landing
@ON_POSTGRES
def test_web_looks_and_sends_hints_under_a_user_of_its_own(database_url: str, guarded: RunningRedis) -> None:
    looks: Any = redis.Redis.from_url(as_user(guarded, "refunds"))
    looks.delete(*(f"refunds:{queue}" for queue in QUEUES))
    with suppress(redis.ResponseError):
        looks.xgroup_create("layer-jobs:events", "refunds", id="0", mkstream=True)
    looks.xadd("refunds:events", {"event": "{}"})
    port, told = free_port(), a_refund()
    with (
        a_system(
            database_url, as_user(guarded, "web"), REFUNDS_WEB_PORT=str(port), REFUNDS_CREEM_WEBHOOK_SECRET=SECRET
        ) as system,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as outside,
    ):
        system.start("worker.cli", "web")

        def asked(path: str) -> httpx.Response | None:
            with suppress(httpx.TransportError):
                return outside.get(path)
            return None

        assert eventually(lambda: asked("/healthz"), within=60), system.logs()
        assert outside.post("/webhooks/creem", content=told, headers=signed(told)).json() == {"status": "stored"}
        assert eventually(lambda: looks.llen("refunds:assess") == 1), system.logs()
        assert outside.get("/readyz").json()["checks"]["redis"] == {"ok": True, "fault": None}
        figures = outside.get("/metrics").text
        assert "refunds_redis_up 1.0" in figures
        assert 'refunds_tasks_queued{queue="assess"} 1.0' in figures
        assert re.search(r'(?m)^refunds_sent_entries\{stream="refunds:events"\} [1-9]', figures)
        assert "no permissions" not in system.logs()


@pytest.mark.landing
@ON_SQLITE
def test_doctor_that_asks_as_the_web_process_says_where_to_ask_and_finds_no_fault_in_redis(
    database_url: str, guarded: RunningRedis
) -> None:
    with a_system(database_url, as_user(guarded, "web")) as system:
        found = [one for one in system.json("doctor", expect=1)["findings"] if not one["ok"] and one["severity"] == "fault"]
    assert [one["check"] for one in found] == ["celery"]
    assert "this Redis user may not ask the task processes" in found[0]["finding"]
    assert "run `refunds doctor` where a worker runs" in found[0]["finding"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web", ("flushall",)),
        ("web", ("xadd", "layer-jobs:events", "*", "event", "forged")),
        ("web", ("xadd", "layer-jobs:commands", "*", "command", "forged")),
        ("web", ("xadd", "refunds:events", "*", "event", "forged")),
        ("web", ("xreadgroup", "group", "refunds", "thief", "noack", "streams", "layer-jobs:events", ">")),
        ("web", ("xack", "layer-jobs:events", "refunds", "0-1")),
        ("web", ("xtrim", "layer-jobs:events", "maxlen", "0")),
        ("web", ("del", "layer-jobs:events")),
        ("web", ("del", "refunds:assess")),
        ("web", ("rpop", "refunds:assess")),
        ("web", ("set", "refunds:epoch", "0")),
        ("web", ("eval", "return 1", "0")),
        ("web", ("publish", "refunds:/0.celery.pidbox", "shutdown")),
        ("web", ("config", "get", "requirepass")),
        ("web", ("client", "kill", "type", "normal")),
        ("pipeline", ("flushall",)),
        ("pipeline", ("xadd", "refunds:events", "*", "event", "forged")),
        ("pipeline", ("lpush", "refunds:assess", "forged")),
        ("pipeline", ("xtrim", "layer-jobs:events", "maxlen", "0")),
        ("pipeline", ("xrange", "layer-jobs:events", "-", "+")),
        ("pipeline", ("xreadgroup", "group", "refunds", "thief", "noack", "streams", "layer-jobs:events", ">")),
        ("pipeline", ("xack", "layer-jobs:events", "refunds", "0-1")),
        ("pipeline", ("xadd", "layer-jobs:commands", "*", "command", "forged")),
        ("product", ("xadd", "refunds:events", "*", "event", "forged")),
        ("product", ("xread", "streams", "layer-jobs:events", "0")),
        ("product", ("xtrim", "refunds:events", "maxlen", "0")),
        ("pipeline", ("xtrim", "layer-jobs:commands", "maxlen", "0")),
        ("refunds", ("flushall",)),
        ("refunds", ("config", "set", "appendonly", "no")),
        ("refunds", ("keys", "*")),
        ("refunds", ("get", "somebody-elses")),
        ("refunds", ("shutdown",)),
        ("observer", ("xadd", "layer-jobs:events", "*", "event", "forged")),
        ("observer", ("xtrim", "layer-jobs:events", "maxlen", "0")),
        ("observer", ("xgroup", "destroy", "layer-jobs:events", "refunds")),
        ("observer", ("xadd", "layer-jobs:commands", "*", "command", "forged")),
        ("observer", ("xadd", "refunds:events", "*", "event", "forged")),
        ("observer", ("lpush", "refunds:assess", "forged")),
    ],
)
def test_user_may_not(guarded: RunningRedis, name: str, words: tuple[str, ...]) -> None:
    client: Any = redis.Redis.from_url(as_user(guarded, name))
    with pytest.raises(NoPermissionError):
        client.execute_command(*words)


def test_pipeline_takes_orders_for_reruns(guarded: RunningRedis) -> None:
    worker: Any = redis.Redis.from_url(as_user(guarded, "refunds"))
    pipeline: Any = redis.Redis.from_url(as_user(guarded, "pipeline"))
    pipeline.xgroup_create("layer-jobs:commands", "pipeline", mkstream=True)
    order = worker.xadd("layer-jobs:commands", {"command": "again"})
    assert pipeline.xreadgroup("pipeline", "one", {"layer-jobs:commands": ">"})[0][1][0][0] == order
    assert pipeline.xautoclaim("layer-jobs:commands", "pipeline", "two", 0)[1][0][0] == order
    assert pipeline.xack("layer-jobs:commands", "pipeline", order) == 1


def test_worker_forgets_what_it_sent_and_no_reader_of_it_does(guarded: RunningRedis) -> None:
    worker, product = (redis.Redis.from_url(as_user(guarded, name)) for name in ("refunds", "product"))
    for stream in ("layer-jobs:commands", "refunds:events"):
        worker.delete(stream)
        worker.xadd(stream, {"event": "old"}, id="1-0")
    product.xgroup_create("refunds:events", "balance", id="0")
    for stream, kept in (("layer-jobs:commands", 0), ("refunds:events", 1)):
        trim(worker, stream, timedelta(days=7))
        assert (worker.xlen(stream), len(kept_for(worker, stream, timedelta(days=7)))) == (kept, kept)


def test_what_an_observer_takes_in_the_workers_group_is_seen_by_who_compares_it_with_the_books(guarded: RunningRedis) -> None:
    """Redis has no rights on groups; the comparison is `no_event_lost` of the audit."""
    stream, group = "layer-jobs:events", "refunds"
    worker, observer, pipeline = (redis.Redis.from_url(as_user(guarded, name)) for name in ("refunds", "observer", "pipeline"))
    with suppress(redis.ResponseError):
        worker.xgroup_create(stream, group, id="0", mkstream=True)
    acknowledged, dropped = (as_text(pipeline.xadd(stream, {"event": f"{{{number}}}"})) for number in range(2))
    taking: Any = observer
    taking.xreadgroup(group, "thief", {stream: ">"})
    taking.xack(stream, group, acknowledged)
    taking.xgroup_delconsumer(stream, group, "thief")
    seen = {entry_id for chunk in entries_read_so_far(worker, stream, group) for entry_id, _ in chunk}
    assert {acknowledged, dropped} <= seen


def test_nobody_else_gets_in(guarded: RunningRedis) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(guarded.url).ping()
