"""The refund policy: given facts and terms, what is owed, by which rule and clause, and why. It decides and cannot act.

Standard library only; no clock, no database, no network. The one thing read from outside is a terms file.
"""

from policy.abuse import grounds_for_measures
from policy.changes import counterfactual
from policy.clauses import clause_text
from policy.decision import Clause, Counterfactual, Decision, Outcome, Verdict
from policy.duplicates import find_duplicates, same_thing, same_things
from policy.facts import (
    AccountStatus,
    ChargeDispute,
    ChargeFacts,
    JobFacts,
    Output,
    PaidWith,
    Report,
    ReportKind,
    RequestedJob,
    RequestFacts,
    Rerun,
    RerunState,
    Use,
)
from policy.judgement import decide, decide_charge, decide_dispute, decide_request
from policy.rules import CHARGE_RULES, DISPUTE_RULES, JOB_RULES, REQUEST_RULES, missing_facts, missing_in_request
from policy.terms import Editions, FaultClass, Terms, TermsError, UnknownEdition
from policy.terms_file import load_editions, load_terms

__all__ = [
    "CHARGE_RULES",
    "DISPUTE_RULES",
    "JOB_RULES",
    "REQUEST_RULES",
    "AccountStatus",
    "ChargeDispute",
    "ChargeFacts",
    "Clause",
    "Counterfactual",
    "Decision",
    "Editions",
    "FaultClass",
    "JobFacts",
    "Outcome",
    "Output",
    "PaidWith",
    "Report",
    "ReportKind",
    "RequestFacts",
    "RequestedJob",
    "Rerun",
    "RerunState",
    "Terms",
    "TermsError",
    "UnknownEdition",
    "Use",
    "Verdict",
    "clause_text",
    "counterfactual",
    "decide",
    "decide_charge",
    "decide_dispute",
    "decide_request",
    "find_duplicates",
    "grounds_for_measures",
    "load_editions",
    "load_terms",
    "missing_facts",
    "missing_in_request",
    "same_thing",
    "same_things",
]
