"""Rules that make a failure of the system good: the one re-run, the credits, or a person where a limit is reached."""

from policy.calendar import within_window
from policy.decision import Clause, Outcome, Verdict
from policy.facts import JobFacts
from policy.faults import Fault, rerun_fault, standing_clause, standing_fault
from policy.reruns import rerun_obstacle
from policy.terms import FaultClass, Terms
from policy.words import because_of, count, what_became_of_it, what_failed


def rerun(facts: JobFacts, terms: Terms) -> Verdict | None:
    """The verdict that runs the job again, None where its failure is none that a re-run mends or something is in the way."""
    fault = standing_fault(facts, terms)
    if fault is None or not terms.rerunnable(fault.code) or rerun_obstacle(facts):
        return None
    reason = f"{what_failed(fault, facts)}; it is run again once, at no charge"
    return Verdict(Outcome.RERUN, fault.clause, reason, because=because_of(fault, facts, terms))


def outside_automatic_window(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks at a failure older than the operator's window for automatic reversals, where the terms set one."""
    fault, days = standing_fault(facts, terms), terms.automatic_window_days
    if fault is None or days is None or within_window(fault.report.at, facts.now, days, terms.zone):
        return None
    reason = f"the job failed more than {count(days, 'calendar day')} ago, too long for an automatic reversal"
    because = {**because_of(fault, facts, terms), "automatic_window_days": days}
    return Verdict(Outcome.REVIEW, standing_clause(facts, terms), reason, because=because)


def rerun_once(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A failure that a re-run may mend gets one, and only one, before credits come back."""
    return rerun(facts, terms)


def velocity(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks where one account reaches the day's limit of automatic reversals, except in an outage of the service."""
    limit = terms.auto_reversals_per_account_per_day
    outage = facts.service_failure_percent >= terms.outage_failure_percent
    if outage or facts.reversals_today < limit:
        return None
    reason = f"the account already had {count(facts.reversals_today, 'automatic reversal')} today; the limit is {limit}"
    because = {"reversals_today": facts.reversals_today, "limit": limit, "service_failure_percent": facts.service_failure_percent}
    return Verdict(Outcome.REVIEW, standing_clause(facts, terms), reason, because=because)


def unknown_code_in_doubt(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A failure code nobody knows is read in the customer's favour while the day's doubt budget covers it."""
    fault = standing_fault(facts, terms)
    in_budget = facts.doubt_credits_today + facts.standing_debit <= terms.doubt_credits_per_day
    if fault is None or fault.kind is not FaultClass.UNKNOWN or not in_budget:
        return None
    reason = f"{what_failed(fault, facts)}; we do not recognise this failure, so the benefit of the doubt applies"
    return _reversal(fault, facts, terms, reason)


def unknown_code(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks at a failure code nobody knows where what is left of the day's doubt budget does not cover it."""
    fault = standing_fault(facts, terms)
    if fault is None or fault.kind is not FaultClass.UNKNOWN:
        return None
    spent, budget = facts.doubt_credits_today, terms.doubt_credits_per_day
    # the budget is ours to know: it is among the facts, and in no letter
    reason = f"{what_failed(fault, facts)}; we do not recognise this failure, so a person looks for its cause"
    told = {"doubt_credits_today": spent, "doubt_credits_per_day": budget, "doubt_credits_left": max(budget - spent, 0)}
    because = {**because_of(fault, facts, terms), **told}
    return Verdict(Outcome.REVIEW, fault.clause, reason, because=because)


def server_fault(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A server-side error gives the credits back."""
    return _reverse(facts, terms, FaultClass.SERVER)


def capacity_fault(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A lack of capacity gives the credits back, where the one re-run did not help or was not possible."""
    return _reverse(facts, terms, FaultClass.CAPACITY)


def timeout_fault(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A job that took too long gives the credits back, where the one re-run did not help or was not possible."""
    return _reverse(facts, terms, FaultClass.TIMEOUT)


def incomplete_output(facts: JobFacts, terms: Terms) -> Verdict | None:
    """Output that is still incomplete gives all credits back, and the customer keeps the files."""
    return _reverse(facts, terms, FaultClass.OUTPUT)


def no_rule(facts: JobFacts, terms: Terms) -> Verdict:
    """What no rule covers goes to a person, never to a silent no."""
    because = {"standing_debit": facts.standing_debit, "reports": len(set(facts.reports))}
    return Verdict(Outcome.REVIEW, Clause.FAILED_JOB, "no rule of the policy covers this job", because=because)


def _reverse(facts: JobFacts, terms: Terms, kind: FaultClass) -> Verdict | None:
    fault = standing_fault(facts, terms)
    if fault is None or fault.kind is not kind:
        return None
    again = rerun_fault(facts, terms)
    better = again is not None and again.report.output is not None and again.report.output.delivered > 0
    kept = "; the files that the re-run delivered may be kept" if better else ""
    return _reversal(fault, facts, terms, f"{what_became_of_it(fault, facts, terms)}{kept}")


def _reversal(fault: Fault, facts: JobFacts, terms: Terms, reason: str) -> Verdict:
    owed, because = facts.standing_debit, because_of(fault, facts, terms)
    if facts.compensated:
        # fewer come back than the job took, and nothing else says why
        were = "credit that it took was" if facts.compensated == 1 else "credits that it took were"
        reason += f"; the other {facts.compensated} {were} of a purchase whose money went back"
        because = {**because, "compensated": facts.compensated}
    return Verdict(Outcome.REVERSE_CREDITS, standing_clause(facts, terms), reason, credits=owed, because=because)
