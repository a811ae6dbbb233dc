"""The facts of a request: what our own books say of the job or the purchase that a mail is about."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from policy import Clause, Outcome, RequestedJob, RequestFacts, Use
from policy.facts import JobsNo, Output, PaidWith, ReportKind
from policy.ledger import PostingKind, Share, reverse
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import BY_PERSON
from worker.cases.book.decided import reason_decided
from worker.cases.book.notify import NoticeKind
from worker.cases.book.rows import FINAL, REPORTS, case_of
from worker.cases.money.facts import Charge, charge_of, named_charges
from worker.cases.money.used import jobs_of, pass_of, passes_of
from worker.cases.requests.identify import DENIED, UNKNOWN, about_same
from worker.cases.requests.register import asks_for, by_owner
from worker.credits.ledger import JobCredits, Ledger
from worker.store.bulk import Tx
from worker.store.tables import cases, layer_jobs, notices, payments, postings, purchases, requests

FAILED = {"failed", "incomplete"}


def facts_of(tx: Tx, ledger: Ledger, request: Row[Any], now: datetime) -> tuple[RequestFacts, Charge | None]:
    """The facts, and the charge whose money they are about, if any. The caller holds the account's lock."""
    of_job = paid_by(tx, request.job_id) if request.job_id and not request.purchase_id else None
    charge = charge_of(tx, request.purchase_id) if request.purchase_id else of_job
    job = requested_job(tx, ledger, request.job_id, charge) if request.job_id else None
    facts = RequestFacts(
        now=now,
        request_id=request.request_id,
        received_at=_asked_at(tx, request, charge) if charge else request.received_at,
        account_id=request.account_id,
        sender_confirmed=request.confirmed_at is not None,
        denied=request.named.get(DENIED, False),
        readable=not request.named.get("unreadable", False),
        report=request.named.get("report", False),
        unknown=tuple(request.named.get(UNKNOWN, ())),
        job=job,
        purchase=charge.facts if charge else None,
        purchase_named=of_job is None,
        use=use_of(tx, ledger, charge) if charge else Use(),
        claimed=bool(charge and _claimed(tx, charge, request.case_id)),
        told_no=_told_no(tx, request),
        told_paid=charge is not None and _told_paid(tx, request, charge),
    )
    return facts, charge


def _asked_at(tx: Tx, request: Row[Any], charge: Charge) -> datetime:
    """When this purchase was first asked about: when the request came, or earlier where another open request of the account names
    it too. What was bought after the request came was asked about by the first mail of the case that names it.
    """
    received_at: datetime = request.received_at
    ids = names_of(request.job_id, charge)
    if charge.facts.paid_at <= received_at:
        asked: list[datetime] = [mail.received_at for mail in _waiting(tx, request) if asks_for(mail, ids)]
        return min([received_at, *(at for at in asked if charge.facts.paid_at <= at)])
    named = (mail.received_at for mail in by_owner(tx, request.case_id) if asks_for(mail, ids))
    return next(named, received_at)


def names_of(job_id: str | None, charge: Charge | None) -> set[str]:
    """Every id by which a mail may name this job, and this charge."""
    of_charge = () if charge is None else (charge.facts.purchase_id, charge.order_id, charge.transaction_id)
    return {one for one in (job_id, *of_charge) if one is not None}


def _waiting(tx: Tx, request: Row[Any]) -> Sequence[Row[Any]]:
    """The account's own mails, by its own word, with requests that are not over."""
    r, c = requests.c, cases.c
    still_open = c.account_id == request.account_id, c.kind == CaseKind.REQUEST.value, c.state.not_in(FINAL)
    by_owner = r.automatic.is_(False), r.confirmed_at.is_not(None)
    return tx.all(select(requests).join(cases, c.case_id == r.case_id).where(*still_open, *by_owner))


def use_of(tx: Tx, ledger: Ledger, charge: Charge) -> Use:
    """What was made of the purchase, counted over its jobs."""
    jobs = jobs_of(tx, charge)
    completed = [job for job in jobs if delivered(job)]
    failed = [job for job in jobs if job.status in FAILED and not delivered(job)]
    # that a job failed is no fault of ours where its own case says so: its input, its customer's cancelling, a person's no
    no_fault = _with_case(tx, [job.job_id for job in failed], CaseState.DECLINED)
    failed = [job for job in failed if job.job_id not in no_fault]
    again = _with_case(tx, [job.job_id for job in jobs], CaseState.RERUNNING)
    booked = ledger.of_jobs(tx, [job.job_id for job in failed]) if failed else {}
    of_failed = {job.job_id: booked.get(job.job_id, JobCredits()) for job in failed}
    paid = paid_for_jobs(tx, of_failed.values())
    standing = {job_id: _credits(shares_standing(of_job, paid)) for job_id, of_job in of_failed.items()}
    return Use(
        jobs=len(jobs),
        completed=len(completed),
        downloads=sum(job.downloads for job in completed),
        edited=sum(job.downloads > 0 and _edited(job) for job in completed),
        failed=sum(1 for left in standing.values() if left) or len(failed),
        failed_credits=sum(standing.values()),
        failed_clause=_clause_of(tx, [job_id for job_id, left in standing.items() if left]),
        running=sum(job.status == "running" or job.job_id in again for job in jobs),
        kept=sum(job.downloads for job in jobs if not delivered(job)),
    )


