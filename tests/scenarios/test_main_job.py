"""The main job through real processes, driven only through the contract."""

import contextlib
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.scenarios.system import (
    System,
    a_purchase,
    a_system,
    an_account,
    descendants,
    event,
    failed,
    kill_group,
    runs,
    submitted,
    succeeded,
)
from tests.servers import ON_POSTGRES, eventually
from worker.clock import SystemClock
from worker.intake.wire import event_document
from worker.sandbox.pipeline import PipelineDouble, RerunPlan
from worker.sandbox.servers import RunningRedis


@pytest.mark.parametrize("database_url", ["postgres", pytest.param("sqlite", marks=pytest.mark.landing)], indirect=True)
def test_every_kind_of_event_comes_to_its_end(system: System, own_redis: RunningRedis) -> None:
    client = redis_py.Redis.from_url(own_redis.url)
    plans = {"job_delivers": RerunPlan.DELIVERS, "job_fails": RerunPlan.FAILS, "job_refused": RerunPlan.REFUSES}
    with PipelineDouble(client, "layer-jobs:events", plans.__getitem__, SystemClock()) as double:
        system.extra = {"REFUNDS_PIPELINE_URL": double.url}
        system.load([an_account(), a_purchase(credits=100), an_account("acc_s", "suspended"), a_purchase("ord_s", "acc_s", 20)])
        opened = event_document(
            "account.opened",
            {"account_id": "acc_new", "email": "new@example.org"},
            id="evt-new",
            source="/accounts",
            time=datetime.now(UTC),
        )
        system.worker()
        system.emit(
            [
                opened,
                submitted("job_ok"),
                succeeded("job_ok"),
                event("downloaded", "job_ok"),
                event("edited", "job_ok"),
                submitted("job_server"),
                failed("job_server", code="internal_error"),
                submitted("job_delivers"),
                failed("job_delivers", code="gpu_out_of_memory"),
                submitted("job_fails"),
                event("incomplete", "job_fails", attempt=1, output={"layers_expected": 6, "layers_delivered": 4, "corrupted": 0}),
                submitted("job_refused"),
                failed("job_refused", code="job_timeout"),
                failed("job_early"),
                submitted("job_early"),
                submitted("job_input"),
                failed("job_input", code="invalid_image"),
                submitted("job_cancel"),
                failed("job_cancel", code="cancelled_by_user"),
                submitted("job_odd"),
                failed("job_odd", code="gremlins"),
                submitted("job_free", "acc_new", credits=0, paid_with="free"),
                failed("job_free", "acc_new", code="model_error"),
                submitted("job_s", "acc_s"),
                failed("job_s", "acc_s", code="job_timeout"),
                b"this is no event",
                "[1, 2, 3]",
                event("exploded", "job_x"),
            ]
        )
        system.settles(cases=10)
    ends = {item["job_id"]: item for item in system.json("cases", "--limit", "100")["items"]}
    assert {job: item["state"] for job, item in ends.items()} == {
        "job_server": "refunded",
        "job_delivers": "delivered",
        "job_fails": "refunded",
        "job_refused": "refunded",
        "job_early": "refunded",
        "job_input": "declined",
        "job_cancel": "declined",
        "job_odd": "refunded",
        "job_free": "nothing_owed",
        "job_s": "refunded",
    }
    # what is spent: the good job, the delivered re-run, the two declined
    assert system.credits("acc_1") == 100 - 4 * 5
    assert system.credits("acc_s") == 20
    assert sorted(item["reason"] for item in system.json("dead", "list")["items"]) == [
        "not_an_object",
        "not_json",
        "unknown_type",
    ]
    assert system.audit()["checked"]["stream_entries"] >= 28
    told = {(one["subject"], one["type"]) for one in announced(client)}
    assert ("job_server", "refund.credits_reversed") in told
    assert ("job_delivers", "refund.rerun_delivered") in told
    assert ("job_input", "refund.declined") in told
    assert "re-run" in system.refunds("why", "job_fails").stdout
    client.close()


def announced(client: redis_py.Redis) -> list[dict[str, str]]:
    entries: Any = client.xrange("refunds:events")
    return [json.loads(fields[b"event"]) for _, fields in entries]


