"""Which case that is there a mail joins: the open one about the same, or an earlier mail of its account that it goes on with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, or_, select

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.rows import FINAL
from worker.cases.requests.identify import BESIDE, DENIED, UNKNOWN, About, about_same
from worker.store.bulk import Tx
from worker.store.tables import cases, layer_jobs, purchases, requests

_MOST_EARLIER = 200
"""Most earlier mails that are looked through for the one that a further mail joins."""


def open_case_of(tx: Tx, about: About, *, confirmed: bool) -> Row[Any] | None:
    """The open case that the mail belongs to, if any.

    A mail about one thing belongs to the open case of that job, or of that purchase as a duplicate charge. Failing that,
    or where it names several things, it joins an earlier mail about the same that waits for a person or is parked for this very
    word; but only if it is confirmed.
    """
    several = bool(about.others(tx))
    if not several and about.job_id is None and about.purchase_id is None:
        return None
    standing = None if several else _standing(tx, about)
    return _earlier(tx, about) if standing is None and confirmed else standing


def _standing(tx: Tx, about: About) -> Row[Any] | None:
    kind, subject = (CaseKind.JOB, about.job_id) if about.job_id is not None else (CaseKind.DUPLICATE_CHARGE, about.purchase_id)
    same = cases.c.kind == kind.value, cases.c.subject == subject
    return tx.first(select(cases).where(*same, cases.c.state.not_in(FINAL)))


def _earlier(tx: Tx, about: About) -> Row[Any] | None:
    """The case of an earlier mail that this one joins: one with a person that names at least as much, else the oldest parked one
    that names the same, whose time counts. Never one that the account says it did not write.
    """
    opened = requests.c.request_id == cases.c.subject
    same = about_same(about.job_id, about.purchase_id)
    asked = select(cases).join(requests, opened).where(cases.c.kind == CaseKind.REQUEST.value, same)
    by_people, parked = cases.c.state == CaseState.REVIEW.value, cases.c.state == CaseState.WAITING.value
    waits = or_(by_people, parked & requests.c.automatic.is_(False))
    theirs = asked.where(cases.c.account_id == about.account_id, waits).add_columns(requests.c.named)
    rows = tx.all(theirs.order_by(case((by_people, 0), else_=1), cases.c.opened_at).limit(_MOST_EARLIER))
    others = {*about.beside(tx, about.job_id, about.purchase_id), *about.unknown}
    of_nothing = about.job_id is None and about.purchase_id is None
    fits = (row for row in rows if _names(row, others, exactly=of_nothing or row.state != CaseState.REVIEW.value))
    return next((row for row in fits if not row.named.get(DENIED)), None)


def continued(tx: Tx, about: About, answers: Sequence[str]) -> Sequence[Row[Any]]:
    """The case that a further mail of the account, vouched for, goes on with; empty where there is none.

    It completes an earlier mail that named nothing our books hold, where all that it names was there by then. Else it goes to the
    case of the mail that it answers, where it names nothing itself. Only confirmed mails are gone on with: anybody may have
    written another.
    """
    theirs = cases.c.account_id == about.account_id, requests.c.confirmed_at.is_not(None), requests.c.automatic.is_(False)
    if about.things:
        earlier = next((row for row in _lacking(tx, theirs, answers) if _there_by(tx, about, row.received_at)), None)
        if earlier is not None and open_case_of(tx, about, confirmed=True) is None:
            return [earlier]
    if about.by_name or about.unknown or not answers:
        return ()
    on_top = select(cases).join(requests, requests.c.case_id == cases.c.case_id).where(*theirs)
    rows = tx.all(on_top.where(tx.among(requests.c.message_id, answers)).order_by(requests.c.received_at.desc()).limit(1))
    return () if about.things and any(row.state == CaseState.WAITING.value for row in rows) else rows


def _lacking(tx: Tx, theirs: Sequence[ColumnElement[bool]], answers: Sequence[str]) -> list[Row[Any]]:
    """The parked mails among these that name nothing that our books hold, the one that is answered first. One that calls
    something an order is completed only by an answer to it.
    """
    opened = cases.c.kind == CaseKind.REQUEST.value, cases.c.state == CaseState.WAITING.value, *theirs
    nothing = requests.c.job_id.is_(None), requests.c.purchase_id.is_(None)
    asked = select(cases).join(requests, requests.c.request_id == cases.c.subject).where(*opened, *nothing)
    columns = requests.c.received_at, requests.c.message_id, requests.c.named
    rows = tx.all(asked.add_columns(*columns).order_by(requests.c.received_at).limit(_MOST_EARLIER))
    fits = [row for row in rows if row.message_id in answers or not row.named.get(UNKNOWN)]
    return sorted(fits, key=lambda row: row.message_id not in answers)


def _there_by(tx: Tx, about: About, at: datetime) -> bool:
    """True where everything that it names was there at `at`: what was bought later was not asked for by then."""
    p, j = purchases.c, layer_jobs.c
    bought = tx.all(select(p.purchase_id).where(tx.among(p.purchase_id, about.bought), p.paid_at <= at))
    ran = tx.all(select(j.job_id).where(tx.among(j.job_id, about.jobs), j.submitted_at <= at))
    return len(bought) + len(ran) == len(about.things)


def _names(row: Row[Any], others: set[str], *, exactly: bool) -> bool:
    """Whether the earlier mail names these `others` as well, known or not; `exactly`: and nothing else."""
    named = {*row.named.get(BESIDE, ()), *row.named.get(UNKNOWN, ())}
    return others == named if exactly else others <= named
