"""The sweep: finds whatever is due and not done. It is the main path; messages only make it fast.

Safe to run twice and at once: everything it finds is claimed or guarded again where it is done. One item that fails is counted
and left for later; it never stops the others.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, exists, not_, or_, select

from policy.lifecycle import CaseKind, CaseState
from policy.rules.requests import job_not_ended
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import Assessor
from worker.cases.assess.waker import Waker
from worker.cases.book.bench import Bench
from worker.cases.book.book import WORKER
from worker.cases.book.rows import KINDS, STATES
from worker.cases.effects.effects import Performer
from worker.clock import Clock, written
from worker.errors import TryLater
from worker.observe import log
from worker.store import effects, inbox, tallies, wakings
from worker.store.bulk import Tx
from worker.store.effects import ANNOUNCING, EffectKind
from worker.store.engine import Store
from worker.store.history import line
from worker.store.statements import Among, one_of, unsought, verbatim
from worker.store.tables import accounts, case_history, cases, layer_jobs

ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep found and did."""

    assessed: Assessed
    woken: int
    announced: int
    asked: int
    warned: int

    @property
    def idle(self) -> bool:
        """True when there was nothing to do."""
        return not (self.assessed.busy or self.woken or self.announced or self.asked or self.warned)

    def __str__(self) -> str:
        return (
            f"events {self.assessed.handled} woken {self.woken} announced {self.announced} "
            f"re-runs {self.asked} warned {self.warned} failed {self.assessed.failed}"
        )


@dataclass(frozen=True, slots=True)
class Sweeper:
    """The sweep with its collaborators."""

    store: Store
    assessor: Assessor
    performer: Performer
    bench: Bench
    clock: Clock
    batch: int
    patience: timedelta = inbox.NO_TIME
    """How long an event is left to the hint that was sent for it."""

    def sweep(self) -> Swept:
        """Handles unhandled events, wakes cases whose time has come, watches the promise, performs due effects.

        Bounded; the next sweep goes on.
        """
        now = self.clock.now()
        if not self.store.read(lambda tx: tx.value(ANYTHING, now=now, by=now - self.patience, limit=self.batch)):
            return Swept(Assessed(), 0, 0, 0, 0)
        self._wake_overtaken()
        if self.store.read(tallies.many):
            self.store.write(tallies.fold)
        assessed = self._assess_backlog()
        woken = self._wake_due(assessed)
        warned = self._watch_promises()
        # last what asks others, who may be slow or away: the rest needs the database alone
        announced, asked = self._perform_due()
        return Swept(assessed, woken, announced, asked, warned)

    def _wake_overtaken(self) -> None:
        for _ in range(ROUNDS):
            now = self.clock.now()
            if not self.store.read(partial(inbox.any_awaited, now=now)):
                break
            self.store.write(partial(inbox.look_at_waiting, now=now, by=now - self.patience, limit=self.batch))

    def _assess_backlog(self) -> Assessed:
        done = Assessed()
        for _ in range(ROUNDS):
            now = self.clock.now()
            if not self.store.read(partial(inbox.any_due, by=now - self.patience)):
                break
            turn = self.assessor.assess(waited=self.patience)
            if not turn.busy:
                break
            done += turn
        return done

    def _wake_due(self, done: Assessed) -> int:
        now = self.clock.now()
        limit, held = self.batch, self.assessor.held

        def look(tx: Tx) -> list[Row[Any]]:
            # of accounts that somebody holds there may be more than a batch: they take no place from others
            of_held = tx.ask(_due_cases_of_held, now=now, limit=limit, held=held) if held else []
            due = tx.ask(_due_cases, now=now, limit=limit, held=held)
            return [*due, *of_held, *tx.all(OVERTAKEN, now=now, limit=limit)]

        due = {row.case_id: row.begun for row in self.store.read(look)}
        return Waker(self.store, self.assessor, self.clock).wake(due, done) if due else 0

    def _perform_due(self) -> tuple[int, int]:
        now = self.clock.now()
        due = self.store.read(lambda tx: effects.kinds_due(tx, now))
        announced = asked = 0
        try:
            if not due.isdisjoint(ANNOUNCING):
                announced = self.performer.announce()
        except TryLater as error:
            log.warning("announce.later", error=str(error))
        if EffectKind.RERUN in due:
            asked = len(self.performer.rerun())
        return announced, asked

    def _watch_promises(self) -> int:
        now = self.clock.now()
        return self.store.write(lambda tx: _warn(tx, self.bench, now, self.batch))


