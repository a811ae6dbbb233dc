"""What pages say: moments, money, states and text from outside, each in one way everywhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from policy.words import money
from worker.clock import written
from worker.screen import NOTHING, clean, flat

TONES = {
    "good": {"refunded", "delivered", "external", "active", "sent"},
    "busy": {"waiting", "rerunning", "refunding", "claimed", "sending", "confirming", "in_progress", "requeued", "due"},
    "bad": {"unknown", "mismatch", "rejected", "overdue"},
    "warn": {"review", "refused", "declined", "open", "suspended"},
}
KINDS = {
    "job": "failed job",
    "duplicate_charge": "charged twice",
    "request": "request by mail",
    "dispute": "dispute at the bank",
}
SHORT = 300
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")


def shown(value: Any) -> Any:
    """What a template prints: text from outside with every control and direction character made visible; a dash for nothing."""
    if isinstance(value, Markup):
        return value
    return NOTHING if value is None else clean(value)


def bounded(value: str, size: int = 20_000) -> tuple[Markup, bool]:
    """As much of the text as makes at most `size` bytes of a page, and whether that is all of it."""
    spent, parts = 0, list[Markup]()
    for character in value:
        part = escape(character if character in "\n\t" else clean(character))
        spent += len(part.encode())
        if spent > size:
            return Markup("").join(parts), False
        parts.append(part)
    return Markup("").join(parts), True


def latest(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of what is in the order received, the newest first: what came last is what is decided about."""
    return list(items[::-1][:most])


def when(value: str | datetime | None) -> Markup:
    """A moment to the minute, in UTC, as a `time` element."""
    if value is None:
        return escape(NOTHING)
    at = _moment(value)
    return Markup('<time datetime="{}">{}</time>').format(written(at), _spoken(at))


def distance(value: str | datetime, now: datetime) -> str:
    """How far away a moment is: `in 2 days`, `3 hours ago`."""
    seconds = (_moment(value) - now).total_seconds()
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(abs(seconds) // size)
        if count:
            amount = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"


def past(value: str | datetime | None, now: datetime) -> bool:
    """True for a moment that is over."""
    return value is not None and _moment(value) < now


def badge(value: str) -> Markup:
    """A state in its colour, and in words."""
    tone = next((tone for tone, states in TONES.items() if value in states), "calm")
    return Markup('<span class="badge {}">{}</span>').format(tone, clean(value).replace("_", " "))


def phrase(value: str) -> str:
    """A name of ours as words: `case.decided` as `Case decided`."""
    text = value.replace(".", " ").replace("_", " ")
    return text[:1].upper() + text[1:]


def kind(value: str) -> str:
    """What a case is about."""
    return KINDS.get(value, value.replace("_", " "))


def short(value: Any, most: int = SHORT) -> Markup:
    """The beginning of a text on one line, marked where more is left out; never more than twice `most` bytes of a page."""
    return excerpt(clean(value), most)


def excerpt(value: str, most: int) -> Markup:
    """The beginning of a text with its line breaks, for `<pre>`, marked and bounded as `short` does."""
    told, complete = bounded(value[:most], 2 * most)
    return told if complete and len(value) <= most else told + ELLIPSIS


def pairs(detail: Mapping[str, Any], most: int = 12, size: int = 700) -> list[tuple[str, Markup]]:
    """Facts or details for reading: names as words, an amount with its currency, nothing that is empty, and not too much."""
    told = {name: value for name, value in detail.items() if value not in (None, "", [], {})}
    if isinstance(told.get("amount"), int) and isinstance(told.get("currency"), str):
        told["amount"] = money(told["amount"], told.pop("currency"))
    found = []
    for name, value in list(told.items())[:most]:
        text = short(flat(value, _written), max(20, min(SHORT, size // 2)))
        size -= len(text.encode())
        found.append((name.replace("_", " "), text))
    return found


def _written(text: str) -> str:
    return _spoken(_moment(text)) if _INSTANT.fullmatch(text) else text


def _spoken(at: datetime) -> str:
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def _moment(value: str | datetime) -> datetime:
    at = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else value
    return at.astimezone(UTC)


FILTERS: dict[str, Callable[..., Any]] = {
    "badge": badge,
    "distance": distance,
    "excerpt": excerpt,
    "kind": kind,
    "money": money,
    "pairs": pairs,
    "past": past,
    "phrase": phrase,
    "short": short,
    "when": when,
}
