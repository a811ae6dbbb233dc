"""A decision carried out in the book: one move of the case, its postings and its intents, which commit together or not at all."""

from datetime import UTC, date, datetime, timedelta

from policy import Terms
from policy.decision import Decision, Outcome
from policy.facts import JobFacts, Rerun, RerunState
from policy.ledger import PostingKind, reverse
from policy.lifecycle import CaseState
from policy.rules.remedy import unknown_code_in_doubt
from worker.cases.book.book import Book, Case, Job
from worker.cases.book.casework import REMIND, announcement, announcement_of_all, effect_of, go, remind
from worker.cases.book.decided import record
from worker.clock import written
from worker.credits.ledger import JobCredits, Posting
from worker.errors import InvariantBroken
from worker.settings import Mode
from worker.store.effects import EffectKind, rerun_key


def utc_day(now: datetime) -> date:
    """The day that daily limits are counted by."""
    return now.astimezone(UTC).date()


def carry_out(book: Book, case: Case, job: Job | None, decision: Decision, facts: JobFacts, terms: Terms, mode: Mode) -> None:
    """Moves the case to where the decision puts it, with the postings and intents that belong to it.

    A decision that changes nothing leaves the case as it is. Raises `InvariantBroken` for a remedy that the books do not bear.
    """
    target = _target(decision)
    held = mode is Mode.OBSERVE and decision.outcome in {Outcome.REVERSE_CREDITS, Outcome.RERUN}
    if held:
        target = CaseState.REVIEW
    if case.state is target and (target is not CaseState.REVIEW or case.rule == decision.rule):
        again_at = _again_at(book, case, job, target)
        if again_at is not None:
            # woken before its time: what a person puts back, re-running or not, is looked at once and not for ever
            remind(case, book.now, again_at - book.now)
        return
    record(case, decision, facts)
    frozen = 0
    if held:
        case.note("effect.held", mode=mode.value, outcome=decision.outcome.value)
    elif decision.outcome is Outcome.REVERSE_CREDITS:
        frozen = _reverse(book, case, _there(job, case), decision)
    elif decision.outcome is Outcome.RERUN and not decision.settled and facts.rerun is None:
        _ask_rerun(book, case, _there(job, case), terms)
    go(case, target, next_action_at=_again_at(book, case, job, target), now=book.now)
    if mode is not Mode.OBSERVE:
        _announce(book, case, frozen)


def _again_at(book: Book, case: Case, job: Job | None, target: CaseState) -> datetime | None:
    """When a case that stands there is looked at again; None where that is its end."""
    if target is CaseState.RERUNNING:
        rerun = _there(job, case).rerun
        assert rerun is not None, "a case is re-running only when a re-run was asked for"
        return rerun.deadline_at
    return book.now + REMIND if target is CaseState.REVIEW else None


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


def _reverse(book: Book, case: Case, job: Job, decision: Decision) -> int:
    """Books what comes back; returns how many credits of it are frozen, because the money of their lot may be on its way back."""
    # not to lots whose money went back: what they paid for is paid back already
    kept = {purchase_id for purchase_id, money in book.lots_moved.items() if money.gone}
    shares = tuple(s for s in reverse(job.credits.debits, job.credits.reversals) if s.purchase_id not in kept)
    credits = sum(share.credits for share in shares)
    if credits != decision.credits:
        raise InvariantBroken(f"{case.case_id}: {decision.credits} credits are owed, {credits} stand in the ledger")
    book.postings += [
        Posting(PostingKind.REVERSAL, share.purchase_id, share.credits, job_id=job.job_id, case_id=case.case_id)
        for share in shares
    ]
    # one remedy for one debit: the claim's end voids these credits with the lot, or sets them free
    held = [share for share in shares if share.purchase_id in book.lots_claimed]
    book.postings += [
        Posting(PostingKind.FREEZE, share.purchase_id, share.credits, case_id=case.case_id, occasion=f"back.{job.job_id}")
        for share in held
    ]
    if len(held) < len(shares):
        book.returned_to.add(case.account_id)
    job.credits = JobCredits(job.credits.debits, job.credits.reversals + tuple(shares))
    case.credits_reversed = credits
    book.accounts[case.account_id].count_reversal(utc_day(book.now))
    if decision.rule == unknown_code_in_doubt.__name__:
        book.doubt_credits += credits
        book.doubt_spent += credits
    case.note("credits.reversed", credits=credits, lots={share.purchase_id: share.credits for share in shares})
    return sum(share.credits for share in held)


def _ask_rerun(book: Book, case: Case, job: Job, terms: Terms) -> None:
    attempt = max(report.attempt for report in job.reports) + 1
    deadline = book.now + timedelta(minutes=float(terms.rerun_deadline_minutes))
    job.rerun = Rerun(attempt, RerunState.ASKED, deadline)
    job.rerun_changed = True
    case.reruns = 1
    asked = effect_of(case, EffectKind.RERUN, rerun_key(job.job_id), book.now, attempt=attempt, deadline_at=deadline.isoformat())
    book.effects.append(dict(asked))
    case.note("rerun.asked", attempt=attempt, deadline_at=written(deadline))


def _announce(book: Book, case: Case, frozen: int) -> None:
    if case.state is CaseState.REFUNDED and not frozen:
        book.ended.append(case)
        return
    told = announcement(case, book.now, **({"credits_frozen": frozen} if frozen else {}))
    if told is not None:
        book.effects.append(dict(told))


def announce_ended(book: Book) -> None:
    """The product is to be told of the cases that end here: by one intent, where there are several."""
    told = [one for case in book.ended if (one := announcement(case, book.now)) is not None]
    book.effects += map(dict, told if len(told) < 2 else [announcement_of_all(told, book.now)])
