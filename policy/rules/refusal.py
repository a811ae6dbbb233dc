"""Rules for failures that cost no credits, and for those that are no fault of the system."""

from policy.decision import Outcome, Verdict
from policy.facts import JobFacts, PaidWith
from policy.faults import standing_clause, standing_fault
from policy.rules.remedy import rerun
from policy.terms import FaultClass, Terms
from policy.words import because_of, count, what_became_of_it, what_failed


def rerun_pass_job(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A job that took no credits, by the 24-Hour Pass or free, is run again where a re-run is allowed."""
    return rerun(facts, terms) if _took_no_credits(facts) else None


def no_credits_spent(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A job by the 24-Hour Pass, or a free one, took no credits: there is nothing to give back."""
    fault = standing_fault(facts, terms)
    if fault is None or not _took_no_credits(facts):
        return None
    paid = "covered by the 24-Hour Pass" if facts.paid_with is PaidWith.PASS else "free"
    reason = f"{what_became_of_it(fault, facts, terms)}; it was {paid}, so no credits were spent"
    because = {"paid_with": facts.paid_with.value, "debit": facts.debit}
    return Verdict(Outcome.NOTHING_OWED, standing_clause(facts, terms), reason, because=because)


def no_debit(facts: JobFacts, terms: Terms) -> Verdict | None:
    """What stands in the ledger is what can come back: no debit, nothing owed."""
    if facts.standing_debit > 0:
        return None
    reason = "the ledger shows no debit for the job"
    return Verdict(
        Outcome.NOTHING_OWED, standing_clause(facts, terms), reason, because={"debit": facts.debit, "price": facts.price}
    )


def cancelled_before_start(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks at a job that took credits and was cancelled while it waited: the policy declines what had started."""
    fault = standing_fault(facts, terms)
    if fault is None or fault.kind is not FaultClass.CANCELLED or fault.report.stage not in terms.waiting_stages:
        return None
    if any(report.output is not None and report.output.delivered > 0 for report in facts.reports):
        return None
    taken, because = count(facts.standing_debit, "credit"), {**because_of(fault, facts, terms), "stage": fault.report.stage}
    reason = f"the job was cancelled before it had started, so a person decides on the {taken} that it took"
    return Verdict(Outcome.REVIEW, standing_clause(facts, terms), reason, because=because)


def cancelled_by_user(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A job that the customer cancelled is no server-side error. That it took credits is the sign that it had started, unless
    its report says that it waited still.
    """
    return _decline(facts, terms, FaultClass.CANCELLED, "cancelling it is not a server-side error")


def input_fault(facts: JobFacts, terms: Terms) -> Verdict | None:
    """An input that cannot be processed is no server-side error."""
    return _decline(facts, terms, FaultClass.INPUT, "an input that cannot be processed is not a server-side error")


def content_rejected(facts: JobFacts, terms: Terms) -> Verdict | None:
    """Content that the safety check turns away is no server-side error."""
    return _decline(facts, terms, FaultClass.SAFETY, "content that is not allowed is not a server-side error")


def _took_no_credits(facts: JobFacts) -> bool:
    # a debit that stands all the same is given back like any other
    return facts.paid_with is not PaidWith.CREDITS and facts.standing_debit <= 0


def _decline(facts: JobFacts, terms: Terms, kind: FaultClass, why: str) -> Verdict | None:
    fault = standing_fault(facts, terms)
    if fault is None or fault.kind is not kind:
        return None
    reason, because = f"{what_failed(fault, facts)}; {why}", because_of(fault, facts, terms)
    return Verdict(Outcome.DECLINE, standing_clause(facts, terms), reason, because=because)
