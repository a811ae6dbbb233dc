"""The decision: the first verdict of a table, signed with its rule and the edition of the terms."""

from collections.abc import Callable
from functools import partial

from policy.changes import counterfactual
from policy.charge_changes import charge_counterfactual
from policy.decision import Counterfactual, Decision, Outcome, Verdict
from policy.facts import ChargeDispute, ChargeFacts, JobFacts, RequestFacts
from policy.request_changes import request_counterfactual
from policy.rules import CHARGE_RULES, DISPUTE_RULES, JOB_RULES, first_of, request_verdict
from policy.terms import Terms


def decide(facts: JobFacts, terms: Terms) -> Decision:
    """What is owed for one layer job. The same facts under the same terms give the same decision, for ever.

    Total: every job gets a decision, `review` where no rule covers it. Credits are owed by `reverse_credits` alone, and
    never more than the standing debit.
    """
    return _signed(*first_of(JOB_RULES, facts, terms), terms, partial(counterfactual, facts, terms))


def decide_charge(facts: ChargeFacts, terms: Terms) -> Decision:
    """What is owed for a charge that may have been made twice. Money is owed by `refund_payment` alone, and then all of it."""
    return _signed(*first_of(CHARGE_RULES, facts, terms), terms, partial(charge_counterfactual, facts, terms))


def decide_dispute(facts: ChargeDispute, terms: Terms) -> Decision:
    """What is done about a disputed charge: always `review`, with what a person needs to answer it."""
    return _signed(*first_of(DISPUTE_RULES, facts, terms), terms, _nothing_else)


def decide_request(facts: RequestFacts, terms: Terms) -> Decision:
    """What is owed for a request by mail. Money is owed by `refund_payment` alone, a whole charge, and leaves only when a
    person agrees; what no rule can answer is `review`, with the reason why it cannot be automatic.
    """
    return _signed(*request_verdict(facts, terms), terms, partial(request_counterfactual, facts, terms))


def _nothing_else(outcome: Outcome) -> None:
    """Whatever the facts of a dispute, a person answers it."""


def _signed(rule: str, verdict: Verdict, terms: Terms, ask: Callable[[Outcome], Counterfactual | None]) -> Decision:
    return Decision(
        outcome=verdict.outcome,
        rule=rule,
        clause=verdict.clause,
        terms=verdict.terms or terms.edition,
        reason=verdict.reason,
        credits=verdict.credits,
        because=verdict.because,
        settled=verdict.settled,
        amount=verdict.amount,
        currency=verdict.currency,
        _ask_counterfactual=partial(ask, verdict.outcome),
    )
