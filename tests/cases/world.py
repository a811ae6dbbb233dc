"""The real steps on a real database, with the clock and the pipeline in the test's hands."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
from sqlalchemy import select

from policy import load_editions
from worker.calendars import calendar_of
from worker.cases.assess.assessor import Assessor
from worker.cases.assess.imports import Imported, Importer
from worker.cases.audit.audit import Audit, audit_books
from worker.cases.book.bench import Bench
from worker.cases.dead import DeadLetters
from worker.cases.documents.document import account_document, document, find
from worker.cases.effects.effects import Performer
from worker.cases.money.settle import Settler
from worker.cases.requeue import Requeuer
from worker.cases.sweep import Sweeper, Swept
from worker.credits.ledger import Ledger
from worker.creem.environment import Environment
from worker.errors import Refused
from worker.intake.accept import Accepted, Desk
from worker.intake.entry import Entry
from worker.intake.records import read_record
from worker.intake.wire import event_document
from worker.notices.outcomes import OutcomeStream
from worker.reruns import TOO_LATE, Answer, Reply, RerunOrder
from worker.settings import DEFAULT_TERMS, Mode
from worker.store.engine import Store
from worker.store.tables import cases, dead_letters

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


@dataclass
class HandClock:
    """A clock that stands until it is moved."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def pass_(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Pipeline:
    """Takes re-run orders and answers as told; what it then does is the test's to say."""

    timer: Callable[[], float]
    answer: Callable[[RerunOrder], Answer] = lambda order: Answer.ACCEPTED
    orders: list[RerunOrder] = field(default_factory=list)

    def ask(self, order: RerunOrder, until: float) -> Reply:
        if self.timer() >= until:
            return TOO_LATE
        self.orders.append(order)
        return Reply(self.answer(order), "as told")


