"""One installation whose every commit, Redis command and call to the pipeline is a door, and whose processes can die at each.

Processes keep nothing: after a death the same steps start again from the rows and the stream alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from typing import Any, NoReturn, TypeVar

import fakeredis
import redis
from sqlalchemy import func, select

from tests.cases.world import World
from tests.faults import Crash, database_lost
from worker.cases.drain import Drain
from worker.cases.first_hand import FirstHand
from worker.cases.sweep import Sweeper
from worker.errors import TryLater
from worker.intake.accept import Desk
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.handed import Handed
from worker.notices.outcomes import OutcomeStream
from worker.observe import log
from worker.reruns import Answer, Reply, RerunOrder
from worker.settings import GROUP
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, effects, inbox

T = TypeVar("T")
STREAM = "crash:events"
QUIET = {"XINFO", "XLEN", "XPENDING", "XRANGE"}
"""Only read by the test itself."""


class How(StrEnum):
    """What happens at a door."""

    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    FAILS_BEFORE = "fails before"
    ANSWER_LOST = "answer lost"
    """It is done, and the one who did it is told that it failed: a commit or a call with an unknown end."""


class Way(StrEnum):
    """How events take their way from the stream to a verdict."""

    STORED = "stored"
    DRAINED = "drained"
    HANDED = "handed"


DEATHS = (How.DIES_BEFORE, How.DIES_AFTER)


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that goes wrong: at the nth door that is passed, this."""

    passage: int
    how: How

    def __str__(self) -> str:
        return f"{self.passage} {self.how}"


@dataclass
class Doors:
    """Counts every passage and lets go wrong what was asked for."""

    faults: frozenset[Fault] = frozenset()
    names: list[str] = field(default_factory=list)

    def through(self, name: str, work: Callable[[], T], lost: Callable[[], T]) -> T:
        """Does `work`; `lost` is what its caller meets where nothing came back."""
        passage = len(self.names)
        self.names.append(name)
        wrong = {fault.how for fault in self.faults if fault.passage == passage}
        if How.DIES_BEFORE in wrong:
            raise Crash(f"before {name}")
        if How.FAILS_BEFORE in wrong:
            return lost()
        result = work()
        if How.DIES_AFTER in wrong:
            raise Crash(f"after {name}")
        return lost() if How.ANSWER_LOST in wrong else result


def _redis_lost() -> NoReturn:
    raise redis.ConnectionError("the answer was lost")


class DoorStore(Store):
    """A database whose commits are doors while processes are at work."""

    def __init__(self, inner: Store, doors: Doors) -> None:
        self.url, self.engine, self.doors, self.watched = inner.url, inner.engine, doors, False

    def write(self, work: Callable[[Tx], T]) -> T:
        if not self.watched:
            return super().write(work)
        whole = super().write
        return self.doors.through("commit", lambda: whole(work), database_lost)


class _DoorPipeline:
    """A pipeline that is one door: everything in it travels together."""

    def __init__(self, inner: Any, doors: Doors) -> None:
        self._inner, self._doors = inner, doors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self) -> Any:
        return self._doors.through("redis pipeline", self._inner.execute, _redis_lost)


class DoorRedis(fakeredis.FakeRedis):
    """A Redis whose every command is a door."""

    doors: Doors

    def execute_command(self, *args: Any, **options: Any) -> Any:
        whole: Callable[..., Any] = super().execute_command
        if str(args[0]).split()[0].upper() in QUIET:
            return whole(*args, **options)
        return self.doors.through(f"redis {args[0]}", lambda: whole(*args, **options), _redis_lost)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _DoorPipeline(super().pipeline(transaction, shard_hint), self.doors)


@dataclass
class DoorPipeline:
    """The image pipeline behind a door. It does every re-run it hears of, as often as it hears of it."""

    doors: Doors
    reacts: Callable[[RerunOrder], None]
    orders: list[RerunOrder] = field(default_factory=list)

    def ask(self, order: RerunOrder) -> Reply:
        def hears() -> Reply:
            self.orders.append(order)
            self.reacts(order)
            return Reply(Answer.ACCEPTED, "accepted")

        return self.doors.through("pipeline", hears, lambda: Reply(Answer.NOT_HEARD, "no answer"))


