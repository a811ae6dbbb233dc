"""From the facts of one job to what is done about it: ask the policy, then move the case in the book.

Nothing here decides what is owed. It collects the facts, asks `policy.decide`, and turns the answer into one move, its
postings and its effects, all of which commit together or not at all.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from policy import Editions, Terms, decide, missing_facts
from policy.calendar import Calendar
from policy.decision import Decision, Outcome
from policy.facts import AccountStatus, JobFacts, PaidWith, Report, ReportKind, Rerun, RerunState
from policy.ledger import PostingKind, reverse
from policy.lifecycle import CaseKind, CaseState, Standing, standing
from worker.cases.book import Book, Case, Job
from worker.clock import new_id
from worker.credits.ledger import JobCredits, Posting
from worker.errors import InvariantBroken
from worker.settings import Mode
from worker.store.effects import EffectKind

FACTS: TypeAdapter[JobFacts] = TypeAdapter(JobFacts)
REMIND = timedelta(days=1)
ANNOUNCED = {
    CaseState.REFUNDED: "refund.credits_reversed",
    CaseState.DELIVERED: "refund.rerun_delivered",
    CaseState.DECLINED: "refund.declined",
    CaseState.REVIEW: "refund.in_review",
}
IN_FAVOUR = {Outcome.REVERSE_CREDITS, Outcome.RERUN, Outcome.REVIEW}


@dataclass(frozen=True, slots=True)
class Bench:
    """What judging needs besides the facts: the terms, the calendar of their promise, how far we may go."""

    editions: Editions
    calendars: dict[str, Calendar]
    mode: Mode

    def terms_at(self, failed_at: datetime) -> Terms:
        """The edition a failure is judged by: the one in force when it happened."""
        return self.editions.at(failed_at)


def judge(book: Book, job_id: str, bench: Bench) -> None:
    """Opens or advances the case of one job as far as its facts allow. Makes no case for a job that needs none."""
    case = book.cases.get(job_id)
    job = book.jobs.get(job_id)
    reports = frozenset(book.unheard.get(job_id, ())) | (frozenset(job.reports) if job else frozenset())
    failing = [report for report in reports if _fails(report, job)]
    if case is None:
        if not failing:
            return
        account_id = job.account_id if job else book.claimed_accounts[job_id]
        case = _open(book, job_id, account_id, min(report.at for report in failing), bench)
    if job is not None and case.account_id != job.account_id:
        case.account_id, case.changed = job.account_id, True
    if case.state is not None and case.state.final and case.next_action_at is not None:
        # put back by a person: looked at once, not for ever
        case.next_action_at, case.changed = None, True
    if case.state is CaseState.REFUNDED:
        _note_late_success(case, job)
        return
    _advance(book, case, job, reports, bench)


def _fails(report: Report, job: Job | None) -> bool:
    if report.kind is not ReportKind.SUCCEEDED:
        return True
    expected = job.layers_expected if job else None
    return report.output is not None and not report.output.complete_for(expected)


def _open(book: Book, job_id: str, account_id: str, failed_at: datetime, bench: Bench) -> Case:
    failed_at = min(failed_at, book.now)
    terms = bench.terms_at(failed_at)
    calendar = bench.calendars[terms.edition]
    due_at = calendar.business_deadline(failed_at, terms.promise_business_days)
    case = Case(
        case_id=new_id("case", book.now),
        job_id=job_id,
        account_id=account_id,
        state=None,
        was=None,
        failed_at=failed_at,
        opened_at=book.now,
        due_at=due_at,
        warn_at=calendar.instant_at_fraction(failed_at, due_at, terms.promise_warn_percent[0]),
        warned_percent=0,
        next_action_at=None,
    )
    case.note("case.opened", job_id=job_id, failed_at=failed_at.isoformat())
    book.cases[job_id] = case
    return case


def _note_late_success(case: Case, job: Job | None) -> None:
    if job is None or case.delivered_late:
        return
    for report in job.reports:
        if report.kind is ReportKind.SUCCEEDED and not _fails(report, job):
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
        _wait(case, lacking, give_up_at)
        return
    decision = decide(facts, terms)
    if case.state in {CaseState.DECLINED, CaseState.NOTHING_OWED, CaseState.DELIVERED} and decision.outcome not in IN_FAVOUR:
        return
    _apply(book, case, job, decision, facts, terms, bench)


def _rerun_as_of(book: Book, case: Case, job: Job, rerun: Rerun) -> Rerun:
    if rerun.state is not RerunState.ASKED:
        return rerun
    if any(report.attempt >= rerun.attempt for report in job.reports):
        ended = replace(rerun, state=RerunState.ANSWERED)
    elif book.now >= rerun.deadline_at:
        ended = replace(rerun, state=RerunState.EXPIRED)
        case.note("rerun.expired", deadline_at=rerun.deadline_at.isoformat())
    else:
        return rerun
    job.rerun_changed = True
    return ended


def _facts(book: Book, case: Case, job: Job | None, reports: frozenset[Report]) -> JobFacts:
    account = book.accounts.get(case.account_id)
    known = JobFacts(
        now=book.now,
        job_id=case.job_id,
        account_id=case.account_id,
        reports=tuple(sorted(reports, key=lambda r: (r.attempt, r.at, r.kind.value, r.code))),
        job_known=False,
        account_known=account is not None and account.known,
        account_status=AccountStatus(account.status) if account else AccountStatus.ACTIVE,
        rerun_available=book.rerun_available,
        reversals_today=account.reversals_on(_day(book.now)) if account else 0,
        doubt_credits_today=book.doubt_credits,
        service_failure_percent=book.service_failure_percent,
    )
    if job is None:
        return known
    return replace(
        known,
        job_known=True,
        paid_with=PaidWith(job.paid_with),
        price=job.price,
        debit=job.credits.debit,
        reversed_credits=job.credits.reversed,
        layers_expected=job.layers_expected,
        submitted_at=job.submitted_at,
        input_expires_at=job.input_expires_at,
        rerun=job.rerun,
    )


def _day(now: datetime) -> Any:
    return now.astimezone(UTC).date()


def _wait(case: Case, lacking: tuple[str, ...], until: datetime) -> None:
    if case.state is CaseState.WAITING:
        return
    case.note("case.waiting", missing=list(lacking), until=until.isoformat())
    case.reason = f"waiting for {', '.join(lacking)}"
    _go(case, CaseState.WAITING, next_action_at=until)


def _apply(book: Book, case: Case, job: Job | None, decision: Decision, facts: JobFacts, terms: Terms, bench: Bench) -> None:
    target = _target(decision)
    held = bench.mode is Mode.OBSERVE and decision.outcome in {Outcome.REVERSE_CREDITS, Outcome.RERUN}
    if held:
        target = CaseState.REVIEW
    if case.state is target and (target is not CaseState.REVIEW or case.rule == decision.rule):
        _remind(book, case)
        return
    if case.state is not None and case.state is not target and standing(case.state, target) is Standing.ILLEGAL:
        raise InvariantBroken(f"{case.case_id}: {case.state.value} cannot become {target.value}")
    _record(case, decision, facts)
    if held:
        case.note("effect.held", mode=bench.mode.value, outcome=decision.outcome.value)
    elif decision.outcome is Outcome.REVERSE_CREDITS:
        _reverse(book, case, _there(job, case), decision, terms)
    elif decision.outcome is Outcome.RERUN and not decision.settled and facts.rerun is None:
        _ask_rerun(book, case, _there(job, case), terms)
    next_at = None
    if target is CaseState.RERUNNING:
        rerun = _there(job, case).rerun
        assert rerun is not None, "a case is re-running only when a re-run was asked for"
        next_at = rerun.deadline_at
    elif target is CaseState.REVIEW:
        next_at = book.now + REMIND
    _go(case, target, next_action_at=next_at, now=book.now)
    _announce(book, case, target)


def _target(decision: Decision) -> CaseState:
    match decision.outcome:
        case Outcome.REVERSE_CREDITS:
            return CaseState.REFUNDED
        case Outcome.RERUN:
            return CaseState.DELIVERED if decision.settled else CaseState.RERUNNING
        case Outcome.DECLINE:
            return CaseState.DECLINED
        case Outcome.NOTHING_OWED:
            return CaseState.NOTHING_OWED
        case Outcome.REVIEW:
            return CaseState.REVIEW
        case Outcome.REFUND_PAYMENT:
            raise InvariantBroken("no rule for a job gives money: that is a case of another kind")


def _there(job: Job | None, case: Case) -> Job:
    if job is None:
        raise InvariantBroken(f"{case.case_id}: the policy gave a remedy for a job that is not in the books")
    return job


def _remind(book: Book, case: Case) -> None:
    if case.state is CaseState.REVIEW and case.next_action_at is not None and case.next_action_at <= book.now:
        case.next_action_at, case.changed = book.now + REMIND, True


def _record(case: Case, decision: Decision, facts: JobFacts) -> None:
    case.outcome, case.rule, case.clause = decision.outcome.value, decision.rule, decision.clause.value
    case.terms, case.reason = decision.terms, decision.reason
    case.credits_owed = decision.credits
    case.facts = FACTS.dump_python(facts, mode="json")
    case.note(
        "case.decided",
        outcome=case.outcome,
        rule=case.rule,
        clause=case.clause,
        terms=case.terms,
        reason=case.reason,
        because=dict(decision.because),
    )


def _reverse(book: Book, case: Case, job: Job, decision: Decision, terms: Terms) -> None:
    shares = reverse(job.credits.debits, job.credits.reversals)
    credits = sum(share.credits for share in shares)
    if credits != decision.credits:
        raise InvariantBroken(f"{case.case_id}: {decision.credits} credits are owed, {credits} stand in the ledger")
    book.postings += [
        Posting(PostingKind.REVERSAL, share.purchase_id, share.credits, job_id=job.job_id, case_id=case.case_id)
        for share in shares
    ]
    job.credits = JobCredits(job.credits.debits, job.credits.reversals + tuple(shares))
    case.credits_reversed = credits
    book.accounts[case.account_id].count_reversal(_day(book.now))
    if decision.rule == "unknown_code_in_doubt":
        book.doubt_credits += credits
        book.doubt_spent += credits
    case.note("credits.reversed", credits=credits, lots={share.purchase_id: share.credits for share in shares})


def _ask_rerun(book: Book, case: Case, job: Job, terms: Terms) -> None:
    attempt = max(report.attempt for report in job.reports) + 1
    deadline = book.now + timedelta(minutes=float(terms.rerun_deadline_minutes))
    job.rerun = Rerun(attempt, RerunState.ASKED, deadline)
    job.rerun_changed = True
    case.reruns = 1
    _effect(book, case, EffectKind.RERUN, f"rerun:{job.job_id}", attempt=attempt, deadline_at=deadline.isoformat())
    case.note("rerun.asked", attempt=attempt, deadline_at=deadline.isoformat())


def _effect(book: Book, case: Case, kind: EffectKind, key: str, **payload: Any) -> None:
    book.effects.append(
        {
            "effect_id": new_id("eff", book.now),
            "key": key,
            "kind": kind.value,
            "case_id": case.case_id,
            "job_id": case.job_id,
            "payload": payload,
            "state": "due",
            "attempts": 0,
            "due_at": book.now,
            "created_at": book.now,
        }
    )


def _announce(book: Book, case: Case, target: CaseState) -> None:
    kind = ANNOUNCED.get(target)
    if kind is None:
        return
    _effect(
        book,
        case,
        EffectKind.ANNOUNCE,
        f"announce:{case.case_id}:{kind}",
        type=kind,
        case_kind=CaseKind.JOB.value,
        account_id=case.account_id,
        credits=case.credits_reversed,
        outcome=case.outcome,
        clause=case.clause,
        terms=case.terms,
        reason=case.reason,
    )


def _go(case: Case, target: CaseState, *, next_action_at: datetime | None, now: datetime | None = None) -> None:
    if case.state is not None and case.state is not target:
        case.note("case.moved", **{"from": case.state.value, "to": target.value})
    case.state = target
    case.next_action_at = next_action_at
    if target.final:
        case.closed_at, case.warn_at = now, None
    elif case.closed_at is not None:
        # a no that later facts overturn: the promise runs again, its warnings with it
        case.closed_at, case.warn_at = None, case.due_at
    case.changed = True
