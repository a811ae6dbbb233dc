"""What comes back to a request: Creem's own answers, answers that something else gives, and none at all."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.sandbox.creem.documents import Document, milliseconds
from worker.sandbox.creem.names import Names
from worker.sandbox.creem.switches import Switches
from worker.sandbox.creem.words import Fault, Lie

REASONS = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 425: "Too Early",
    429: "Too Many Requests", 500: "Internal Server Error",
}  # fmt: skip
JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on the wire. `cut_short`: the headers promise all of the body, and half of it comes."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_short: bool = False


@dataclass(slots=True)
class Late:
    """An answer that is not there yet."""

    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing comes; `how` says in which way. With `late`, something comes when nobody waits any more."""

    how: Fault
    late: Late | None = None


Reply = Answer | NoAnswer
SILENT = frozenset({Fault.NOT_SENT, Fault.RESET, Fault.DISCONNECTED, Fault.TIMEOUT})


def as_json(status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, {"content-type": JSON_TYPE} | (headers or {}))


class Voice:
    """Says no, in Creem's words or in somebody else's."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def error(self, status: int, message: str | None, now: datetime, headers: dict[str, str] | None = None) -> Answer:
        """Creem's envelope (12.1), with a `trace_id`."""
        envelope: Document = {"trace_id": self._names.trace()}
        return as_json(status, envelope | _rest(status, message, now), headers)

    def no_such_path(self, method: str, path: str, now: datetime) -> Answer:
        """404 as it is for a path that does not exist: without a `trace_id` ([O])."""
        return as_json(404, _rest(404, f"Cannot {method} {path}", now))

    def wrong_key(self, switches: Switches, now: datetime) -> Answer:
        """401 or 403, with or without a message: the docs disagree."""
        message = "Invalid API key" if switches.wrong_key_message else None
        return self.error(switches.wrong_key_status, message, now)

    def faulty(self, fault: Fault, switches: Switches, now: datetime, sound: Answer | None = None) -> Reply:
        """The answer that the fault puts in the place of a sound one."""
        if fault in SILENT:
            return NoAnswer(fault)
        retry = {} if switches.retry_after is None else {"retry-after": switches.retry_after}
        html = {"content-type": "text/html"}
        match fault:
            case Fault.ERROR_500 | Fault.REQUEST_TIMEOUT | Fault.TOO_EARLY:
                return self.error(int(fault.value), REASONS[int(fault.value)], now)
            case Fault.THROTTLED:
                return self.error(429, "Too many requests", now, retry)
            case Fault.BARE_429:
                return Answer(429, b"slow down\n", {"content-type": "text/plain"} | retry)
            case Fault.KEY_REFUSED:
                return self.wrong_key(switches, now)
            case Fault.ERROR_503:
                return Answer(503)
            case Fault.HTML_502:
                return Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>\n", html)
            case Fault.REDIRECT:
                return Answer(307, b"", {"location": "/v1/elsewhere"})
            case Fault.BARE_400:
                return Answer(400, b"<html><body><h1>400 Bad Request</h1></body></html>\n", html)
            case Fault.BARE_404:
                return as_json(404, {"error": "not found"})
            case Fault.EMPTY:
                return Answer(200, b"", {"content-type": JSON_TYPE})
            case Fault.NOT_JSON:
                return Answer(200, b'{"status": "succ', {"content-type": JSON_TYPE})
            case Fault.NOT_AN_OBJECT:
                return as_json(200, [{"status": "succeeded"}])
            case Fault.HUGE:
                return as_json(200, {"status": "succeeded", "padding": "x" * 200 * 1024})
            case Fault.CUT_SHORT:
                return Answer(200, sound.body if sound else b'{"status":"pending"}', {"content-type": JSON_TYPE}, cut_short=True)
            case _:
                raise AssertionError(f"{fault} is not a fault")

    def lying_post(self, lie: Lie, sound: Answer | None, now: datetime) -> Answer:
        """The answer to a refund, made wrong."""
        if lie is Lie.NOT_FOUND:
            return self.error(404, "Transaction not found", now)
        document: Document = json.loads(sound.body) if sound is not None and sound.status == 200 else {"status": "pending"}
        if lie is Lie.NO_STATUS:
            document = {"ok": True}
        elif lie is Lie.OTHER_MODE:
            document["mode"] = "prod"
        else:
            stranger = self._names.new("tran")
            document |= {"transaction": stranger, "transaction_id": stranger}
        return as_json(200, document)

    def lying_transaction(self, lie: Lie, document: Document, paid: int, now: datetime) -> Answer:
        """A transaction, made wrong."""
        if lie is Lie.NOT_FOUND:
            return self.error(404, "Transaction not found", now)
        if lie is Lie.NO_STATUS:
            del document["status"]
            return as_json(200, document)
        changes: dict[Lie, Document] = {
            Lie.OTHER_TRANSACTION: {"id": self._names.new("tran")},
            Lie.OTHER_MODE: {"mode": "prod"},
            Lie.UNKNOWN_STATUS: {"status": "inReview"},
            Lie.OTHER_CUSTOMER: {"customer": self._names.new("cust")},
            Lie.OTHER_AMOUNT: {"amount_paid": paid + max(1, paid // 10)},
            Lie.OTHER_CURRENCY: {"currency": "EUR" if document["currency"] != "EUR" else "USD"},
            Lie.PAID_NULL: {"amount_paid": None},
            Lie.PAID_ZERO: {"amount_paid": 0},
            Lie.PAID_FRACTION: {"amount_paid": paid + 0.5},
            Lie.PAID_TEXT: {"amount_paid": str(paid)},
            Lie.REFUNDED_NEGATIVE: {"refunded_amount": -1},
        }
        return as_json(200, document | changes[lie])


def _rest(status: int, message: str | None, now: datetime) -> Document:
    said = {} if message is None else {"message": [message]}
    return {"status": status, "error": REASONS[status]} | said | {"timestamp": milliseconds(now)}
