"""Requests by mail: which clause answers, where the seven days end in any zone, and what would have changed the answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import (
    REQUEST_RULES,
    Clause,
    Outcome,
    RequestedJob,
    RequestFacts,
    Use,
    decide_request,
    grounds_for_measures,
    missing_in_request,
)
from policy.facts import Billing, JobsNo, PurchaseFacts, PurchaseKind
from policy.rules.requests import request_answers_a_no, request_answers_a_payment, request_names_unknown
from tests.policy.build import NOW, TERMS, terms

PAID = NOW - timedelta(days=2)
TICK = timedelta.resolution
BOUGHT = PurchaseFacts(
    purchase_id="ord_1",
    account_id="acc_7",
    kind=PurchaseKind.CREDIT_PACK,
    billing=Billing.FIRST,
    paid_at=PAID,
    amount=900,
    currency="USD",
    granted=50,
    remaining=50,
    transaction_id="tran_1",
)
DONE = RequestedJob("job_42", ended=True, delivered=True, downloads=0, edited=False, debit=5, standing_debit=5)
UNUSED, USED = Use(), Use(jobs=3, completed=2, downloads=1)


def asked(*, of: PurchaseFacts | None = BOUGHT, use: Use = UNUSED, **changes: Any) -> RequestFacts:
    """A confirmed mail that asks for the money of a purchase, two days after it."""
    plain = RequestFacts(NOW, "req_1", NOW, "acc_7", sender_confirmed=True, purchase=of, use=use)
    return replace(plain, **changes)


def bought(**changes: Any) -> PurchaseFacts:
    return replace(BOUGHT, **changes)


def the_pass(**changes: Any) -> PurchaseFacts:
    return bought(kind=PurchaseKind.PASS_24H, granted=0, remaining=0, **changes)


def a_renewal(**changes: Any) -> PurchaseFacts:
    plain = bought(kind=PurchaseKind.SUBSCRIPTION, billing=Billing.RENEWAL, period_start=PAID)
    return replace(plain, **changes)


def about(job: RequestedJob, **changes: Any) -> RequestFacts:
    return asked(job=job, **changes)


LATE = PAID - timedelta(days=20)
EDITED = replace(DONE, downloads=1, edited=True)
INPUT = JobsNo(Outcome.DECLINE, Clause.FAILED_JOB, "an input that cannot be processed is not a server-side error")
REFUSED = replace(DONE, delivered=False, failure="invalid_image", own_no=INPUT)
NO_CREDITS = JobsNo(
    Outcome.NOTHING_OWED, Clause.INCOMPLETE_OUTPUT, "it was covered by the 24-Hour Pass, so no credits were spent"
)
UNDER_PASS = replace(DONE, delivered=False, failure="missing_layers", debit=0, standing_debit=0, own_no=NO_CREDITS)
SPOILT = Use(jobs=1, failed=1, failed_credits=5, failed_clause=Clause.INCOMPLETE_OUTPUT)
MENDED = replace(DONE, delivered=False, standing_debit=0, own_clause=Clause.INCOMPLETE_OUTPUT)
OF_TWO = replace(DONE, standing_debit=3, paid_elsewhere=3)
"""A job that drew on two purchases; what the request is about is the money of one, and three credits are the other's."""
OF_A_LATER_ONE = replace(OF_TWO, paid_elsewhere_at=bought().paid_at)
HELD_BY_BANK = replace(OF_TWO, disputed_elsewhere="ord_0")
DONE_UNDER_PASS = replace(DONE, debit=0, standing_debit=0)
DECISIONS: list[tuple[RequestFacts, str, str, str]] = [
    # facts, outcome, rule, clause
    (asked(readable=False), "review", "request_unreadable", "request-by-mail"),
    (asked(of=None, report=True, sender_confirmed=False), "nothing_owed", "report_of_a_machine", "request-by-mail"),
    (asked(of=None, report=True, unknown=("ord_2",)), "nothing_owed", "report_of_a_machine", "request-by-mail"),
    (asked(report=True, sender_confirmed=False), "review", "request_unanswered", "request-by-mail"),
    (about(DONE, of=None, report=True, sender_confirmed=False), "review", "request_unanswered", "request-by-mail"),
    (asked(sender_confirmed=False), "review", "request_unanswered", "request-by-mail"),
    (asked(of=None), "review", "request_unanswered", "request-by-mail"),
    (asked(sender_confirmed=False, of=bought(paid_at=LATE)), "review", "request_unanswered", "request-by-mail"),
    (asked(sender_confirmed=False, denied=True), "review", "request_denied", "request-by-mail"),
    (asked(of=None, sender_confirmed=False, denied=True), "review", "request_denied", "request-by-mail"),
    (asked(of=bought(paid_at=LATE), others=("ord_2",)), "review", "request_names_several", "request-by-mail"),
    (asked(claimed=True, others=("ord_2",)), "review", "request_names_several", "request-by-mail"),
    (about(replace(DONE, standing_debit=0), others=("job_43",)), "review", "request_names_several", "request-by-mail"),
    (asked(of=None, others=("ord_2",)), "review", "request_unanswered", "request-by-mail"),
    (asked(of=bought(paid_at=LATE), unknown=("ord_2",)), "review", "request_names_unknown", "request-by-mail"),
    (asked(claimed=True, unknown=("ord_2",)), "review", "request_names_unknown", "request-by-mail"),
    (about(replace(DONE, standing_debit=0), unknown=("job_43",)), "review", "request_names_unknown", "request-by-mail"),
    (asked(unknown=("ord_2",)), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=bought(paid_at=LATE), told_no=True), "review", "request_answers_a_no", "request-by-mail"),
    (asked(claimed=True, told_no=True), "review", "request_answers_a_no", "request-by-mail"),
    (asked(of=bought(refunded_amount=900), told_paid=True), "review", "request_answers_a_payment", "request-by-mail"),
    (asked(of=bought(refunded_amount=900), told_paid=True, told_no=True), "review", "request_answers_a_no", "request-by-mail"),
    (asked(told_no=True), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=None, report=True, told_no=True), "nothing_owed", "report_of_a_machine", "request-by-mail"),
    (asked(of=bought(disputed=True)), "review", "requested_under_dispute", "dispute-hold"),
    (asked(of=bought(disputed=True), claimed=True), "review", "requested_under_dispute", "dispute-hold"),
    (asked(charged_again=("ord_2", "ord_3")), "review", "requested_was_charged_again", "duplicate-charge"),
    (about(DONE, purchase=bought(disputed=True)), "review", "requested_under_dispute", "dispute-hold"),
    (about(HELD_BY_BANK, purchase=bought(paid_at=LATE)), "review", "requested_under_dispute", "dispute-hold"),
    (about(replace(REFUSED, disputed_elsewhere="ord_0")), "review", "requested_under_dispute", "dispute-hold"),
    (asked(claimed=True), "nothing_owed", "requested_is_duplicate", "original-method"),
    (asked(claimed=True, of=bought(paid_at=LATE)), "nothing_owed", "requested_is_duplicate", "original-method"),
    (asked(use=Use(jobs=2, failed=2, failed_credits=9)), "reverse_credits", "requested_failed_jobs", "failed-job"),
    (asked(use=SPOILT), "reverse_credits", "requested_failed_jobs", "incomplete-output"),
    (
        asked(of=bought(paid_at=LATE), use=Use(1, failed=1, failed_credits=9)),
        "reverse_credits",
        "requested_failed_jobs",
        "failed-job",
    ),
    (asked(of=bought(refunded_amount=900)), "nothing_owed", "requested_already_refunded", "original-method"),
    (asked(of=bought(refunded_amount=900, lost_at_bank=True)), "nothing_owed", "requested_already_refunded", "dispute-hold"),
    (asked(of=bought(refunded_amount=900, paid_at=LATE)), "nothing_owed", "requested_already_refunded", "original-method"),
    (asked(of=bought(refunded_amount=1)), "review", "requested_partly_refunded", "original-method"),
    (about(OF_TWO, purchase=bought(refunded_amount=900)), "review", "job_delivered", "request-by-mail"),
    (about(OF_TWO, purchase=bought(refunded_amount=900, lost_at_bank=True)), "review", "job_delivered", "request-by-mail"),
    (about(OF_TWO, claimed=True), "review", "job_delivered", "request-by-mail"),
    (about(OF_TWO, purchase=bought(refunded_amount=300)), "review", "requested_partly_refunded", "original-method"),
    (about(replace(DONE, standing_debit=0)), "nothing_owed", "requested_job_made_whole", "failed-job"),
    (about(MENDED), "nothing_owed", "requested_job_made_whole", "incomplete-output"),
    (about(REFUSED), "decline", "requested_job_was_judged", "failed-job"),
    (about(REFUSED, purchase=bought(paid_at=LATE)), "decline", "requested_job_was_judged", "failed-job"),
    (about(REFUSED, purchase=bought(disputed=True)), "review", "requested_under_dispute", "dispute-hold"),
    (about(REFUSED, told_no=True), "review", "request_answers_a_no", "request-by-mail"),
    (about(REFUSED, others=("ord_2",)), "review", "request_names_several", "request-by-mail"),
    (about(UNDER_PASS, of=None), "nothing_owed", "requested_job_was_judged", "incomplete-output"),
    (
        about(UNDER_PASS, of=the_pass(refunded_amount=1), purchase_named=False),
        "nothing_owed",
        "requested_job_was_judged",
        "incomplete-output",
    ),
    (about(UNDER_PASS, of=the_pass()), "review", "job_delivered", "request-by-mail"),
    (about(UNDER_PASS, of=the_pass(), use=USED), "decline", "pass_used", "pass-used"),
    (about(DONE_UNDER_PASS, of=the_pass(), use=USED), "decline", "pass_used", "pass-used"),
    (about(DONE_UNDER_PASS, of=the_pass(), use=USED, purchase_named=False), "review", "job_delivered", "request-by-mail"),
    (about(replace(OF_TWO, paid_elsewhere_at=LATE), purchase=bought(paid_at=LATE)), "decline", "window_passed", "window-passed"),
    (about(OF_A_LATER_ONE, purchase=bought(paid_at=LATE)), "review", "job_delivered", "request-by-mail"),
    (about(DONE_UNDER_PASS, of=the_pass(paid_at=LATE), purchase_named=False), "decline", "window_passed", "window-passed"),
    (asked(of=bought(amount=0)), "nothing_owed", "requested_cost_nothing", "request-window"),
    (asked(charged_again=("ord_2",)), "review", "requested_was_charged_again", "duplicate-charge"),
    (asked(of=bought(paid_at=LATE), charged_again=("ord_2",)), "review", "requested_was_charged_again", "duplicate-charge"),
    (
        asked(of=bought(refunded_amount=900), charged_again=("ord_2",)),
        "nothing_owed",
        "requested_already_refunded",
        "original-method",
    ),
    (about(DONE, charged_again=("ord_2",)), "review", "job_delivered", "request-by-mail"),
    (asked(of=bought(paid_at=LATE)), "decline", "window_passed", "window-passed"),
    (asked(of=bought(paid_at=LATE), use=USED), "decline", "window_passed", "window-passed"),
    (about(DONE, purchase=bought(paid_at=LATE)), "decline", "window_passed", "window-passed"),
    (asked(of=the_pass(), use=USED), "decline", "pass_used", "pass-used"),
    (asked(of=the_pass(), use=replace(USED, completed=1)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=the_pass(), use=replace(USED, downloads=0)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=the_pass(), use=Use(jobs=1, running=1)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=the_pass(), use=Use(jobs=1, failed=1, kept=1)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=the_pass(), use=Use(jobs=3, completed=2, kept=1)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=the_pass()), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=a_renewal()), "decline", "renewal_not_cancelled", "renewal-not-cancelled"),
    (asked(of=a_renewal(cancelled_at=PAID)), "decline", "renewal_not_cancelled", "renewal-not-cancelled"),
    (asked(of=a_renewal(cancelled_at=PAID + TICK)), "decline", "renewal_not_cancelled", "renewal-not-cancelled"),
    (asked(of=a_renewal(cancelled_at=PAID - TICK)), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=a_renewal(period_start=None, cancelled_at=PAID - TICK)), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=bought(kind=PurchaseKind.SUBSCRIPTION)), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=bought(remaining=45), use=Use(1, 1, 1, edited=1)), "decline", "output_used", "output-used"),
    (about(EDITED), "decline", "output_used", "output-used"),
    (about(EDITED, purchase=None), "decline", "output_used", "output-used"),
    (about(replace(EDITED, delivered=False)), "review", "job_delivered", "request-by-mail"),
    (about(replace(DONE, ended=False)), "review", "job_not_ended", "request-by-mail"),
    (about(DONE), "review", "job_delivered", "request-by-mail"),
    (about(replace(DONE, delivered=False, failure="invalid_image")), "review", "job_delivered", "request-by-mail"),
    (about(DONE, purchase=a_renewal()), "review", "job_delivered", "request-by-mail"),
    (about(replace(DONE, debit=0, standing_debit=0), purchase=None), "review", "job_delivered", "request-by-mail"),
    (asked(of=bought(remaining=45), use=Use(1, 1)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=bought(remaining=49)), "review", "purchase_partly_used", "request-by-mail"),
    (asked(of=bought(transaction_id=None)), "review", "request_without_transaction", "original-method"),
    (asked(of=bought(paid_at=NOW)), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=bought(paid_at=NOW + TICK)), "review", "requested_before_purchase", "request-window"),
    (about(DONE, purchase=bought(paid_at=NOW + TICK)), "review", "job_delivered", "request-by-mail"),
    (asked(), "refund_payment", "unused_purchase", "request-window"),
    (asked(of=bought(remaining=0, frozen=50)), "refund_payment", "unused_purchase", "request-window"),
    (asked(use=Use(jobs=4, failed=4)), "refund_payment", "unused_purchase", "request-window"),
]


