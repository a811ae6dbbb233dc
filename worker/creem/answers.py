"""Every answer to the one call, sorted by what it lets us know (failure-modes.md, 2.4: A1 to A21).

Only "could not connect" is *not sent*, and only Creem's own word is *refused*: everything in between may have moved money.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import httpx

from worker.creem.envelope import Understood, understand, word
from worker.creem.environment import Environment
from worker.errors import plain_line

BODY_LIMIT = 64 * 1024
Hide = Callable[[str], str]
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_TOO_LOW = re.compile(r"\b(insufficient|not (enough|sufficient)|too low)\b", re.IGNORECASE)
_BALANCE = re.compile(r"\b(balance|funds)\b", re.IGNORECASE)
_UNDER_WAY = re.compile(r"\b(already|in progress|pending|processing)\b", re.IGNORECASE)


class CallOutcome(StrEnum):
    """What became of the call."""

    ACCEPTED = "accepted"
    """Creem took it; `status` is its word. Proved only by reading the transaction."""
    REFUSED = "refused"
    """Creem itself said no: no money moved by this call."""
    THROTTLED = "throttled"
    """Creem itself said "too many". Very likely nothing moved; no document promises it."""
    NOT_SENT = "not_sent"
    """No connection came about: not a byte left."""
    UNKNOWN = "unknown"
    """Anything else. Money may have moved."""


MOVED_NOTHING = (CallOutcome.NOT_SENT.value, CallOutcome.REFUSED.value)
"""After these it is known that no money moved."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    `detail` is one line for people and `raw` the body, at most 64 KiB; neither holds the key. `status` is the refund's word as it
    stands. `mismatch`: accepted, but for another transaction or in another environment.
    """

    outcome: CallOutcome
    detail: str
    http_status: int | None = None
    status: str | None = None
    trace_id: str | None = None
    refund_id: str | None = None
    raw: str = ""
    key_trouble: bool = False
    """Refused with 401 or 403: the key is wrong, or may not refund."""
    low_balance: bool = False
    """The message of a 400 says that balance or funds do not suffice: a hint about when it is worth trying again, and proof of
    nothing. One that speaks of a refund under way is none.
    """
    mismatch: bool = False
    retry_after: float | None = None
    """Seconds for which it asked to be left alone, if it did."""


def classify(
    response: httpx.Response,
    body: bytes,
    *,
    asked: str,
    environment: Environment,
    hide: Hide = str,
) -> Answer:
    """The class of an answer that came whole, to the wish that `asked` be refunded. `hide` takes the key out."""
    said = understand(response, body, BODY_LIMIT)
    answer = Answer(
        CallOutcome.UNKNOWN,
        plain_line(hide(said.line)),
        http_status=said.http_status,
        trace_id=_hidden(said.trace_id, hide),
        raw=hide(body.decode(errors="replace"))[:BODY_LIMIT],
    )
    if 200 <= said.http_status < 300:
        return _taken(answer, said, asked, environment, hide)
    if said.creems and said.http_status == 429:
        return replace(answer, outcome=CallOutcome.THROTTLED)
    if said.creems and said.no:
        key_trouble = said.http_status in {401, 403}
        return replace(answer, outcome=CallOutcome.REFUSED, key_trouble=key_trouble, low_balance=_balance_too_low(said))
    return answer


def classify_error(error: Exception, http_status: int | None = None, *, hide: Hide = str) -> Answer:
    """The class of a call that came to no answer, or, with an `http_status`, of one whose answer broke off."""
    text = str(error)
    said = f"({type(error).__name__})" + (f": {plain_line(hide(text))}" if text else "")
    if http_status is not None:
        return Answer(CallOutcome.UNKNOWN, f"Creem answered {http_status} and broke off {said}", http_status=http_status)
    if isinstance(error, _NOT_SENT):
        return Answer(CallOutcome.NOT_SENT, f"no connection {said}")
    return Answer(CallOutcome.UNKNOWN, f"no answer {said}")


def _taken(answer: Answer, said: Understood, asked: str, environment: Environment, hide: Hide) -> Answer:
    status = word(said.document.get("status")) if said.document is not None else None
    if said.document is None or status is None:
        return replace(answer, detail=f"{answer.detail}, without a status that can be read")
    wrong = _mismatch(said.document, asked, environment)
    return replace(
        answer,
        outcome=CallOutcome.ACCEPTED,
        detail=answer.detail if wrong is None else f"{answer.detail}, {hide(wrong)}",
        status=hide(status),
        refund_id=_hidden(word(said.document.get("id")), hide),
        mismatch=wrong is not None,
    )


def _hidden(text: str | None, hide: Hide) -> str | None:
    return None if text is None else hide(text)


def _balance_too_low(said: Understood) -> bool:
    if said.http_status != 400 or _UNDER_WAY.search(said.message):
        return False
    return _BALANCE.search(said.message) is not None and _TOO_LOW.search(said.message) is not None


def _mismatch(document: dict[str, Any], asked: str, environment: Environment) -> str | None:
    """What the answer is about if not about what was asked; the documented answer names neither and is believed."""
    whole = document.get("transaction")
    inner = whole if isinstance(whole, dict) else {"id": whole}
    for named in (document.get("transaction_id"), inner.get("id")):
        if named is not None and named != asked:
            return f"but for the transaction {word(named)}"
    for mode in (document.get("mode"), inner.get("mode")):
        if mode is not None and not (isinstance(mode, str) and environment.accepts(mode)):
            return f"but in the mode {word(mode)}"
    return None
