"""Draining: a task process that reads the stream itself while events pile up.

The same three commits as on the way through intake and inbox (taken in, assessed, announced), without the hand-over between
them: rows come in claimed by this process, and what was read is not read again. Dying anywhere leaves pending entries, claimed
rows or claimed announcements, which the ordinary sweeps find when the claim ends.
"""

import threading
from collections.abc import Sequence

import redis

from worker.cases.assess import Assessed, Assessor
from worker.cases.effects import Performer
from worker.errors import TryLater, one_line
from worker.intake.accept import Accepted, Desk
from worker.intake.consumer import Consumer, Entry
from worker.intake.process import GROUP, consumer_name
from worker.observe import log


class Drain:
    """One consumer of the stream's group in a task process. Threads of one process take turns."""

    def __init__(self, client: redis.Redis, stream: str, desk: Desk, assessor: Assessor, performer: Performer) -> None:
        self._desk, self._assessor, self._performer = desk, assessor, performer
        self._taken: list[Accepted] = []
        self._alone = threading.Lock()
        self._consumer = Consumer(
            client, self, stream=stream, group=GROUP, name=consumer_name(), log=log, block_ms=1, read_count=assessor.batch
        )

    def accept(self, entries: Sequence[Entry]) -> None:
        """Takes entries in, claimed by this process; the consumer acknowledges them after."""
        self._taken += self._desk.accept(entries, lease=self._assessor.lease)

    def turn(self) -> Assessed | None:
        """What came of the next batch of the stream; None where nothing was waiting. Raises `TryLater` when Redis or the
        database is away.
        """
        if not self._alone.acquire(blocking=False):
            return None
        try:
            self._taken = []
            try:
                entries = self._consumer.step()
            except redis.RedisError as error:
                raise TryLater("Redis", one_line(error)) from error
            if not entries:
                return None
            done = self._assessor.take(self._taken)
            self._performer.announce_held(done.effects)
            return done
        finally:
            self._alone.release()