@pytest.mark.parametrize(("facts", "outcome", "rule", "clause"), DECISIONS)
def test_request_decision_is_the_one_in_the_table(facts: RequestFacts, outcome: str, rule: str, clause: str) -> None:
    decision = decide_request(facts, TERMS)
    assert (decision.outcome.value, decision.rule, decision.clause.value) == (outcome, rule, clause)
    assert decision.reason
    assert decision.terms == "2025-12-03"


def test_request_table_names_every_rule() -> None:
    assert {rule for _, _, rule, _ in DECISIONS} == {
        rule.__name__ for rule in (*REQUEST_RULES, request_names_unknown, request_answers_a_no, request_answers_a_payment)
    }


def test_money_of_a_request_is_a_whole_charge_or_nothing() -> None:
    for facts, outcome, *_ in DECISIONS:
        decision = decide_request(facts, TERMS)
        owed = (900, "USD") if outcome == "refund_payment" else (0, "")
        assert (decision.amount, decision.currency) == owed
        assert bool(decision.credits) is (outcome == "reverse_credits")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (asked(others=("ord_2",)), "the mail names ord_1 and ord_2, "),
        (about(DONE, others=("job_43", "ord_9")), "the mail names job_42, job_43 and ord_9, "),
        (asked(others=tuple(f"ord_{n}" for n in range(2, 14))), "ord_9, ord_10 and 3 more, "),
    ],
)
def test_reason_of_a_mail_about_several_things_names_them(facts: RequestFacts, said: str) -> None:
    assert said in decide_request(facts, TERMS).reason