def _clause_of(tx: Tx, job_ids: list[str]) -> Clause | None:
    """The one clause that the own cases of these jobs are decided by; None where there are several, or none."""
    if not job_ids:
        return None
    c = cases.c
    decided = c.kind == CaseKind.JOB.value, tx.among(c.subject, job_ids), c.clause.is_not(None)
    found = tx.all(select(c.clause).where(*decided).distinct())
    return Clause(found[0].clause) if len(found) == 1 else None


def requested_job(tx: Tx, ledger: Ledger, job_id: str, charge: Charge | None) -> RequestedJob | None:
    """What is known of the job, where the request is about the money of that charge."""
    row = tx.first(select(layer_jobs).where(layer_jobs.c.job_id == job_id))
    if row is None:
        return None
    booked, own = ledger.of_jobs(tx, [job_id]).get(job_id, JobCredits()), _own_case(tx, job_id)
    paid = paid_for_jobs(tx, [booked])
    standing = shares_standing(booked, paid)
    elsewhere = [share for share in standing if charge is None or share.purchase_id != charge.facts.purchase_id]
    holding = {share.purchase_id for share in elsewhere}
    others = [other for other in paid if other.facts.purchase_id in holding]
    return RequestedJob(
        job_id=job_id,
        ended=row.status != "running",
        delivered=delivered(row),
        downloads=row.downloads,
        edited=_edited(row),
        debit=booked.debit,
        standing_debit=_credits(standing),
        paid_elsewhere=_credits(elsewhere),
        disputed_elsewhere=next((other.facts.purchase_id for other in others if other.facts.disputed), None),
        paid_elsewhere_at=max((other.facts.paid_at for other in others), default=None),
        failure=None if delivered(row) else _failure(row),
        own_no=None if delivered(row) or own is None else _own_no(tx, own),
        own_clause=None if own is None else Clause(own.clause),
        own_terms=None if own is None else own.terms,
    )


def _own_case(tx: Tx, job_id: str) -> Row[Any] | None:
    """The job's own case, where it is over."""
    c = cases.c
    own = c.kind == CaseKind.JOB.value, c.subject == job_id, c.state.in_(FINAL), c.clause.is_not(None)
    return tx.first(select(cases).where(*own))


def _own_no(tx: Tx, own: Row[Any]) -> JobsNo | None:
    """What the policy said in the job's own case, where that is over with a no; what a person said there a person answers for."""
    noes = {CaseState.DECLINED.value: Outcome.DECLINE, CaseState.NOTHING_OWED.value: Outcome.NOTHING_OWED}
    outcome, reason = noes.get(own.state), reason_decided(tx, case_of(own))
    if outcome is None or own.rule == BY_PERSON or own.outcome != outcome.value or reason is None:
        return None
    return JobsNo(outcome, Clause(own.clause), reason)


def _failure(job: Row[Any]) -> str | None:
    reported = [report for report in REPORTS.validate_python(job.reports) if report.kind is not ReportKind.SUCCEEDED]
    last = max(reported, key=lambda report: (report.attempt, report.at), default=None)
    return last.code or None if last is not None else None


def _edited(job: Row[Any]) -> bool:
    """True where the output was edited by hand or used downstream, unless that was all before it was first downloaded."""
    return job.edited_at is not None and (job.downloaded_at is None or job.downloaded_at <= job.edited_at)


def delivered(job: Row[Any]) -> bool:
    """True where the pipeline reported a whole, successful output; an import says so by its status alone."""
    whole = (
        report.output is None or Output.complete_for(report.output, job.layers_expected)
        for report in REPORTS.validate_python(job.reports)
        if report.kind is ReportKind.SUCCEEDED
    )
    return any(whole) or (job.status == "succeeded" and not job.reports)


def _with_case(tx: Tx, job_ids: list[str], state: CaseState) -> set[str]:
    """The jobs whose own case is in this state: it ended in a no, say."""
    of_jobs = (cases.c.kind == CaseKind.JOB.value, cases.c.state == state.value)
    if not job_ids:
        return set()
    return {row.subject for row in tx.all(select(cases.c.subject).where(*of_jobs, tx.among(cases.c.subject, job_ids)))}


def paid_for_jobs(tx: Tx, jobs: Iterable[JobCredits]) -> Sequence[Charge]:
    """The charges of all purchases that these jobs drew on."""
    return named_charges(tx, {share.purchase_id for job in jobs for share in job.debits})


def shares_standing(job: JobCredits, paid: Sequence[Charge]) -> list[Share]:
    """What the job took of each purchase and has back neither as credits nor with the money of that (decision 15)."""
    gone = {charge.facts.purchase_id for charge in paid if charge.facts.given_back}
    return [share for share in reverse(job.debits, job.reversals) if share.purchase_id not in gone]


