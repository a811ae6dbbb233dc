"""Many cases in one letter: added up, listed as far as anybody reads, each reason kept."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from policy import Clause, clause_text
from tests.notices.build import AT, DUE, REFERENCE, about, mail, side
from tests.policy.build import TERMS
from worker.notices.mail.letters import About, NoticeKind

SIDES = ["plain", "html"]


@pytest.mark.parametrize("subtype", SIDES)
@pytest.mark.parametrize(("failed", "listed", "more"), [(2, 2, None), (40, 40, None), (50, 50, None), (62, 50, "and 12 more")])
def test_an_incident_is_one_letter(failed: int, listed: int, more: str | None, subtype: str) -> None:
    message = mail(NoticeKind.CREDITS_RETURNED, *[about(job_id=f"job_{n}", order_id=None) for n in range(failed)])
    said = side(message, subtype)
    assert message["Subject"] == f"[{REFERENCE}] {failed * 5} credits are back on your account"
    assert f"We put {failed * 5} credits back on your account, for {failed} jobs." in said
    assert len(re.findall(r"job job_\d+", said)) == listed
    assert (f"and {failed - 50} more" in said) == (more is not None)
    assert more is None or more in said
    # one reason for all is said once
    assert said.count("worker_crashed") == said.count(clause_text(Clause.FAILED_JOB, TERMS)) == 1


@pytest.mark.parametrize("subtype", SIDES)
def test_each_case_keeps_its_own_reason(subtype: str) -> None:
    said = side(mail(NoticeKind.DECLINED, about(reason="too late"), about(reason="already used", clause="output-used")), subtype)
    assert (said.count("too late"), said.count("already used"), "Why:" in said) == (1, 1, False)
    assert clause_text(Clause.FAILED_JOB, TERMS) in said
    assert clause_text(Clause.OUTPUT_USED, TERMS) in said


@pytest.mark.parametrize("subtype", SIDES)
def test_a_clause_stands_above_the_cases_that_rest_on_it_and_no_others(subtype: str) -> None:
    asked = about(case_id="case_2", job_id=None, order_id="ord_2", clause="request-by-mail", reason="not owed", by_person=True)
    used = about(case_id="case_3", job_id="job_3", reason="it was used", clause="output-used")
    late = about(job_id="job_4", reason="nothing failed")
    said = side(mail(NoticeKind.DECLINED, about(reason="nothing failed"), used, asked, late), subtype)
    failed_job, output_used = clause_text(Clause.FAILED_JOB, TERMS), clause_text(Clause.OUTPUT_USED, TERMS)
    order = ["This is about 4 cases:", "order ord_2", failed_job, "job job_1", "job job_4", output_used, "job job_3", "A person"]
    found = [said.index(words) for words in order]
    assert found == sorted(found), said
    assert [said.count(words) for words in order] == [1] * len(order)


@pytest.mark.parametrize(
    ("abouts", "words"),
    [
        ([about(job_id=None), about(job_id="job_2")], "This is about 2 cases:"),
        ([about(), about(job_id="job_2", order_id=None)], "This is about 2 jobs:"),
        ([about(job_id=None), about(job_id=None, order_id="ord_2")], "This is about 2 orders:"),
        ([about(job_id=None), about(job_id=None, order_id=None)], "This is about 2 cases:"),
    ],
)
def test_what_a_letter_is_about_is_called_by_what_it_is(abouts: list[Any], words: str) -> None:
    assert words in side(mail(NoticeKind.IN_REVIEW, *abouts), "plain")


@pytest.mark.parametrize(
    ("abouts", "words"),
    [
        ([about(job_id=None), about(job_id=None, amount=100)], "We sent 10.00 USD back"),
        ([about(), about(amount=5, currency="EUR")], "We sent 0.05 EUR and 9.00 USD back"),
        ([about(job_id=None)] * 2, "for 2 orders"),
        ([about(job_id=None, order_id=None)] * 2, "case case_1: 9.00 USD"),
        ([about(), about(amount=0, currency="")], "We sent 9.00 USD back"),
    ],
)
def test_money_is_added_up_by_currency(abouts: list[Any], words: str) -> None:
    assert words in side(mail(NoticeKind.MONEY_SENT, *abouts), "plain")


def test_one_credit_is_singular() -> None:
    assert mail(NoticeKind.CREDITS_RETURNED, about(credits=1))["Subject"] == f"[{REFERENCE}] 1 credit is back on your account"
    assert "remaining 1 credit on your account was forfeited" in side(mail(NoticeKind.FORFEITURE, about(credits=1)), "plain")


def test_a_review_without_a_date_names_none() -> None:
    assert "as soon as it is" in side(mail(NoticeKind.IN_REVIEW, about(due_at=None)), "plain")


def test_a_review_of_several_is_due_with_the_last() -> None:
    said = side(mail(NoticeKind.IN_REVIEW, about(due_at=AT + timedelta(days=1)), about()), "plain")
    assert "by Friday, 12 December 2025, 17:00 UTC." in said


@pytest.mark.parametrize("subtype", SIDES)
@pytest.mark.parametrize("passed", [AT, AT - timedelta(days=7)])
def test_a_promise_that_is_past_is_said_to_be_late_and_no_moment_is_named(passed: datetime, subtype: str) -> None:
    said = side(mail(NoticeKind.IN_REVIEW, about(due_at=passed)), subtype)
    assert "This is taking longer than we promised. You will hear from us as soon as it is decided." in said
    assert "2025" not in said
    assert "by Friday, 12 December 2025" in side(mail(NoticeKind.IN_REVIEW, about(due_at=passed), about(due_at=DUE)), subtype)


GOODWILL = about(reason="goodwill", clause="window-passed", by_person=True)


@pytest.mark.parametrize("subtype", SIDES)
@pytest.mark.parametrize(
    ("kind", "one", "quoted"),
    [
        (NoticeKind.RERUN_DELIVERED, about(clause="failed-job"), False),
        (NoticeKind.RERUN_DELIVERED, about(clause="incomplete-output"), True),
        (NoticeKind.MONEY_SENT, GOODWILL, False),
        (NoticeKind.CREDITS_RETURNED, GOODWILL, False),
        (NoticeKind.MONEY_SENT, replace(GOODWILL, clause="request-window"), True),
        (NoticeKind.DECLINED, replace(GOODWILL, reason="two packs were meant", clause="duplicate-charge"), False),
        (NoticeKind.DECLINED, replace(GOODWILL, reason="the rule stands"), True),
        (NoticeKind.DECLINED, about(reason="such an input is not a server-side error"), True),
    ],
)
def test_a_clause_is_quoted_where_it_bears_out_what_was_decided(kind: NoticeKind, one: About, quoted: bool, subtype: str) -> None:
    """Once goodwill was sent with: nothing is refunded after the 7 days."""
    assert ("What our refund policy says" in side(mail(kind, one), subtype)) == quoted
    assert (clause_text(Clause(str(one.clause)), TERMS) in side(mail(kind, one), subtype)) == quoted


@pytest.mark.parametrize("subtype", SIDES)
@pytest.mark.parametrize("kind", [NoticeKind.DECLINED, NoticeKind.SETTLED])
def test_nobody_who_asked_for_nothing_reads_of_a_request(kind: NoticeKind, subtype: str) -> None:
    for cases in ([about(asked=False)], [about(asked=False), about()]):
        message = mail(kind, *cases)
        assert "request" not in f"{message['Subject']} {side(message, subtype).partition('Why:')[0]}"
    assert mail(NoticeKind.DECLINED, about(asked=False))["Subject"] == f"[{REFERENCE}] Your case: no refund is due"
