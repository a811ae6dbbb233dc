"""The promises that run: which is due next, how many are broken, and when Creem's own patience ends."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from policy.lifecycle import CaseState
from policy.words import count
from worker.cases.book.bench import Bench
from worker.cases.book.rows import FINAL, STATES
from worker.cases.documents.document import with_money
from worker.clock import moment
from worker.store import tallies
from worker.store.bulk import Tx
from worker.store.pages import page
from worker.store.tables import cases

CREEM_WAITS_DAYS = 3
"""Business days of silence after which Creem may refund by itself (creem-api.md, 17)."""


def running(tx: Tx) -> ColumnElement[bool]:
    """That a case is open, and so its promise runs."""
    # found by the index of states; whether a state is an end that only a newer release beside this one knows, the case tells
    states = STATES.union(tallies.by_state(tx)).difference(FINAL)
    return and_(cases.c.state.in_(sorted(states)), cases.c.closed_at.is_(None))


def promises(tx: Tx, now: datetime, *, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Open cases, the promise that ends first before all others, and the id to continue after."""
    wanted = [running(tx)]
    if after is not None:
        due = select(cases.c.due_at).where(cases.c.case_id == after).scalar_subquery()
        wanted.append(or_(cases.c.due_at > due, and_(cases.c.due_at == due, cases.c.case_id > after)))
    rows = tx.all(select(cases).where(*wanted).order_by(cases.c.due_at, cases.c.case_id).limit(limit + 1))
    shown, following = page(rows, limit, "case_id")
    return with_money(tx, shown, now), following


def overdue(tx: Tx, now: datetime) -> tuple[int, datetime | None]:
    """How many promises are broken at this moment, and when the first of them ended."""
    late = select(func.count(), func.min(cases.c.due_at)).where(running(tx), cases.c.due_at < now)
    number, oldest = tuple(tx.one(late))
    return int(number), oldest


def deadlines(tx: Tx, bench: Bench, now: datetime, *, limit: int) -> list[dict[str, Any]]:
    """The promises that run, ours and Creem's own patience, earliest first, with how much of each has gone by."""
    c = cases.c
    shown = select(c.case_id, c.kind, c.state, c.order_id, c.opened_at, c.failed_at, c.due_at)
    found = []
    for row in tx.all(shown.where(running(tx)).order_by(c.due_at, c.case_id).limit(limit)):
        days = bench.terms_at(row.failed_at).promise_business_days
        found.append((row.due_at, row.failed_at, row, f"our promise of {count(days, 'business day')}"))
    # business days are not counted by the database, so all of these are read: one whose promise ends late may come first
    for row in tx.all(shown.where(c.state == CaseState.REVIEW.value, c.order_id.is_not(None))):
        theirs = creem_may_act(row, bench)
        if theirs is not None and theirs < row.due_at:
            found.append((theirs, _asked_at(row), row, "Creem may refund by itself"))
    found.sort(key=lambda item: (item[0], item[2].case_id))
    return [
        {
            "at": moment(at),
            "case_id": row.case_id,
            "kind": row.kind,
            "state": row.state,
            "what": what,
            "percent": int(100 * bench.at(row.failed_at)[1].business_fraction(since, at, now)),
        }
        for at, since, row, what in found[:limit]
    ]


def creem_may_act(row: Row[Any], bench: Bench) -> datetime | None:
    """When Creem's own patience with a buyer ends; None where no charge is in question."""
    if row.order_id is None:
        return None
    _, calendar = bench.at(row.failed_at)
    return calendar.business_deadline(_asked_at(row), CREEM_WAITS_DAYS)


def _asked_at(row: Row[Any]) -> datetime:
    """Since when a buyer waits who may turn to Creem: a case that opens again has a promise of its own, from then on."""
    asked: datetime = max(row.opened_at, row.failed_at)
    return asked
