"""Is anybody waiting for something? The figures of `refunds status`."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, select, true

from policy.lifecycle import CaseState
from worker.cases.book.rows import FINAL
from worker.cases.documents.promises import overdue
from worker.cases.effects.notifier import notices_late, notices_overview
from worker.cases.money import claims
from worker.cases.review.queue import in_queue
from worker.clock import moment
from worker.credits.untaken import OPEN
from worker.store import effects as effect_rows
from worker.store import inbox as inbox_rows
from worker.store import tallies
from worker.store.breakers import standing
from worker.store.bulk import Tx
from worker.store.statements import one_of, verbatim
from worker.store.tables import cases, charges, creem_credits, dead_letters, effects, inbox, payments, proposals

SWEPT_BY = timedelta(seconds=30)
"""A case whose next look is due for longer than this has been missed: sweeps come every few seconds."""
WHOLE = (CaseState.REFUNDED.value, CaseState.DELIVERED.value, CaseState.EXTERNAL.value)
"""States in which somebody was made whole."""


def _claims(tx: Tx, environment: str | None) -> dict[str, Any]:
    """Claims by state; the money proved to have gone back and the money that still waits, in minor units, currencies added."""
    p = payments.c
    grouped = select(p.state, func.count(), func.sum(p.amount), func.sum(p.refunded)).group_by(p.state, p.closed_at.is_(None))
    rows = tx.connection.execute(grouped.add_columns(p.closed_at.is_(None))).all()
    count, oldest = tuple(tx.one(select(func.count(), func.min(p.armed_at)).where(claims.unproved())))
    ours = p.environment == environment if environment is not None else true()
    next_due = tx.value(select(func.min(p.due_at)).where(ours))
    by_state: dict[str, int] = {}
    for state, number, *_ in rows:
        by_state[state] = by_state.get(state, 0) + int(number)
    return {
        "by_state": by_state,
        "refunded_minor_units": sum(int(refunded) for *_, refunded, _ in rows),
        "waiting_minor_units": sum(int(amount) for _, _, amount, _, still_open in rows if still_open),
        "unproved": int(count),
        "oldest_unproved_at": moment(oldest),
        "next_due_at": moment(next_due),
        "elsewhere": claims.open_elsewhere(tx, environment),
    }


def _review(tx: Tx) -> dict[str, Any]:
    waiting, oldest = tuple(tx.one(select(func.count(), func.min(cases.c.opened_at)).where(in_queue())))
    proposed = _count(tx, proposals.c.state == verbatim("open"))
    return {"waiting": int(waiting), "oldest_at": moment(oldest), "proposals": proposed}


def _count(tx: Tx, which: ColumnElement[bool]) -> int:
    return int(tx.value(select(func.count()).where(which)))


def _due(tx: Tx) -> dict[str, Any]:
    """What is still to be done outside, by kind: how many, since when, and why the last try came to nothing."""
    e, k = effects.c, creem_credits.c
    # of those not yet done, a result is why the last try came to nothing
    number, failing = func.sum(effect_rows.NUMBER), func.sum(case((e.result.is_not(None), effect_rows.NUMBER), else_=0))
    undone = select(effect_rows.KIND, number, func.min(e.created_at), failing, func.max(e.result))
    undone = undone.where(effect_rows.UNDONE).group_by(effect_rows.KIND)
    booking = select(literal("credits"), func.count(), func.min(k.created_at), func.count(k.result), func.max(k.result))
    booking = booking.where(one_of(k.state, OPEN))
    return {
        str(kind): {"count": int(count), "oldest_at": moment(since), "failing": int(failing), "last_error": why}
        for which in (undone, booking)
        for kind, count, since, failing, why in tx.connection.execute(which)
        if count
    }


def _letters(tx: Tx) -> dict[str, int]:
    """Open dead letters by reason, most first."""
    d = dead_letters.c
    counted = select(d.reason, func.count()).where(d.state == "open").group_by(d.reason).order_by(func.count().desc())
    return {reason: int(count) for reason, count in tx.connection.execute(counted)}


def _breakers(tx: Tx, now: datetime) -> dict[str, Any]:
    """What stands between us and a service at this moment, by its name."""
    return {
        row.name: {"open_until": moment(row.open_until), "last_error": row.last_error, "needs_person": row.needs_person}
        for row in standing(tx, now)
    }


def overview(tx: Tx, now: datetime, environment: str | None = None) -> dict[str, Any]:
    """The figures of this moment, from the database alone. Of Creem's environments, only the claims of the one that is named are
    due here; where none is, all are.
    """
    tallied = tallies.by_state(tx)
    # a newer release beside this one may know more states
    by_state = {state.value: 0 for state in CaseState} | {state: tally.cases for state, tally in tallied.items()}
    late, oldest_late = overdue(tx, now)
    backlog, oldest = inbox_rows.backlog(tx)
    whole = [tally for state, tally in tallied.items() if state in WHOLE]
    paying = _claims(tx, environment)
    return {
        "at": moment(now),
        "backlog": backlog,
        "oldest_unhandled_at": moment(oldest),
        "waiting_events": _count(tx, inbox.c.state == verbatim("waiting")),
        "cases": by_state,
        "open_cases": sum(number for state, number in by_state.items() if state not in FINAL),
        "made_whole": sum(tally.cases for tally in whole),
        "credits_reversed": sum(tally.credits_reversed for tally in whole),
        "overdue_promises": late,
        "oldest_overdue_at": moment(oldest_late),
        "overdue_actions": _count(tx, cases.c.next_action_at < now - SWEPT_BY),
        "unknown_outcomes": paying["unproved"],
        "payments": paying,
        "review": _review(tx),
        "notices": notices_overview(tx),
        "notices_late": notices_late(tx),
        "disputed_charges": _count(tx, charges.c.disputed_at.is_not(None)),
        "effects_due": _due(tx),
        "dead_letters": _letters(tx),
        "delivered_late": sum(tally.delivered_late for tally in tallied.values()),
        "breakers": _breakers(tx, now),
    }
