"""What is common to cases of every kind: how one is opened, how it moves, and the intents that go with a move."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from policy.lifecycle import CaseKind, CaseState, may_follow
from worker.cases.book.bench import Bench
from worker.cases.book.book import BY_PERSON, NOBODY, Case
from worker.clock import new_id
from worker.errors import InvariantBroken
from worker.store.bulk import Record
from worker.store.effects import EACH, SUBJECTS, EffectKind
from worker.traces import within

REMIND = timedelta(days=1)
"""How often a case that waits for a person is looked at again."""
ANNOUNCED = {
    (CaseKind.JOB, CaseState.REFUNDED): "refund.credits_reversed",
    (CaseKind.JOB, CaseState.DELIVERED): "refund.rerun_delivered",
    (CaseKind.JOB, CaseState.DECLINED): "refund.declined",
    (CaseKind.JOB, CaseState.REVIEW): "refund.in_review",
    (CaseKind.DUPLICATE_CHARGE, CaseState.REFUNDED): "refund.payment_refunded",
    (CaseKind.DUPLICATE_CHARGE, CaseState.DECLINED): "refund.declined",
    (CaseKind.DUPLICATE_CHARGE, CaseState.REVIEW): "refund.in_review",
    (CaseKind.REQUEST, CaseState.REFUNDED): "refund.payment_refunded",
    (CaseKind.REQUEST, CaseState.DECLINED): "refund.declined",
    (CaseKind.REQUEST, CaseState.REVIEW): "refund.in_review",
}
"""What the product is told of, by kind and state (contract.md, "Commands out"). A dispute is between the buyer and the bank."""


class Move(NamedTuple):
    """A case that moved."""

    case_id: str
    subject: str
    was: str | None
    """Its state before; None where it was opened."""
    state: str
    credits: int
    """What came back."""


def moves_of(cases: Iterable[Case]) -> list[Move]:
    """The moves of those among the cases that stand elsewhere than before."""
    return [
        Move(case.case_id, case.subject, case.was.value if case.was else None, case.state.value, case.credits_reversed)
        for case in cases
        if case.state is not None and case.state is not case.was
    ]


def open_case(
    bench: Bench,
    kind: CaseKind,
    subject: str,
    account_id: str,
    *,
    since: datetime,
    now: datetime,
    job_id: str | None = None,
    order_id: str | None = None,
) -> Case:
    """A case that is not yet in any state. Its promise runs from `since`."""
    case = Case(
        case_id=new_id("case", now),
        kind=kind,
        subject=subject,
        account_id=account_id,
        failed_at=since,
        opened_at=now,
        due_at=since,
        job_id=job_id,
        order_id=order_id,
    )
    promise_from(bench, case, since)
    return case


def promise_from(bench: Bench, case: Case, since: datetime) -> None:
    """The promise of the case runs from `since` (policy.md, "The 3 business days")."""
    terms, calendar = bench.at(since)
    due_at = calendar.business_deadline(since, terms.promise_business_days)
    case.failed_at, case.due_at = since, due_at
    case.warn_at, case.warned_percent = calendar.instant_at_fraction(since, due_at, terms.promise_warn_percent[0]), 0


def go(case: Case, target: CaseState, *, next_action_at: datetime | None, now: datetime | None = None) -> None:
    """The case stands in `target` from here on; `now` is when it closes, needed where the target is final. Raises
    `InvariantBroken` for a move the lifecycle does not know.
    """
    if case.state is not None and case.state is not target:
        if not may_follow(case.state, target):
            raise InvariantBroken(f"{case.case_id}: {case.state.value} cannot become {target.value}")
        case.note("case.moved", **{"from": case.state.value, "to": target.value})
    case.state = target
    case.next_action_at = next_action_at
    if target.final:
        case.closed_at, case.warn_at = now, None
    elif case.closed_at is not None:
        # a no that later facts overturn: the promise runs again, its warnings with it
        case.closed_at, case.warn_at = None, case.due_at
    case.changed = True


def remind(case: Case, now: datetime, after: timedelta | None = REMIND) -> None:
    """A case that stays as it is when its time has come is looked at again `after` so long; with None, never."""
    if case.next_action_at is not None and case.next_action_at <= now:
        case.next_action_at, case.changed = None if after is None else now + after, True


def effect_of(case: Case, kind: EffectKind, key: str, now: datetime, **payload: Any) -> Record:
    """An effect to be written in the transaction that decided it; it goes on with the trace of its case. What is announced is
    known outside by what the case is about: a database that was set back decides it again, in a case with another id.
    """
    if case.trace is not None:
        payload["traceparent"] = within(case.trace, key)
    about = key.replace(case.case_id, f"{case.kind.value}:{case.subject}", 1)
    return {**_intent(kind, key, case.case_id, case.job_id, payload, now), "effect_id": about}


def announcement_of_all(announced: Sequence[Record], now: datetime) -> Record:
    """One intent for the announcements of cases that end in one transaction with what is owed given back. Nothing leads away from
    that end, so their rows say for ever what is to be told, and none comes to be told of a second time.
    """
    case_id = announced[0]["case_id"]
    key = f"{EffectKind.ANNOUNCE_ALL}:{case_id}"
    named = {"cases": [one["case_id"] for one in announced], "number": len(announced), SUBJECTS: True}
    return {**_intent(EffectKind.ANNOUNCE_ALL, key, case_id, None, named, now), EACH: announced}


def _intent(kind: EffectKind, key: str, case_id: str, job_id: str | None, payload: dict[str, Any], now: datetime) -> Record:
    return {
        "effect_id": key,
        "key": key,
        "kind": kind.value,
        "case_id": case_id,
        "job_id": job_id,
        "payload": payload,
        "state": "due",
        "attempts": 0,
        "due_at": now,
        "created_at": now,
    }


def announcement(case: Case, now: datetime, **more: Any) -> Record | None:
    """The intent to tell the product where the case stands; None where the product is not told. Customers read the reason: where
    that of the case was written for the person who looks, `more` brings another.
    """
    assert case.state is not None, "a case without a state has nothing to tell"
    type_ = ANNOUNCED.get((case.kind, case.state))
    if case.state is CaseState.REFUNDED and case.credits_reversed:
        type_ = "refund.credits_reversed"
    if type_ is None or case.account_id == NOBODY:
        return None
    told: dict[str, Any] = {
        "type": type_,
        "case_kind": case.kind.value,
        "account_id": case.account_id,
        "credits": case.credits_reversed,
        "outcome": case.outcome,
        "clause": case.clause,
        "terms": case.terms,
        "reason": case.reason,
        "decided_by": "person" if case.rule == BY_PERSON else "policy",
    }
    if case.order_id is not None:
        told["order_id"] = case.order_id
    key = f"announce:{case.case_id}:{type_}"
    if case.state is CaseState.DECLINED and case.rule == BY_PERSON:
        # the customer may answer a no, and a person may say it again: each of them is told
        key += f":{now.isoformat()}"
    return effect_of(case, EffectKind.ANNOUNCE, key, now, **(told | more))
