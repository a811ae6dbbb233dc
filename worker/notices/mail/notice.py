"""What a customer is told, before it has words."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from policy import Terms


class NoticeKind(StrEnum):
    """The things a customer is told."""

    CREDITS_RETURNED = "credits_returned"
    RERUN_DELIVERED = "rerun_delivered"
    DECLINED = "declined"
    IN_REVIEW = "in_review"
    MONEY_SENT = "money_sent"
    QUESTION = "question"
    SUSPENSION = "suspension"
    FORFEITURE = "forfeiture"
    REINSTATED = "reinstated"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class About:
    """One case that a letter tells of. `clause` is the value of a `policy.Clause`, quoted with the numbers of `terms`; `amount`
    is in minor units; `asked`: the customer wrote about it; `by_person`: a person decided it, on a case whose clause the policy
    named for what it found.
    """

    case_id: str
    job_id: str | None
    order_id: str | None
    credits: int
    amount: int
    currency: str
    clause: str | None
    reason: str | None
    due_at: datetime | None
    terms: Terms
    asked: bool = True
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one customer about one case or many.

    `message_id` is `<...@domain>` and the caller's to keep stable. `reference` (`R-7K2M9QX4ZP`) goes into the subject, so that
    an answer finds its request. `answers` is the Message-ID of the customer's mail; one that is no plain Message-ID is left
    out, because a letter without its thread is better than no letter.
    """

    kind: NoticeKind
    to: str
    about: tuple[About, ...]
    message_id: str
    at: datetime
    reference: str | None = None
    answers: str | None = None
