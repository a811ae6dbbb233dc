"""What streams need now and then: forgetting what is long done and consumers that are no more, and a look for trouble.

The intake does it for the stream that it reads and for those that the worker writes: nobody else looks at Redis so regularly.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from worker.clock import Every, turns, written
from worker.errors import one_line
from worker.intake.heavy import TooHeavy
from worker.intake.interference import Unread, ahead, way_out
from worker.intake.neighbours import mark, name_of_redis, others
from worker.intake.stream import as_text, first_added, groups, milliseconds_now, moment_of, position, unacknowledged
from worker.settings import is_observer

FORGET_CONSUMER_AFTER_MS = 3_600_000
Feeds = Callable[[str], Mapping[str, str]]
"""Told what a Redis is called, it says which others events come from into the same database, and who marked each."""
SLICE, MOST_SLICES, TRIM_SECONDS = 10_000, 1_000, 2.0
"""Entries that Redis forgets at once, some 5 ms of its time, and how often and how long that is gone on with at one turn."""


class Upkeep:
    """What one consumer does for its stream beside reading, every so many seconds. A trouble that stays is said once.

    `sent` are the streams that are written for others, and how long each keeps an entry. With a `database`, its name is marked in
    Redis as read into, for others to find; `feeds` marks the name of the Redis there, and says from which others events come and
    who marked each.
    """

    def __init__(
        self,
        redis: redis.Redis,
        *,
        stream: str,
        group: str,
        name: str,
        database: str | None,
        feeds: Feeds | None,
        retention: timedelta,
        sent: Mapping[str, timedelta],
        every: float,
        log: Any,
    ) -> None:
        self._redis, self._stream, self._group, self._name, self._log = redis, stream, group, name, log
        self._database, self._retention, self._sent = database, retention, sent
        self._feeds = feeds
        self._looks, self._turns = Every(every), Every(every)
        self._unread = Unread(redis, stream, group)
        self._told_ahead = False  # that the stream's ids lie in the future
        self._told_beside: set[str] = set()  # which databases are read into as well
        self._told_feeders: set[str] = set()  # which Redis events come from as well
        self._told_kept: set[tuple[str, str]] = set()  # for which groups of which streams entries are kept

    def gone(self) -> int:
        """How many entries left the stream since the last look before anybody was given them; 0 where it is not time to look."""
        if not self._looks.due():
            return 0
        try:
            return self._unread.gone()
        except (redis.ResponseError, TooHeavy):  # fakeredis counts nothing, an ACL may forbid to ask, an entry may be in the way
            return 0

    def tidy(self) -> None:
        """Forgets what may be forgotten and says what is wrong with the stream, when it is time."""
        if not self._turns.due():
            return
        try:
            dropped = forget_idle_consumers(self._redis, self._stream, self._group, but=self._name)
            for consumer, entries in dropped.items():
                self._log.error("intake.pending_dropped", consumer=consumer, entries=entries, next="run refunds audit")
            if not is_observer(self._group):
                # before anything else: a Redis that is full takes a trim, and not what is written below
                for stream, retention in {self._stream: self._retention, **self._sent}.items():
                    trim(self._redis, stream, retention)
                self._say_kept()
            self._say_ahead()
            if self._database is not None:
                self._say_beside(self._database)
            if self._feeds is not None:
                self._say_fed(self._feeds(name_of_redis(self._redis, self._group)))
        except redis.ResponseError as error:  # an ACL may forbid it; reading goes on, the stream only grows
            self._log.warning("intake.upkeep_refused", stream=self._stream, error=one_line(error))

    def _say_kept(self) -> None:
        found = {
            (stream, group): since
            for stream, retention in self._sent.items()
            for group, since in kept_for(self._redis, stream, retention).items()
        }
        for (stream, group), since in found.items():
            if (stream, group) not in self._told_kept:
                self._log.warning("intake.sent_kept", stream=stream, group=group, since=written(since), next="run refunds doctor")
        self._told_kept = set(found)

    def _say_ahead(self) -> None:
        last = ahead(self._redis, self._stream)
        if last is not None and not self._told_ahead:
            self._log.error("intake.ids_ahead", stream=self._stream, why=way_out(self._stream, last))
        self._told_ahead = last is not None

    def _say_beside(self, database: str) -> None:
        mark(self._redis, self._group, database, self._name)
        found = {one.database: one.by for one, _ in others(self._redis, self._group, database)}
        if found.keys() - self._told_beside:
            self._log.error("intake.shared_with_another_database", database=database, beside=found, next="run refunds doctor")
        self._told_beside = set(found)

    def _say_fed(self, found: Mapping[str, str]) -> None:
        if found.keys() - self._told_feeders:
            self._log.error("intake.database_shared_with_another_redis", beside=dict(found), next="run refunds doctor")
        self._told_feeders = set(found)


def trim(client: redis.Redis, stream: str, retention: timedelta) -> int:
    """Forgets entries older than `retention` that every group has acknowledged; returns how many.

    By MINID and never by MAXLEN: a length says nothing about what has been read, and trimming drops unread and pending
    entries without a word (failure-modes.md 1c). Any group that has read nothing keeps everything, but for observers: nobody
    waits for them, and one that is away for longer than `retention` misses what was trimmed.
    """
    r: Any = client
    # the server's clock, since the ids carry its time; asked first, so that what is added meanwhile is younger
    bounds = [(milliseconds_now(client) - int(retention.total_seconds() * 1000), 0)]
    bounds += _waited_for(client, stream).values()
    milliseconds, sequence = min(bounds)
    if milliseconds <= 0:
        return 0
    before, dropped = f"{milliseconds}-{sequence}", 0
    for _ in turns(MOST_SLICES, TRIM_SECONDS, time.monotonic):
        # whole nodes, few at once: Redis does nothing else meanwhile, and without a limit it stops after 10,000 entries
        gone = int(r.xtrim(stream, minid=before, approximate=True, limit=SLICE))
        dropped += gone
        if not gone:
            return dropped + int(r.xtrim(stream, minid=before, approximate=False))
    return dropped


def kept_for(client: redis.Redis, stream: str, retention: timedelta) -> dict[str, datetime]:
    """The groups for which entries are kept that are older than `retention`, and when the oldest of each was added."""
    edge = moment_of(milliseconds_now(client)) - retention
    found = {name: moment_of(milliseconds) for name, (milliseconds, _) in _waited_for(client, stream).items()}
    return {name: added for name, added in found.items() if added < edge}


def _waited_for(client: redis.Redis, stream: str) -> dict[str, tuple[int, int]]:
    """The position of the oldest entry that each group has not acknowledged, but for observers, for whom nobody waits."""
    return {name: position(entry) for name, entry in unacknowledged(client, stream).items() if not is_observer(name)}


def outstayed(client: redis.Redis, stream: str, retention: timedelta) -> timedelta:
    """By how much the oldest entry is older than `retention`; none where it is not. After a turn of ours it is what some group
    has not acknowledged.
    """
    added = first_added(client, stream)
    age = timedelta(0) if added is None else moment_of(milliseconds_now(client)) - added
    return max(timedelta(0), age - retention)


def observers(client: redis.Redis, stream: str) -> dict[str, datetime]:
    """The observers of the stream, and when what each was given last had been added: now at the latest."""
    now = milliseconds_now(client)
    found = {as_text(state["name"]): as_text(state["last-delivered-id"]) for state in groups(client, stream)}
    given = {name: min(position(last)[0], now) / 1000 for name, last in found.items() if is_observer(name)}
    return {name: datetime.fromtimestamp(at, UTC) for name, at in given.items()}


def forget_idle_consumers(client: redis.Redis, stream: str, group: str, *, but: str) -> dict[str, int]:
    """Removes consumers of our group that said nothing for an hour and hold nothing; returns those that held entries after all.

    A consumer is never removed with pending entries: they would go with it (failure-modes.md 1c, watermill-redisstream#24). A
    live one speaks every second, so only a process frozen for an hour could take entries between our look and our word.
    """
    r: Any = client
    dropped = {}
    for consumer in r.xinfo_consumers(stream, group):
        name = as_text(consumer["name"])
        if name != but and not consumer["pending"] and consumer["idle"] > FORGET_CONSUMER_AFTER_MS:
            held = int(r.xgroup_delconsumer(stream, group, name))
            if held:
                dropped[name] = held
    return dropped
