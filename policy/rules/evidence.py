"""Rules about what is known: is everything here, was something delivered, did anything fail at all?"""

from datetime import UTC

from policy.decision import Because, Clause, Outcome, Verdict
from policy.facts import JobFacts, PaidWith
from policy.faults import contradicted_attempts, delivered_attempts, denied_by_figures, standing_clause, standing_fault
from policy.reruns import rerun_delivery, rerun_is_in_flight
from policy.terms import Terms
from policy.words import because_of, count


def missing_facts(facts: JobFacts) -> tuple[str, ...]:
    """What has to arrive before the job can be judged, in words; empty where nothing is missing.

    The worker waits for it, `wait_for_facts_hours` long, and asks for a decision only then.
    """
    lacking = []
    if not facts.job_known:
        lacking.append("the job's submission")
    if not facts.account_known:
        lacking.append("the account")
    if facts.paid_with is PaidWith.CREDITS and facts.price > facts.debit:
        lacking.append(f"a debit in the ledger that covers the price of {count(facts.price, 'credit')}")
    return tuple(lacking)


def already_made_whole(facts: JobFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed once all that was taken has come back: all remedies of a job together never exceed its debit."""
    if facts.debit <= 0 or facts.standing_debit > 0:
        return None
    have = "has" if facts.debit == 1 else "have"
    reason = f"the {count(facts.debit, 'credit')} that the job took {have} already come back"
    because = {"debit": facts.debit, "reversed_credits": facts.reversed_credits}
    if facts.compensated:
        paid = count(facts.compensated, "credit")
        reason = f"the purchase that paid for the job was itself given back, and with it the {paid} that the job took of it"
        because["compensated"] = facts.compensated
    return Verdict(Outcome.NOTHING_OWED, standing_clause(facts, terms), reason, because=because)


def facts_missing(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks at a job about which facts are missing that the policy needs."""
    lacking = missing_facts(facts)
    if not lacking:
        return None
    reason = f"the job cannot be judged without {' and '.join(lacking)}"
    because = {"job_known": facts.job_known, "account_known": facts.account_known, "price": facts.price, "debit": facts.debit}
    return Verdict(Outcome.REVIEW, standing_clause(facts, terms), reason, because=because)


def rerun_delivered(facts: JobFacts, terms: Terms) -> Verdict | None:
    """The re-run brought complete output: that was the remedy, nothing is reversed."""
    attempt = rerun_delivery(facts)
    if attempt is None:
        return None
    reason = f"the re-run, attempt {attempt}, delivered complete output"
    because = {"rerun_attempt": attempt}
    return Verdict(Outcome.RERUN, standing_clause(facts, terms), reason, because=because, settled=True)


def contradictory_reports(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks where one attempt is said to have both delivered and failed, and no other attempt delivered. Where no
    credits stand that could come back, nothing is owed either way.
    """
    attempts = contradicted_attempts(facts, terms)
    if not attempts or delivered_attempts(facts):
        return None
    reason = f"attempt {min(attempts)} was reported both as a complete success and as failed"
    return _in_doubt(facts, standing_clause(facts, terms), reason, {"attempt": min(attempts)})


def delivered_anyway(facts: JobFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed where an attempt delivered complete output: the failure of another one, however late, changes nothing."""
    attempts = delivered_attempts(facts)
    if not attempts:
        return None
    reason = f"attempt {min(attempts)} delivered complete output"
    return Verdict(Outcome.NOTHING_OWED, Clause.FAILED_JOB, reason, because={"delivered_attempt": min(attempts)})


def no_failure_reported(facts: JobFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed for a job of which no failure was reported."""
    if standing_fault(facts, terms) is not None:
        return None
    return Verdict(Outcome.NOTHING_OWED, Clause.FAILED_JOB, "no failure of the job was reported", because={"failures": 0})


def rerun_in_flight(facts: JobFacts, terms: Terms) -> Verdict | None:
    """The re-run has until its deadline to answer."""
    if facts.rerun is None or not rerun_is_in_flight(facts):
        return None
    until = facts.rerun.deadline_at.astimezone(UTC).isoformat()
    reason = f"the re-run, attempt {facts.rerun.attempt}, has until {until} to deliver"
    because: Because = {"rerun_attempt": facts.rerun.attempt, "rerun_deadline_at": until}
    return Verdict(Outcome.RERUN, standing_clause(facts, terms), reason, because=because)


def nothing_missing(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks where a job is said to have failed and the figures show complete output. Where no credits stand that could
    come back, nothing is owed either way.
    """
    fault = standing_fault(facts, terms)
    if fault is None or not denied_by_figures(facts, terms):
        return None
    reason = f"attempt {fault.report.attempt} was reported as {fault.report.kind}, but its figures show that nothing is missing"
    return _in_doubt(facts, fault.clause, reason, because_of(fault, facts, terms))


def _in_doubt(facts: JobFacts, clause: Clause, reason: str, because: Because) -> Verdict:
    if facts.standing_debit > 0:
        return Verdict(Outcome.REVIEW, clause, reason, because=because)
    nothing = f"{reason}; either way it took no credits that could come back"
    return Verdict(Outcome.NOTHING_OWED, clause, nothing, because={**because, "debit": facts.debit})
