"""The intake process: reads the stream until told to stop, through every absence of Redis and of the database."""

import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Sequence

import redis

from worker.errors import Misconfigured, TryLater
from worker.intake.accept import Accepted, Desk
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.handed import Handed
from worker.observe import log
from worker.settings import Settings, is_observer
from worker.store import feeders
from worker.store.bulk import Tx
from worker.store.schema import require_current
from worker.urls import redacted

KNOCK_SECONDS = 3.0
AT_ONCE = 500
"""Entries that one read takes. Where it brings as many, more waits: that is when others are called, and left to it."""
DRAINED_SECONDS = 2.0
"""How long a stream that fills whole reads is left to the task processes, who spare it the way through the inbox."""


def consumer_name() -> str:
    """A name no other process has; what this one leaves behind is reclaimed by the others, and the name then forgotten."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def run_intake(
    settings: Settings,
    client: redis.Redis,
    desk: Desk,
    database: str,
    hint: Callable[[Sequence[Accepted], bool], None],
    stop: threading.Event,
    handed: Handed | None = None,
) -> None:
    """Reads until `stop` is set: each entry is durable before it is acknowledged, and hinted at after; what comes singly may be
    handed on. `database` is the name of the one it reads into; `hint` hears what is new, and whether more waits.
    """

    def tell(entries: Sequence[Entry], accepted: Sequence[Accepted]) -> None:
        log.info("intake.accepted", entries=len(entries), new=len(accepted), jobs=[row.job_id for row in accepted[:5]])
        hint(accepted, len(entries) >= AT_ONCE)

    name = consumer_name()
    by = f"{name}, {redacted(settings.redis_url)}"

    def mark_and_look(tx: Tx, redis_name: str) -> dict[str, str]:
        now = desk.clock.now()
        feeders.mark(tx, redis_name, by, now)
        return {one.redis: one.by for one in feeders.others(tx, redis_name, now)}

    consumer = Consumer(
        client,
        desk,
        stream=settings.stream,
        group=settings.group,
        database=database,
        feeds=None if is_observer(settings.group) else lambda named: desk.store.write(lambda tx: mark_and_look(tx, named)),
        name=name,
        on_accepted=tell,
        handed=handed,
        read_count=AT_ONCE,
        retention_hours=settings.stream_retention_hours,
        sent=settings.sent_streams,
        sent_retention_hours=settings.sent_retention_hours,
        log=log,
    )
    log.info("intake.started", stream=settings.stream, consumer=consumer.name)
    rest = DRAINED_SECONDS if settings.hints else 0.0
    consumer.run(stop, rest=rest, fit=lambda: require_current(desk.store, settings.group))
    log.info("intake.stopped", stream=settings.stream)


def until_ready(ready: Callable[[], object], stop: threading.Event) -> bool:
    """Waits until the database is there with the right schema, saying every few seconds what is missing; False when told
    to stop first.
    """
    while not stop.is_set():
        try:
            ready()
            # it may have been told while it asked
            return not stop.is_set()
        except (TryLater, Misconfigured) as error:
            log.warning("waiting", error=str(error), again_in_seconds=KNOCK_SECONDS)
            stop.wait(KNOCK_SECONDS)
    return False


def stop_on_signals(*, hangup: bool = False) -> threading.Event:
    """An event that SIGTERM and SIGINT set: the batch in hand is finished, then the process ends. With `hangup` a terminal that
    is closed sets it too, unless that is ignored, as under nohup.
    """
    stop = threading.Event()
    more = [signal.SIGHUP] if hangup and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        signal.signal(number, lambda *_: stop.set())
    return stop
