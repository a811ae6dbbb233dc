"""What customers are told: a notice is written with the move it tells of, once for each case and kind, and sent after the commit.

Notices follow our own states, which only go forward, so nobody is told the same twice. What is sent is grouped: many jobs of one
account that failed together are one mail.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from policy.lifecycle import CaseKind
from worker.cases.book import NOBODY, Case
from worker.clock import new_id
from worker.notices.mail.notice import NoticeKind
from worker.store import effects
from worker.store.bulk import Record, Tx
from worker.store.tables import notices

__all__ = ["NoticeKind", "intend", "notice"]

_TOLD_BY = {
    "refund.credits_reversed": NoticeKind.CREDITS_RETURNED,
    "refund.payment_refunded": NoticeKind.MONEY_SENT,
    "refund.rerun_delivered": NoticeKind.RERUN_DELIVERED,
    "refund.declined": NoticeKind.DECLINED,
    "refund.in_review": NoticeKind.IN_REVIEW,
}


def intend(tx: Tx, announced: Sequence[Record], more: Sequence[Record] = (), *, now: datetime, told: bool = True) -> None:
    """Writes announcements and other effects, the notices that go with announcements, and `more` notices. Where customers are
    not told, no notices go with announcements.
    """
    effects.add(tx, announced)
    written = [found for effect in announced if told and (found := _of_announcement(effect, now)) is not None]
    tx.insert_absent(notices, [*written, *more])


def notice(case: Case, kind: NoticeKind, now: datetime, occasion: str = "", **payload: Any) -> Record:
    """What the owner of the account is to be told about the case, once; `occasion` where it may come to be told again."""
    key = ":".join(part for part in ("notice", case.case_id, kind.value, occasion) if part)
    told = {"clause": case.clause, "reason": case.reason, "credits": case.credits_reversed, **payload}
    return _record(key, kind, case.case_id, case.account_id, told, now)


def _of_announcement(effect: Record, now: datetime) -> Record | None:
    payload = effect["payload"]
    kind = _TOLD_BY.get(payload.get("type", ""))
    if kind is None or payload["account_id"] == NOBODY:
        return None
    if kind is NoticeKind.DECLINED and (payload["case_kind"], payload["decided_by"]) == (CaseKind.JOB.value, "policy"):
        # the pipeline said why the job ended as it did, and nobody asked for anything
        return None
    names = ("clause", "reason", "credits", "amount", "currency")
    told = {name: payload[name] for name in names if payload.get(name) is not None}
    if kind is NoticeKind.CREDITS_RETURNED:
        # what is void again at once cannot be spent
        told["credits"] = payload["credits"] - payload.get("credits_void", 0)
        if not told["credits"]:
            return None
    key = f"notice:{effect['case_id']}:{kind.value}"
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
