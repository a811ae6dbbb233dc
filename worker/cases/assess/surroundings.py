"""What a verdict needs beyond its job, read where a job of the batch can depend on it."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import and_, func, not_, select

from policy.facts import PaidWith, Report, ReportKind
from policy.terms import FaultClass
from worker.cases.book.bench import Bench
from worker.cases.book.book import Book, Job, LotMoney, fails
from worker.cases.money.used import pass_of, passes_of
from worker.store.bulk import Tx
from worker.store.tables import doubt_days, layer_jobs, requests

OF_LATE, SERVICE_JOBS = timedelta(hours=1), 10_000
"""How far the failure rate of the service looks back, and ahead too, as a producer's clock may be; and at how many jobs, the
latest: in a storm an hour is millions, and each batch asks.
"""


def load_surroundings(tx: Tx, book: Book, bench: Bench) -> None:
    """What a verdict needs beyond the job: whether credits were asked for, the doubt budget, the service's failure rate of late.
    Each is read only where a job of the batch can depend on it.
    """
    again = [job_id for job_id in book.touched if job_id in book.jobs and _may_run_again(book.jobs[job_id], bench)]
    if again:
        asked = select(requests.c.job_id).where(tx.among(requests.c.job_id, again), requests.c.confirmed_at.is_not(None))
        book.credits_asked |= {row.job_id for row in tx.all(asked)}
        _load_passes(tx, book, [book.jobs[job_id] for job_id in again])
    touched = [book.jobs[job_id] for job_id in book.touched if job_id in book.jobs]
    failing = [report for job in touched for report in job.reports if fails(report, job)]
    if not failing:
        return
    # each case is judged by its own edition, so what any edition may ask for is read
    codes = {report.code for report in failing if report.kind is not ReportKind.SUCCEEDED}
    if any(terms.fault_of(code) is FaultClass.UNKNOWN for terms in bench.editions for code in codes):
        # what this transaction spends of it is written at its end
        book.doubt_credits = _doubt_today(tx, book) + book.doubt_spent
    limit = min(terms.auto_reversals_per_account_per_day for terms in bench.editions)
    judged = Counter(job.account_id for job in touched)
    if any(account.reversals_today + judged[account.account_id] > limit for account in book.accounts.values()):
        book.service_failure_percent = _failure_percent(tx, book)


def _load_passes(tx: Tx, book: Book, jobs: Iterable[Job]) -> None:
    under = [(job, job.submitted_at) for job in jobs if job.paid_with == PaidWith.PASS.value and job.submitted_at is not None]
    if not under:
        return
    passes = passes_of(tx, {job.account_id for job, _ in under}, min(submitted_at for _, submitted_at in under))
    for job, submitted_at in under:
        if (found := pass_of(passes, job.account_id, submitted_at)) is not None:
            book.passes[job.job_id] = LotMoney(found.facts.given_back, found.facts.disputed)


def _may_run_again(job: Job, bench: Bench) -> bool:
    return job.rerun is None and any(_is_mendable(report, job, bench) for report in job.reports)


def _is_mendable(report: Report, job: Job, bench: Bench) -> bool:
    match report.kind:
        case ReportKind.FAILED:
            return any(terms.rerunnable(report.code) for terms in bench.editions)
        case ReportKind.INCOMPLETE:
            return True
        case ReportKind.SUCCEEDED:
            return fails(report, job)


def _doubt_today(tx: Tx, book: Book) -> int:
    # one row a day, locked after the accounts: the budget of the whole service is spent by one batch at a time
    day = book.now.date()
    tx.insert_absent(doubt_days, [{"day": day, "credits": 0}])
    return int(tx.value(select(doubt_days.c.credits).where(doubt_days.c.day == day).with_for_update()))


def _failure_percent(tx: Tx, book: Book) -> int:
    """Of a hundred jobs that ended of late, those that failed. The jobs of this batch count as they stand after its news: the
    first batch of an outage is part of the outage.
    """
    since, until = book.now - OF_LATE, book.now + OF_LATE
    recent = and_(layer_jobs.c.ended_at > since, layer_jobs.c.ended_at <= until, not_(tx.among(layer_jobs.c.job_id, book.jobs)))
    latest = select(layer_jobs.c.status).where(recent).order_by(layer_jobs.c.ended_at.desc()).limit(SERVICE_JOBS).subquery()
    others = select(latest.c.status, func.count().label("jobs")).group_by(latest.c.status)
    counted = Counter({row.status: row.jobs for row in tx.all(others)})
    counted.update(job.status for job in book.jobs.values() if job.ended_at is not None and since < job.ended_at <= until)
    return 100 * (counted["failed"] + counted["incomplete"]) // counted.total() if counted else 0
