"""What is asked of the pipeline, and what can be known afterwards."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RerunOrder:
    """The one re-run of one job. Asking twice with the same order asks for the same re-run."""

    job_id: str
    attempt: int
    case_id: str
    sent_as: str
    """What it is known by, however often it is sent."""
    asked_at: datetime
    traceparent: str | None = None
    """The trace it belongs to, if the failure came with one (W3C Trace Context)."""


class Answer(StrEnum):
    """What became of the question."""

    ACCEPTED = "accepted"
    """The pipeline has the order; what comes of it arrives as an event, or the deadline ends the waiting."""
    REFUSED = "refused"
    """The pipeline will not: asking again would bring the same answer."""
    NOT_HEARD = "not_heard"
    """Nobody can say whether the order arrived: ask again later with the same order, which is harmless."""
    NOT_SENT = "not_sent"
    """Its time was over before anything was sent: whether it is still wanted has to be looked up again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and one line for the case's history; never holds a credential."""

    answer: Answer
    detail: str


TOO_LATE = Reply(Answer.NOT_SENT, "not sent: the process stood still until its time was over")
"""What is said of an order that may not be sent any more."""


class Reruns(Protocol):
    """Where re-runs are asked for."""

    def ask(self, order: RerunOrder, until: float) -> Reply:
        """Puts the order to the pipeline once in effect, however often it is asked; raises nothing for a pipeline that is
        away. `until` is a reading of the monotonic timer after which nothing is sent.
        """
        ...
