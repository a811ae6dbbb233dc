"""What went to and fro about a case: the mails that came, the files with them, what the customer was told."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from worker.cases.requests.files import RAW
from worker.clock import moment
from worker.store.bulk import Tx
from worker.store.tables import evidence, evidence_looks, notices, requests


def columns(row: Row[Any], names: Sequence[str], moments: Sequence[str] = ()) -> dict[str, Any]:
    """These columns of the row as documents have them, then these moments."""
    return {name: getattr(row, name) for name in names} | {name: moment(getattr(row, name)) for name in moments}


def mails_of(tx: Tx, case_id: str) -> list[dict[str, Any]]:
    """The mails on a case, in the order received."""
    rows = tx.all(select(requests).where(requests.c.case_id == case_id).order_by(requests.c.request_id))
    of_sender = ("request_id", "sender", "verdict", "verdict_detail", "automatic")
    names = (*of_sender, "subject", "text", "problems", "origin", "job_id", "purchase_id")
    return [columns(row, names, ("received_at", "confirmed_at")) for row in rows]


def receipts_of(tx: Tx, case_id: str) -> list[dict[str, Any]]:
    """The files of a case as documents: name, size, hash, who looked, when it goes or went."""
    rows = tx.all(select(evidence).where(evidence.c.case_id == case_id))
    rows = sorted(rows, key=lambda row: (row.request_id, row.name != RAW, row.name))
    looks = select(evidence_looks).where(tx.among(evidence_looks.c.evidence_id, [row.evidence_id for row in rows]))
    seen = tx.all(looks.order_by(evidence_looks.c.id)) if rows else []
    names = ("evidence_id", "request_id", "name", "declared_type", "kind", "size", "sha256", "state")
    return [
        columns(row, names, ("received_at", "delete_by", "deleted_at"))
        | {"looks": [{"at": moment(s.at), "by": s.by, "reason": s.reason} for s in seen if s.evidence_id == row.evidence_id]}
        for row in rows
    ]


def notices_of(tx: Tx, case_id: str) -> list[dict[str, Any]]:
    """What the customer was told about a case, or is to be."""
    rows = tx.all(select(notices).where(notices.c.case_id == case_id).order_by(notices.c.notice_id))
    return [columns(row, ("kind", "state", "message_id", "detail"), ("created_at", "due_at", "ended_at")) for row in rows]