@pytest.mark.landing
@ON_POSTGRES
def test_rerun_is_asked_for_on_the_stream_where_no_pipeline_address_is_known(system: System, own_redis: RunningRedis) -> None:
    system.load([an_account(), a_purchase()])
    system.worker()
    system.emit([submitted("job_1"), failed("job_1", code="worker_crashed")])
    client = redis_py.Redis.from_url(own_redis.url)
    assert eventually(lambda: client.xlen("layer-jobs:commands") == 1, within=90)
    entries: Any = client.xrange("layer-jobs:commands")
    command = json.loads(entries[0][1][b"command"])
    assert (command["type"], command["data"]["job_id"], command["data"]["attempt"]) == ("layer_job.rerun_requested", "job_1", 2)
    system.emit([succeeded("job_1", attempt=2)])
    system.settles(cases=1)
    case = system.case("job_1")
    assert case is not None
    assert (case["state"], case["reruns"], case["case_id"]) == ("delivered", 1, command["data"]["case_id"])
    system.audit()
    client.close()


def many(system: System, jobs: int) -> list[str]:
    system.load([an_account(), *(a_purchase(f"ord_{n}", f"acc_{n}", 1000) for n in range(10))])
    system.load([an_account(f"acc_{n}") for n in range(10)])
    return [doc for n in range(jobs) for doc in (submitted(f"job_{n}", f"acc_{n % 10}", 3), failed(f"job_{n}", f"acc_{n % 10}"))]


def holds(system: System, jobs: int) -> None:
    """Everyone whole, each once, though the velocity limit leaves some to people."""
    states = system.states()
    assert sum(states.values()) == jobs, states
    whole = states["refunded"]
    spent = sum(1000 - system.credits(f"acc_{n}") for n in range(10))
    assert spent == 3 * (jobs - whole)
    system.audit()


@pytest.mark.nightly
def test_worker_killed_in_the_middle_loses_and_doubles_nothing(system: System) -> None:
    jobs = 120
    documents = many(system, jobs)
    first = system.worker()
    system.emit(documents)
    assert eventually(lambda: sum(system.states().values()) > 5, within=100)
    kill_group(first)
    assert not descendants(first.pid)
    system.worker()
    system.settles(cases=jobs)
    holds(system, jobs)


@pytest.mark.landing
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_what_a_worker_started_ends_with_it_however_it_ends(system: System) -> None:
    """Once it went on for ever, by the settings of that worker: who started another, in `observe`, had one that still paid."""
    worker = system.worker(1)
    # intake, schedule, tasks, and what these forked
    assert eventually(lambda: len(descendants(worker.pid)) >= 4, within=60), system.logs()
    started = descendants(worker.pid)
    worker.kill()
    worker.wait(10)
    try:
        assert eventually(lambda: not any(map(runs, started)), within=30), system.logs()
    finally:
        for pid in filter(runs, started):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.landing
@ON_POSTGRES
def test_schedule_that_dies_is_started_again_and_sweeps_go_on(database_url: str, own_redis: RunningRedis) -> None:
    with a_system(database_url, own_redis.url, REFUNDS_HINTS="0") as system:
        worker = system.worker(1)

        def beats() -> list[int]:
            lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in descendants(worker.pid)}
            return [pid for pid, line in lines.items() if line.exists() and b"\0beat\0" in line.read_bytes()]

        assert eventually(beats, within=60), system.logs()
        (first,) = beats()
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: [pid for pid in beats() if pid != first], within=60), system.logs()
        # nothing but sweeps does any work here
        system.emit(many(system, 2))
        system.settles(cases=2)


