"""From the facts of one job to what is done about it: ask the policy, then move the case in the book.

Nothing here decides what is owed. It collects the facts, asks `policy.decide`, and turns the answer into one move, its
postings and its effects, all of which commit together or not at all.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from policy import decide, missing_facts
from policy.decision import Outcome
from policy.facts import AccountStatus, JobFacts, PaidWith, Report, ReportKind, Rerun, RerunState
from policy.ledger import reverse
from policy.lifecycle import CaseKind, CaseState
from worker.cases.assess.carry_out import carry_out, utc_day
from worker.cases.book.bench import Bench
from worker.cases.book.book import BY_PERSON, Book, Case, Job, LotMoney, fails
from worker.cases.book.casework import go, open_case, promise_from, remind
from worker.clock import written

IN_FAVOUR = {Outcome.REVERSE_CREDITS, Outcome.RERUN, Outcome.REVIEW}


def judge(book: Book, job_ids: Sequence[str], bench: Bench) -> None:
    """Opens or advances the cases of these jobs, in order, as far as facts allow. Makes no case for a job that needs none."""
    # step by step for all of them: what is done again and again takes less time than all in turn for each
    told = {job_id: _told_of(book, job_id) for job_id in job_ids}
    for job_id, reports in told.items():
        _find_or_open(book, job_id, reports, bench)
    for job_id, reports in told.items():
        if (case := book.cases.get(job_id)) is not None:
            _judge(book, case, book.jobs.get(job_id), reports, bench)


def _told_of(book: Book, job_id: str) -> frozenset[Report]:
    job = book.jobs.get(job_id)
    return frozenset(book.unheard.get(job_id, ())) | (frozenset(job.reports) if job else frozenset())


def _find_or_open(book: Book, job_id: str, reports: frozenset[Report], bench: Bench) -> None:
    case, job = book.cases.get(job_id), book.jobs.get(job_id)
    failed_at = min((report.at for report in reports if fails(report, job)), default=None)
    if failed_at is None:
        return
    if case is None:
        account_id = job.account_id if job else book.claimed_accounts[job_id]
        _open(book, job_id, account_id, failed_at, bench)
    elif case.state is CaseState.WAITING:
        _date_back(case, failed_at, bench)


def _judge(book: Book, case: Case, job: Job | None, reports: frozenset[Report], bench: Bench) -> None:
    if job is not None and case.account_id != job.account_id:
        case.account_id, case.changed = job.account_id, True
    if case.state is not None and case.state.final and case.next_action_at is not None:
        # put back by a person: looked at once, not for ever
        case.next_action_at, case.changed = None, True
    if case.state is CaseState.REFUNDED:
        _note_late_success(case, job)
        return
    _advance(book, case, job, reports, bench)


def _open(book: Book, job_id: str, account_id: str, failed_at: datetime, bench: Bench) -> Case:
    failed_at = min(failed_at, book.now)
    case = open_case(bench, CaseKind.JOB, job_id, account_id, since=failed_at, now=book.now, job_id=job_id)
    case.trace = book.traces.get(job_id)
    traced = {} if case.trace is None else {"trace": case.trace}
    case.note("case.opened", job_id=job_id, failed_at=written(failed_at), **traced)
    book.cases[job_id] = case
    return case


def _date_back(case: Case, failed_at: datetime, bench: Bench) -> None:
    """A case in which nothing is decided yet is of the earliest failure told of, in whatever order they are."""
    if failed_at >= case.failed_at:
        return
    case.note("case.dated_back", **{"from": written(case.failed_at), "to": written(failed_at)})
    promise_from(bench, case, failed_at)
    case.changed = True


def _note_late_success(case: Case, job: Job | None) -> None:
    if job is None or case.delivered_late:
        return
    for report in job.reports:
        if report.kind is ReportKind.SUCCEEDED and not fails(report, job):
            # goodwill (policy.md, "Success that arrives after the reversal"): counted, never debited again
            case.delivered_late = case.changed = True
            case.note("job.delivered_late", attempt=report.attempt, kept_credits=case.credits_reversed)
            return


def _advance(book: Book, case: Case, job: Job | None, reports: frozenset[Report], bench: Bench) -> None:
    terms = bench.terms_at(case.failed_at)
    if job is not None and job.rerun is not None:
        job.rerun = _rerun_as_of(book, case, job, job.rerun)
    facts = _facts(book, case, job, reports)
    lacking = missing_facts(facts)
    give_up_at = case.opened_at + timedelta(hours=float(terms.wait_for_facts_hours))
    if lacking and case.state in {None, CaseState.WAITING} and book.now < give_up_at:
        _wait(case, lacking, give_up_at, book.now)
        return
    decision = decide(facts, terms)
    if case.state in {CaseState.DECLINED, CaseState.NOTHING_OWED, CaseState.DELIVERED} and decision.outcome not in IN_FAVOUR:
        return
    if case.rule == BY_PERSON and decision.outcome is Outcome.REVIEW:
        # a person has answered that already; only a fault that is proved by itself overturns it
        return
    carry_out(book, case, job, decision, facts, terms, bench.mode)


def _rerun_as_of(book: Book, case: Case, job: Job, rerun: Rerun) -> Rerun:
    if rerun.state is not RerunState.ASKED:
        return rerun
    if any(report.attempt >= rerun.attempt for report in job.reports):
        ended = replace(rerun, state=RerunState.ANSWERED)
    elif book.now >= rerun.deadline_at:
        ended = replace(rerun, state=RerunState.EXPIRED)
        case.note("rerun.expired", deadline_at=written(rerun.deadline_at))
    else:
        return rerun
    job.rerun_changed = True
    return ended


def _facts(book: Book, case: Case, job: Job | None, reports: frozenset[Report]) -> JobFacts:
    account = book.accounts.get(case.account_id)
    return JobFacts(
        now=book.now,
        job_id=case.subject,
        account_id=case.account_id,
        reports=tuple(sorted(reports, key=lambda r: (r.attempt, r.at, r.kind.value, r.code))),
        job_known=job is not None,
        account_known=account is not None and account.known,
        account_status=AccountStatus(account.status) if account else AccountStatus.ACTIVE,
        rerun_available=book.rerun_available,
        credits_requested=case.subject in book.credits_asked,
        reversals_today=account.reversals_on(utc_day(book.now)) if account else 0,
        doubt_credits_today=book.doubt_credits,
        service_failure_percent=book.service_failure_percent,
        **({} if job is None else _known_of(book, job)),
    )


def _known_of(book: Book, job: Job) -> dict[str, Any]:
    drawn = {share.purchase_id for share in job.credits.debits}
    moved, its_pass = _moved(book, drawn), book.passes.get(job.job_id, LotMoney(gone=False, disputed=False))
    return {
        "paid_with": PaidWith(job.paid_with),
        "price": job.price,
        "debit": job.credits.debit,
        "reversed_credits": job.credits.reversed,
        "layers_expected": job.layers_expected,
        "submitted_at": job.submitted_at,
        "input_expires_at": job.input_expires_at,
        "rerun": job.rerun,
        "compensated": _compensated(book, job) if moved else 0,
        "partly_refunded": any(not lot.gone and not lot.disputed for lot in moved),
        "refund_under_way": not drawn.isdisjoint(book.lots_claimed),
        "disputed": its_pass.disputed or any(lot.disputed for lot in moved),
        "pass_given_back": its_pass.gone,
    }


def _moved(book: Book, drawn: set[str]) -> list[LotMoney]:
    return [money for purchase_id, money in book.lots_moved.items() if purchase_id in drawn]


def _compensated(book: Book, job: Job) -> int:
    """Credits of the standing debit whose purchase was given back whole: they are paid back already, in money."""
    standing = reverse(job.credits.debits, job.credits.reversals)
    return sum(share.credits for share in standing if _is_gone(book, share.purchase_id))


def _is_gone(book: Book, purchase_id: str) -> bool:
    return purchase_id in book.lots_moved and book.lots_moved[purchase_id].gone


def _wait(case: Case, lacking: tuple[str, ...], until: datetime, now: datetime) -> None:
    reason = f"waiting for {', '.join(lacking)}"
    if (case.state, case.reason) == (CaseState.WAITING, reason):
        # woken before its time, by credits that came back and were too few
        remind(case, now, until - now)
        return
    case.note("case.waiting", missing=list(lacking), until=written(until))
    case.reason = reason
    go(case, CaseState.WAITING, next_action_at=until)