class Installation(World):
    """The automatic path as the processes of production walk it, one after another."""

    def __init__(self, store: Store, faults: frozenset[Fault], *, way: Way) -> None:
        self.doors = Doors(faults)
        self.guarded = DoorStore(store, self.doors)
        super().__init__(self.guarded)
        server = fakeredis.FakeServer()
        self.outside = fakeredis.FakeRedis(server=server)
        """How producers and the test itself see Redis."""
        self.inside = DoorRedis(server=server)
        self.inside.doors = self.doors
        self.redis = self.outside
        self.way = way
        self.tasks: list[tuple[list[str], bool]] = []
        """Entries that tasks were sent for, and whether their message was handed out before."""
        self.again = (f"again-{number}" for number in count(1))
        """Names for what the pipeline says of a re-run: another each time it runs."""
        self.reacts: Callable[[RerunOrder], None] = lambda order: None
        self.behind = DoorPipeline(self.doors, lambda order: self.reacts(order))
        outcomes = OutcomeStream(self.inside, "refunds:events")
        self.performer = replace(self.performer, reruns=self.behind, outcomes=outcomes)
        self.sweeper = Sweeper(self.guarded, self.assessor, self.performer, self.bench, self.clock, 500)
        self.deaths: list[str] = []
        self._names = count()
        self._start_processes()

    def _start_processes(self) -> None:
        desk = Desk(self.guarded, self.clock)

        class Accepting:
            def accept(self, entries: Any) -> None:
                desk.accept(entries)

        def of(accepts: Any, handed: Handed | None = None) -> Consumer:
            # what a dead one held is anybody's at once: the idle time is Redis's own and not what is tested here
            return Consumer(
                self.inside, accepts, stream=STREAM, group=GROUP, name=f"process-{next(self._names)}", log=log, handed=handed,
                block_ms=1, reclaim_idle_ms=0, reclaim_every=0.0, housekeeping_every=3600.0,
            )  # fmt: skip

        handed = Handed(self._hand_on, most=8, now=lambda: self.clock.now().timestamp()) if self.way is Way.HANDED else None
        self._intake = of(Accepting(), handed)
        self._first_hand = FirstHand(self.inside, STREAM, desk, self.assessor)
        self._drain = Drain(self.inside, STREAM, desk, self.assessor, self.performer)
        self._drain._consumer = of(self._drain)

    def emit(self, *documents: str) -> None:
        """Producers put documents on the stream."""
        for document in documents:
            self.outside.xadd(STREAM, {"event": document})

    def live(self) -> bool:
        """Lets the processes work, and time pass, until nothing is left to do; False where that never comes."""
        for turn in range(70):
            self._process(self._drained if self.way is Way.DRAINED else self._intake.step)
            for _ in range(len(self.tasks)):
                self._process(self._task)
            self._process(self.sweeper.sweep)
            if self.at_rest():
                return True
            self.clock.pass_(seconds=31 if turn < 20 else 300)
        return False

    def _drained(self) -> None:
        while self._drain.turn() is not None:
            pass

    def _hand_on(self, entries: Sequence[Entry]) -> list[str]:
        self.tasks += [([entry.stream_id], False) for entry in entries]
        return [entry.stream_id for entry in entries]

    def _task(self) -> None:
        ids, again = self.tasks.pop(0)
        try:
            done = self._first_hand.handle(ids, again=again)
            self.performer.announce_held(done.effects)
        except Crash:
            self.tasks.append((ids, True))  # a message whose task died is handed out again
            raise

    def _process(self, step: Callable[[], object]) -> None:
        self.guarded.watched = True
        try:
            step()
        except Crash as crash:
            self.deaths.append(str(crash))
            self._start_processes()
        except (TryLater, redis.RedisError):
            pass  # said, and tried again at the next turn
        finally:
            self.guarded.watched = False

    def at_rest(self) -> bool:
        """Every entry is acknowledged, every row handled, every effect done, every case at an end."""
        groups: Any = self.outside.xinfo_groups(STREAM) if self.outside.exists(STREAM) else []
        last = self.outside.xrevrange(STREAM, count=1)
        read = [g for g in groups if g["pending"] == 0 and last and g["last-delivered-id"] == last[0][0]]
        return bool(read) and self._left_in_the_database() == 0

    def _left_in_the_database(self) -> int:
        open_rows = (
            select(func.count()).select_from(inbox).where(inbox.c.state.in_(["new", "waiting"])),
            select(func.count()).select_from(effects).where(effects.c.state.in_(["due", "claimed"])),
            select(func.count()).select_from(cases).where(cases.c.closed_at.is_(None)),
        )
        return self.store.read(lambda tx: sum(int(tx.connection.execute(one).scalar_one()) for one in open_rows))
