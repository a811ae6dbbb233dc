"""The checks of the audit about what came in: each document is as it came, and what was handled is in the books.

What a document says is not read again, which would take longer than all other checks together: what it is and whom it is about
stands beside it.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, not_, or_, select

from policy.facts import ReportKind
from worker.cases.audit.checks import GRACE
from worker.cases.audit.words import Query, before, has_no_report, has_report, hashed, said
from worker.intake.records import JobStatus
from worker.intake.wire import EventType
from worker.store.tables import accounts, dead_letters, inbox, layer_jobs

_REPORTS = {
    EventType.SUCCEEDED: ReportKind.SUCCEEDED,
    EventType.FAILED: ReportKind.FAILED,
    EventType.INCOMPLETE: ReportKind.INCOMPLETE,
}


def _documents_are_as_they_came() -> Select[Any]:
    i = inbox.c
    return select(i.event_id.label("row"), said("is not what it was when it came in, by its hash")).where(
        i.sha256 != hashed(i.raw)
    )


def _letters_are_as_they_came() -> Select[Any]:
    d = dead_letters.c
    return select(d.dead_id.label("row"), said("is not what it was when it came in, by its hash")).where(
        d.sha256 != hashed(d.raw)
    )


def _letters_closed_say_by_whom() -> Select[Any]:
    d = dead_letters.c
    mute = or_(d.resolved_at.is_(None), d.resolved_by.is_(None), d.resolution.is_(None))
    return select(d.dead_id.label("row"), said("is ", d.state, ", and nobody says by whom, when and why")).where(
        d.state != "open", mute
    )


def _handled_events_are_in_their_jobs() -> Select[Any]:
    """No event is lost between the inbox and the books: what was handled left its mark on the job that it is about."""
    i, j = inbox.c, layer_jobs.c
    unmarked: dict[str, ColumnElement[bool]] = {
        **{event: not_(has_report(j.reports, kind)) for event, kind in _REPORTS.items()},
        EventType.DOWNLOADED: j.downloads == 0,
        EventType.EDITED: j.edited_at.is_(None),
    }
    lost = [and_(i.type == event, absent) for event, absent in unmarked.items()]
    about_jobs = i.type.in_([EventType.SUBMITTED, "import.layer_job", *unmarked])
    return (
        select(i.event_id.label("row"), said("is handled, and ", i.job_id, " shows nothing of the ", i.type))
        .select_from(inbox.outerjoin(layer_jobs, j.job_id == i.job_id))
        .where(i.state == "handled", about_jobs, or_(j.job_id.is_(None), *lost))
    )


def _handled_accounts_are_known() -> Select[Any]:
    i, a = inbox.c, accounts.c
    return (
        select(i.event_id.label("row"), said("is handled, and nothing vouches for ", i.account_id))
        .select_from(inbox.outerjoin(accounts, a.account_id == i.account_id))
        .where(
            i.state == "handled",
            i.type.in_([EventType.ACCOUNT_OPENED, "import.account"]),
            or_(a.account_id.is_(None), not_(a.known)),
        )
    )


def _waiting_events_have_no_job() -> Select[Any]:
    i, j = inbox.c, layer_jobs.c
    return (
        select(i.event_id.label("row"), said("waits for ", i.job_id, ", which is known, since ", i.received_at))
        .select_from(inbox.join(layer_jobs, j.job_id == i.job_id))
        .where(i.state == "waiting", i.due_at < before(GRACE))
    )


def _jobs_stand_as_reported() -> Select[Any]:
    """What a job came to is what the pipeline reported of it."""
    j = layer_jobs.c
    right = case(
        (j.status == JobStatus.RUNNING, has_no_report(j.reports)),
        (j.status == JobStatus.SUCCEEDED, has_report(j.reports, ReportKind.SUCCEEDED)),
        (j.status.in_([JobStatus.FAILED, JobStatus.CANCELLED]), has_report(j.reports, ReportKind.FAILED)),
        else_=not_(has_no_report(j.reports)),
    )
    return select(j.job_id.label("row"), said("is ", j.status, ", which is not what was reported of it")).where(not_(right))


DOCUMENT_CHECKS: tuple[tuple[str, Query], ...] = (
    ("documents_are_as_they_came", _documents_are_as_they_came),
    ("letters_are_as_they_came", _letters_are_as_they_came),
    ("letters_closed_say_by_whom", _letters_closed_say_by_whom),
    ("handled_events_are_in_their_jobs", _handled_events_are_in_their_jobs),
    ("handled_accounts_are_known", _handled_accounts_are_known),
    ("waiting_events_have_no_job", _waiting_events_have_no_job),
    ("jobs_stand_as_reported", _jobs_stand_as_reported),
)
