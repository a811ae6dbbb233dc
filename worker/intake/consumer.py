"""One consumer of the event stream: an entry is durable before it is acknowledged, and never forgotten before that.

The crash points are CP1 to CP6 of failure-modes.md: whatever dies between reading, accepting and acknowledging, the entry is
still pending and comes again, to this consumer or to another. What accepts is therefore idempotent by the event's identity.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

import redis

from worker.clock import Every
from worker.errors import Misconfigured, NoGround, one_line
from worker.intake.entry import UNREAD, Entry, entry_of, weight
from worker.intake.handed import Handed
from worker.intake.heavy import TooHeavy, fewer
from worker.intake.interference import report_gone
from worker.intake.stream import FIRST, as_text, groups, read_up_to
from worker.intake.upkeep import Feeds, Upkeep
from worker.strict import MAX_BYTES

BACKOFF_SECONDS = (0.2, 5.0)
MOST_RESTS = 5
"""How often in a row the stream is left to others: what else a consumer does has its turn, and others are called again."""
Found = tuple[str, dict[bytes, bytes]]
"""An entry as Redis gives it: its id and its fields, none where it was deleted."""
READ_BYTES = 500 * MAX_BYTES
"""What one read may weigh: a full one of the largest documents that can be read. After a heavier one fewer are read at once."""


class Accept(Protocol):
    """Where entries become durable."""

    def accept(self, entries: Sequence[Entry]) -> Any:
        """Commits every entry, as a row or as a dead letter, before it returns; raises if it cannot, and then all come again.
        What it returns is for `on_accepted`.
        """
        ...


class Consumer:
    """Reads one stream for one group under one name. `step` is one turn; `run` turns until told to stop, through any outage."""

    def __init__(
        self,
        redis: redis.Redis,
        accept: Accept,
        *,
        stream: str,
        name: str,
        log: Any,
        group: str = "refunds",
        database: str | None = None,
        feeds: Feeds | None = None,
        on_accepted: Callable[[Sequence[Entry], Any], None] | None = None,
        handed: Handed | None = None,
        read_count: int = 500,
        read_bytes: int = READ_BYTES,
        block_ms: int = 1_000,
        reclaim_idle_ms: int = 30_000,
        reclaim_every: float = 5.0,
        retention_hours: float = 72.0,
        sent: Sequence[str] = (),
        sent_retention_hours: float = 168.0,
        housekeeping_every: float = 60.0,
    ) -> None:
        if block_ms < 1:
            raise ValueError("block_ms must be at least 1: to Redis 0 means for ever, and a stop would not be seen")
        self.stream, self.group, self.name = stream, group, name
        self._redis: Any = redis
        self._accept, self._on_accepted, self._log = accept, on_accepted, log
        self._handed = handed or Handed(lambda _: (), most=0)
        self._most, self._bytes, self._block_ms, self._idle_ms = read_count, read_bytes, block_ms, reclaim_idle_ms
        self._count = read_count  # what is read at once for now
        self._reclaims = Every(reclaim_every)
        self._upkeep = Upkeep(
            redis,
            stream=stream,
            group=group,
            name=name,
            database=database,
            feeds=feeds,
            retention=timedelta(hours=retention_hours),
            sent=dict.fromkeys(sent, timedelta(hours=sent_retention_hours)),
            every=housekeeping_every,
            log=log,
        )
        self._group_known = False
        self._walk: str | None = FIRST  # where we are in our own pending entries; None when through
        self._claim = FIRST  # where we are in what others left pending
        self._refusals = 0  # batches refused in a row
        self._singly = False  # pending entries one at a time, so that a poisonous one holds up nobody else
        self._left: dict[str, str] = {}  # what was refused alone in this walk, and why
        self._told: set[str] = set()
        self._probing = False  # nothing at all was accepted in the last walk: take one new entry and see
        self._failures = 0
        self._complaint = ""

    def run(self, stop: threading.Event, *, rest: float = 0.0, fit: Callable[[], object] = lambda: None) -> None:
        """Consumes until `stop` is set, and ends after the batch in hand. No error ends it: it says so once and goes on.

        Once nothing can be kept where it keeps things, it touches the stream no more until `fit` raises nothing: what it has in
        hand is then idle, and whoever reads beside it takes that over.

        After a full read it rests so many seconds, and goes on resting while more waits and others of the group read it: where
        events pile up they are called, and spare each event the way through the inbox.
        """
        unfit = False
        while not stop.is_set():
            began = time.monotonic()
            try:
                if unfit:
                    fit()
                accepted = self.step()
            except Exception as error:  # a thread that dies would leave a process that looks alive
                unfit = isinstance(error, Misconfigured)
                self._failures += 1
                self._complain(error)
                stop.wait(self._backoff())
                continue
            unfit = False
            if self._failures:
                self._log.info("intake.goes_on", stream=self.stream, after_failures=self._failures)
            self._failures, self._complaint = 0, ""
            if rest and accepted >= self._most:
                self._leave_to_others(stop, rest)
            # fakeredis never blocks in XREADGROUP with COUNT (runtime-facts.md); without this pause the loop would spin
            if accepted == 0 and time.monotonic() - began < self._block_ms / 2000:
                stop.wait(min(0.05, self._block_ms / 1000))

    def _leave_to_others(self, stop: threading.Event, rest: float) -> None:
        with suppress(redis.RedisError):  # the next turn says so
            before, _ = read_up_to(self._redis, self.stream, self.group)
            for _ in range(MOST_RESTS):
                if stop.wait(rest):
                    return
                last, more = read_up_to(self._redis, self.stream, self.group)
                if not more or last == before:
                    return
                before = last

    def step(self) -> int:
        """One turn: what is pending for us, then what idle consumers hold, then what is new; returns the entries accepted.

        Raises what Redis or `accept` raised; then nothing of that batch was acknowledged and the next turn begins with it.
        """
        try:
            self._ensure_group()
            # before anything new is read: what is gone shows by what waits
            if gone := self._upkeep.gone():
                report_gone(self._log, self.stream, gone, "one that nobody was given")
            accepted = self._own() or self._reclaimed() or self._fresh()
            self._upkeep.tidy()
        except redis.ResponseError as error:
            self._walk = FIRST
            if not str(error).startswith("NOGROUP"):
                raise
            # somebody wiped Redis; the group is made again from the beginning, what was there comes twice and is known
            self._log.warning("intake.group_gone", stream=self.stream, group=self.group, next="created again from the beginning")
            self._group_known = False
            return 0
        except Exception:
            # an answer may be lost with entries already ours: never go on to new ones before those
            self._walk = FIRST
            raise
        return accepted

    def _ensure_group(self) -> None:
        if self._group_known:
            return
        # a Redis that is full makes no group, not even one that it has, and our housekeeping is what gives it room
        if self.group not in {as_text(state["name"]) for state in groups(self._redis, self.stream)}:
            try:
                # at 0: with $ everything sent before our first start would be skipped
                self._redis.xgroup_create(self.stream, self.group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self._group_known, self._walk = True, FIRST

    def _own(self) -> int:
        if self._handed.overdue():
            self._walk = FIRST
        while self._walk is not None:
            found = self._read(self._walk, self._count)
            mine = self._not_with_a_task(found)
            self._handed.looked([entry_id for entry_id, _ in mine])
            if not found:
                self._end_walk()
                return 0
            self._walk = found[-1][0]
            if accepted := self._settle(mine, singly=self._singly, again=True):
                self._probing = False
                return accepted
        return 0

    def _not_with_a_task(self, found: list[Found]) -> list[Found]:
        return [pair for pair in found if not self._handed.with_a_task(pair[0])]

    def _end_walk(self) -> None:
        self._walk = None
        self._refusals = 0
        self._singly = bool(self._left)
        if set(self._left) != self._told:
            for entry_id, why in list(self._left.items())[:5]:
                self._log.error("intake.entry_refused", entry=entry_id, error=why, next="stays pending and is tried again")
        self._told = set(self._left)
        self._left = {}

    def _reclaimed(self) -> int:
        if self._claim == FIRST and not self._reclaims.due():
            return 0
        try:
            reply = self._redis.xautoclaim(
                self.stream, self.group, self.name, self._idle_ms, start_id=self._claim, count=self._count
            )
        except TooHeavy:
            # what it would have shown is ours by now, and found there
            self._count, self._walk = fewer(self._count), FIRST
            return 0
        self._claim = as_text(reply[0])
        claimed = self._not_with_a_task(self._weighed(item for item in reply[1] if item is not None and item[0] is not None))
        if self._singly or len(claimed) < len(reply[1]):
            # What was refused alone is tried again at this pace. And Redis 6.2 hands out deleted entries as nothing and leaves
            # them pending, now with us: the walk clears them.
            self._walk = FIRST
        if len(reply) > 2 and reply[2]:
            report_gone(self._log, self.stream, len(reply[2]), as_text(reply[2][0]))
        return self._settle(claimed, singly=self._singly, again=True)

    def _fresh(self) -> int:
        found = self._read(">", 1 if self._probing else self._count, block=self._block_ms)
        singly = not self._probing and len(found) <= self._handed.most
        handed = self._handed.offer(_entries(found)) if singly else set()
        accepted = self._settle([pair for pair in found if pair[0] not in handed])
        self._probing = self._probing and not accepted
        return accepted + len(handed)

    def _read(self, after: str, count: int, block: int | None = None) -> list[Found]:
        while True:
            try:
                reply = self._redis.xreadgroup(self.group, self.name, {self.stream: after}, count=count, block=block)
                return self._weighed(item for _, items in reply or [] for item in items)
            except TooHeavy:
                if after == ">":
                    self._count, self._walk = fewer(count), FIRST
                    return []
                if count == 1:
                    return self._too_heavy(after)
                count = self._count = fewer(count)

    def _too_heavy(self, after: str) -> list[Found]:
        """The first entry after this one that is pending for us, without its fields."""
        held = self._redis.xpending_range(self.stream, self.group, min=f"({after}", max="+", count=1, consumername=self.name)
        return [(as_text(one["message_id"]), UNREAD) for one in held]

    def _weighed(self, items: Iterable[Any]) -> list[Found]:
        found = [_pair(item) for item in items]
        weighs = sum(weight(fields) for _, fields in found)
        if weighs > self._bytes:
            self._count = max(1, min(self._count, len(found) * self._bytes // weighs))
        elif found:
            self._count = min(2 * self._count, self._most)
        return found

    def _settle(self, found: Sequence[Found], *, singly: bool = False, again: bool = False) -> int:
        # an entry always has a field, so one without any was deleted while it was pending
        deleted = [entry_id for entry_id, fields in found if not fields]
        if deleted:
            report_gone(self._log, self.stream, len(deleted), deleted[0])
            self._redis.xack(self.stream, self.group, *deleted)
        entries = _entries(found, again)
        if singly:
            return sum(self._alone(entry) for entry in entries)
        if entries:
            self._together(entries)
        return len(entries)

    def _together(self, entries: Sequence[Entry]) -> None:
        try:
            taken = self._accept.accept(entries)
        except NoGround:
            raise  # no entry is to blame
        except Exception:
            self._refusals += 1
            if self._refusals > 1:
                self._singly = self._probing = True
            raise
        self._refusals = 0
        self._acknowledge(entries, taken)

    def _alone(self, entry: Entry) -> int:
        try:
            taken = self._accept.accept([entry])
        except NoGround:
            raise
        except Exception as error:
            self._left[entry.stream_id] = one_line(error)
            return 0
        self._acknowledge([entry], taken)
        return 1

    def _acknowledge(self, entries: Sequence[Entry], taken: Any) -> None:
        self._redis.xack(self.stream, self.group, *(entry.stream_id for entry in entries))
        if self._on_accepted is not None:
            try:
                self._on_accepted(entries, taken)
            except Exception as error:  # only a hint; the sweep finds the rows
                self._log.warning("intake.hint_failed", entries=len(entries), error=one_line(error))

    def _complain(self, error: Exception) -> None:
        # one line an outage, not one a try
        said = one_line(error)
        if said != self._complaint:
            self._complaint = said
            self._log.warning("intake.held_up", stream=self.stream, error=said, kind=type(error).__name__, next="trying again")

    def _backoff(self) -> float:
        least, most = BACKOFF_SECONDS
        longest: float = min(most, least * 2 ** min(self._failures - 1, 10))
        return longest * random.uniform(0.5, 1.0)


def _entries(found: Sequence[Found], again: bool = False) -> list[Entry]:
    return [entry_of(entry_id, fields, again) for entry_id, fields in found if fields]


def _pair(item: Any) -> Found:
    return as_text(item[0]), item[1] or {}