def _credits(shares: Iterable[Share]) -> int:
    return sum(share.credits for share in shares)


def paid_by(tx: Tx, job_id: str) -> Charge | None:
    """The newest purchase that paid for the job; where its ledger has none, the pass that it ran under."""
    drew = (postings.c.job_id == job_id, postings.c.kind == PostingKind.DEBIT.value)
    rows = tx.all(select(postings.c.purchase_id).where(*drew))
    found = [charge for row in rows if (charge := charge_of(tx, row.purchase_id))]
    return max(found, key=lambda charge: charge.facts.paid_at) if found else _pass_over(tx, job_id)


def _pass_over(tx: Tx, job_id: str) -> Charge | None:
    j = layer_jobs.c
    under = j.job_id == job_id, j.paid_with == PaidWith.PASS.value, j.submitted_at.is_not(None)
    found = (
        pass_of(passes_of(tx, [job.account_id], job.submitted_at), job.account_id, job.submitted_at)
        for job in tx.all(select(layer_jobs).where(*under))
    )
    return next(found, None)


def _claimed(tx: Tx, charge: Charge, case_id: str) -> bool:
    """True where another case has a claim on the charge that is open or has paid."""
    ended = select(func.count()).where(
        payments.c.transaction_id == charge.transaction_id,
        payments.c.case_id != case_id,
        (payments.c.closed_at.is_(None)) | (payments.c.state == "refunded"),
    )
    return charge.transaction_id is not None and bool(tx.value(ended))


def _told_no(tx: Tx, request: Row[Any]) -> bool:
    """True where an earlier mail of the account about the same had ended in a no when this one came, or where a letter had told
    of the job's own case that it did, or of a measure that was taken under a case about the purchase. Where a host between us and
    the customer gives our letters other ids, nothing else tells that it answers one.
    """
    c, r = cases.c, requests.c
    if request.account_id is None or (request.job_id is None and request.purchase_id is None):
        return False
    same = about_same(request.job_id, request.purchase_id)
    noes = c.state.in_([CaseState.DECLINED.value, CaseState.NOTHING_OWED.value]), c.closed_at < request.received_at
    theirs = c.account_id == request.account_id, c.kind == CaseKind.REQUEST.value, r.request_id != request.request_id
    found = select(c.case_id).join(requests, r.request_id == c.subject).where(*theirs, *noes, same)
    if tx.exists(found) or (request.job_id is not None and _told_of_own(tx, request)):
        return True
    return request.purchase_id is not None and _told_of_measure(tx, request)


def _told_paid(tx: Tx, request: Row[Any], charge: Charge) -> bool:
    """True where a letter that the money of this purchase was sent may have been read when this mail came."""
    c, n, lot = cases.c, notices.c, charge.facts.purchase_id
    asked = c.case_id.in_(select(requests.c.case_id).where(requests.c.purchase_id == lot))
    about = or_(asked, (c.kind == CaseKind.DUPLICATE_CHARGE.value) & (c.subject == lot))
    return _read_by_then(tx, request, n.account_id == request.account_id, n.kind == NoticeKind.MONEY_SENT.value, about)


def _told_of_own(tx: Tx, request: Row[Any]) -> bool:
    """True where a letter had told of a no in the job's own case when this mail came: whoever answers it is promised a person."""
    c, n = cases.c, notices.c
    of_job = c.kind == CaseKind.JOB.value, c.subject == request.job_id, c.account_id == request.account_id
    return _read_by_then(tx, request, *of_job, n.kind.in_([NoticeKind.DECLINED.value, NoticeKind.SETTLED.value]))


def _told_of_measure(tx: Tx, request: Row[Any]) -> bool:
    """True where a letter had told of a suspension or a forfeiture under a dispute or a request about this purchase when this
    mail came: it promises that a wrong decision is reversed.
    """
    c, n, r = cases.c, notices.c, requests.c
    transaction = select(purchases.c.transaction_id).where(purchases.c.purchase_id == request.purchase_id).scalar_subquery()
    asked = select(r.case_id).where(r.case_id == c.case_id, r.purchase_id == request.purchase_id).exists()
    same = or_(and_(c.kind == CaseKind.DISPUTE.value, c.subject == transaction), and_(c.kind == CaseKind.REQUEST.value, asked))
    measures = n.kind.in_([NoticeKind.SUSPENSION.value, NoticeKind.FORFEITURE.value])
    return _read_by_then(tx, request, n.account_id == request.account_id, measures, same)


def _read_by_then(tx: Tx, request: Row[Any], *which: ColumnElement[bool]) -> bool:
    """True where a letter of these, each with its case, may have been read when this mail came."""
    n = notices.c
    letters = select(n.notice_id).join(cases, cases.c.case_id == n.case_id)
    return tx.exists(letters.where(*which, n.created_at < request.received_at, n.state != "dropped"))
