"""Reads one batch's working set: locks first, in one order for everybody, facts in later statements.

A sum taken in the statement that waits for a lock does not see what was committed meanwhile (design.md, "Traps"), so nothing
is read before its account is locked. Accounts are locked in order of id: two batches over the same accounts queue, they never
deadlock.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, literal_column, not_, or_, select

from policy.facts import PaidWith, Report, ReportKind, Rerun, RerunState
from policy.lifecycle import CaseKind, CaseState
from policy.terms import FaultClass
from worker.cases.bench import Bench
from worker.cases.book import Account, Book, Case, Job, LotMoney, fails
from worker.cases.money.used import pass_of, passes_of
from worker.cases.news import News
from worker.credits.ledger import BOOKED, JobCredits, Ledger
from worker.errors import OfNewerRelease
from worker.intake.records import AccountRecord, PurchaseRecord
from worker.intake.wire import AccountOpened, Event
from worker.store.breakers import PIPELINE
from worker.store.bulk import Tx
from worker.store.statements import Among
from worker.store.tables import (
    accounts,
    breakers,
    cases,
    charges,
    doubt_days,
    layer_jobs,
    payments,
    postings,
    purchases,
    requests,
    reruns,
)

REPORTS: TypeAdapter[list[Report]] = TypeAdapter(list[Report])
STATES, KINDS = frozenset(state.value for state in CaseState), frozenset(kind.value for kind in CaseKind)
"""What this release knows."""
FINAL = [state.value for state in CaseState if state.final]
"""States in which a case needs nobody any more."""
LOTS = purchases.outerjoin(charges, charges.c.transaction_id == purchases.c.transaction_id)
"""Purchases with what is known of their charges."""
OF_LATE, SERVICE_JOBS = timedelta(hours=1), 10_000
"""How far the failure rate of the service looks back, and ahead too, as a producer's clock may be; and at how many jobs, the
latest: in a storm an hour is millions, and each batch asks.
"""


def lock_accounts(tx: Tx, book: Book, account_ids: Iterable[str]) -> None:
    """Locks the accounts in order of id, making rows for those never heard of, and puts them into the book."""
    wanted = sorted(set(account_ids) - book.accounts.keys())
    if not wanted:
        return
    found = _locked(tx, book, wanted)
    missing = [account_id for account_id in wanted if account_id not in found]
    if missing:
        stubs = [{"account_id": account_id, "status": "active", "known": False, "opened_at": book.now} for account_id in missing]
        tx.insert_absent(accounts, stubs)
        found |= _locked(tx, book, missing)
    book.accounts |= found


def _locked(tx: Tx, book: Book, account_ids: Sequence[str]) -> dict[str, Account]:
    rows = tx.ask(_lock, account_ids=account_ids)
    if rows:
        until = rows[0].pipeline_away_until
        book.rerun_available = until is None or until <= book.now
    return {row.account_id: _account(row) for row in rows}


def _lock(among: Among) -> Select[Any]:
    # in one order for everybody; read along is until when no new re-run is started: nobody's verdict hangs on its last moment
    away = select(breakers.c.open_until).where(breakers.c.name == PIPELINE).scalar_subquery()
    chosen = select(accounts, away.label("pipeline_away_until")).where(among(accounts.c.account_id, "account_ids"))
    return chosen.order_by(accounts.c.account_id).with_for_update()


def lock_account(tx: Tx, account_id: str) -> None:
    """Locks one account, as everybody does before what belongs to it."""
    tx.all(select(accounts.c.account_id).where(accounts.c.account_id == account_id).with_for_update())


def held_accounts(tx: Tx, account_ids: Iterable[str]) -> set[str]:
    """Those whose row somebody else has locked at this moment."""
    named = tx.among(accounts.c.account_id, sorted(set(account_ids)))
    rows = select(accounts.c.account_id).where(named)
    there = {row.account_id for row in tx.all(rows)}
    return there - {row.account_id for row in tx.all(rows.with_for_update(skip_locked=True))}


def _account(row: Row[Any]) -> Account:
    return Account(
        account_id=row.account_id,
        email=row.email,
        status=row.status,
        known=row.known,
        opened_at=row.opened_at,
        reversals_day=row.reversals_day,
        reversals_today=row.reversals_today,
        suspended_here=row.suspended_here,
    )


def jobs_of_newly_vouched(tx: Tx, news: Sequence[News]) -> set[str]:
    """Jobs whose case may go on because an account or a purchase arrives: those that wait, and those no lot covered so far."""
    vouched = {item.account_id for item in news if _vouches(item) and item.account_id}
    if not vouched:
        return set()
    waiting = select(cases.c.job_id).where(
        tx.among(cases.c.account_id, vouched), cases.c.state == CaseState.WAITING.value, cases.c.kind == CaseKind.JOB.value
    )
    uncovered = select(layer_jobs.c.job_id).where(tx.among(layer_jobs.c.account_id, vouched), layer_jobs.c.undebited)
    return {row.job_id for row in tx.all(waiting.union(uncovered))}  # type: ignore[arg-type]


def _vouches(item: News) -> bool:
    said = item.said
    return isinstance(said, AccountRecord | PurchaseRecord) or (isinstance(said, Event) and isinstance(said.data, AccountOpened))


def load_jobs(tx: Tx, book: Book, job_ids: Iterable[str], ledger: Ledger) -> None:
    """Puts jobs, their one re-run, their postings and their cases into the book."""
    wanted = sorted(set(job_ids))
    if not wanted:
        return
    rows = tx.ask(_jobs, job_ids=wanted, account_ids=sorted(book.accounts))
    book.asked_about = bool(rows[0].asked_about) if rows else True
    booked = ledger.booked(rows)
    # a job with several postings has as many rows
    found = {row.job_id: row for row in rows}
    book.jobs |= {job_id: _job(row, booked.get(job_id, JobCredits())) for job_id, row in found.items()}
    book.lots_quiet = {row.booked_lot for row in rows if row.booked_lot is not None and not row.lot_moved}
    known = [row.case_id for row in found.values() if row.case_id is not None]
    unheard_of = [job_id for job_id in wanted if job_id not in found]
    standing = [
        *(tx.ask(_cases, case_ids=known) if known else ()),
        *(tx.ask(_cases_about, jobs=unheard_of) if unheard_of else ()),
    ]
    book.cases |= {row.subject: case_of(row) for row in standing}


def _jobs(among: Among) -> Select[Any]:
    """A job with its re-run and its postings, and whether there is anything to ask about its case and the money of its lots:
    mostly there is not, and round trips are most of what a single event waits for.
    """

    def of_job(column: ColumnElement[str]) -> ColumnElement[bool]:
        # named for each table by itself: joined alone, a table that Postgres has not counted yet would be read whole
        return and_(column == layer_jobs.c.job_id, among(column, "job_ids"))

    # what is asked of each row by itself is looked up in an index, for the same reason
    case: Select[Any] = select(cases.c.case_id).where(cases.c.kind == CaseKind.JOB.value, cases.c.subject == layer_jobs.c.job_id)
    moved: Select[Any] = (
        select(literal_column("1")).select_from(LOTS).where(purchases.c.purchase_id == postings.c.purchase_id, _moved())
    )
    # once for all of them: looked up in the indexes of the accounts' few purchases and of what is about these, for an account may
    # have any number of cases
    about_it = (
        cases.c.order_id == func.coalesce(purchases.c.order_id, purchases.c.purchase_id),
        among(purchases.c.account_id, "account_ids"),
    )
    with_a_person = cases.c.kind == CaseKind.REQUEST.value, cases.c.state == CaseState.REVIEW.value
    asked_about = exists().select_from(cases, purchases).where(*about_it, *with_a_person)
    return (
        select(
            layer_jobs,
            reruns.c.attempt.label("rerun_attempt"),
            reruns.c.state.label("rerun_state"),
            reruns.c.deadline_at.label("rerun_deadline_at"),
            *BOOKED,
            moved.scalar_subquery().label("lot_moved"),
            case.scalar_subquery().label("case_id"),
            asked_about.correlate(None).label("asked_about"),
        )
        .outerjoin_from(layer_jobs, reruns, of_job(reruns.c.job_id))
        .outerjoin_from(layer_jobs, postings, of_job(postings.c.job_id))
        .where(among(layer_jobs.c.job_id, "job_ids"))
        .order_by(postings.c.id)
    )


def _cases(among: Among) -> Select[Any]:
    return select(cases).where(among(cases.c.case_id, "case_ids"))


def _cases_about(among: Among) -> Select[Any]:
    return select(cases).where(cases.c.kind == CaseKind.JOB.value, among(cases.c.subject, "jobs"))


def _job(row: Row[Any], credits: JobCredits) -> Job:
    rerun = None
    if row.rerun_state is not None:
        rerun = Rerun(row.rerun_attempt, RerunState(row.rerun_state), row.rerun_deadline_at)
    return Job(
        job_id=row.job_id,
        account_id=row.account_id,
        paid_with=row.paid_with,
        price=row.price,
        undebited=row.undebited,
        layers_expected=row.layers_expected,
        submitted_at=row.submitted_at,
        input_expires_at=row.input_expires_at,
        status=row.status,
        reports=set(REPORTS.validate_python(row.reports)),
        downloads=row.downloads,
        downloaded_at=row.downloaded_at,
        edited_at=row.edited_at,
        ended_at=row.ended_at,
        credits=credits,
        rerun=rerun,
    )


def case_of(row: Row[Any]) -> Case:
    """The case that a row of `cases` is. Raises `OfNewerRelease` for a state or a kind that this release does not know."""
    if row.state not in STATES or row.kind not in KINDS:
        raise OfNewerRelease(f"{row.case_id} is {row.kind} in state {row.state}, which a newer release wrote")
    state = CaseState(row.state)
    return Case(
        case_id=row.case_id,
        kind=CaseKind(row.kind),
        subject=row.subject,
        job_id=row.job_id,
        order_id=row.order_id,
        account_id=row.account_id,
        state=state,
        was=state,
        failed_at=row.failed_at,
        opened_at=row.opened_at,
        due_at=row.due_at,
        warn_at=row.warn_at,
        warned_percent=row.warned_percent,
        next_action_at=row.next_action_at,
        closed_at=row.closed_at,
        outcome=row.outcome,
        rule=row.rule,
        clause=row.clause,
        terms=row.terms,
        reason=row.reason,
        facts=row.facts,
        credits_owed=row.credits_owed,
        credits_reversed=row.credits_reversed,
        reruns=row.reruns,
        delivered_late=row.delivered_late,
        stuck=row.stuck,
        trace=row.trace,
    )


def load_purchases(tx: Tx, book: Book, news: Sequence[News], ledger: Ledger) -> None:
    """What purchases and lots the batch needs: the purchases it names, and the open lots of every account it may debit."""
    bought = [item.said for item in news if isinstance(item.said, PurchaseRecord)]
    named = [said.id for said in bought]
    if named:
        charged = [said.transaction_id for said in bought if said.transaction_id]
        same = tx.among(purchases.c.purchase_id, named)
        known = select(purchases, charges.c.amount_paid).outerjoin(
            charges, charges.c.transaction_id == purchases.c.transaction_id
        )
        rows = tx.all(known.where(or_(same, tx.among(purchases.c.transaction_id, charged)) if charged else same))
        book.purchases_known |= {row.purchase_id: dict(row._mapping) for row in rows}
    spending = {item.account_id for item in news if item.introduces_job or isinstance(item.said, PurchaseRecord)}
    spending |= {job.account_id for job in book.jobs.values() if job.undebited}
    spending.discard(None)
    if not spending:
        return
    book.lots |= ledger.open_lots(tx, sorted(a for a in spending if a))
    lots = [lot.purchase_id for owned in book.lots.values() for lot in owned]
    unknown = [purchase_id for purchase_id in lots if purchase_id not in book.purchases_known]
    if named and unknown:
        rows = tx.all(select(purchases).where(tx.among(purchases.c.purchase_id, unknown)))
        book.purchases_known |= {row.purchase_id: dict(row._mapping) for row in rows}


def load_lots_money(tx: Tx, book: Book) -> None:
    """What is known of the money of the lots that the jobs to be judged drew on: a lot whose money went back, or is disputed,
    is not also made good in credits.
    """
    drawn = {share.purchase_id for job_id in book.touched if job_id in book.jobs for share in book.jobs[job_id].credits.debits}
    if not book.heard:
        # what the jobs were read with still stands
        drawn -= book.lots_quiet
    if not drawn:
        return
    for row in tx.ask(_lots_money, purchase_ids=drawn):
        if row.claimed:
            book.lots_claimed.add(row.purchase_id)
        if row.refunded or row.disputed_at is not None:
            gone = row.refunded >= (row.amount_paid or row.amount) > 0
            book.lots_gone[row.purchase_id] = LotMoney(gone, row.disputed_at is not None)


def _lots_money(among: Among) -> Select[Any]:
    money = (purchases.c.amount, charges.c.amount_paid, func.coalesce(charges.c.refunded, 0).label("refunded"))
    known = select(purchases.c.purchase_id, *money, charges.c.disputed_at, claimed().label("claimed")).select_from(LOTS)
    return known.where(among(purchases.c.purchase_id, "purchase_ids"), _moved())


def _moved() -> ColumnElement[bool]:
    """That some of the money of one of `LOTS` went back, or may be on its way, or is disputed."""
    return or_(charges.c.refunded > 0, charges.c.disputed_at.is_not(None), claimed())


def claimed() -> ColumnElement[bool]:
    """That a claim on the charge of a purchase is open."""
    # by when it is due, which it always is and no other claim ever is: the index of those that are holds no old one
    return exists().where(payments.c.purchase_id == purchases.c.purchase_id, payments.c.due_at.is_not(None))


def load_surroundings(tx: Tx, book: Book, bench: Bench) -> None:
    """What a verdict needs beyond the job: whether credits were asked for, the doubt budget, the service's failure rate of late.
    Each is read only where a job of the batch can depend on it.
    """
    again = [job_id for job_id in book.touched if job_id in book.jobs and _may_run_again(book.jobs[job_id], bench)]
    if again:
        asked = select(requests.c.job_id).where(tx.among(requests.c.job_id, again), requests.c.confirmed_at.is_not(None))
        book.credits_asked = {row.job_id for row in tx.all(asked)}
        _load_passes(tx, book, [book.jobs[job_id] for job_id in again])
    touched = [book.jobs[job_id] for job_id in book.touched if job_id in book.jobs]
    failing = [report for job in touched for report in job.reports if fails(report, job)]
    if not failing:
        return
    # each case is judged by its own edition, so what any edition may ask for is read
    codes = {report.code for report in failing if report.kind is not ReportKind.SUCCEEDED}
    if any(terms.fault_of(code) is FaultClass.UNKNOWN for terms in bench.editions for code in codes):
        book.doubt_credits = _doubt_today(tx, book)
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
    rows = tx.all(select(doubt_days.c.credits).where(doubt_days.c.day == day).with_for_update())
    return int(rows[0].credits)


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