class World:
    """One installation without processes: every step is called by hand, in the order the test chooses."""

    def __init__(
        self,
        store: Store,
        *,
        batch: int = 500,
        mode: Mode = Mode.FULL,
        ledger: Ledger | None = None,
        clock: HandClock | None = None,
        terms_dir: Path = DEFAULT_TERMS,
        creem: bool = False,
    ) -> None:
        self.store, self.clock, self.pipeline = store, clock or HandClock(), Pipeline(self.seconds)
        editions = load_editions(terms_dir)
        self.bench = Bench(editions, {terms.edition: calendar_of(terms) for terms in editions}, mode)
        ledger = ledger or Ledger()
        self.settler = Settler(ledger, self.bench, Environment.TEST if creem else None)
        lease = timedelta(seconds=30)
        self.assessor = Assessor(store, ledger, self.bench, self.settler, self.clock, batch, lease, 5)
        self.redis = fakeredis.FakeRedis()
        self.performer = Performer(
            store,
            self.pipeline,
            OutcomeStream(self.redis, "refunds:events"),
            self.clock,
            batch,
            lease,
            acts=mode is not Mode.OBSERVE,
            timer=self.seconds,
        )
        self.sweeper = Sweeper(store, self.assessor, self.performer, self.bench, self.clock, batch)
        self.desk = Desk(store, self.clock)
        self.requeuer = Requeuer(store, self.assessor, self.clock)
        self.letters = DeadLetters(store, self.clock, self.settler.accepts_mode)
        self._entries = 0

    def seconds(self) -> float:
        """The timer of its processes: it goes with the clock."""
        return self.clock.at.timestamp()

    def arrive(self, *documents: str | bytes) -> list[Accepted]:
        """Documents come in through the desk, as from the stream."""
        entries = []
        for one in documents:
            self._entries += 1
            raw = one.encode() if isinstance(one, str) else one
            entries.append(Entry(f"{self._entries}-0", raw, {b"event": raw}))
        return self.desk.accept(entries)

    def happen(self, *documents: str | bytes) -> None:
        """Documents come in and are handled, with everything that follows from them at once."""
        self.arrive(*documents)
        self.sweep()

    def sweep(self) -> Swept:
        """Sweeps until there is nothing to do; what the last sweep but one did is returned."""
        last = self.sweeper.sweep()
        for _ in range(50):
            swept = self.sweeper.sweep()
            if swept.idle:
                return last
            last = swept
        raise AssertionError(f"the sweep never comes to rest: {last}")

    def load(self, *records: dict[str, Any]) -> Imported:
        """Product history comes in."""
        step = Importer(self.store, self.assessor, self.clock)
        return step.take([read_record(json.dumps(record).encode()) for record in records], lambda _: None)

    def case(self, name: str) -> dict[str, Any] | None:
        """The case document, or None."""
        try:
            return self.store.read(lambda tx: document(tx, find(tx, name), self.clock.now()))
        except Refused:
            return None

    def state(self, name: str) -> str | None:
        """The state of the case of a job, or None where it has none."""
        found = self.case(name)
        return None if found is None else str(found["state"])

    def account(self, name: str) -> dict[str, Any]:
        return self.store.read(lambda tx: account_document(tx, name))

    def credits(self, name: str = "acc_1") -> int:
        return int(self.account(name)["credits"])

    def dead(self) -> list[tuple[str, str]]:
        """(reason, state) of every dead letter."""
        rows = self.store.read(lambda tx: tx.all(select(dead_letters).order_by(dead_letters.c.dead_id)))
        return [(row.reason, row.state) for row in rows]

    def announced(self) -> list[dict[str, Any]]:
        """What the product was told."""
        entries: Any = self.redis.xrange("refunds:events")
        return [json.loads(fields[b"event"]) for _, fields in entries]

    def audit(self) -> Audit:
        return self.store.read(lambda tx: audit_books(tx, self.clock.now()))

    def digest(self) -> list[tuple[Any, ...]]:
        """How every case ended, comparable between worlds."""
        rows = self.store.read(
            lambda tx: tx.all(
                select(cases.c.job_id, cases.c.state, cases.c.credits_reversed, cases.c.reruns).order_by(cases.c.job_id)
            )
        )
        return [tuple(row) for row in rows]

    # what producers say, with honest defaults

    def event(self, kind: str, job: str, account: str = "acc_1", *, id: str | None = None, **data: Any) -> str:
        return event_document(
            f"layer_job.{kind}",
            {"job_id": job, "account_id": account, **data},
            id=id or f"{job}-{kind}-{data.get('attempt', 0)}",
            source="/image-pipeline",
            time=self.clock.now(),
            subject=job,
        )

    def submitted(self, job: str, account: str = "acc_1", *, credits: int = 5, **data: Any) -> str:
        return self.event("submitted", job, account, **{"credits": credits, "paid_with": "credits", "layers_expected": 6, **data})

    def failed(self, job: str, account: str = "acc_1", *, code: str = "model_error", attempt: int = 1, **data: Any) -> str:
        return self.event("failed", job, account, **{"attempt": attempt, "failure": {"code": code}, "output": layers(0), **data})

    def incomplete(self, job: str, account: str = "acc_1", *, delivered: int = 4, attempt: int = 1, **data: Any) -> str:
        return self.event("incomplete", job, account, **{"attempt": attempt, "output": layers(delivered), **data})

    def succeeded(self, job: str, account: str = "acc_1", *, delivered: int = 6, attempt: int = 1, **data: Any) -> str:
        return self.event("succeeded", job, account, **{"attempt": attempt, "output": layers(delivered), **data})


def with_jobs(store: Store, names: Iterable[str]) -> World:
    """A World in which these jobs of one account run, paid out of one purchase."""
    made = World(store)
    made.load(an_account(), a_purchase())
    made.happen(*(made.submitted(name) for name in names))
    return made


def layers(delivered: int) -> dict[str, int]:
    return {"layers_expected": 6, "layers_delivered": delivered, "corrupted": 0}


def an_account(name: str = "acc_1", status: str = "active") -> dict[str, Any]:
    return {"record": "account", "id": name, "email": f"{name}@example.org", "status": status}


def a_purchase(
    name: str = "ord_1",
    account: str = "acc_1",
    credits: int = 100,
    paid_at: str = "2026-03-01T09:00:00Z",
    **more: Any,
) -> dict[str, Any]:
    return {
        "record": "purchase",
        "id": name,
        "account_id": account,
        "kind": "credit_pack",
        "billing": "first",
        "amount": 900,
        "currency": "USD",
        "credits": credits,
        "paid_at": paid_at,
        **more,
    }


def a_job(name: str = "job_1", account: str = "acc_1", credits: int = 5, status: str = "running", **more: Any) -> dict[str, Any]:
    base = {"record": "layer_job", "id": name, "account_id": account, "credits": credits, "paid_with": "credits"}
    return {**base, "status": status, "layers_expected": 6, "submitted_at": "2026-03-02T09:00:00Z", **more}


def moves(found: dict[str, Any] | None) -> Sequence[str]:
    """The events of a case's history."""
    assert found is not None
    return [row["event"] for row in found["history"]]
