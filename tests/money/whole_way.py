"""The whole way of money: every process on it passes doors, with both witnesses beside the database.

A person imports the history, at the shell and again until it says that it is done; the web process takes webhooks in; the sweep
handles what came in and claims; a payer pays; where a story wants it, reconcile compares. Whoever dies is replaced, and the next
one knows the rows, the journal and Redis alone; whoever only met something that was away lives on.
"""

import json
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import fakeredis
from sqlalchemy import select

from tests.doors import DoorRedis, Doors
from tests.faults import away
from tests.money.world import MoneyWorld
from worker.cases.assess.imports import Importer
from worker.cases.money.epoch import Witnesses
from worker.cases.money.journal import Call, Journal
from worker.cases.money.pay import Payer
from worker.cases.sweep import Sweeper, Swept
from worker.creem.environment import Environment
from worker.creem.receive import Receiver
from worker.intake.records import read_record
from worker.notices.outcomes import OutcomeStream
from worker.store.engine import Store
from worker.store.tables import effects


class DoorJournal(Journal):
    """A claim journal whose every line is a door, and every look. A line's door stands between the line and the commit."""

    def __init__(self, folder: Path, doors: Doors) -> None:
        super().__init__(folder)
        self._doors = doors

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        whole = super().add
        self._doors.through("journal line", lambda: whole(mark, at, call), away("the claim journal"))

    def look(self) -> None:
        self._doors.through("journal read", super().look, away("the claim journal"))


class WholeWay(MoneyWorld):
    """A MoneyWorld in which nobody works but behind doors. With `doubled`, whatever is told or asked for is so twice."""

    def __init__(self, store: Store, *, journal: Path, doubled: bool = False, reconciles: bool = False, **more: Any) -> None:
        super().__init__(store, **more)
        self.journal, self.reconciles, self.times = journal, reconciles, 2 if doubled else 1
        server = fakeredis.FakeServer()
        self.redis = fakeredis.FakeRedis(server=server)
        self.inside = DoorRedis(server=server)
        self.inside.doors = self.doors
        self.receiver = Receiver(self.guarded, self.clock, Environment.TEST.accepts)
        # one record after another: a command that dies has done some of them
        self.importer = Importer(self.guarded, replace(self.assessor, batch=1), self.clock)
        self.performer = replace(self.performer, outcomes=OutcomeStream(self.inside, "refunds:events"))
        self.sweeper = Sweeper(self.guarded, self.assessor, self.performer, self.bench, self.clock, 500)
        self.exports: list[list[dict[str, Any]]] = []
        """What a person still has to import."""
        self.compared = not reconciles
        """Whether the last reconcile came to its end."""
        self._living: Payer | None = None

    def exported(self, records: list[dict[str, Any]]) -> None:
        """The product's history, for a person to import."""
        self.exports = [records] * self.times

    def turn(self) -> None:
        self._import()
        if self.reconciles:
            done = self.doors.process(self.reconciler().reconcile, "reconcile: ")
            self.compared = done is not None and all(finding.check != "creem" for finding in done.findings)
        super().turn()

    def _import(self) -> None:
        while self.exports:
            known = [read_record(json.dumps(record).encode()) for record in self.exports[0]]
            take = partial(self.importer.take, known, lambda _: None)
            if self.doors.process(take, "import: ") is not None:
                del self.exports[0]

    def _deliver(self, body: bytes, headers: dict[str, str]) -> int:
        return [super(WholeWay, self)._deliver(body, headers) for _ in range(self.times)][-1]

    def sweep(self) -> Swept:
        for _ in range(50):
            swept = self.doors.process(self.sweeper.sweep, "sweep: ")
            if swept is not None and swept.idle:
                return swept
        raise AssertionError("the sweep never comes to rest")

    def pay(self) -> list[str]:
        told: list[str] = []
        for _ in range(self.times):
            payer, died = self._living or self.payer(), len(self.doors.deaths)
            told += self.doors.process(payer.pay, "pay: ") or []
            self._living = payer if len(self.doors.deaths) == died else None
        return told

    def witnesses(self) -> Witnesses:
        return Witnesses(DoorJournal(self.journal, self.doors), self.inside)

    def at_rest(self) -> bool:
        return super().at_rest() and self.nothing_to_do()

    def nothing_to_do(self) -> bool:
        """True when nobody has anything left to do but to wait for Creem or for a person."""
        return not self.exports and self.compared and self.all_handled() and not self.effects_left()

    def effects_left(self) -> list[str]:
        """What was intended and is not done, by its key."""
        left = select(effects.c.key).where(effects.c.state.in_(["due", "claimed"]))
        return [row.key for row in self.store.read(lambda tx: tx.all(left))]
