"""What would have changed a decision: one change, the nearest, put to the same table."""

import pickle
from datetime import timedelta

import pytest

from policy import (
    AccountStatus,
    Counterfactual,
    FaultClass,
    JobFacts,
    Outcome,
    Output,
    PaidWith,
    RerunState,
    Terms,
    counterfactual,
    decide,
)
from tests.policy.build import NOW, TERMS, a_failed_job, a_job, a_rerun, failed, incomplete, succeeded, terms

CHANGES: list[tuple[JobFacts, str, str, str]] = [
    (
        a_failed_job("job_timeout", paid_with=PaidWith.PASS, debit=0, pass_given_back=True),
        "the pass not been given back",
        "rerun",
        "rerun_pass_job",
    ),
    (a_failed_job(compensated=5), "the purchase not been given back", "reverse_credits", "server_fault"),
    (a_failed_job("job_timeout", refund_under_way=True), "no refund of the purchase been under way", "rerun", "rerun_once"),
    (a_failed_job(disputed=True), "the purchase not been disputed", "reverse_credits", "server_fault"),
    (a_failed_job(partly_refunded=True), "no part of the purchase been given back", "reverse_credits", "server_fault"),
    (
        a_failed_job(job_known=False, price=0, debit=0),
        "a debit of 1 credit stood for a known job of a known account",
        "reverse_credits",
        "server_fault",
    ),
    (a_failed_job(reversed_credits=5), "no credits of the job come back before", "reverse_credits", "server_fault"),
    (a_job(failed(output=Output(6, 6))), "the figures shown no output", "reverse_credits", "server_fault"),
    (
        a_failed_job(reversals_today=25),
        "the account had at most 19 automatic reversals today instead of 25",
        "reverse_credits",
        "server_fault",
    ),
    (
        a_failed_job("gremlins", doubt_credits_today=499),
        "at most 495 credits been given back in doubt today instead of 499",
        "reverse_credits",
        "unknown_code_in_doubt",
    ),
    (
        a_job(failed("job_timeout"), failed(attempt=2), rerun=a_rerun()),
        "the re-run delivered complete output",
        "rerun",
        "rerun_delivered",
    ),
    (
        a_job(failed("job_timeout"), succeeded(2), rerun=a_rerun()),
        "the re-run given no answer by its deadline",
        "reverse_credits",
        "timeout_fault",
    ),
    (
        a_failed_job("job_timeout", rerun=a_rerun()),
        "the re-run given no answer by its deadline",
        "reverse_credits",
        "timeout_fault",
    ),
    (
        a_failed_job("job_timeout", input_expires_at=NOW),
        "the input not expired",
        "rerun",
        "rerun_once",
    ),
    (a_failed_job("job_timeout", rerun_available=False), "the pipeline taken re-runs at the time", "rerun", "rerun_once"),
    (a_failed_job("job_timeout", credits_requested=True), "the customer not asked for the credits", "rerun", "rerun_once"),
    (
        a_failed_job("job_timeout", account_status=AccountStatus.SUSPENDED),
        "the account been active",
        "rerun",
        "rerun_once",
    ),
    (a_failed_job(credits=0), "a debit of 1 credit stood in the ledger", "reverse_credits", "server_fault"),
    (
        a_failed_job(paid_with=PaidWith.PASS, debit=0),
        "a debit of 5 credits stood in the ledger",
        "reverse_credits",
        "server_fault",
    ),
    (a_job(failed(), succeeded(2)), "no attempt been reported as a complete success", "reverse_credits", "server_fault"),
    (a_job(failed(), succeeded()), "no attempt been reported as a complete success", "reverse_credits", "server_fault"),
    (
        a_job(succeeded(output=Output(4, 6)), succeeded(2)),
        "no attempt been reported as a complete success",
        "rerun",
        "rerun_once",
    ),
    (
        a_job(succeeded(output=Output(4, 6))),
        "the customer asked for the credits instead",
        "reverse_credits",
        "incomplete_output",
    ),
    (a_failed_job("job_timeout"), "the customer asked for the credits instead", "reverse_credits", "timeout_fault"),
    (
        a_failed_job("job_timeout", paid_with=PaidWith.PASS, debit=0),
        "the input expired",
        "nothing_owed",
        "no_credits_spent",
    ),
    (
        a_job(failed("cancelled_by_user", stage="queued")),
        "the job started before it was cancelled",
        "decline",
        "cancelled_by_user",
    ),
    (a_failed_job("gremlins"), "the day's 500 credits for doubt been spent", "review", "unknown_code"),
    (
        a_failed_job("invalid_image"),
        "the failure code been one of class server, such as internal_error, instead of invalid_image",
        "reverse_credits",
        "server_fault",
    ),
    (
        a_failed_job(),
        "the failure code been one of class capacity, such as gpu_out_of_memory, instead of internal_error",
        "rerun",
        "rerun_once",
    ),
    (
        a_failed_job(input_expires_at=NOW, credits_requested=True),
        "the failure code been one of class input, such as invalid_image, instead of internal_error",
        "decline",
        "input_fault",
    ),
    (
        a_failed_job("gremlins", credits=600, doubt_credits_today=20),
        "the job taken at most 480 of the day's 500 credits for doubt instead of 600",
        "reverse_credits",
        "unknown_code_in_doubt",
    ),
    (
        a_failed_job("", doubt_credits_today=500, credits=501),
        "the failure code been one of class server, such as internal_error, instead of none",
        "reverse_credits",
        "server_fault",
    ),
    (a_job(succeeded()), "the job failed with internal_error and delivered nothing", "reverse_credits", "server_fault"),
    (
        a_job(incomplete(Output(6, 6))),
        "the figures shown no output",
        "rerun",
        "rerun_once",
    ),
]


