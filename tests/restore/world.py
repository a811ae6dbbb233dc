"""An installation whose database, Redis and claim journal can each be set back, with every commit of a refund's way on film."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import fakeredis

from tests.arena import Rows, put_back, snapshot
from tests.cases.world import an_account
from tests.doors import Doors
from tests.faults import Crash
from tests.money.plans import impatient_terms
from tests.money.world import MoneyWorld
from worker.cases.money.epoch import MEMBER, Witnesses
from worker.cases.money.journal import Journal
from worker.cases.money.restore import Restorer
from worker.sandbox.creem import SecondRefund, Switches
from worker.store.engine import Store

T = TypeVar("T")
SLOW = Switches(
    second_refund=SecondRefund.PAYS_AGAIN,
    second_while_pending=SecondRefund.PAYS_AGAIN,
    turns_early=False,
    settle_after=20 * 60,
)
"""Pays whatever it is asked to pay, and shows nothing of it for 20 minutes: a read before the call sees a charge that is paid."""
BEFORE_ALL = 0
"""The snapshot before anything was known; 1 is the one before the first turn."""


@dataclass
class Film(Doors):
    """Doors that keep what the database and Redis held after every commit, and die after the commit they are told to."""

    last: int = 1_000
    take: Callable[[], tuple[Rows, float | None]] = lambda: ({}, None)
    frames: list[tuple[Rows, float | None]] = field(default_factory=list)
    rolls: bool = True

    def through(self, name: str, work: Callable[[], T], lost: Callable[[], T]) -> T:
        result = super().through(name, work, lost)
        if self.watched and name == "commit" and self.rolls:
            self.add()
            if len(self.frames) > self.last:
                self.rolls = False
                raise Crash("the database is lost here")
        return result

    @property
    def full(self) -> bool:
        """True from the moment the database is lost until it is set back."""
        return len(self.frames) > self.last

    def add(self) -> None:
        """One more frame, unless it shows what the one before shows."""
        frame = self.take()
        if not self.frames or frame != self.frames[-1]:
            self.frames.append(frame)


class RestoreWorld(MoneyWorld):
    """A MoneyWorld with both witnesses. Each payer is a fresh process: it knows what is on disk and in Redis, nothing else."""

    def __init__(self, store: Store, folder: Path, *, switches: Switches = SLOW, last: int = 1_000, **more: Any) -> None:
        self.folder, self.marks = folder, fakeredis.FakeRedis()
        super().__init__(store, switches=switches, terms_dir=impatient_terms(), **more)
        self.film = Film(last=last, take=lambda: (snapshot(self.store), self.mark()))
        self.doors = self.guarded.doors = self.film
        self.film.add()

    def witnesses(self) -> Witnesses:
        return Witnesses(Journal(self.folder), self.marks)

    def restorer(self) -> Restorer:
        return Restorer(self.store, self.witnesses(), self.settler, self.clock)

    def mark(self) -> float | None:
        """What Redis remembers."""
        return None if (found := self.marks.zscore("refunds:epoch", MEMBER)) is None else float(found)

    def charged(self) -> None:
        """The customer is charged twice, and the later charge is claimed."""
        self.twice_charged()
        self.film.add()

    def go_on(self, **by: float) -> None:
        """Ordinary processes work, until so much time has passed or the film is over."""
        ends = self.clock.now() + timedelta(**by)
        self.settle_down(days=(ends - self.clock.now()) / timedelta(days=1), done=lambda: self.film.full or self.at_rest())

    def set_back(self, frame: int, *, redis: bool = False) -> None:
        """The database is restored to that frame, and Redis too where asked for. Whoever was at work is gone."""
        self.film.rolls, self.film.last = False, 1_000
        rows, mark = self.film.frames[frame]
        put_back(self.store, rows)
        if redis:
            self.marks.flushall()
            if mark is not None:
                self.marks.zadd("refunds:epoch", {MEMBER: mark})

    def import_again(self, *orders: int) -> None:
        """The product's history is loaded once more, or only these purchases; what is known already changes nothing."""
        paid = [(self.started - timedelta(hours=1) + n * timedelta(minutes=5), n) for n in orders or (0, 1)]
        bought = [self.bought(f"ord_{n}", f"tran_{n}", at.isoformat(), request_id=f"chk_{n}") for at, n in paid]
        self.load(an_account(), *bought)

    def refunds_moved(self) -> int:
        """How many refunds of ours moved money."""
        return sum(one.kind == "refund" for one in self.double.movements)
