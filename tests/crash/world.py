"""One installation whose every commit, Redis command and call to the pipeline is a door, and whose processes can die at each.

Processes keep nothing: after a death the same steps start again from the rows and the stream alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from typing import Any

import fakeredis
from sqlalchemy import func, select

from tests.cases.world import World
from tests.doors import DoorRedis, Doors, DoorStore
from tests.faults import Crash, Fault
from worker.cases.assess.drain import Drain
from worker.cases.assess.first_hand import FirstHand
from worker.cases.sweep import Sweeper
from worker.intake.accept import Desk
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.handed import Handed
from worker.notices.outcomes import OutcomeStream
from worker.observe import log
from worker.reruns import TOO_LATE, Answer, Reply, RerunOrder
from worker.settings import GROUP
from worker.store.engine import Store
from worker.store.tables import cases, effects, inbox

STREAM = "crash:events"


class Way(StrEnum):
    """How events take their way from the stream to a verdict."""

    STORED = "stored"
    DRAINED = "drained"
    HANDED = "handed"


@dataclass
class DoorPipeline:
    """The image pipeline behind a door. It does every re-run it hears of, as often as it hears of it."""

    doors: Doors
    reacts: Callable[[RerunOrder], None]
    timer: Callable[[], float]
    orders: list[RerunOrder] = field(default_factory=list)

    def ask(self, order: RerunOrder, until: float) -> Reply:
        def hears() -> Reply:
            if self.timer() >= until:
                return TOO_LATE
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
        self.behind = DoorPipeline(self.doors, lambda order: self.reacts(order), self.seconds)
        outcomes = OutcomeStream(self.inside, "refunds:events")
        self.performer = replace(self.performer, reruns=self.behind, outcomes=outcomes)
        self.sweeper = Sweeper(self.guarded, self.assessor, self.performer, self.bench, self.clock, 500)
        self._names = count()
        self._start_processes()

    def _start_processes(self) -> None:
        desk = Desk(self.guarded, self.clock)

        def of(accepts: Any, handed: Handed | None = None) -> Consumer:
            # what a dead one held is anybody's at once: the idle time is Redis's own and not what is tested here
            return Consumer(
                self.inside, accepts, stream=STREAM, group=GROUP, name=f"process-{next(self._names)}", log=log, handed=handed,
                block_ms=1, reclaim_idle_ms=0, reclaim_every=0.0, housekeeping_every=3600.0,
            )  # fmt: skip

        handed = Handed(self._hand_on, most=8, now=lambda: self.clock.now().timestamp()) if self.way is Way.HANDED else None
        self._intake = of(desk, handed)
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
            self.clock.pass_(seconds=31 if turn < 4 else 900)
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
            self.performer.announce_claimed(done.effects)
        except Crash:
            self.tasks.append((ids, True))  # a message whose task died is handed out again
            raise

    def _process(self, step: Callable[[], object]) -> None:
        died = len(self.doors.deaths)
        self.doors.process(step)
        if len(self.doors.deaths) > died:
            self._start_processes()

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
