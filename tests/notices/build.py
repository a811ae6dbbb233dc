"""A notice for the tests to vary."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from tests.policy.build import TERMS
from worker.notices.mail.letters import About, Letter, NoticeKind, compose

AT = datetime(2025, 12, 5, 9, 30, tzinfo=UTC)
DUE = datetime(2025, 12, 12, 17, 0, tzinfo=UTC)
REFERENCE = "R-7K2M9QX4ZP"
ABOUT = About(
    case_id="case_1",
    job_id="job_1",
    order_id="ord_1",
    credits=5,
    amount=900,
    currency="USD",
    clause="failed-job",
    reason="the job failed with worker_crashed and delivered no output",
    due_at=DUE,
    terms=TERMS,
)
SENDER = "support@example.org"


def about(**changed: Any) -> About:
    return replace(ABOUT, **changed)


def letter(kind: NoticeKind, *abouts: About, **changed: Any) -> Letter:
    """A letter of this kind about these cases, one usual case where none is given."""
    plain = Letter(kind, "customer@example.net", abouts or (ABOUT,), "<notice_1@example.org>", AT, REFERENCE)
    return replace(plain, **changed)


def mail(kind: NoticeKind = NoticeKind.IN_REVIEW, *abouts: About, **changed: Any) -> EmailMessage:
    return compose(letter(kind, *abouts, **changed), sender=SENDER, reply_to="answers@example.org")


def arrived(message: EmailMessage) -> EmailMessage:
    """The message as the customer's mail program reads it."""
    parsed = message_from_bytes(message.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def side(message: EmailMessage, subtype: str) -> str:
    """The text of one side, `plain` or `html`, as it arrives."""
    part = arrived(message).get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")
