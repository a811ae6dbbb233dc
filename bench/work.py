"""The work that every peer does for one event, over the product's own tables: read the facts, decide, and in one
transaction write the job, the case, its history, the posting that gives the credits back, and the balance of the lot.

One policy function for all of them. Ours asks the whole policy
instead, and writes the inbox row, the announcement and the notice as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Session

from worker.clock import new_id
from worker.store import tables

CUSTOMER_FAULTS = frozenset({"unsupported_input", "content_policy"})
TERMS = "2025-12-03"


class Event(TypedDict):
    """One failure, as a peer's message carries it."""

    event: str
    job: str
    account: str
    attempt: int
    code: str
    stage: str
    expected: int
    delivered: int
    at: str


@dataclass(frozen=True, slots=True)
class Said:
    """The verdict."""

    outcome: str
    rule: str
    reason: str
    credits: int


def decide(event: Event, debit: int, reversed_credits: int) -> Said:
    """What is owed for one failure."""
    standing = debit - reversed_credits
    if event["delivered"]:
        return Said("review", "partial", "some layers were delivered", 0)
    if event["code"] in CUSTOMER_FAULTS:
        return Said("decline", "customer_fault", f"the job failed with {event['code']}", 0)
    if standing <= 0:
        return Said("nothing_owed", "no_debit", "the job took no credits", 0)
    return Said("reverse_credits", "server_fault", f"the job failed with {event['code']} and delivered no output", standing)


def report_of(event: Event) -> dict[str, Any]:
    """What the pipeline said, as the job keeps it."""
    output = {"expected": event["expected"], "delivered": event["delivered"], "corrupted": 0}
    return {
        "attempt": event["attempt"],
        "kind": "failed",
        "at": event["at"],
        "code": event["code"],
        "stage": event["stage"],
        "output": output,
    }


def facts_of(event: Event, debit: int) -> dict[str, Any]:
    """What the decision rests on."""
    return {"job_id": event["job"], "account_id": event["account"], "debit": debit, "reports": [report_of(event)]}


def history_of(event: Event, said: Said, lot: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """The audit rows of a case."""
    yield "case.opened", {"job_id": event["job"], "failed_at": event["at"]}
    yield (
        "case.decided",
        {"outcome": said.outcome, "rule": said.rule, "clause": "failed-job", "terms": TERMS, "reason": said.reason},
    )
    if said.credits:
        yield "credits.reversed", {"credits": said.credits, "lots": {lot: said.credits}}


class Base(DeclarativeBase):
    """The product's tables as classes."""

    metadata = tables.metadata


class Account(Base):
    """An account."""

    __table__ = tables.accounts


class Lot(Base):
    """A purchase and its credits."""

    __table__ = tables.purchases


class Job(Base):
    """A layer job."""

    __table__ = tables.layer_jobs


class Posting(Base):
    """Credits from one side of the books to the other."""

    __table__ = tables.postings


class Case(Base):
    """A case."""

    __table__ = tables.cases


class History(Base):
    """A line of a case's history."""

    __table__ = tables.case_history


CASE, POSTING = tables.cases.c, tables.postings.c


def handle(session: Session, event: Event) -> None:
    """One event, in the session's transaction. An event seen before changes nothing."""
    now = datetime.now(UTC)
    account: Any = session.get_one(Account, event["account"], with_for_update=True)
    job: Any = session.get_one(Job, event["job"])
    if session.scalar(select(CASE.case_id).where(CASE.kind == "job", CASE.subject == event["job"])) is not None:
        return
    booked: Sequence[Any] = session.scalars(select(Posting).where(POSTING.job_id == event["job"])).all()
    debits: list[Any] = [posting for posting in booked if posting.kind == "debit"]
    debit = sum(posting.credits for posting in debits)
    lot_id = debits[0].purchase_id
    said = decide(event, debit, sum(posting.credits for posting in booked if posting.kind == "reversal"))

    failed_at = datetime.fromisoformat(event["at"])
    job.status, job.ended_at, job.reports = "failed", failed_at, [report_of(event)]
    case_id = new_id("case", now)
    session.add(Case(case_id=case_id, **case_columns(event, said, debit, failed_at, now)))
    session.flush()
    session.add_all(
        History(case_id=case_id, at=now, event=name, by="worker", detail=detail)
        for name, detail in history_of(event, said, lot_id)
    )
    if said.credits:
        lot: Any = session.get_one(Lot, lot_id)
        lot.remaining += said.credits
        lot.spent -= said.credits
        session.add(
            Posting(
                key=f"reversal:{event['job']}:{lot_id}",
                kind="reversal",
                source=f"job:{event['job']}",
                destination=f"lot:{lot_id}",
                credits=said.credits,
                purchase_id=lot_id,
                job_id=event["job"],
                case_id=case_id,
                at=now,
            )
        )
        today = now.date()
        account.reversals_today = (account.reversals_today if account.reversals_day == today else 0) + 1
        account.reversals_day = today


def case_columns(event: Event, said: Said, debit: int, failed_at: datetime, now: datetime) -> dict[str, Any]:
    """A case that is opened and closed at once, but for its id."""
    state = {"reverse_credits": "refunded", "decline": "declined", "nothing_owed": "nothing_owed"}.get(said.outcome, "review")
    return {
        "kind": "job",
        "subject": event["job"],
        "account_id": event["account"],
        "job_id": event["job"],
        "state": state,
        "outcome": said.outcome,
        "rule": said.rule,
        "clause": "failed-job",
        "terms": TERMS,
        "reason": said.reason,
        "facts": facts_of(event, debit),
        "credits_owed": said.credits,
        "credits_reversed": said.credits,
        "reruns": 0,
        "delivered_late": False,
        "stuck": 0,
        "failed_at": failed_at,
        "opened_at": now,
        "due_at": failed_at + timedelta(days=3),
        "warned_percent": 0,
        "closed_at": None if state == "review" else now,
    }