def test_request_says_what_it_lacks() -> None:
    assert missing_in_request(asked()) == ()
    assert missing_in_request(asked(sender_confirmed=False)) == ("a word from the account's own mailbox",)
    assert missing_in_request(asked(of=None)) == ("an order or a job of the account",)
    assert len(missing_in_request(asked(of=None, sender_confirmed=False))) == 2
    assert missing_in_request(asked(of=None, readable=False)) == ()


# zone, bought there, the last moment a request is in time there
BOUNDARIES = [
    ("Etc/GMT+12", "2026-03-02T00:00:00", "2026-03-09T23:59:59.999999"),
    ("Etc/GMT+12", "2026-03-02T23:59:59.999999", "2026-03-09T23:59:59.999999"),
    ("UTC", "2026-02-25T13:00:00", "2026-03-04T23:59:59.999999"),
    ("UTC", "2024-02-22T13:00:00", "2024-02-29T23:59:59.999999"),
    ("UTC", "2026-12-28T13:00:00", "2027-01-04T23:59:59.999999"),
    # clocks go forward inside the window, and on its last day
    ("America/New_York", "2026-03-02T12:00:00", "2026-03-09T23:59:59.999999"),
    ("America/New_York", "2026-03-01T12:00:00", "2026-03-08T23:59:59.999999"),
    # clocks go back inside the window, on its first day and on its last
    ("America/New_York", "2026-10-30T12:00:00", "2026-11-06T23:59:59.999999"),
    ("America/New_York", "2026-11-01T00:30:00", "2026-11-08T23:59:59.999999"),
    ("Europe/Berlin", "2026-10-18T23:30:00", "2026-10-25T23:59:59.999999"),
    ("Europe/Berlin", "2026-03-22T00:10:00", "2026-03-29T23:59:59.999999"),
    ("Asia/Kolkata", "2026-03-02T00:00:00", "2026-03-09T23:59:59.999999"),
    ("Pacific/Kiritimati", "2026-03-02T00:00:00", "2026-03-09T23:59:59.999999"),
    # midnight itself is skipped on the day after the window
    ("America/Asuncion", "2023-09-23T12:00:00", "2023-09-30T23:59:59.999999"),
    # a change of half an hour
    ("Australia/Lord_Howe", "2026-03-29T12:00:00", "2026-04-05T23:59:59.999999"),
    # a zone that skipped a whole day: Samoa had no 30 December 2011
    ("Pacific/Apia", "2011-12-23T12:00:00", "2011-12-29T23:59:59.999999"),
    ("Pacific/Apia", "2011-12-25T12:00:00", "2012-01-01T23:59:59.999999"),
]


