"""The schedule, which asks for nothing more where nobody takes what it has asked for."""

from typing import Any

import redis
from celery.beat import ScheduleEntry, Scheduler

from worker.intake.stream import open_stream_client
from worker.observe import log
from worker.settings import load_settings

MOST = 1_000
"""Messages in one queue: half an hour of what one schedule sends, about a megabyte."""


class Schedule(Scheduler):  # type: ignore[misc]
    """Celery's own that keeps its state in memory, but for queues in which `MOST` messages wait: to those it sends nothing.

    A worker throws away what is too old, and only a worker does: without one for `money` the list would fill the Redis that
    holds the events.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._redis = open_stream_client(load_settings().redis_url)
        self._prefix = self.app.conf.broker_transport_options["global_keyprefix"]
        self._full: set[str] = set()

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Sends the task that is due, or leaves it to a later time."""
        if not self._is_full(self.app.conf.task_routes[entry.task]["queue"]):
            super().apply_entry(entry, producer=producer)

    def _is_full(self, queue: str) -> bool:
        try:
            waiting = int(self._redis.llen(f"{self._prefix}{queue}"))  # type: ignore[arg-type,unused-ignore]
        except (redis.RedisError, OSError):
            # whoever sends says that Redis is away
            return False
        if waiting < MOST:
            self._full.discard(queue)
            return False
        if queue not in self._full:
            self._full.add(queue)
            log.warning("schedule.queue_full", queue=queue, waiting=waiting, why="is a worker with this queue running?")
        return True
