"""Celery keeps a misspelt setting in silence and leaves the real one off; here it is an error."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from celery.beat import ScheduleEntry
from celery.schedules import schedule
from kombu.transport.redis import Channel
from redis import Redis

import celeryconfig
import worker
from tests.cases.world import HandClock
from worker.app import app
from worker.clock import SteadyClock, SystemClock
from worker.runtime import Runtime
from worker.schedule import MOST, Schedule
from worker.settings import load_settings

SETTINGS = {name: value for name, value in vars(celeryconfig).items() if name.islower() and not name.startswith("_")}
KNOWN = dict(flatten(NAMESPACES))
# how kombu itself connects; these are read from the transport options by name
CONNECTING = {"max_retries", "interval_start", "interval_step", "interval_max"}
SOURCES = sorted(Path(worker.__file__).parent.rglob("*.py"))
WAITING = {"countdown", "eta", "autoretry_for", "retry_backoff", "default_retry_delay"}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_setting_is_one_that_celery_knows_and_keeps(name: str) -> None:
    assert name in KNOWN
    assert not KNOWN[name].deprecate_by
    if name != "broker_transport_options":
        assert app.conf[name] == SETTINGS[name]


def test_transport_options_are_ones_that_kombu_reads_and_the_prefix_of_the_installation() -> None:
    assert app.conf.broker_transport_options == celeryconfig.broker_transport_options | {"global_keyprefix": "refunds:"}
    assert set(app.conf.broker_transport_options) <= set(Channel.from_transport_options) | CONNECTING


def test_only_ids_as_json_travel() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.event_serializer == "json"


def test_no_second_copy_starts_while_the_first_may_still_run() -> None:
    longest = celeryconfig.task_time_limit + 35
    assert celeryconfig.task_soft_time_limit < celeryconfig.task_time_limit
    assert longest < celeryconfig.broker_transport_options["visibility_timeout"]


@pytest.mark.parametrize("most", [False, True], ids=["as shipped", "with the longest time limits that are taken"])
def test_task_that_calls_outside_is_over_before_celery_ends_it_in_the_middle(most: bool, tmp_path: Path) -> None:
    told = {
        "REFUNDS_DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}",
        "REFUNDS_CREEM_API_KEY": "creem_test_1234567890abcdefghij",
        "REFUNDS_CREEM_CREDITS": "credits",
        "REFUNDS_NOTICES_URL": "smtp://127.0.0.1:1",
        "REFUNDS_PIPELINE_URL": "http://127.0.0.1:1",
    }
    limits = {"CREEM_TIMEOUT_SECONDS": "30", "NOTICES_TIMEOUT_SECONDS": "60", "PIPELINE_TIMEOUT_SECONDS": "60"}
    runtime = Runtime(
        load_settings(told | ({f"REFUNDS_{name}": value for name, value in limits.items()} if most else {})), SystemClock()
    )
    settings, payer, books = runtime.settings, runtime.payer, runtime.books_at_creem
    assert payer is not None
    assert books is not None
    rounds = {
        "pay": payer.round_seconds + payer.turn_seconds,
        "book": books.round_seconds + 1.5 * settings.creem_timeout_seconds,
        "notify": runtime.notifier.round_seconds + settings.notices_timeout_seconds,
        "rerun": runtime.performer.round_seconds + settings.pipeline_timeout_seconds,
    }
    assert {name for name, seconds in rounds.items() if seconds >= celeryconfig.task_soft_time_limit} == set()
    assert min(payer.round_seconds, books.round_seconds, runtime.notifier.round_seconds, runtime.performer.round_seconds) >= 5


def test_every_route_leads_from_a_task_to_a_declared_queue() -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if name.startswith("refunds.")}
    queues = {queue.name for queue in celeryconfig.task_queues}
    assert set(celeryconfig.task_routes) == ours, "a task without a route would crowd the default queue"
    assert {route["queue"] for route in celeryconfig.task_routes.values()} <= queues
    assert celeryconfig.task_default_queue in queues


def test_the_schedule_sends_tasks_that_exist() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


def test_schedule_goes_on_though_its_hosts_clock_is_set_back() -> None:
    host, steady = HandClock(), 0.0
    clock = SteadyClock(host, lambda: steady)
    entry = ScheduleEntry("sweep", "refunds.sweep", schedule=schedule(2, nowfun=clock.now, app=app), app=app)
    host.pass_(hours=-1)
    assert not entry.is_due().is_due
    steady = 2.0
    assert entry.is_due().is_due
    assert {type(each["schedule"].nowfun.__self__) for each in app.conf.beat_schedule.values()} == {SteadyClock}


def test_schedule_sends_nothing_to_a_queue_that_nobody_empties(
    redis: Redis, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUNDS_REDIS_URL", redis_server)
    ours = Celery(broker=redis_server)
    ours.config_from_object(celeryconfig)
    ours.conf.broker_transport_options = celeryconfig.broker_transport_options | {"global_keyprefix": "house:"}
    beat = Schedule(app=ours)
    pay, sweep = (ScheduleEntry(name, f"refunds.{name}", schedule=schedule(2, app=ours), app=ours) for name in ("pay", "sweep"))
    for _ in range(MOST - 1):
        redis.lpush("house:money", b"waits")
    for due in (pay, pay, sweep):
        beat.apply_entry(due, producer=beat.producer)
    assert (redis.llen("house:money"), redis.llen("house:sweep")) == (MOST, 1)
    redis.ltrim("house:money", 0, 0)
    beat.apply_entry(pay, producer=beat.producer)
    assert redis.llen("house:money") == 2
    ours.close()


def test_broker_and_schedule_come_from_the_settings() -> None:
    settings = load_settings()
    assert app.conf.broker_url == settings.redis_url
    assert not {"broker_url", "beat_schedule", "worker_concurrency"} & set(SETTINGS)


def calls(path: Path) -> Iterator[ast.Call]:
    """Every call in a file."""
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def waits_in_redis(call: ast.Call) -> Any:
    """Whether a call would leave the waiting to the broker."""
    named = {keyword.arg for keyword in call.keywords} & WAITING
    return named or (isinstance(call.func, ast.Attribute) and call.func.attr == "retry")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(SOURCES[0].parent).as_posix())
def test_no_task_waits_in_the_broker(path: Path) -> None:
    found = [f"line {call.lineno}" for call in calls(path) if waits_in_redis(call)]
    assert not found, "every wait is a due_at in SQL: a delayed message runs again at each visibility timeout"


@pytest.mark.parametrize(
    ("settings", "pays"),
    [
        ({}, False),
        ({"REFUNDS_CREEM_API_KEY": "creem_test_1"}, True),
        ({"REFUNDS_CREEM_ENVIRONMENT": "test"}, True),
        ({"REFUNDS_CREEM_BASE_URL": "https://test-api.creem.io"}, False),
    ],
)
def test_schedule_asks_for_payments_where_this_process_or_another_can_pay(settings: dict[str, str], pays: bool) -> None:
    asked = "from worker.app import app; print('pay' in app.conf.beat_schedule)"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(worker.__file__).parent.parent), **settings}
    said = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == str(pays)