@pytest.mark.parametrize(("zone", "paid", "last"), BOUNDARIES)
def test_seven_days_end_with_the_seventh_day_where_the_terms_count(zone: str, paid: str, last: str) -> None:
    there = ZoneInfo(zone)
    paid_at = datetime.fromisoformat(paid).replace(tzinfo=there).astimezone(UTC)
    # of a time that the clocks show twice the later one: the day ends only after both
    last_at = datetime.fromisoformat(last).replace(tzinfo=there, fold=1).astimezone(UTC)
    counted = terms(zone=there)

    def rule(received_at: datetime) -> str:
        return decide_request(asked(of=bought(paid_at=paid_at), received_at=received_at, now=received_at), counted).rule

    assert rule(paid_at) == "unused_purchase"
    assert rule(last_at) == "unused_purchase"
    assert rule(last_at + TICK) == "window_passed"


@pytest.mark.parametrize("days", [0, 1, 7, 30])
def test_window_has_the_days_of_the_terms(days: int) -> None:
    edge = datetime(2026, 3, 3 + days if days < 28 else 2, tzinfo=UTC)
    if days == 30:
        edge = datetime(2026, 4, 2, tzinfo=UTC)
    of = bought(paid_at=datetime(2026, 3, 2, 8, tzinfo=UTC))
    counted = terms(request_window_days=days, zone=ZoneInfo("UTC"))
    assert decide_request(asked(of=of, received_at=edge - TICK), counted).outcome is Outcome.REFUND_PAYMENT
    assert decide_request(asked(of=of, received_at=edge), counted).clause is Clause.WINDOW_PASSED


