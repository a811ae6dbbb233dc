"""Entries of the stream that a task was handed: taken in and handled at once, then acknowledged.

Their consumer holds them as pending until then. Whatever dies on the way leaves them so, and the consumer takes them in itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import OWN_HINT, Assessor
from worker.errors import TryLater, one_line
from worker.intake.accept import Desk
from worker.intake.entry import Entry, entry_of
from worker.intake.interference import report_gone
from worker.intake.stream import as_text
from worker.observe import log
from worker.settings import GROUP


@dataclass(frozen=True, slots=True)
class FirstHand:
    """Handles entries by their ids, with its collaborators."""

    client: redis.Redis
    stream: str
    desk: Desk
    assessor: Assessor
    group: str = GROUP

    def handle(self, entry_ids: Sequence[str], *, again: bool = False) -> Assessed:
        """What came of the entries; `again` for those that a task was handed before. Announcements are claimed for the caller
        to make. Raises `TryLater` when Redis or the database is away.
        """
        entries = self._entries(entry_ids)
        found = [entry.stream_id for entry in entries]
        self._report_gone([entry_id for entry_id in entry_ids if entry_id not in found])
        done = None if again else self.assessor.at_once(self.desk, entries)
        accepted = self.desk.accept(entries) if done is None else []
        self._acknowledge(entry_ids)
        if done is not None and done.busy:
            return done
        # where its consumer was faster tasks are late: what else waits is taken along
        return self.assessor.assess([row.inbox_id for row in accepted], waited=OWN_HINT)

    def _entries(self, ids: Sequence[str]) -> list[Entry]:
        r: Any = self.client
        try:
            found = [pair for entry_id in ids for pair in r.xrange(self.stream, min=entry_id, max=entry_id)]
        except redis.RedisError as error:
            raise TryLater("Redis", one_line(error)) from error
        return [entry_of(as_text(entry_id), fields) for entry_id, fields in found]

    def _report_gone(self, ids: Sequence[str]) -> None:
        # what its consumer took in meanwhile is no longer pending, and no loss
        r: Any = self.client
        try:
            gone = [one for one in ids if r.xpending_range(self.stream, self.group, min=one, max=one, count=1)]
        except redis.RedisError as error:
            raise TryLater("Redis", one_line(error)) from error
        if gone:
            report_gone(log, self.stream, len(gone), gone[0])

    def _acknowledge(self, ids: Sequence[str]) -> None:
        try:
            self.client.xack(self.stream, self.group, *ids)
        except redis.RedisError as error:  # its consumer finds it pending, takes it in, and sees that it is known
            log.warning("entry.not_acknowledged", entry_ids=list(ids), error=one_line(error))
