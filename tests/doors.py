"""Doors: every commit, command and call of the processes at work, counted, at each of which something may go wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import fakeredis
import redis

from tests.faults import Crash, Fault, How, database_lost, redis_lost
from worker.errors import TryLater
from worker.store.bulk import Tx
from worker.store.engine import Store

T = TypeVar("T")
QUIET = {"XINFO", "XLEN", "XPENDING", "XRANGE"}
"""Only read by the test itself."""


@dataclass
class Doors:
    """Counts every passage of a process and lets go wrong what was asked for."""

    faults: frozenset[Fault] = frozenset()
    names: list[str] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    watched: bool = False
    """False while nobody but the test itself is at work: then nothing counts."""
    who: str = ""
    """The process at work, with a colon."""
    after: Callable[[], None] = lambda: None
    """Looks at what there is, after every passage and however it went."""

    def through(self, name: str, work: Callable[[], T], lost: Callable[[], T]) -> T:
        """Does `work`; `lost` is what its caller meets where nothing came back."""
        if not self.watched:
            return work()
        try:
            return self._pass(name, work, lost)
        finally:
            self.after()

    def _pass(self, name: str, work: Callable[[], T], lost: Callable[[], T]) -> T:
        passage = len(self.names)
        self.names.append(self.who + name)
        wrong = {fault.how for fault in self.faults if fault.passage == passage}
        if How.DIES_BEFORE in wrong:
            raise Crash(f"before {self.names[passage]}")
        if How.FAILS_BEFORE in wrong:
            return lost()
        result = work()
        if How.DIES_AFTER in wrong:
            raise Crash(f"after {self.names[passage]}")
        return lost() if How.ANSWER_LOST in wrong else result

    def process(self, step: Callable[[], T], who: str = "") -> T | None:
        """What a process made of its step; None where it died in it, or found something away and tries again at its next turn.

        `who` is named at each of its doors.
        """
        before = self.watched, self.who
        self.watched, self.who = True, who
        try:
            return step()
        except Crash as crash:
            self.deaths.append(str(crash))
        except (TryLater, redis.RedisError):
            pass
        finally:
            self.watched, self.who = before
        return None


class DoorStore(Store):
    """A database whose commits are doors."""

    def __init__(self, inner: Store, doors: Doors) -> None:
        self.url, self.engine, self.doors = inner.url, inner.engine, doors

    def write(self, work: Callable[[Tx], T]) -> T:
        whole = super().write
        return self.doors.through("commit", lambda: whole(work), database_lost)


class _DoorPipeline:
    """A pipeline that is one door: everything in it travels together."""

    def __init__(self, inner: Any, doors: Doors) -> None:
        self._inner, self._doors = inner, doors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self) -> Any:
        return self._doors.through("redis pipeline", self._inner.execute, redis_lost)


class DoorRedis(fakeredis.FakeRedis):
    """A Redis whose every command is a door."""

    doors: Doors

    def execute_command(self, *args: Any, **options: Any) -> Any:
        whole: Callable[..., Any] = super().execute_command
        if str(args[0]).split()[0].upper() in QUIET:
            return whole(*args, **options)
        return self.doors.through(f"redis {args[0]}", lambda: whole(*args, **options), redis_lost)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _DoorPipeline(super().pipeline(transaction, shard_hint), self.doors)
