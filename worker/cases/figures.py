"""What Prometheus is told of the books: the figures of `refunds status`, and those that only it asks for."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, case, func, literal_column, select

from worker.cases.documents.promises import running
from worker.cases.overview import WHOLE, overview
from worker.cases.reconcile.compare import in_doubt
from worker.cases.reconcile.reconciliation import last_end
from worker.cases.review.queue import in_queue
from worker.store.breakers import CREEM, MAIL, PIPELINE
from worker.store.bulk import Tx
from worker.store.tables import breakers, cases, charges, doubt_days, layer_jobs, payment_attempts, payments, reruns

LAST_HOUR, LAST_DAY = timedelta(hours=1), timedelta(hours=24)
"""Up to now. What a verdict calls "of late" (`OF_LATE` in `assess.surroundings`) is another time."""
BUCKETS = (1, 5, 30, 60, 300, 900, 3600, 14400, 86400, 259200, 604800)
"""Upper bounds, in seconds, of the time from failure to made whole."""
SERVICES = (CREEM, PIPELINE, MAIL)


def figures(tx: Tx, now: datetime, environment: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the database says for one scrape: the figures of `refunds status`, and those beside them."""
    return overview(tx, now, environment), _more(tx, now)


def _more(tx: Tx, now: datetime) -> dict[str, Any]:
    run, within = tx.connection.execute, cases.c.closed_at >= now - LAST_DAY
    took = _seconds(tx)
    counts = [func.count(case((took <= bound, 1))) for bound in BUCKETS]
    histogram = run(select(func.count(), func.sum(took), *counts).where(within, cases.c.state.in_(WHOLE))).one()
    warned = select(func.count()).where(running(tx), cases.c.warned_percent > 0)
    deadline = select(func.min(cases.c.due_at)).where(in_queue())
    unheard = select(breakers.c.name, breakers.c.failures).where(breakers.c.name.in_(SERVICES))
    ended = layer_jobs.c.ended_at > now - LAST_HOUR, layer_jobs.c.ended_at <= now
    return {
        "ended": _counted(tx, layer_jobs.c.status, *ended),
        "closed": _counted(tx, cases.c.state, within),
        "histogram": histogram,
        "warned": int(run(warned).scalar_one()),
        "deadline": run(deadline).scalar_one(),
        "reruns": _counted(tx, reruns.c.state),
        "calls": _counted(tx, payment_attempts.c.outcome, payment_attempts.c.outcome.is_not(None)),
        "unheard": {str(name): int(failures) for name, failures in run(unheard)},
        "in_doubt": in_doubt(tx, now),
        "unmatched": _unmatched(tx),
        "reconciled_at": last_end(tx),
        "doubt": int(run(select(doubt_days.c.credits).where(doubt_days.c.day == now.date())).scalar() or 0),
    }


def _counted(tx: Tx, by: ColumnElement[str], *which: ColumnElement[bool]) -> dict[str, int]:
    rows = tx.connection.execute(select(by, func.count()).where(*which).group_by(by))
    return {value: int(count) for value, count in rows}


def _unmatched(tx: Tx) -> int:
    """Money that went back by another hand than ours, in minor units, currencies added."""
    # while a claim is open what went back may be its own; when it is closed that is known
    under_way = func.count().filter(payments.c.closed_at.is_(None)).label("under_way")
    ours = select(payments.c.transaction_id, func.sum(payments.c.refunded).label("sent"), under_way)
    sent = ours.group_by(payments.c.transaction_id).subquery("ours")
    gone = charges.c.refunded - func.coalesce(sent.c.sent, 0)
    both = charges.outerjoin(sent, sent.c.transaction_id == charges.c.transaction_id)
    by_others = (charges.c.refunded > 0, gone > 0, func.coalesce(sent.c.under_way, 0) == 0)
    return int(tx.value(select(func.sum(gone)).select_from(both).where(*by_others)) or 0)


def _seconds(tx: Tx) -> ColumnElement[float]:
    if tx.connection.dialect.name == "sqlite":
        return literal_column("(julianday(cases.closed_at) - julianday(cases.failed_at)) * 86400.0", Float)
    return literal_column("cast(extract(epoch from cases.closed_at - cases.failed_at) as double precision)", Float)