WAKEABLE = select(cases.c.case_id, wakings.BEGUN).select_from(wakings.with_wakings()).where(wakings.nobody_is_at_it())
"""Cases that nobody is waking, and how often that began and did not end."""


def _due(*which: ColumnElement[bool]) -> Select[Any]:
    # not those that only a newer release understands
    ours = unsought(one_of(cases.c.state, sorted(STATES)), one_of(cases.c.kind, sorted(KINDS)))
    due = WAKEABLE.where(cases.c.next_action_at <= bindparam("now"), ours, *which)
    return due.order_by(cases.c.next_action_at).limit(bindparam("limit"))


def _due_cases(among: Among) -> Select[Any]:
    return _due(not_(among(cases.c.account_id, "held")))


def _due_cases_of_held(among: Among) -> Select[Any]:
    return _due(among(cases.c.account_id, "held"))


def _overtaken() -> Select[Any]:
    """Mails that were told "the job has not ended" by our books, whose job has, and needs nobody any more."""
    c, own = cases.c, cases.alias("own").c
    ended = exists().where(layer_jobs.c.job_id == c.job_id, layer_jobs.c.status != "running")
    busy = exists().where(own.kind == CaseKind.JOB.value, own.subject == c.job_id, own.closed_at.is_(None))
    # one that could not be judged is tried again at its own pace
    asked = c.kind == verbatim(CaseKind.REQUEST.value), c.state == verbatim(CaseState.REVIEW.value)
    told = *asked, c.rule == job_not_ended.__name__, c.stuck == 0
    return WAKEABLE.where(*told, ended, not_(busy)).limit(bindparam("limit"))


# what every sweep asks, built once
DUE_CASES, OVERTAKEN = _due(), _overtaken()
LATE_CASES = (
    select(cases.c.case_id, cases.c.terms, cases.c.failed_at, cases.c.due_at, cases.c.warned_percent)
    .where(cases.c.warn_at <= bindparam("now"), unsought(cases.c.closed_at.is_(None)))
    .order_by(cases.c.warn_at)
    .limit(bindparam("limit"))
)
UNHELD_LATE_CASES = LATE_CASES.join(accounts, accounts.c.account_id == cases.c.account_id).with_for_update(
    of=(accounts, cases), skip_locked=True
)
ANYTHING = select(
    or_(
        *(each.exists() for each in (DUE_CASES, OVERTAKEN, effects.DUE, LATE_CASES)),
        *(each.scalar_subquery() for each in (inbox.AWAITED, inbox.DUE, tallies.MANY)),
    )
)
"""Whether a sweep would find anything: one look in place of eight, of which all but a few are in vain."""


def _warn(tx: Tx, bench: Bench, now: datetime, limit: int) -> int:
    """Notes each share of the promise that has gone by (policy.md, `promise-3bd`), once each, and sets the next."""
    # by the accounts' locks, like everybody who writes a whole case: what such a one has read is not changed behind it
    late = tx.all(UNHELD_LATE_CASES, now=now, limit=limit)
    if not late:
        return 0
    moved, history = [], []
    for row in late:
        reached, next_at = _promise(bench, row, now)
        moved.append({"case_id": row.case_id, "warned_percent": reached, "warn_at": next_at})
        event = "promise.breached" if reached >= 100 else "promise.warned"
        history.append(line(row.case_id, event, WORKER, now, percent=reached, due_at=written(row.due_at)))
        log.warning(event, case_id=row.case_id, percent=reached)
    tx.update(cases, moved, by=["case_id"])
    tx.insert(case_history, history)
    return len(moved)


def _promise(bench: Bench, row: Row[Any], now: datetime) -> tuple[int, datetime | None]:
    terms, calendar = bench.at(row.failed_at)
    marks = [
        (percent, calendar.instant_at_fraction(row.failed_at, row.due_at, percent)) for percent in terms.promise_warn_percent
    ]
    marks.append((100, row.due_at))
    reached = max(percent for percent, at in marks if at <= now or percent == marks[0][0])
    ahead = [at for percent, at in marks if at > now and percent > reached]
    return reached, min(ahead, default=None)
