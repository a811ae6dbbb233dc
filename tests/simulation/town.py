"""One installation of many processes on one database, with its product, its customers, its provider and its weather."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import fakeredis
from sqlalchemy import ColumnElement, bindparam, event, func, select, true, union_all

from tests.arena import Rows, put_back, snapshot
from tests.cases.world import HandClock
from tests.chance import chance_of
from tests.crash.world import STREAM
from tests.doors import DoorRedis
from tests.faults import database_lost
from tests.models.ways import HeardRedis
from tests.money.plans import NASTY
from tests.money.world import DoorCreem
from tests.requests.world import PeopleWorld
from tests.simulation.hub import Doors, Hub, Step, Weather
from tests.simulation.size import Size
from worker.cases.assess.drain import Drain
from worker.cases.assess.first_hand import FirstHand
from worker.cases.money.epoch import Watch, Witnesses
from worker.cases.money.journal import Call, Journal
from worker.cases.money.pay import Payer
from worker.cases.money.restore import Restorer
from worker.cases.reconcile.reconcile import Reconciler
from worker.cases.review.queue import in_queue
from worker.cases.sweep import Sweeper
from worker.disk import append
from worker.errors import Refused, TryLater
from worker.intake.accept import Accepted, Desk
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.handed import GRACE_SECONDS, Handed
from worker.intake.stream import as_text
from worker.notices.outcomes import OutcomeStream
from worker.observe import log
from worker.reruns import TOO_LATE, Answer, Reply, RerunOrder
from worker.settings import GROUP
from worker.store.bulk import Tx
from worker.store.columns import Instant
from worker.store.engine import Store
from worker.store.schema import name_of
from worker.store.statements import one_of
from worker.store.tables import breakers, cases, charges, effects, inbox, leases, payments

T = TypeVar("T")
BEHIND_ALL = f"{2**64 - 1}-{2**64 - 1}"
"""An id behind every other: nothing is pending after it."""


def _next(*moments: tuple[Any, Any]) -> Any:
    since = bindparam("since", type_=Instant)
    parts = (select(at.label("at")).where(at >= since, holds) for at, holds in moments)
    return select(func.min(union_all(*parts).subquery().c.at)).scalar_subquery()


DUE = select(
    _next(
        (cases.c.next_action_at, true()),
        (cases.c.warn_at, cases.c.closed_at.is_(None)),
        (effects.c.due_at, one_of(effects.c.state, ("due", "claimed"))),
        (inbox.c.due_at, one_of(inbox.c.state, ("new", "waiting"))),
    ).label("sweep"),
    _next(
        (payments.c.due_at, true()),
        (charges.c.due_at, true()),
        (breakers.c.open_until, breakers.c.needs_person.is_(False)),
        # the floor of one who died on it
        (leases.c.until, leases.c.name == "creem"),
    ).label("pay"),
)
"""What falls due next for whom."""


def _how_many(column: ColumnElement[Any], *where: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count(column)).where(*where).scalar_subquery()


LEFT = select(
    _how_many(inbox.c.id, inbox.c.state == "new").label("rows"),
    _how_many(effects.c.key, effects.c.state.in_(["due", "claimed"])).label("effects"),
    _how_many(cases.c.case_id, cases.c.closed_at.is_(None), ~in_queue()).label("cases"),
    _how_many(
        payments.c.payment_id,
        payments.c.closed_at.is_(None),
        payments.c.case_id.not_in(select(cases.c.case_id).where(in_queue())),
    ).label("claims"),
)
"""What is not at its end and not with a person, by the table it is in."""


@contextmanager
def world_of(seed: int, clock: HandClock, pause: Callable[[float], None]) -> Iterator[None]:
    """Whatever is asked for a number, the time or a rest inside, in the libraries and the double of Redis too, is drawn from the
    seed and the hand clock.
    """

    def seconds() -> float:
        return clock.at.timestamp()

    with chance_of(seed), patch.multiple(time, time=seconds, monotonic=seconds, sleep=pause):
        yield


@dataclass
class HostClock:
    """The clock of one host, which may be wrong by some seconds."""

    true: HandClock
    off: timedelta

    def now(self) -> datetime:
        return self.true.now() + self.off


class SimStore(Store):
    """The database as a process reaches it: every commit is a door, and it may be away."""

    def __init__(self, inner: Store, doors: Doors) -> None:
        self.url, self.engine, self.doors = inner.url, inner.engine, doors

    def write(self, work: Callable[[Tx], T]) -> T:
        whole = super().write

        def unit(tx: Tx) -> T:
            done = work(tx)
            self.doors.within("commit")
            return done

        done: T = self.doors.through("commit", lambda: whole(unit), database_lost)
        return done

    def read(self, work: Callable[[Tx], T]) -> T:
        if self.doors.hub.running is not None and "database" in self.doors.away:
            database_lost()
        return super().read(work)


class SimRedis(DoorRedis, HeardRedis):
    """Redis as processes reach it. Whoever asks for idle consumers finds none that lives: a real one speaks every second, here
    they sleep until there is something to read.
    """

    speak: Callable[[], None]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "XINFO CONSUMERS":
            self.speak()
        return super().execute_command(*args, **options)


class SimJournal(Journal):
    """The claim journal on a disk that may be full."""

    def __init__(self, folder: Path, doors: Doors) -> None:
        super().__init__(folder)
        self.doors = doors

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        if "disk" not in self.doors.away:
            return super().add(mark, at, call)
        self.doors.met["journal: disk full"] += 1
        append(self.folder / f"{at:%Y-%m}.jsonl", b'\n{"mark":')  # what still fitted
        raise TryLater("the claim journal", "no space left on device")


@dataclass
class SimPipeline:
    """The image pipeline behind a door. It runs a job again once, and tells of it again when it is asked again."""

    doors: Doors
    reacts: Callable[[RerunOrder], Answer]
    timer: Callable[[], float]

    def ask(self, order: RerunOrder, until: float) -> Reply:
        def hears() -> Reply:
            if self.timer() >= until:
                return TOO_LATE
            answer = self.reacts(order)
            return Reply(answer, "as it happens")

        reply: Reply = self.doors.through("pipeline", hears, lambda: Reply(Answer.NOT_HEARD, "no answer"))
        return reply


class Town(PeopleWorld):
    """The installation; `self` outside of any process is what people, producers and the test itself see and do."""

    def __init__(
        self, store: Store, folder: Path, hub: Hub, weather: Weather, terms: Path, seed: int, clock: HandClock, size: Size
    ) -> None:
        super().__init__(store, folder, switches=NASTY, terms_dir=terms, clock=clock, seed=seed)
        self.hub, self.weather, self.size, self.fair = hub, weather, size, NASTY
        # as the first intake does, before there is anything to back up: the folder of files goes by it
        store.write(lambda tx: name_of(tx, f"db_{seed}"))
        self.journal = folder / "journal"
        self.gates = Doors(hub, weather)
        self.sim = SimStore(store, self.gates)
        server = fakeredis.FakeServer()
        self.outside = fakeredis.FakeRedis(server=server)
        self.inside = SimRedis(server=server)
        self.inside.speak = self._readers_speak
        self.inside.doors = self.gates  # type: ignore[assignment]
        self.redis = self.outside
        self.hints: list[tuple[list[int], list[str]]] = []
        """What was sent for new rows and for entries: lost, late and twice as often as not."""
        self.looks: list[datetime] = []
        """When a consumer looks for the acknowledgement of what it handed on."""
        self.runs: dict[str, Callable[[RerunOrder], Answer]] = {}
        """What the pipeline does when it is asked to run a job again."""
        self.ordered: set[str] = set()
        """Jobs that the pipeline was asked to run again."""
        self.remedied_twice: list[str] = []
        """Those of which it heard for the first time when their credits had come back."""
        self.records: list[dict[str, Any]] = []
        """The product's history so far."""
        self.sent: list[str] = []
        """Every document that producers ever sent."""
        self.added: Callable[[str, str], None] = lambda entry_id, document: None
        """Hears of every entry that they added."""
        self.unsent: list[str] = []
        """What they could not send because Redis was away."""
        self.readers: dict[str, str] = {}
        """The name under which each process reads the stream."""
        self.hosts: list[HostClock] = []
        """The clocks of the youngest processes."""
        self._names = count()
        self._commits, self._asked_at = 0, -1
        self._due: dict[str, datetime | None] = {}
        """What falls due next for whom, as it was asked at so many commits."""
        event.listen(store.engine, "commit", self._committed)

    def close(self) -> None:
        """Ends what was begun with it."""
        event.remove(self.store.engine, "commit", self._committed)
        super().close()

    def _committed(self, connection: Any) -> None:
        self._commits += 1

    # processes

    def open(self) -> None:
        """Starts every process."""
        chance = self.hub.chance
        for number in range(chance.randint(1, 2)):
            self.hub.start(f"intake{number}", "intake", "stream", self._intake)
        for number in range(chance.randint(1, 2) if self.weather.drains else 0):
            self.hub.start(f"drain{number}", "intake", "stream", self._drain)
        for number in range(chance.randint(1, 3)):
            self.hub.start(f"sweep{number}", "sweep", "rows", self._sweep)
        for number in range(chance.randint(1, 4)):
            self.hub.start(f"hinted{number}", "hinted", "rows", self._hinted)
        for number in range(chance.randint(1, 2)):
            self.hub.start(f"pay{number}", "pay", "money", self._pay)
        self.hub.start("reconcile", "reconcile", "never", self._reconcile)
        # the provider: what it does late, and what it tells
        self.hub.start("creem", "creem", "never", lambda: self.double.tick)

    def a_clock(self) -> HostClock:
        """The clock of the host that a new process is on."""
        most = self.weather.skew
        made = HostClock(self.clock, timedelta(seconds=self.hub.chance.uniform(-most, most)))
        # of those that are at work, with a few that are no more
        self.hosts = [*self.hosts[-11:], made]
        return made

    def jump(self, by: timedelta) -> Callable[[], None]:
        """The clock of some host goes wrong by so much; returns what puts it right."""
        host = self.hub.chance.choice(self.hosts)
        before, host.off = host.off, host.off + by
        self.hub.stir("rows", "stream", "money")

        def put_right() -> None:
            host.off = before

        return put_right

    def _readers_speak(self) -> None:
        for name in self.readers.values():
            self.outside.xreadgroup(GROUP, name, {STREAM: BEHIND_ALL})

    def _consumer(
        self, accepts: Any, hinted: Callable[[Sequence[Entry], Any], None] | None = None, handed: Handed | None = None
    ) -> Consumer:
        process = self.hub.running
        assert process is not None
        name = self.readers[process.name] = f"process-{next(self._names)}"
        return Consumer(
            self.inside,
            accepts,
            stream=STREAM,
            group=GROUP,
            name=name,
            log=log,
            on_accepted=hinted,
            handed=handed,
            read_count=self.hub.chance.choice([1, 7, 500]),
            block_ms=1,
            reclaim_idle_ms=0,
            reclaim_every=0.0,
            housekeeping_every=3600.0,
        )

    def _intake(self) -> Step:
        def hinted(_: Sequence[Entry], taken: Sequence[Accepted]) -> None:
            self.hints.append(([row.inbox_id for row in taken], []))

        handed = Handed(self._hand_on, most=8, now=self.seconds) if self.weather.hands_on else None
        return self._consumer(Desk(self.sim, self.a_clock()), hinted, handed).step

    def _hand_on(self, entries: Sequence[Entry]) -> list[str]:
        self.hints += [([], [entry.stream_id]) for entry in entries]
        self.looks.append(self.clock.now() + timedelta(seconds=GRACE_SECONDS + 1))
        self.hub.stir("rows")
        return [entry.stream_id for entry in entries]

    def _drain(self) -> Step:
        clock = self.a_clock()
        assessor = replace(self.assessor, store=self.sim, clock=clock)
        drain = Drain(self.inside, STREAM, Desk(self.sim, clock), assessor, self._performer(clock))
        drain._consumer = self._consumer(drain)
        return drain.turn

    def _performer(self, clock: HostClock) -> Any:
        outcomes = OutcomeStream(self.inside, "refunds:events")
        return replace(
            self.performer,
            store=self.sim,
            clock=clock,
            reruns=SimPipeline(self.gates, self.reacts, self.seconds),
            outcomes=outcomes,
            timer=self.seconds,
        )

    def reacts(self, order: RerunOrder) -> Answer:
        """What the pipeline makes of the order."""
        if order.job_id not in self.ordered and self.state(order.job_id) == "refunded":
            self.remedied_twice.append(order.job_id)
        self.ordered.add(order.job_id)
        return self.runs[order.job_id](order)

    def _sweep(self) -> Step:
        clock = self.a_clock()
        assessor = replace(self.assessor, store=self.sim, clock=clock)
        sweeper = Sweeper(self.sim, assessor, self._performer(clock), self.bench, clock, 500)
        return lambda: not sweeper.sweep().idle

    def _hinted(self) -> Step:
        clock = self.a_clock()
        assessor, performer = replace(self.assessor, store=self.sim, clock=clock), self._performer(clock)
        first_hand = FirstHand(self.inside, STREAM, Desk(self.sim, clock), assessor)

        def work() -> bool:
            if not self.hints:
                return False
            rows, entries = hint = self.hints.pop(self.hub.chance.randrange(len(self.hints)))
            if self.hub.chance.random() < 0.3:
                self.hints.append(hint)  # told again, now or much later
            if self.hub.chance.random() < 0.3:
                return True  # lost
            done = first_hand.handle(entries) if entries else assessor.assess(rows)
            performer.announce_claimed(done.effects)
            performer.rerun([effect["key"] for effect in done.effects if effect["kind"] == "rerun"])
            return True

        return work

    def _pay(self) -> Step:
        clock, witnesses = self.a_clock(), Witnesses(SimJournal(self.journal, self.gates), self.inside)
        payer = Payer(
            store=self.sim,
            creem=DoorCreem(self.creem, self.gates),  # type: ignore[arg-type]
            settler=self.settler,
            clock=clock,
            holder=f"payer-{next(self._names)}",
            refund_seconds=20,
            turn_seconds=50,
            timer=self.seconds,
            witnesses=witnesses,
            watch=Watch(self.sim, witnesses, clock),
            other_clock=lambda tx: self.clock.now(),
        )
        return lambda: bool(payer.pay())

    def _reconcile(self) -> Step:
        clock = self.a_clock()
        assessor = replace(self.assessor, store=self.sim, clock=clock)
        creem = DoorCreem(self.creem, self.gates)  # type: ignore[arg-type]
        reconciler = Reconciler(self.sim, creem, self.settler, assessor, clock, timedelta(days=60))

        def work() -> timedelta:
            reconciler.reconcile()
            return timedelta(hours=self.hub.chance.uniform(6, 24))

        return work

    # the product and its provider

    def send(self, *documents: str) -> None:
        """Producers put documents on the stream, now or once Redis is there again."""
        if "redis" in self.gates.away:
            self.unsent += documents
            return
        for document in documents:
            self.sent.append(document)
            self.added(as_text(self.outside.xadd(STREAM, {"event": document})), document)
        self.hub.stir("stream")

    def know(self, *records: dict[str, Any]) -> None:
        """The product's history grows, and is imported."""
        self.records += records
        self.load(*records)
        self.hub.stir("rows")

    def _deliver(self, body: bytes, headers: dict[str, str]) -> int:
        status = super()._deliver(body, headers)
        self.hub.stir("rows")
        return status

    # time

    def due(self, since: datetime) -> list[tuple[datetime, str]]:
        """When the next thing falls due, by whose it is; what fell due since then too."""
        next_of_creem = self.double.next_due()
        found = [(next_of_creem, "creem")] if next_of_creem else []
        if self._asked_at != self._commits or any(at is not None and at < since for at in self._due.values()):
            self._due = dict(self.store.read(lambda tx: tx.one(DUE, since=since))._mapping)
            self._asked_at = self._commits
        found += [(at, role) for role, at in self._due.items() if at is not None]
        # those that went by while others were at work too: nobody was called for them
        self.looks = [at for at in self.looks if at > since]
        return found + [(at, "intake") for at in self.looks]

    # what befalls it

    def back_up(self) -> Rows:
        """What a restore would bring back."""
        return snapshot(self.store)

    def restore(self, rows: Rows) -> None:
        """The database is lost and comes back as it was then. Everybody at work dies."""
        for process in self.hub.processes:
            self.hub.kill(process)
            # what is due in the backup has been due for long, and nobody else says so
            process.called = True
        put_back(self.store, rows)
        self.hints.clear()

    def recover(self) -> None:
        """What `docs/operating.md` tells a person to do after a restore."""
        self.load(*self.records)
        self.send(*self.sent)
        restorer = Restorer(self.store, Witnesses(Journal(self.journal), self.outside), self.settler, self.clock)
        restorer.recover(by="ops", reason="the disk was lost")
        if restorer.check().stopped is not None:
            restorer.lift(by="ops", reason="compared with the dashboard")
        self.hub.stir("rows", "stream", "money")

    def flush(self) -> None:
        """Redis loses everything; producers send again what they sent of late."""
        self.outside.flushall()
        self.send(*self.sent)

    def requeue(self) -> None:
        """Somebody puts a case back."""
        rows = self.store.read(lambda tx: tx.all(select(cases.c.case_id).order_by(cases.c.opened_at, cases.c.case_id)))
        if rows:
            self.requeuer.requeue(self.hub.chance.choice(list(rows)).case_id, by="ops", reason="to be sure")
            self.hub.stir("rows")

    def deal_with_letters(self) -> None:
        """Somebody puts each dead letter back, or aside where it still cannot be read."""
        for letter in self.letters.listing(state="open", limit=100, after=None)[0]:
            try:
                self.letters.requeue(letter["dead_id"], by="ops", reason="the producer was mended")
            except Refused:
                self.letters.discard(letter["dead_id"], by="ops", reason="no event")
        self.hub.stir("rows")

    def left(self) -> dict[str, int]:
        """What is not at its end and not with a person."""
        groups: Any = self.outside.xinfo_groups(STREAM) if self.outside.exists(STREAM) else []
        last = self.outside.xrevrange(STREAM, count=1)
        unread = [g for g in groups if g["pending"] or (last and g["last-delivered-id"] != last[0][0])]
        found = dict(self.store.read(lambda tx: tx.one(LEFT))._mapping)
        return {name: number for name, number in {**found, "stream": len(unread) + len(self.unsent)}.items() if number}

    def told(self) -> list[dict[str, Any]]:
        """What the product was told."""
        entries: Any = self.outside.xrange("refunds:events")
        return [json.loads(fields[b"event"]) for _, fields in entries]
