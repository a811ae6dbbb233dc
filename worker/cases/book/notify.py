"""What customers are told: a notice is written with the move it tells of, once for each case and kind, and sent after the commit.

Notices follow our own states, which only go forward, so nobody is told the same twice; a person's no, which the customer may
answer, is told once for each time that it is said. What is sent is grouped: many jobs of one
account that failed together are one mail.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select

from policy.decision import Outcome
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import BY_PERSON, NOBODY, Case
from worker.clock import new_id
from worker.notices.mail.notice import NoticeKind
from worker.store import effects
from worker.store.bulk import Record, Tx
from worker.store.tables import notices, requests

__all__ = ["NoticeKind", "ends", "notice", "write_effects"]

_TOLD_BY = {
    "refund.credits_reversed": NoticeKind.CREDITS_RETURNED,
    "refund.payment_refunded": NoticeKind.MONEY_SENT,
    "refund.rerun_delivered": NoticeKind.RERUN_DELIVERED,
    "refund.declined": NoticeKind.DECLINED,
    "refund.in_review": NoticeKind.IN_REVIEW,
}
GIVEN_ELSEWHERE: dict[str, Any] = {"reason": "the money has already been refunded", "clause": None}
TO_A_NO: dict[str, Any] = {"reason": "you answered what we had decided", "clause": None, "to_a_no": True}
"""Why a person looks again; what was decided before is no reason for that."""


def write_effects(tx: Tx, announced: Sequence[Record], more: Sequence[Record] = (), *, now: datetime, told: bool = True) -> None:
    """Writes announcements and other effects, the notices that go with announcements, and `more` notices. Where customers are
    not told, no notices go with announcements.
    """
    effects.add(tx, announced)
    each = [one for effect in announced for one in effects.each(effect)] if told else []
    written = [found for one in each if (found := _of_announcement(one, now)) is not None]
    tx.insert_absent(notices, [*written, *more])


def notice(case: Case, kind: NoticeKind, now: datetime, occasion: str = "", **payload: Any) -> Record:
    """What the owner of the account is to be told about the case, once; `occasion` where it may come to be told again."""
    key = ":".join(part for part in ("notice", case.case_id, kind.value, occasion) if part)
    told = {"clause": case.clause, "reason": case.reason, "credits": case.credits_reversed, **payload}
    return _record(key, kind, case.case_id, case.account_id, told, now)


def ends(tx: Tx, written: Iterable[Case], now: datetime) -> list[Record]:
    """The notices of cases that end here without anything being announced to their customers, where these wait for an answer:
    they wrote, or were told that a person looks (policy.md, "never a silent no").
    """
    found = [(case, kind) for case in written if (kind := _end(case)) is not None]
    waiting = _waiting(tx, [case.case_id for case, _ in found]) if found else set()
    return [
        notice(case, kind, now, **(GIVEN_ELSEWHERE if _is_given_unjudged(case) else {}))
        for case, kind in found
        if case.case_id in waiting
    ]


def _end(case: Case) -> NoticeKind | None:
    """How the end of the case is told where no announcement tells it; None where one does, or where it has not ended now."""
    if case.was in {None, case.state} or case.kind is CaseKind.DISPUTE or case.account_id == NOBODY:
        return None
    if case.state is CaseState.DECLINED and case.kind is CaseKind.JOB and case.rule != BY_PERSON:
        return NoticeKind.DECLINED
    return NoticeKind.SETTLED if case.state in {CaseState.NOTHING_OWED, CaseState.EXTERNAL} else None


def _is_given_unjudged(case: Case) -> bool:
    """True where the money came from elsewhere and the case says why it was owed: whoever gave it, what was asked for is there.
    Where the policy was asked since, it says itself who gave it.
    """
    return case.state is CaseState.EXTERNAL and case.outcome != Outcome.NOTHING_OWED.value


def _waiting(tx: Tx, case_ids: Sequence[str]) -> set[str]:
    """Those of these cases about which their customers wrote, or were written to that a person looks."""
    wrote = tx.among(requests.c.case_id, case_ids), requests.c.automatic.is_(False)
    # a letter that was begun may be out
    out = or_(
        notices.c.state.in_(["sent", "sending", "unknown"]), and_(notices.c.state == "due", notices.c.message_id.is_not(None))
    )
    told = tx.among(notices.c.case_id, case_ids), notices.c.kind == NoticeKind.IN_REVIEW.value, out
    rows = [*tx.all(select(requests.c.case_id).where(*wrote)), *tx.all(select(notices.c.case_id).where(*told))]
    return {row.case_id for row in rows}


def _of_announcement(effect: Record, now: datetime) -> Record | None:
    payload = effect["payload"]
    kind = _TOLD_BY.get(payload.get("type", ""))
    if kind is None or payload["account_id"] == NOBODY:
        return None
    if kind is NoticeKind.DECLINED and (payload["case_kind"], payload["decided_by"]) == (CaseKind.JOB.value, "policy"):
        # the pipeline said why the job ended as it did; where somebody asked, `ends` tells it
        return None
    names = ("clause", "reason", "credits", "amount", "currency", "decided_by")
    told = {name: payload[name] for name in names if payload.get(name) is not None}
    if kind is NoticeKind.CREDITS_RETURNED:
        # what is void again at once cannot be spent, nor what is frozen until the money of its purchase has gone
        told["credits"] = payload["credits"] - payload.get("credits_void", 0) - payload.get("credits_frozen", 0)
        if not told["credits"]:
            return None
    # what is announced again, as a decision of its own, is told again
    again = effect["key"].removeprefix(f"announce:{effect['case_id']}:{payload['type']}")
    key = f"notice:{effect['case_id']}:{kind.value}{again}"
    return _record(key, kind, effect["case_id"], payload["account_id"], told, now)


def _record(key: str, kind: NoticeKind, case_id: str, account_id: str, payload: dict[str, Any], now: datetime) -> Record:
    return {
        "notice_id": new_id("note", now),
        "key": key,
        "kind": kind.value,
        "case_id": case_id,
        "account_id": account_id,
        "payload": payload,
        "state": "due",
        "attempts": 0,
        "due_at": now,
        "created_at": now,
    }
