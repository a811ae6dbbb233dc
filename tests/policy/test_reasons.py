"""What a decision says about itself: whole sentences with the real values, the clause, the facts that decided."""

from dataclasses import replace

import pytest

from policy import Clause, JobFacts, Output, PaidWith, RerunState, clause_text, decide, missing_facts
from tests.policy.build import TERMS, a_failed_job, a_job, a_rerun, failed, incomplete, succeeded, terms

SENTENCES: list[tuple[JobFacts, str]] = [
    (
        a_failed_job(compensated=5),
        "the purchase that paid for the job was itself given back, and with it the 5 credits that the job took of it",
    ),
    (
        a_failed_job(compensated=2),
        "the job failed with internal_error and delivered no output; the other 2 credits that it took were of a purchase whose "
        "money went back",
    ),
    (
        a_failed_job(compensated=1),
        "the job failed with internal_error and delivered no output; the other 1 credit that it took was of a purchase whose "
        "money went back",
    ),
    (
        a_failed_job(disputed=True),
        "the purchase that paid for the job is under dispute at the bank, so no credits are given back beside it",
    ),
    (
        a_failed_job(partly_refunded=True),
        "part of the purchase that paid for the job was given back in money, perhaps for the 5 credits of this job",
    ),
    (a_failed_job(reversed_credits=5), "the 5 credits that the job took have already come back"),
    (a_failed_job(credits=1, reversed_credits=1), "the 1 credit that the job took has already come back"),
    (
        a_failed_job(account_known=False, debit=4),
        "the job cannot be judged without the account and a debit in the ledger that covers the price of 5 credits",
    ),
    (a_failed_job(job_known=False), "the job cannot be judged without the job's submission"),
    (a_job(failed("job_timeout"), succeeded(2), rerun=a_rerun()), "the re-run, attempt 2, delivered complete output"),
    (a_job(failed("job_timeout"), succeeded(3), rerun=a_rerun()), "the re-run, attempt 3, delivered complete output"),
    (a_job(failed(), succeeded()), "attempt 1 was reported both as a complete success and as failed"),
    (a_job(failed(), succeeded(2)), "attempt 2 delivered complete output"),
    (a_job(), "no failure of the job was reported"),
    (a_failed_job("job_timeout", rerun=a_rerun()), "the re-run, attempt 2, has until 2026-03-02T12:30:00+00:00 to deliver"),
    (a_job(failed(output=Output(6, 6))), "attempt 1 was reported as failed, but its figures show that nothing is missing"),
    (a_failed_job("job_timeout"), "the job failed with job_timeout and delivered no output; it is run again once, at no charge"),
    (
        a_failed_job(paid_with=PaidWith.PASS, debit=0),
        "the job failed with internal_error and delivered no output; "
        "it was covered by the 24-Hour Pass, so no credits were spent",
    ),
    (
        a_failed_job(paid_with=PaidWith.FREE, debit=0),
        "the job failed with internal_error and delivered no output; it was free, so no credits were spent",
    ),
    (a_failed_job(credits=0), "the ledger shows no debit for the job"),
    (
        a_failed_job("cancelled_by_user"),
        "the job failed with cancelled_by_user and delivered no output; cancelling it is not a server-side error",
    ),
    (
        a_job(failed("cancelled_by_user", stage="queued")),
        "the job was cancelled before it had started, so a person decides on the 5 credits that it took",
    ),
    (
        a_failed_job("invalid_image"),
        "the job failed with invalid_image and delivered no output; an input that cannot be processed is not a server-side error",
    ),
    (
        a_failed_job("content_rejected"),
        "the job failed with content_rejected and delivered no output; content that is not allowed is not a server-side error",
    ),
    (a_failed_job(reversals_today=20), "the account already had 20 automatic reversals today; the limit is 20"),
    (
        a_failed_job("gremlins"),
        "the job failed with gremlins and delivered no output; "
        "we do not recognise this failure, so the benefit of the doubt applies",
    ),
    (
        a_failed_job("", doubt_credits_today=500),
        "the job failed without saying why and delivered no output; "
        "we do not recognise this failure, so a person looks for its cause",
    ),
    (a_failed_job(), "the job failed with internal_error and delivered no output"),
    (a_job(failed(output=Output(0, 6))), "the job failed with internal_error and delivered no output"),
    (
        a_failed_job("worker_crashed", rerun=a_rerun(state=RerunState.REFUSED)),
        "the job failed with worker_crashed and delivered no output, and its re-run was refused",
    ),
    (
        a_failed_job("worker_crashed", rerun=a_rerun(state=RerunState.EXPIRED)),
        "the job failed with worker_crashed and delivered no output, and its re-run gave no answer by its deadline",
    ),
    (
        a_failed_job("worker_crashed", rerun_available=False),
        "the job failed with worker_crashed and delivered no output, "
        "and it was not run again because the pipeline takes no re-runs at the moment",
    ),
    (
        a_job(incomplete(Output(4, 6, 1)), incomplete(attempt=2), rerun=a_rerun()),
        "the output is incomplete (corrupted_output): the job delivered 4 of 6 layers, 1 of them corrupted, "
        "and the output of its re-run is incomplete (missing_layers)",
    ),
    (
        a_job(failed("gpu_out_of_memory"), incomplete(Output(5, 6), 2), rerun=a_rerun()),
        "the job failed with gpu_out_of_memory and delivered no output, and the output of its re-run is incomplete "
        "(missing_layers): it delivered 5 of 6 layers; the files that the re-run delivered may be kept",
    ),
    (
        a_job(failed("gpu_out_of_memory"), succeeded(2), incomplete(attempt=2, code="corrupted_download"), rerun=a_rerun()),
        "the job failed with gpu_out_of_memory and delivered no output, "
        "and the output of its re-run is incomplete (corrupted_download)",
    ),
    (
        a_job(succeeded(), failed("corrupted_download"), succeeded(2), failed("corrupted_download", 2), rerun=a_rerun()),
        "the output is incomplete (corrupted_download), and the output of its re-run is incomplete (corrupted_download)",
    ),
    (
        a_job(failed("gpu_out_of_memory"), failed("job_timeout", 2, output=Output(3, 6)), rerun=a_rerun()),
        "the job failed with gpu_out_of_memory and delivered no output, "
        "and its re-run failed with job_timeout and delivered 3 of 6 layers; the files that the re-run delivered may be kept",
    ),
    (
        a_job(failed("gpu_out_of_memory"), failed("job_timeout", 2, output=Output(0, 6)), rerun=a_rerun()),
        "the job failed with gpu_out_of_memory and delivered no output, "
        "and its re-run failed with job_timeout and delivered no output",
    ),
    (
        a_job(failed("gpu_out_of_memory"), incomplete(Output(6, 6), 2), rerun=a_rerun()),
        "the job failed with gpu_out_of_memory and delivered no output, and its re-run did not mend it",
    ),
    (
        a_job(incomplete(), credits_requested=True),
        "the output is incomplete (missing_layers), and it was not run again because the customer asked for the credits",
    ),
    (
        a_job(failed(output=Output(1, corrupted=1)), layers_expected=None),
        "the job failed with internal_error and delivered 1 layer, 1 of them corrupted",
    ),
]


