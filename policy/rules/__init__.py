"""The rules, one table each for jobs, charges, disputes and requests, each in order of precedence.

The first rule that has something to say is the verdict. A rule looks at the facts and gives a verdict, or None. It is named after
what it finds, and that name is on every decision. A new rule is one function, its place in a table and one row of the test table.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from policy.decision import Outcome, Verdict
from policy.facts import ChargeDispute, ChargeFacts, JobFacts, RequestFacts
from policy.rules import charges, disputes, evidence, money_back, refusal, remedy, requests
from policy.rules.evidence import missing_facts
from policy.rules.requests import missing_in_request
from policy.terms import Terms

__all__ = [
    "CHARGE_RULES",
    "DISPUTE_RULES",
    "JOB_RULES",
    "REQUEST_RULES",
    "first_of",
    "missing_facts",
    "missing_in_request",
    "request_verdict",
]

F = TypeVar("F")

JOB_RULES: tuple[Callable[[JobFacts, Terms], Verdict | None], ...] = (
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
    refusal.cancelled_before_start,
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
    charges.earlier_charge_partly_refunded,
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

REQUEST_RULES: tuple[Callable[[RequestFacts, Terms], Verdict | None], ...] = (
    # can it be judged at all?
    requests.request_unreadable,
    requests.report_of_a_machine,
    requests.request_denied,
    requests.request_unanswered,
    requests.request_names_several,
    # may anything be sent, and is it still there to be sent?
    requests.requested_under_dispute,
    requests.requested_is_duplicate,
    # a fault of ours comes before every exclusion
    requests.requested_failed_jobs,
    requests.requested_already_refunded,
    requests.requested_job_was_judged,
    requests.requested_partly_refunded,
    requests.requested_job_made_whole,
    requests.requested_cost_nothing,
    requests.requested_was_charged_again,
    # what the policy excludes
    requests.window_passed,
    requests.pass_used,
    requests.renewal_not_cancelled,
    requests.output_used,
    # what only a person can judge
    requests.job_not_ended,
    requests.job_delivered,
    requests.purchase_partly_used,
    requests.request_without_transaction,
    requests.requested_before_purchase,
    # and what is owed as a whole charge
    requests.unused_purchase,
)
"""Every rule for a request by mail, the one that always answers last."""


def request_verdict(facts: RequestFacts, terms: Terms) -> tuple[str, Verdict]:
    """The name of the rule that answers a request, and what it says. Nothing ends one that names what is not known, nor one that
    says something to a no, or to a letter that money was sent.
    """
    rule, verdict = first_of(REQUEST_RULES, facts, terms)
    if facts.report or verdict.outcome not in {Outcome.DECLINE, Outcome.NOTHING_OWED}:
        return rule, verdict
    for applies, persons in (
        (facts.unknown, requests.request_names_unknown),
        (facts.told_no, requests.request_answers_a_no),
        (facts.told_paid, requests.request_answers_a_payment),
    ):
        if applies:
            return persons.__name__, persons(facts, verdict)
    return rule, verdict


def first_of(rules: Sequence[Callable[[F, Terms], Verdict | None]], facts: F, terms: Terms) -> tuple[str, Verdict]:
    """The name of the first of these rules that has something to say, and what it says; the last one always has."""
    for rule in rules:
        if (verdict := rule(facts, terms)) is not None:
            return rule.__name__, verdict
    raise LookupError("no rule had anything to say: the last of a table has to")
