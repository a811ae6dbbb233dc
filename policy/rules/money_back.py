"""Rules for jobs whose purchase had money returned or is disputed: credits and money are one budget, and never both pay."""

from policy.decision import Clause, Outcome, Verdict
from policy.facts import JobFacts
from policy.faults import standing_clause
from policy.terms import Terms
from policy.words import count


def disputed_purchase(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks at a failed job whose purchase is disputed: the bank may give back what the job cost.

    Asked only where a remedy would follow. What was delivered, or is no fault of ours, needs none and is answered before.
    """
    if not facts.disputed:
        return None
    reason = "the purchase that paid for the job is under dispute at the bank, so no credits are given back beside it"
    return Verdict(
        Outcome.REVIEW, Clause.DISPUTE_HOLD, reason, because={"standing_debit": facts.standing_debit, "disputed": True}
    )


def purchase_partly_refunded(facts: JobFacts, terms: Terms) -> Verdict | None:
    """A person looks where part of the purchase's money went back outside: it may have been for this very job."""
    if not facts.partly_refunded:
        return None
    owed = count(facts.standing_debit, "credit")
    reason = f"part of the purchase that paid for the job was given back in money, perhaps for the {owed} of this job"
    because = {"standing_debit": facts.standing_debit, "partly_refunded": True}
    return Verdict(Outcome.REVIEW, standing_clause(facts, terms), reason, because=because)
