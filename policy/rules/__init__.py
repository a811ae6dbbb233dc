"""The rules, one table for jobs, one for charges, one for disputes, each in order of precedence.

The first rule that has something to say is the verdict. A rule looks at the facts and gives a verdict, or None. It is named after
what it finds, and that name is on every decision. A new rule is one function, its place in a table and one row of the test table.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from policy.decision import Verdict
from policy.facts import ChargeDispute, ChargeFacts, JobFacts
from policy.rules import charges, disputes, evidence, money_back, refusal, remedy
from policy.rules.evidence import missing_facts
from policy.terms import Terms

__all__ = ["CHARGE_RULES", "DISPUTE_RULES", "JOB_RULES", "Rule", "first_of", "first_verdict", "missing_facts"]

F = TypeVar("F")

Rule = Callable[[JobFacts, Terms], Verdict | None]

JOB_RULES: tuple[Rule, ...] = (
    # is there anything left to judge, and can it be judged?
    evidence.already_made_whole,
    evidence.facts_missing,
    # was something delivered, did anything fail?
    evidence.rerun_delivered,
    evidence.contradictory_reports,
    evidence.delivered_anyway,
    evidence.no_failure_reported,
    evidence.rerun_in_flight,
    evidence.nothing_missing,
    # did it cost credits, and was it the system's fault?
    refusal.rerun_pass_job,
    refusal.no_credits_spent,
    refusal.no_debit,
    refusal.cancelled_by_user,
    refusal.input_fault,
    refusal.content_rejected,
    # is its purchase's money gone, or about to go?
    money_back.disputed_purchase,
    money_back.purchase_partly_refunded,
    # then it is made good, unless a limit calls for a person
    remedy.outside_automatic_window,
    remedy.rerun_once,
    remedy.velocity,
    remedy.unknown_code_in_doubt,
    remedy.unknown_code,
    remedy.server_fault,
    remedy.capacity_fault,
    remedy.timeout_fault,
    remedy.incomplete_output,
    remedy.no_rule,
)
"""Every rule, the one that always answers last."""


CHARGE_RULES: tuple[Callable[[ChargeFacts, Terms], Verdict | None], ...] = (
    # may anything be sent at all, and is it still there to be sent?
    charges.charge_under_dispute,
    charges.charge_already_refunded,
    charges.charge_partly_refunded,
    # is it a duplicate of a charge that stands?
    charges.earlier_charge_disputed,
    charges.no_earlier_charge_stands,
    # then it goes back, unless the evidence calls for a person
    charges.duplicate_lot_used,
    charges.charge_without_transaction,
    charges.duplicate_in_doubt,
    charges.duplicate_charge,
)
"""Every rule for a charge that may have been made twice, the one that always answers last."""

DISPUTE_RULES: tuple[Callable[[ChargeDispute, Terms], Verdict | None], ...] = (
    disputes.disputed_after_refund,
    disputes.disputed_while_refunding,
    disputes.charge_disputed,
)
"""Every rule for a disputed charge, the one that always answers last."""


def first_verdict(facts: JobFacts, terms: Terms) -> tuple[str, Verdict]:
    """The name of the first rule for jobs that has something to say, and what it says. Every job gets a verdict."""
    return first_of(JOB_RULES, facts, terms)


def first_of(rules: Sequence[Callable[[F, Terms], Verdict | None]], facts: F, terms: Terms) -> tuple[str, Verdict]:
    """The name of the first of these rules that has something to say, and what it says; the last one always has."""
    verdicts = ((rule.__name__, rule(facts, terms)) for rule in rules)
    return next((name, verdict) for name, verdict in verdicts if verdict is not None)
