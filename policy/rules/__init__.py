"""The rules for layer jobs, in order of precedence: the first that has something to say is the verdict.

A rule looks at the facts and gives a verdict, or None. It is named after what it finds, and that name is on every decision.
A new rule is one function, its place in `JOB_RULES` and one row of the test table.
"""

from collections.abc import Callable

from policy.decision import Verdict
from policy.facts import JobFacts
from policy.rules import evidence, refusal, remedy
from policy.rules.evidence import missing_facts
from policy.terms import Terms

__all__ = ["JOB_RULES", "Rule", "first_verdict", "missing_facts"]

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


def first_verdict(facts: JobFacts, terms: Terms) -> tuple[str, Verdict]:
    """The name of the first rule that has something to say, and what it says. Every job gets a verdict."""
    verdicts = ((rule.__name__, rule(facts, terms)) for rule in JOB_RULES)
    return next((name, verdict) for name, verdict in verdicts if verdict is not None)
