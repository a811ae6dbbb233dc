"""What holds for every job there could be."""

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from policy import (
    AccountStatus,
    JobFacts,
    Outcome,
    Output,
    PaidWith,
    Report,
    ReportKind,
    Rerun,
    RerunState,
    Terms,
    decide,
    missing_facts,
)
from tests.policy.build import NOW, TERMS, terms

CODES = st.sampled_from(["", "gremlins", *(code for codes in TERMS.faults.values() for code in codes)])
AROUND_NOW = st.integers(-10_000, 10_000).map(lambda minutes: NOW + timedelta(minutes=minutes))
CREDITS = st.integers(0, 600)
OUTPUTS = st.builds(Output, st.integers(0, 7), st.none() | st.integers(0, 7), st.integers(0, 2))
REPORTS = st.builds(
    Report,
    attempt=st.integers(1, 3),
    kind=st.sampled_from(ReportKind),
    at=AROUND_NOW,
    code=CODES,
    stage=st.sampled_from(["", "segment", "queued"]),
    output=st.none() | OUTPUTS,
)
JOBS = st.builds(
    JobFacts,
    now=st.just(NOW),
    job_id=st.just("job_42"),
    account_id=st.just("acc_7"),
    reports=st.lists(REPORTS, max_size=5).map(tuple),
    job_known=st.booleans(),
    account_known=st.booleans(),
    account_status=st.sampled_from(AccountStatus),
    paid_with=st.sampled_from(PaidWith),
    price=CREDITS,
    debit=st.integers(-1, 600),
    reversed_credits=CREDITS,
    layers_expected=st.none() | st.integers(0, 7),
    input_expires_at=st.none() | AROUND_NOW,
    rerun=st.none() | st.builds(Rerun, st.integers(2, 3), st.sampled_from(RerunState), AROUND_NOW),
    rerun_available=st.booleans(),
    credits_requested=st.booleans(),
    reversals_today=st.integers(0, 40),
    doubt_credits_today=CREDITS,
    service_failure_percent=st.integers(0, 100),
    compensated=st.sampled_from([0, 0, 1, 300]),
    partly_refunded=st.booleans(),
    refund_under_way=st.booleans(),
    disputed=st.booleans(),
    pass_given_back=st.booleans(),
)
ANY_TERMS = st.sampled_from(
    [
        TERMS,
        terms(automatic_window_days=1),
        terms(doubt_credits_per_day=0, auto_reversals_per_account_per_day=0),
        terms(faults=dict.fromkeys(TERMS.faults, ()), rerunnable_codes=()),
    ]
)


@given(JOBS, ANY_TERMS)
def test_decision_never_owes_more_than_the_standing_debit(facts: JobFacts, under: Terms) -> None:
    decision = decide(facts, under)
    assert 0 <= decision.credits <= max(facts.standing_debit, 0)
    assert (decision.credits > 0) == (decision.outcome is Outcome.REVERSE_CREDITS)


@given(JOBS, ANY_TERMS)
def test_decision_is_always_there_with_reason_and_facts(facts: JobFacts, under: Terms) -> None:
    decision = decide(facts, under)
    assert decision.reason
    assert "None" not in decision.reason
    assert json.loads(json.dumps(dict(decision.because))) == decision.because != {}


@given(JOBS, ANY_TERMS)
def test_decision_never_gives_money_for_a_job(facts: JobFacts, under: Terms) -> None:
    assert decide(facts, under).outcome is not Outcome.REFUND_PAYMENT


@given(JOBS, ANY_TERMS)
def test_decision_never_asks_for_a_second_rerun(facts: JobFacts, under: Terms) -> None:
    decision = decide(facts, under)
    if decision.outcome is Outcome.RERUN and not decision.settled and decision.rule != "rerun_in_flight":
        assert facts.rerun is None


@given(JOBS, ANY_TERMS, st.data())
def test_decision_does_not_depend_on_order_or_repetition_of_reports(facts: JobFacts, under: Terms, data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(facts.reports), max_size=3)) if facts.reports else []
    shuffled = tuple(data.draw(st.permutations([*facts.reports, *repeated])))
    told_otherwise = decide(replace(facts, reports=shuffled), under)
    assert told_otherwise == decide(facts, under)
    assert told_otherwise.counterfactual == decide(facts, under).counterfactual


@given(JOBS, ANY_TERMS)
def test_decision_without_the_facts_gives_nothing_away(facts: JobFacts, under: Terms) -> None:
    if missing_facts(facts):
        assert decide(facts, under).outcome in {Outcome.REVIEW, Outcome.NOTHING_OWED}


@given(JOBS, ANY_TERMS)
def test_counterfactual_always_has_another_outcome(facts: JobFacts, under: Terms) -> None:
    decision = decide(facts, under)
    other = decision.counterfactual
    assert other is None or other.outcome is not decision.outcome