@pytest.mark.nightly
@ON_POSTGRES
def test_task_processes_killed_while_they_drain_a_backlog_are_started_again(database_url: str, own_redis: RunningRedis) -> None:
    jobs = 300
    with a_system(database_url, own_redis.url, REFUNDS_BATCH="20") as system:
        system.emit(many(system, jobs))
        tasks = system.start("celery", "-A", "worker", "worker", "--concurrency", "2")
        system.start("celery", "-A", "worker", "beat")
        system.start("celery", "-A", "worker", "call", "refunds.drain")
        # nobody else reads the stream: what has a case now was drained
        assert eventually(lambda: sum(system.states().values()) > 20, within=100), system.logs()
        for child in descendants(tasks.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        system.start("worker.cli", "intake")
        system.settles(cases=jobs)
        holds(system, jobs)


@pytest.mark.nightly
@ON_POSTGRES
def test_redis_restarted_in_the_middle_needs_no_restart_of_ours(system: System, own_redis: RunningRedis) -> None:
    jobs = 100
    documents = many(system, jobs)
    worker = system.worker()
    system.emit(documents[:100])
    assert eventually(lambda: sum(system.states().values()) > 5, within=100)
    own_redis.kill()
    own_redis.start()
    system.emit(documents[100:])
    system.settles(cases=jobs)
    assert worker.poll() is None
    holds(system, jobs)


@pytest.mark.nightly
@ON_POSTGRES
def test_redis_emptied_in_the_middle_loses_nothing_that_was_read(system: System, own_redis: RunningRedis) -> None:
    jobs = 60
    documents = many(system, jobs)
    system.worker()
    system.emit(documents)
    assert eventually(lambda: not system.json("status")["stream"]["undelivered"], within=100)
    assert eventually(lambda: not system.json("status")["stream"]["pending"], within=100)
    client = redis_py.Redis.from_url(own_redis.url)
    client.flushall()
    client.close()
    system.settles(cases=jobs)
    holds(system, jobs)
    system.emit([submitted("job_after", "acc_1", 3), failed("job_after", "acc_1")])
    system.settles(cases=jobs + 1)


@pytest.mark.nightly
@ON_POSTGRES
def test_same_events_delivered_to_two_workers_at_once_pay_once(system: System) -> None:
    jobs = 60
    documents = many(system, jobs)
    system.worker()
    system.worker()
    system.emit(documents * 2)
    system.emit(documents)
    system.settles(cases=jobs)
    holds(system, jobs)


@pytest.mark.nightly
@ON_POSTGRES
def test_with_every_hint_dropped_the_sweep_alone_reaches_the_same_end(system: System) -> None:
    jobs = 40
    documents = many(system, jobs)
    system.extra = {"REFUNDS_HINTS": "off"}
    system.worker()
    system.emit(documents)
    system.settles(cases=jobs)
    holds(system, jobs)


@pytest.mark.landing
@ON_POSTGRES
def test_processes_of_their_own_do_the_same_as_the_worker(system: System, own_redis: RunningRedis) -> None:
    system.load([an_account(), a_purchase()])
    system.start("celery", "-A", "worker", "worker", "--concurrency", "1", "--pool", "solo")
    system.start("celery", "-A", "worker", "beat")
    system.start("worker.cli", "intake")
    system.emit([submitted("job_1"), failed("job_1")])
    system.settles(cases=1)
    assert system.credits("acc_1") == 100
    system.audit()


@pytest.mark.nightly
@ON_POSTGRES
def test_dead_letter_is_put_back_and_requeue_shows_its_effect_first(system: System, tmp_path: Path) -> None:
    system.load([an_account(), an_account("acc_2"), a_purchase()])
    system.worker()
    system.emit([submitted("job_1"), failed("job_1", "acc_2")])
    assert eventually(lambda: system.json("dead", "list")["items"], within=90)
    [letter] = system.json("dead", "list")["items"]
    assert letter["reason"] == "foreign_job"
    assert json.loads(letter["raw"])["data"]["account_id"] == "acc_2"
    system.refunds("dead", "requeue", letter["dead_id"], "--reason", "looked into")
    assert eventually(lambda: system.json("dead", "list")["items"], within=90)
    system.refunds("dead", "discard", letter["dead_id"], "--reason", "a producer's mistake")
    assert system.json("dead", "list")["items"] == []
    system.emit([failed("job_1", name="right")])
    system.settles(cases=1)
    dry = system.json("requeue", "job_1", "--dry-run", "--reason", "a look")["items"][0]
    assert (dry["nothing"], dry["requeued"]) == (True, False)
    assert system.credits("acc_1") == 100