def test_request_about_a_charge_that_is_claimed_calls_it_no_duplicate() -> None:
    """Another request may have claimed it."""
    assert decide_request(asked(claimed=True), TERMS).reason == "a refund of the charge is under way already, or was sent before"


@pytest.mark.parametrize("job", [REFUSED, UNDER_PASS])
def test_request_about_a_job_that_was_judged_says_what_its_own_case_says(job: RequestedJob) -> None:
    decision = decide_request(about(job), TERMS)
    assert JobsNo(decision.outcome, decision.clause, decision.reason) == job.own_no


@pytest.mark.parametrize("job", [REFUSED, MENDED])
def test_request_about_a_job_that_was_judged_is_answered_by_the_edition_of_that(job: RequestedJob) -> None:
    assert decide_request(about(replace(job, own_terms="2025-06-01")), TERMS).terms == "2025-06-01"


def test_facts_of_a_request_that_were_kept_before_editions_were_are_answered_as_they_were() -> None:
    assert decide_request(about(REFUSED), TERMS).terms == TERMS.edition


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (DONE, "reported no fault in the job,"),
        (replace(DONE, delivered=False), "reported no whole output of the job,"),
        (replace(DONE, delivered=False, failure="invalid_image"), "reported the job as failed with invalid_image,"),
    ],
)
def test_request_about_a_job_says_what_the_pipeline_reported_of_it(job: RequestedJob, said: str) -> None:
    assert said in decide_request(about(job), TERMS).reason


