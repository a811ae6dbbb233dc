"""Every answer to the one call, sorted by what it lets us know (failure-modes.md, 2.4)."""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from worker.errors import one_line

BODY_LIMIT = 64 * 1024
_BALANCE = re.compile(r"balance|insufficient|funds", re.IGNORECASE)


class Outcome(StrEnum):
    """What became of the call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    THROTTLED = "throttled"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, verbatim in `raw`."""

    outcome: Outcome
    detail: str
    http_status: int | None = None
    status: str | None = None
    trace_id: str | None = None
    refund_id: str | None = None
    raw: str = ""
    retry_after: float | None = None
    key_trouble: bool = False
    low_balance: bool = False
    mismatch: bool = False


def classify(response: httpx.Response, body: bytes, transaction_id: str, accepts: Any) -> Answer:
    """The class of an answer that came."""
    status, raw = response.status_code, body[:BODY_LIMIT].decode(errors="replace")
    document = _object(body)
    envelope = document is not None and ("trace_id" in document or ("status" in document and ("error" in document or "message" in document)))
    trace = str(document["trace_id"]) if document is not None and document.get("trace_id") else None
    said = _said(document, raw)
    common = {"http_status": status, "trace_id": trace, "raw": raw, "detail": f"Creem answered {status}: {said}"}
    if 200 <= status < 300:
        word = document.get("status") if document is not None else None
        if len(body) > BODY_LIMIT or not isinstance(word, str) or document is None:
            return Answer(Outcome.UNKNOWN, **{**common, "detail": f"Creem answered {status} with a body that says nothing"})
        other = document.get("transaction_id") or document.get("transaction")
        other = other.get("id") if isinstance(other, dict) else other
        wrong = (isinstance(other, str) and other != transaction_id) or ("mode" in document and not accepts(str(document["mode"])))
        refund_id = document.get("id")
        return Answer(Outcome.ACCEPTED, status=word, refund_id=refund_id if isinstance(refund_id, str) else None, mismatch=wrong, **common)
    if status == 429:
        return Answer(Outcome.THROTTLED if envelope else Outcome.UNKNOWN, **common)
    if 400 <= status < 500 and status not in {408, 425} and envelope:
        return Answer(Outcome.REFUSED, key_trouble=status in {401, 403}, low_balance=status == 400 and bool(_BALANCE.search(said)), **common)
    return Answer(Outcome.UNKNOWN, **common)


def classify_error(error: Exception) -> Answer:
    """The class of a call that came to no answer."""
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Answer(Outcome.UNKNOWN if sent else Outcome.NOT_SENT, f"no answer ({type(error).__name__}): {one_line(error)}")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _said(document: dict[str, Any] | None, raw: str) -> str:
    if document is None:
        return one_line(Exception(raw[:200] or "nothing"))
    message = document.get("message") or document.get("error") or document.get("status")
    return one_line(Exception("; ".join(map(str, message)) if isinstance(message, list) else str(message)))