@pytest.mark.parametrize(("facts", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_reason_is_a_sentence_with_the_real_values(facts: JobFacts, sentence: str) -> None:
    assert decide(facts, TERMS).reason == sentence


def test_reason_names_the_window_that_passed() -> None:
    facts = a_job(failed(at=TERMS.starts_at))
    decision = decide(facts, terms(automatic_window_days=7))
    assert decision.reason == "the job failed more than 7 calendar days ago, too long for an automatic reversal"
    assert decision.because["automatic_window_days"] == 7


def test_because_holds_the_deciding_facts() -> None:
    assert decide(a_job(failed(output=Output(2, 6))), TERMS).because == {
        "failure_code": "internal_error",
        "fault_class": "server",
        "attempt": 1,
        "layers_delivered": 2,
        "standing_debit": 5,
    }


def test_because_shows_that_the_debit_does_not_fit_into_what_is_left_for_doubt() -> None:
    decision = decide(a_failed_job("gremlins", credits=600, doubt_credits_today=20), TERMS)
    names = ("standing_debit", "doubt_credits_today", "doubt_credits_per_day", "doubt_credits_left")
    assert [decision.because[name] for name in names] == [600, 20, 500, 480]


def test_because_shows_nothing_left_where_more_was_given_back_in_doubt_than_the_budget() -> None:
    decision = decide(a_failed_job("gremlins", doubt_credits_today=600), TERMS)
    assert decision.because["doubt_credits_left"] == 0


def test_because_holds_the_facts_of_the_rerun_beside_those_of_the_first_attempt() -> None:
    facts = a_job(failed("gpu_out_of_memory", output=Output(0, 6)), incomplete(Output(5, 6), 3), rerun=a_rerun())
    assert decide(facts, TERMS).because == {
        "failure_code": "gpu_out_of_memory",
        "fault_class": "capacity",
        "attempt": 1,
        "layers_delivered": 0,
        "rerun_failure_code": "missing_layers",
        "rerun_fault_class": "output",
        "rerun_attempt": 3,
        "rerun_layers_delivered": 5,
        "standing_debit": 5,
    }


@pytest.mark.parametrize(
    ("facts", "clause"),
    [
        (a_failed_job(), Clause.FAILED_JOB),
        (a_failed_job("content_rejected"), Clause.FAILED_JOB),
        (a_job(incomplete(Output(4, 6), code="content_rejected")), Clause.INCOMPLETE_OUTPUT),
        (a_job(incomplete(Output(4, 6), code="invalid_image")), Clause.INCOMPLETE_OUTPUT),
        (a_failed_job("corrupted_download"), Clause.INCOMPLETE_OUTPUT),
        (a_job(incomplete(Output(4, 6))), Clause.INCOMPLETE_OUTPUT),
        (a_job(incomplete(code="internal_error")), Clause.INCOMPLETE_OUTPUT),
        (a_job(succeeded(output=Output(4, 6))), Clause.INCOMPLETE_OUTPUT),
        (a_job(failed("job_timeout"), incomplete(Output(5, 6), 2), rerun=a_rerun()), Clause.INCOMPLETE_OUTPUT),
        (a_job(failed("job_timeout"), succeeded(2), failed("corrupted_download", 2), rerun=a_rerun()), Clause.INCOMPLETE_OUTPUT),
        (a_job(incomplete(Output(4, 6)), failed(attempt=2), rerun=a_rerun()), Clause.INCOMPLETE_OUTPUT),
        (a_job(failed("job_timeout"), failed(attempt=2, output=Output(5, 6)), rerun=a_rerun()), Clause.FAILED_JOB),
        (a_job(failed("job_timeout"), incomplete(Output(6, 6), 2), rerun=a_rerun()), Clause.FAILED_JOB),
        (a_job(), Clause.FAILED_JOB),
    ],
)
def test_clause_follows_what_failed(facts: JobFacts, clause: Clause) -> None:
    assert decide(facts, TERMS).clause is clause


def test_clause_text_is_there_for_every_clause() -> None:
    said = {clause: clause_text(clause, TERMS) for clause in Clause}
    assert len(set(said.values())) == len(Clause)
    assert [text for text in said.values() if "{" in text or not text.endswith(".")] == []


def test_clause_text_has_the_numbers_of_its_terms() -> None:
    clauses = (Clause.DUPLICATE_CHARGE, Clause.REQUEST_WINDOW, Clause.PROMISE_3BD, Clause.WINDOW_PASSED)
    other = replace(TERMS, duplicate_window_hours=1, request_window_days=14, promise_business_days=5)
    assert [clause_text(clause, TERMS) for clause in clauses] == [
        "Where the same thing was charged twice within 24 hours, the later charge is refunded.",
        "A refund request has to reach us within 7 calendar days of the purchase.",
        "A refund typically takes no longer than 3 business days.",
        "Requests made after the 7 days are not refunded.",
    ]
    assert [clause_text(clause, other) for clause in clauses] == [
        "Where the same thing was charged twice within 1 hour, the later charge is refunded.",
        "A refund request has to reach us within 14 calendar days of the purchase.",
        "A refund typically takes no longer than 5 business days.",
        "Requests made after the 14 days are not refunded.",
    ]


def test_missing_facts_are_none_for_a_job_that_is_all_here() -> None:
    assert missing_facts(a_failed_job()) == ()


def test_missing_facts_ask_no_debit_of_a_job_that_takes_none() -> None:
    assert missing_facts(a_failed_job(paid_with=PaidWith.PASS, debit=0)) == ()


def test_missing_facts_name_everything_at_once() -> None:
    assert missing_facts(a_failed_job(job_known=False, account_known=False, debit=0)) == (
        "the job's submission",
        "the account",
        "a debit in the ledger that covers the price of 5 credits",
    )
