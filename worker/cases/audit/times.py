"""The check of the audit about what is put off: whatever somebody has to do is due before long. A clock that was far ahead, or a
hand, may have written otherwise, and nobody would look at it again.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, or_, select, union_all

from policy.facts import RerunState
from policy.lifecycle import CaseState
from worker.cases.audit.words import Query, after, before, said
from worker.cases.book.rows import FINAL
from worker.store.tables import (
    breakers,
    cases,
    charges,
    creem_credits,
    effects,
    inbox,
    leases,
    notices,
    payments,
    reruns,
    wakings,
)

WEEK = timedelta(days=7)
"""Nothing is put off for more than a day but by the terms; the rest is for clocks that differ."""
YEAR = timedelta(days=366) + WEEK
"""The terms may have a re-run, or facts that are missing, waited for this long, and no longer."""

_IN_HAND = [CaseState.WAITING.value, CaseState.RERUNNING.value]


def _far(table: Table, name: str, due: str, span: timedelta, *which: ColumnElement[bool]) -> Select[Any]:
    at = table.c[due]
    late = select(table.c[name].label("row"), said("of ", table.name, " is due at ", at, ", which is too far ahead"))
    return late.where(at > after(span), *which)


def _due_before_long() -> Select[Any]:
    i, c, pending = inbox.c, cases.c, ["due", "claimed"]
    # one that waits for a job which never comes is looked at when it has waited twice as long
    still = or_(i.state == "new", and_(i.state == "waiting", i.handled_at > before(WEEK)))
    found: Sequence[Select[Any]] = [
        _far(inbox, "event_id", "due_at", WEEK, still),
        _far(cases, "case_id", "next_action_at", WEEK, c.state.not_in([*FINAL, *_IN_HAND])),
        _far(cases, "case_id", "next_action_at", YEAR, c.state.in_(_IN_HAND)),
        _far(cases, "case_id", "due_at", 2 * YEAR, c.state.not_in(FINAL)),
        _far(reruns, "job_id", "deadline_at", YEAR, reruns.c.state == RerunState.ASKED.value),
        _far(effects, "key", "due_at", WEEK, effects.c.state.in_(pending)),
        _far(notices, "key", "due_at", WEEK, notices.c.state.in_(["due", "sending"])),
        _far(payments, "payment_id", "due_at", WEEK),
        _far(charges, "transaction_id", "due_at", WEEK),
        _far(creem_credits, "key", "due_at", WEEK, creem_credits.c.state.in_(pending)),
        _far(breakers, "name", "open_until", WEEK, breakers.c.needs_person.is_(False)),
        _far(leases, "name", "until", WEEK),
        _far(wakings, "case_id", "until", WEEK),
    ]
    each = union_all(*found).subquery("far")
    return select(each.c.row, each.c.problem)


TIME_CHECKS: tuple[tuple[str, Query], ...] = (("due_before_long", _due_before_long),)
