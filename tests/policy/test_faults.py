"""How reports are read, each by itself: which contradict each other, which are short, and by which clause."""

import pytest

from policy import JobFacts, Output
from policy.decision import Clause
from policy.faults import contradicted_attempts, delivered_attempts, denied_by_figures, standing_clause, standing_fault
from policy.words import what_failed
from tests.policy.build import a_job, failed, incomplete, succeeded, terms


def test_success_of_one_attempt_does_not_contradict_the_failure_of_another() -> None:
    assert contradicted_attempts(a_job(succeeded(1), failed(attempt=2)), terms()) == frozenset()
    assert contradicted_attempts(a_job(succeeded(1), failed(attempt=1)), terms()) == frozenset({1})
    assert contradicted_attempts(a_job(failed(attempt=1)), terms()) == frozenset()


@pytest.mark.parametrize(
    ("facts", "clause"),
    [
        (a_job(), Clause.FAILED_JOB),
        (a_job(failed()), Clause.FAILED_JOB),
        (a_job(incomplete(Output(4, 6))), Clause.INCOMPLETE_OUTPUT),
    ],
)
def test_clause_is_that_of_what_failed(facts: JobFacts, clause: Clause) -> None:
    assert standing_clause(facts, terms()) is clause


def test_figures_without_a_total_are_held_against_the_jobs() -> None:
    assert delivered_attempts(a_job(succeeded(output=Output(6)), layers_expected=6)) == frozenset({1})
    assert delivered_attempts(a_job(succeeded(output=Output(5)), layers_expected=6)) == frozenset()
    assert delivered_attempts(a_job(succeeded(output=Output(5)), layers_expected=None)) == frozenset({1})
    assert denied_by_figures(a_job(failed(output=Output(6)), layers_expected=6), terms())
    assert not denied_by_figures(a_job(failed(output=Output(5)), layers_expected=6), terms())


@pytest.mark.parametrize(
    ("output", "expected", "said"),
    [
        (Output(4, 5), 6, "4 of 6 layers"),
        (Output(4, 6), 5, "4 of 6 layers"),
        (Output(4), 6, "4 of 6 layers"),
        (Output(4), None, "4 layers"),
        (Output(4, 6, corrupted=1), 6, "4 of 6 layers, 1 of them corrupted"),
    ],
)
def test_words_about_what_was_delivered_name_the_larger_total(output: Output, expected: int | None, said: str) -> None:
    for report in (failed(output=output), incomplete(output)):
        facts = a_job(report, layers_expected=expected)
        fault = standing_fault(facts, terms())
        assert fault is not None
        assert what_failed(fault, facts).endswith(f"delivered {said}")
