"""Draining: a task process that reads the stream itself while events pile up.

What comes for the first time is taken in, handled and acknowledged: one transaction a batch, and a second that records its
announcements. Where that fails, and for whatever comes again, rows are durable and their attempt is counted before they are
handled, so that a poisonous event cannot take its own count down with it. Dying anywhere leaves pending entries, rows, or
claimed announcements, which the ordinary sweeps find.
"""

import threading
from collections.abc import Sequence

import redis

from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import OWN_HINT, Assessor
from worker.cases.effects.effects import Performer
from worker.errors import TryLater, one_line
from worker.intake.accept import Desk
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.process import consumer_name
from worker.observe import log
from worker.settings import GROUP


class Drain:
    """One consumer of the stream's group in a task process. Threads of one process take turns."""

    def __init__(
        self, client: redis.Redis, stream: str, desk: Desk, assessor: Assessor, performer: Performer, group: str = GROUP
    ) -> None:
        self._desk, self._assessor, self._performer = desk, assessor, performer
        self._done, self._rows = Assessed(), list[int]()
        self._alone = threading.Lock()
        self._consumer = Consumer(
            client, self, stream=stream, group=group, name=consumer_name(), log=log, block_ms=1, read_count=assessor.batch
        )

    def accept(self, entries: Sequence[Entry]) -> None:
        """Handles entries, or takes them in to be handled as rows; the consumer acknowledges them after."""
        again = any(entry.again for entry in entries)
        done = None if again else self._assessor.at_once(self._desk, entries)
        if done is None:
            self._rows += [row.inbox_id for row in self._desk.accept(entries)]
        else:
            self._done += done

    def turn(self) -> Assessed | None:
        """What came of the next batch of the stream; None where nothing was waiting. Raises `TryLater` when Redis or the
        database is away.
        """
        if not self._alone.acquire(blocking=False):
            return None
        try:
            self._done, self._rows = Assessed(), []
            try:
                entries = self._consumer.step()
            except redis.RedisError as error:
                raise TryLater("Redis", one_line(error)) from error
            if not entries:
                return None
            done = self._done
            if self._rows:
                done += self._assessor.assess(self._rows, waited=OWN_HINT)
            self._performer.announce_claimed(done.effects)
            return done
        finally:
            self._alone.release()