COUNTERFACTUALS = [
    (asked(sender_confirmed=False), "the account's own mailbox confirmed the request", "unused_purchase"),
    (asked(others=("ord_2",)), "the mail named one thing alone", "unused_purchase"),
    (asked(of=bought(paid_at=LATE), told_no=True), "no letter about the same said no or told of a measure", "window_passed"),
    (
        asked(of=bought(refunded_amount=900), told_paid=True),
        "no letter said before that the money was sent",
        "requested_already_refunded",
    ),
    (asked(sender_confirmed=False, denied=True), "the account's own mailbox confirmed the request", "unused_purchase"),
    (asked(of=bought(disputed=True)), "the charge not been disputed", "unused_purchase"),
    (asked(claimed=True), "no refund of the charge been under way", "unused_purchase"),
    (asked(charged_again=("ord_2",)), "the same not been charged again", "unused_purchase"),
    (asked(of=bought(refunded_amount=900)), "none of the charge gone back before", "unused_purchase"),
    (asked(use=Use(1, failed=1, failed_credits=5)), "the credits of the failed jobs come back before", "unused_purchase"),
    (about(replace(DONE, standing_debit=0)), "the job's credits not come back before", "job_delivered"),
    (
        asked(of=bought(paid_at=datetime(2026, 2, 1, tzinfo=UTC))),
        "the request arrived before 2026-02-08 12:00 UTC",
        "unused_purchase",
    ),
    (asked(of=a_renewal()), "the subscription been cancelled before it renewed", "unused_purchase"),
    (about(EDITED), "the output not been edited or used downstream", "job_delivered"),
    (asked(of=the_pass(), use=USED), "nothing of the purchase been used", "unused_purchase"),
    (asked(of=bought(remaining=49)), "nothing of the purchase been used", "unused_purchase"),
    (asked(of=bought(transaction_id=None)), "the charge's transaction at Creem been known", "unused_purchase"),
    (asked(of=bought(paid_at=NOW + TICK)), "the purchase been paid before the mail arrived", "unused_purchase"),
    (asked(), "the request arrived later than 7 calendar days after the purchase", "window_passed"),
]


@pytest.mark.parametrize(("facts", "change", "rule"), COUNTERFACTUALS)
def test_request_says_what_would_have_changed_it(facts: RequestFacts, change: str, rule: str) -> None:
    found = decide_request(facts, TERMS).counterfactual
    assert found is not None
    assert (found.change, found.rule) == (change, rule)


