"""Facts folded into the working set, each a set operation: doubled, late or reordered news leaves the same facts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from policy.facts import AccountStatus, Output, PaidWith, Report, ReportKind
from worker.cases.assess.bought import take_purchase
from worker.cases.book.book import Account, Book, Job, fails
from worker.cases.book.lots import debit
from worker.cases.book.news import News
from worker.creem.webhooks import Webhook
from worker.errors import CannotProcess
from worker.intake.records import AccountRecord, JobRecord, JobStatus, PurchaseRecord
from worker.intake.wire import AccountOpened, Downloaded, Edited, Event, Reported, Submitted

NOT_REPORTED = "not_reported"
"""Failure code of a job that the import says failed without saying why: nobody knows it, so the doubt budget decides."""
CANCELLED = "cancelled_by_user"


class Fate(StrEnum):
    """What becomes of an inbox row."""

    HANDLED = "handled"
    WAITING = "waiting"


def fold(book: Book, news: News) -> Fate:
    """Takes one piece of news into the book. Raises `CannotProcess` where it contradicts what cannot be two ways, `Collision`
    where what it is about stands by now with an account that is not in the book.
    """
    said = news.said
    if isinstance(said, AccountRecord):
        return _account_record(book, said)
    if isinstance(said, PurchaseRecord):
        take_purchase(book, said, supposed=news.supposed)
        return Fate.HANDLED
    if isinstance(said, Webhook):
        book.heard.append(said)
        return Fate.HANDLED
    if isinstance(said, JobRecord):
        return _imported_job(book, said)
    if isinstance(said.data, AccountOpened):
        return _account_opened(book, said, said.data)
    if said.trace is not None and said.job_id is not None and isinstance(said.data, Reported):
        book.traces.setdefault(said.job_id, said.trace)
    return _job_event(book, said)


def _named(value: str | None) -> str:
    if value is None:
        raise CannotProcess("missing_field", "the document names no account")
    return value


def _account_record(book: Book, said: AccountRecord) -> Fate:
    account = book.accounts[said.id]
    stays = account.suspended_here and said.status is AccountStatus.ACTIVE
    # a record carries no time, and counts as told when it is taken
    return _known_as(account, book.now, said.email, account.status if stays else said.status.value)


def _account_opened(book: Book, said: Event, data: AccountOpened) -> Fate:
    account = book.accounts[_named(said.account_id)]
    # letters go there: older news than what was told takes no address away, and in what order news arrives says nothing
    if account.email is None or (account.opened_at, account.email) < (said.time, data.email):
        return _known_as(account, said.time, data.email, account.status)
    return _known_as(account, account.opened_at, account.email, account.status)


def _known_as(account: Account, told_at: datetime, email: str, status: str) -> Fate:
    wanted = (told_at, email, status, True)
    if (account.opened_at, account.email, account.status, account.known) != wanted:
        account.opened_at, account.email, account.status, account.known = wanted
        account.changed = True
    return Fate.HANDLED


@dataclass(frozen=True, slots=True)
class _HandedIn:
    """A job as it was handed in, whichever way we hear of it."""

    job_id: str
    account_id: str
    price: int
    paid_with: PaidWith
    layers_expected: int | None
    submitted_at: datetime | None
    input_expires_at: datetime | None


def _submit(book: Book, said: _HandedIn) -> Job:
    book.waiting = None
    known = book.jobs.get(said.job_id)
    if known is None:
        return _new_job(book, said)
    _known_again(book, known, said)
    return known


def _known_again(book: Book, known: Job, said: _HandedIn) -> None:
    _own(known, said.account_id)
    if (known.price, known.paid_with) != (said.price, said.paid_with.value):
        raise CannotProcess(
            "conflicting_job",
            f"{known.job_id} is already booked at {known.price} credits paid with {known.paid_with}; a debit never changes",
        )
    known.submitted_at = known.submitted_at or said.submitted_at
    if known.layers_expected is None and said.layers_expected is not None:
        # an output that was taken for whole may turn out not to be
        known.layers_expected = said.layers_expected
        known.status = _status(known) if known.reports else known.status
        book.touched.add(known.job_id)
    known.input_expires_at = known.input_expires_at or said.input_expires_at
    known.changed = True


def _new_job(book: Book, said: _HandedIn) -> Job:
    job = Job(
        job_id=said.job_id,
        account_id=said.account_id,
        paid_with=said.paid_with.value,
        price=said.price,
        undebited=said.paid_with is PaidWith.CREDITS and said.price > 0,
        layers_expected=said.layers_expected,
        submitted_at=said.submitted_at,
        input_expires_at=said.input_expires_at,
        status=JobStatus.RUNNING.value,
        reports=set(),
        downloads=0,
        downloaded_at=None,
        edited_at=None,
        ended_at=None,
        added=True,
    )
    book.jobs[job.job_id] = job
    book.touched.add(job.job_id)
    if job.undebited:
        debit(book, job)
    return job


def _own(job: Job, account_id: str | None) -> None:
    if account_id != job.account_id:
        raise CannotProcess("foreign_job", f"{job.job_id} belongs to another account than {account_id}")


def _job_event(book: Book, said: Event) -> Fate:
    job_id, account_id, data = _named(said.job_id), _named(said.account_id), said.data
    if isinstance(data, Submitted):
        handed_in = _HandedIn(
            job_id, account_id, data.credits, data.paid_with, data.layers_expected, said.time, data.input_expires_at
        )
        _submit(book, handed_in)
        return Fate.HANDLED
    job = book.jobs.get(job_id)
    if job is None:
        if isinstance(data, Reported):
            book.unheard.setdefault(job_id, set()).add(_report(said, data))
            book.claimed_accounts.setdefault(job_id, account_id)
            book.touched.add(job_id)
        return Fate.WAITING
    _own(job, account_id)
    _HAPPENED[type(data)](book, job, said, data)
    return Fate.HANDLED


def _report(said: Event, data: Reported) -> Report:
    return Report(data.attempt, data.kind, said.time, data.code, data.stage, data.output)


def _reported(book: Book, job: Job, said: Event, data: Reported) -> None:
    _add_report(book, job, _report(said, data))


def _add_report(book: Book, job: Job, report: Report) -> None:
    # the same word about the same attempt under another event id is the same fact, told by its earliest time
    twin = next((r for r in job.reports if _meaning(r) == _meaning(report)), None)
    if twin is not None and twin.at <= report.at:
        return
    if twin is not None:
        job.reports.discard(twin)
    job.reports.add(report)
    job.ended_at = max(job.ended_at or report.at, report.at)
    job.status = _status(job)
    job.changed = True
    book.touched.add(job.job_id)


def _meaning(report: Report) -> tuple[Any, ...]:
    return report.attempt, report.kind, report.code, report.output


def _status(job: Job) -> str:
    # what the newest attempt came to; within one attempt the worse word counts
    last = max(report.attempt for report in job.reports)
    words = {_came_to(report, job) for report in job.reports if report.attempt == last}
    for kind, status in (
        (ReportKind.FAILED, JobStatus.FAILED),
        (ReportKind.INCOMPLETE, JobStatus.INCOMPLETE),
        (ReportKind.SUCCEEDED, JobStatus.SUCCEEDED),
    ):
        if kind in words:
            cancelled = kind is ReportKind.FAILED and all(
                r.code == CANCELLED for r in job.reports if r.attempt == last and r.kind is kind
            )
            return (JobStatus.CANCELLED if cancelled else status).value
    raise AssertionError("a report is of one of three kinds")


def _came_to(report: Report, job: Job) -> ReportKind:
    short = report.kind is ReportKind.SUCCEEDED and fails(report, job)
    return ReportKind.INCOMPLETE if short else report.kind


def _downloaded(book: Book, job: Job, said: Event, data: Downloaded) -> None:
    at = data.at or said.time
    if not job.downloads:
        job.downloaded_at = at
    elif job.downloaded_at is not None:
        # it stays unknown where a history told of downloads before, and not of when they were
        job.downloaded_at = min(job.downloaded_at, at)
    job.downloads += 1
    job.changed = True


def _edited(book: Book, job: Job, said: Event, data: Edited) -> None:
    _edit(job, data.at or said.time)
    job.changed = True


def _edit(job: Job, at: datetime) -> None:
    job.edited_at = max(job.edited_at or at, at)


_HAPPENED: dict[type, Callable[..., None]] = {Reported: _reported, Downloaded: _downloaded, Edited: _edited}


def _imported_job(book: Book, said: JobRecord) -> Fate:
    handed_in = _HandedIn(
        said.id, said.account_id, said.credits, said.paid_with, said.layers_expected, said.submitted_at, input_expires_at=None
    )
    job = _submit(book, handed_in)
    if said.downloads is not None and said.downloads > job.downloads:
        # a history says how many there were, and not when the first was
        job.downloads, job.downloaded_at = said.downloads, None
    if said.edited_at is not None:
        _edit(job, said.edited_at)
    report = _imported_report(said)
    if report is not None and (not any(r.attempt == 1 for r in job.reports) or _denies(report, job)):
        _add_report(book, job, report)
    return Fate.HANDLED


def _denies(report: Report, job: Job) -> bool:
    """True where the product's history tells of a fault, and all that was reported of the job is that it went well: what
    speaks for the customer is not passed over. Of anything else the pipeline's own reports say more.
    """
    return fails(report, job) and not any(fails(known, job) for known in job.reports)


def _imported_report(said: JobRecord) -> Report | None:
    at = said.finished_at or said.submitted_at
    delivered, expected = said.layers_delivered, said.layers_expected
    output = None if delivered is None else Output(delivered, expected)
    match said.status:
        case JobStatus.RUNNING:
            return None
        case JobStatus.SUCCEEDED:
            return Report(1, ReportKind.SUCCEEDED, at, output=output or Output(expected or 1, expected))
        case JobStatus.INCOMPLETE:
            return Report(1, ReportKind.INCOMPLETE, at, output=output)
        case JobStatus.CANCELLED:
            return Report(1, ReportKind.FAILED, at, code=CANCELLED, output=output)
        case JobStatus.FAILED:
            return Report(1, ReportKind.FAILED, at, code=NOT_REPORTED, output=output)