@pytest.mark.parametrize(("facts", "change", "outcome", "rule"), CHANGES, ids=[change for _, change, _, _ in CHANGES])
def test_counterfactual_is_the_nearest_change(facts: JobFacts, change: str, outcome: str, rule: str) -> None:
    assert decide(facts, TERMS).counterfactual == Counterfactual(change, Outcome(outcome), rule)


def changed(facts: JobFacts, under: Terms) -> str | None:
    """The words of the nearest change."""
    other = decide(facts, under).counterfactual
    return None if other is None else other.change


def test_counterfactual_of_a_limit_of_none_is_an_outage() -> None:
    facts = a_failed_job(service_failure_percent=3)
    none_allowed = terms(auto_reversals_per_account_per_day=0)
    assert changed(facts, none_allowed) == "at least 25 % of the service's jobs failed of late instead of 3 %"


def test_counterfactual_names_the_window() -> None:
    facts = a_job(failed(at=NOW - timedelta(days=90)))
    assert changed(facts, terms(automatic_window_days=7)) == "the job failed within the last 7 calendar days"


def test_counterfactual_of_a_pass_job_whose_rerun_failed_is_its_delivery() -> None:
    facts = a_failed_job("job_timeout", rerun=a_rerun(state=RerunState.REFUSED), paid_with=PaidWith.PASS, debit=0)
    assert changed(facts, TERMS) == "the re-run delivered complete output"


def test_counterfactual_is_none_where_no_single_change_would_do() -> None:
    nothing_listed = terms(faults=dict.fromkeys(FaultClass, ()), rerunnable_codes=())
    assert changed(a_job(credits=0), nothing_listed) is None


def test_counterfactual_is_worked_out_only_when_asked_for() -> None:
    asked = []
    decision = decide(a_failed_job(), TERMS)
    object.__setattr__(decision, "_ask_counterfactual", lambda: asked.append(1))
    assert not asked
    assert decision.counterfactual is None
    assert asked == [1]


def test_counterfactual_can_be_asked_for_any_outcome() -> None:
    other = counterfactual(a_failed_job(), TERMS, Outcome.DECLINE)
    assert other is not None
    assert other.outcome is not Outcome.DECLINE


def test_decision_survives_pickling_with_its_counterfactual() -> None:
    decision = decide(a_failed_job(), TERMS)
    copy = pickle.loads(pickle.dumps(decision))
    assert copy == decision
    assert copy.counterfactual == decision.counterfactual
