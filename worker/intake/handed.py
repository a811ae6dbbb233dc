"""Entries handed on: while they come singly, a task handles each straight from the stream and acknowledges it.

Until then it is pending like any other. What is not acknowledged within the grace is taken in by its consumer after all, and
for a while nothing more is handed on: tasks that are late would only be later.
"""

import time
from collections.abc import Callable, Collection, Sequence

from worker.intake.entry import Entry

GRACE_SECONDS, REST_SECONDS = 1.0, 5.0


class Handed:
    """What one consumer has handed on, and when. `ask` sends tasks for entries and returns the ids of those it sent one for;
    `most` is how many may come at once for that.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Entry]], Collection[str]],
        *,
        most: int,
        grace: float = GRACE_SECONDS,
        rest: float = REST_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self._ask, self._grace, self._rest, self._now = most, ask, grace, rest, now
        self._since: dict[str, float] = {}
        self._not_before = float("-inf")

    def offer(self, entries: Sequence[Entry]) -> set[str]:
        """Hands on what may be; returns the ids of those entries."""
        if not 0 < len(entries) <= self.most or self._now() < self._not_before:
            return set()
        sent = set(self._ask(entries))
        self._since |= dict.fromkeys(sent, self._now())
        return sent

    def with_a_task(self, entry_id: str) -> bool:
        """True while the task of an entry still has time to acknowledge it."""
        return self._since.get(entry_id, float("-inf")) > self._now() - self._grace

    def overdue(self) -> bool:
        """True when something was handed on so long ago that its acknowledgement is to be looked for."""
        return not self.with_a_task(next(iter(self._since))) if self._since else False

    def looked(self, found: Collection[str]) -> None:
        """These were found pending though no task has time for them any more: whatever else is as old is done."""
        if not self._since.keys().isdisjoint(found):
            self._not_before = self._now() + self._rest
        self._since = {entry_id: since for entry_id, since in self._since.items() if self.with_a_task(entry_id)}
