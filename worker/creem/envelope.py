"""What an answer says about itself: Creem's own error body or somebody else's page, and when to come back (creem-api.md, 12)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from worker.creem.reading import Unreadable, text
from worker.strict import Malformed, loads

NOT_NOW = frozenset({408, 425, 429})
"""The 4xx that say "not now" and not "no"."""


@dataclass(frozen=True, slots=True)
class Understood:
    """One answer, as far as it can be read. `document` is None where the body is not one JSON object.

    `creems`: the body is an error body of Creem's. A proxy, a CDN and a firewall answer with statuses of their own, and what they
    say proves nothing about what Creem did.
    """

    http_status: int
    document: dict[str, Any] | None
    trace_id: str | None
    creems: bool
    message: str

    @property
    def line(self) -> str:
        """The answer in words: as long as Creem was, and not yet without the key."""
        return f"Creem answered {self.http_status}: {self.message}"

    @property
    def no(self) -> bool:
        """True for a 4xx that says no and would say no again."""
        return 400 <= self.http_status < 500 and self.http_status not in NOT_NOW

    @property
    def refuses(self) -> bool:
        """True for such a no that is Creem's own, in either of its error bodies (creem-api.md, 10 and 12.1), or about the key and
        about nothing else. Firewalls and CDNs say 403 of what they do not like, and mean neither us nor the key.
        """
        theirs = self.creems or (self.document is not None and isinstance(self.document.get("error"), dict))
        return self.no and (theirs or self.http_status == 401)


def understand(response: httpx.Response, body: bytes, most: int) -> Understood:
    """What the answer says. A body of more than `most` bytes says nothing."""
    document = _object(response, body, most)
    trace_id = word(document.get("trace_id")) if document is not None else None
    return Understood(
        http_status=response.status_code,
        document=document,
        trace_id=trace_id,
        creems=document is not None and _error_body(document, trace_id, response.status_code),
        message=_message(response, document, body),
    )


def word(value: object) -> str | None:
    """The value where it is fit for a log line and a column, else None."""
    try:
        return text(value)
    except Unreadable:
        return None


def retry_after(response: httpx.Response, now: datetime) -> float | None:
    """Seconds the server asks us to stay away, from either form of `Retry-After`; None where it does not say.

    A date is read against the server's own clock where it names one.
    """
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    until = _date(value)
    if until is None:
        return None
    return max(0.0, (until - (told_time(response) or now)).total_seconds())


def _object(response: httpx.Response, body: bytes, most: int) -> dict[str, Any] | None:
    kind = response.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return None
    try:
        return loads(body, most=most)
    except Malformed:
        return None


def _error_body(document: dict[str, Any], trace_id: str | None, http_status: int) -> bool:
    if "status" not in document:
        return trace_id is not None
    # it repeats the HTTP status there; in a refund's answer it is a word, and a 409 that says "succeeded" refused nothing
    return document["status"] == http_status and (trace_id is not None or "error" in document or "message" in document)


def _message(response: httpx.Response, document: dict[str, Any] | None, body: bytes) -> str:
    if 300 <= response.status_code < 400:
        return "redirects are not followed"
    if document is None:
        # not a word of the page itself: it may be anybody's, and the raw body is kept where it matters
        kind = response.headers.get("content-type", "of no type")[:80]
        return f"a body that is not Creem's ({kind}, {len(body)} bytes)" if body else "nothing else"
    said = document.get("message") or document.get("error") or document.get("status") or "without a message"
    return "; ".join(str(each) for each in said) if isinstance(said, list) else str(said)


def told_time(response: httpx.Response) -> datetime | None:
    """What the server that answered takes for the present, to the second; None where it does not say."""
    return _date(response.headers.get("date", ""))


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