def test_request_that_lacks_two_things_would_not_be_changed_by_one() -> None:
    assert decide_request(asked(of=None, sender_confirmed=False), TERMS).counterfactual is None


PURCHASES = st.builds(
    bought,
    paid_at=st.integers(0, 60 * 24).map(lambda hours: NOW - timedelta(hours=hours)),
    kind=st.sampled_from(PurchaseKind),
    billing=st.sampled_from(Billing),
    amount=st.sampled_from([0, 900]),
    remaining=st.integers(0, 50),
    disputed=st.booleans(),
    refunded_amount=st.sampled_from([0, 1, 900]),
    transaction_id=st.sampled_from([None, "tran_1"]),
)
USES = st.builds(Use, *([st.integers(0, 3)] * 6))
ANY = st.builds(
    asked,
    of=st.none() | PURCHASES,
    use=USES,
    job=st.none() | st.builds(replace, st.just(DONE), ended=st.booleans(), edited=st.booleans(), downloads=st.integers(0, 2)),
    sender_confirmed=st.booleans(),
    readable=st.booleans(),
    claimed=st.booleans(),
    denied=st.booleans(),
    told_no=st.booleans(),
    told_paid=st.booleans(),
    others=st.sampled_from([(), ("ord_2",)]),
    unknown=st.sampled_from([(), ("ord_3",)]),
    charged_again=st.sampled_from([(), ("ord_2",)]),
)


@given(ANY)
def test_money_is_owed_only_for_a_confirmed_unused_undisputed_charge_in_time(facts: RequestFacts) -> None:
    decision = decide_request(facts, TERMS)
    if decision.outcome is not Outcome.REFUND_PAYMENT:
        return
    of = facts.purchase
    assert of is not None
    assert facts.sender_confirmed
    assert not facts.denied
    assert not of.disputed
    assert not of.refunded_amount
    assert not facts.claimed
    assert not facts.others
    assert not facts.charged_again
    assert of.untouched
    assert (facts.use.completed, facts.use.downloads) == (0, 0)
    assert facts.received_at - of.paid_at < timedelta(days=9)
    assert (decision.amount, decision.currency) == (of.amount, of.currency)


@given(ANY)
def test_same_request_gets_the_same_answer_and_a_no_has_its_own_clause(facts: RequestFacts) -> None:
    decision = decide_request(facts, TERMS)
    again = decide_request(facts, TERMS)
    assert (decision, decision.counterfactual) == (again, again.counterfactual)
    exclusions = {Clause.WINDOW_PASSED, Clause.PASS_USED, Clause.RENEWAL_NOT_CANCELLED, Clause.OUTPUT_USED}
    assert (decision.outcome is Outcome.DECLINE) is (decision.clause in exclusions)


@pytest.mark.parametrize(
    ("use", "grounds"),
    [
        (Use(jobs=3, completed=2, downloads=3), "2 completed jobs with 3 downloads were delivered for it"),
        (Use(jobs=9, completed=1, downloads=1, failed=8), "1 completed job with 1 download were delivered for it"),
        (Use(jobs=8, failed=8, failed_credits=40), None),
        (Use(jobs=2, completed=2), None),
        (Use(jobs=2, downloads=2), None),
        (UNUSED, None),
    ],
)
def test_measures_rest_on_delivered_outputs_and_never_on_faults_of_ours(use: Use, grounds: str | None) -> None:
    assert grounds_for_measures(use) == grounds


def test_nothing_is_said_of_what_a_failed_job_would_have_got_had_its_credits_not_come_back() -> None:
    """Once it was that the request would have been declined after the window, which binds no reversal."""
    failed = replace(DONE, delivered=False, failure="model_error", standing_debit=0)
    decision = decide_request(about(failed, purchase=bought(paid_at=LATE)), TERMS)
    assert (decision.rule, decision.counterfactual) == ("requested_job_made_whole", None)
