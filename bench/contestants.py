"""Who is measured: how each is started, how work is sent to it, and when nothing of it is left to do."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

import psycopg
import redis

from bench.peers import hand_loop
from bench.servers import ROOT, Place
from bench.work import Event
from worker.intake.wire import event_document

STREAM = "layer-jobs:events"
PROCESSES = 2
Send = Callable[[Sequence[Event]], None]
Commands = Sequence[Sequence[str]]


def nothing(place: Place) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work. `share` of the events is laid for it: slow ones get fewer, so that all measure for seconds."""

    name: str
    title: str
    share: float
    commands: Commands
    open: Callable[[Place], Send]
    prepare: Callable[[Place], None] = nothing
    old: bool = False
    """Measured on the tables with old cases."""

    @property
    def ours(self) -> bool:
        """Whether the product itself is measured: more is asked of it."""
        return self.name.startswith("ours")


def _module(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", name, *words]


def _stream_sender(place: Place, stream: str, document: Callable[[Event], str]) -> Send:
    client = redis.Redis.from_url(place.redis_url)

    def send(events: Sequence[Event]) -> None:
        pipeline = client.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(stream, {"event": document(event)})
        pipeline.execute()

    return send


def _cloud_event(event: Event) -> str:
    data = {
        "job_id": event["job"],
        "account_id": event["account"],
        "attempt": event["attempt"],
        "failure": {"code": event["code"], "stage": event["stage"]},
        "output": {"layers_expected": event["expected"], "layers_delivered": event["delivered"]},
    }
    at = datetime.fromisoformat(event["at"])
    return event_document("layer_job.failed", data, id=event["event"], source="/image-pipeline", time=at, subject=event["job"])


def open_ours(place: Place) -> Send:
    """Events onto the stream, as the pipeline writes them."""
    return _stream_sender(place, STREAM, _cloud_event)


def open_hand_loop(place: Place) -> Send:
    """Events onto the loop's stream."""
    return _stream_sender(place, hand_loop.STREAM, json.dumps)


def prepare_hand_loop(place: Place) -> None:
    """The group that both processes read in."""
    with redis.Redis.from_url(place.redis_url) as client:
        client.xgroup_create(hand_loop.STREAM, hand_loop.GROUP, "0", mkstream=True)


def open_celery(place: Place) -> Send:
    """Tasks by name over one connection."""
    app: Any = import_module("celery").Celery("sender", broker=place.redis_url)
    app.conf.task_default_queue = "bench-celery"
    producer = app.amqp.Producer(app.connection_for_write(), auto_declare=False)

    def send(events: Sequence[Event]) -> None:
        for event in events:
            app.send_task("bench.failed", args=[event], producer=producer, ignore_result=True)

    return send


def open_dramatiq(place: Place) -> Send:
    """Messages over its Redis broker."""
    dramatiq: Any = import_module("dramatiq")
    broker: Any = import_module("dramatiq.brokers.redis").RedisBroker(url=place.redis_url)
    queue = "bench-dramatiq"
    broker.declare_queue(queue)

    def send(events: Sequence[Event]) -> None:
        for event in events:
            broker.enqueue(dramatiq.Message(queue_name=queue, actor_name="failed", args=(event,), kwargs={}, options={}))

    return send


def prepare_procrastinate(place: Place) -> None:
    """Its tables, in a schema of their own."""
    with place.connect() as db:
        db.execute("create schema procrastinate")
    _run(place, *_module("procrastinate", "--app=bench.peers.procrastinate_app.app", "schema", "--apply"))


def open_procrastinate(place: Place) -> Send:
    """Jobs into its table, many in one statement."""
    procrastinate: Any = import_module("procrastinate")
    options = {"options": "-c search_path=procrastinate"}
    app: Any = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=place.dsn, kwargs=options))
    app.open()

    def send(events: Sequence[Event]) -> None:
        for start in range(0, len(events), 500):
            chunk = events[start : start + 500]
            app.configure_task("bench.failed", queue="bench").batch_defer(*[{"event": event} for event in chunk])

    return send


def prepare_dbos(place: Place) -> None:
    """Its tables."""
    _run(place, *_module("bench.peers.dbos_app", "migrate"))


def open_dbos(place: Place) -> Send:
    """Workflows onto its queue."""
    client: Any = import_module("dbos").DBOSClient(system_database_url=place.dsn)
    options = {"queue_name": "bench", "workflow_name": "bench.failed", "app_version": "bench"}

    def send(events: Sequence[Event]) -> None:
        for event in events:
            client.enqueue(options, event)

    return send


def _run(place: Place, *command: str) -> None:
    done = subprocess.run(command, env=place.environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def left_over(db: psycopg.Connection) -> int:
    """What ours has still to announce."""
    row = db.execute("select count(*) from effects where state in ('due', 'claimed')").fetchone()
    assert row is not None
    return int(row[0])


OURS_COMMANDS = [_module("worker.cli", "worker", "--concurrency", str(PROCESSES))]
HAND_LOOP = Contestant(
    "loop",
    "hand-written loop",
    1.0,
    [_module("bench.peers.hand_loop", f"p{n}") for n in range(PROCESSES)],
    open_hand_loop,
    prepare_hand_loop,
)
OURS = Contestant("ours", "refunds worker", 1.0, OURS_COMMANDS, open_ours)
OURS_OLD = Contestant("ours-old", "refunds worker, old cases", 1.0, OURS_COMMANDS, open_ours, old=True)
CELERY = Contestant(
    "celery",
    "plain Celery",
    0.05,
    [
        _module(
            *("celery", "--quiet", "-A", "bench.peers.plain_celery", "worker", "--concurrency", str(PROCESSES)),
            *("-Q", "bench-celery", "--loglevel", "warning", "--without-mingle", "--without-gossip"),
        )
    ],
    open_celery,
)
DRAMATIQ = Contestant(
    "dramatiq",
    "Dramatiq",
    0.05,
    [_module("dramatiq", "bench.peers.dramatiq_actors", "--processes", str(PROCESSES), "--threads", "8")],
    open_dramatiq,
)
PROCRASTINATE = Contestant(
    "procrastinate",
    "Procrastinate",
    0.05,
    [_module("procrastinate", "--app=bench.peers.procrastinate_app.app", "worker", "--concurrency=8")] * PROCESSES,
    open_procrastinate,
    prepare_procrastinate,
)
DBOS = Contestant(
    "dbos",
    "DBOS",
    0.02,
    [_module("bench.peers.dbos_app", f"p{n}") for n in range(PROCESSES)],
    open_dbos,
    prepare_dbos,
)
ALL = (CELERY, DRAMATIQ, PROCRASTINATE, DBOS, HAND_LOOP, OURS, OURS_OLD)
