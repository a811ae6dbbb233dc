"""The decision: the first verdict of the table, signed with its rule and the edition of the terms."""

from functools import partial
from typing import Any

from policy.changes import counterfactual
from policy.decision import Decision
from policy.facts import ChargeDispute, ChargeFacts, JobFacts
from policy.rules import first_verdict
from policy.rules.charges import CHARGE_RULES, DISPUTE_RULES
from policy.terms import Terms


def _sign(rules: tuple[Any, ...], facts: Any, terms: Terms) -> Decision:
    rule, v = next((r.__name__, v) for r in rules if (v := r(facts, terms)) is not None)
    return Decision(v.outcome, rule, v.clause, terms.edition, v.reason, v.credits, v.because, v.settled, lambda: None, v.amount, v.currency)


def decide_charge(facts: ChargeFacts, terms: Terms) -> Decision:
    return _sign(CHARGE_RULES, facts, terms)


def decide_dispute(facts: ChargeDispute, terms: Terms) -> Decision:
    return _sign(DISPUTE_RULES, facts, terms)


def decide(facts: JobFacts, terms: Terms) -> Decision:
    """What is owed for one layer job. The same facts under the same terms give the same decision, for ever.

    Total: every job gets a decision, `review` where no rule covers it. Credits are owed by `reverse_credits` alone, and
    never more than the standing debit.
    """
    rule, verdict = first_verdict(facts, terms)
    return Decision(
        outcome=verdict.outcome,
        rule=rule,
        clause=verdict.clause,
        terms=terms.edition,
        reason=verdict.reason,
        credits=verdict.credits,
        because=verdict.because,
        settled=verdict.settled,
        _ask_counterfactual=partial(counterfactual, facts, terms, verdict.outcome),
    )
