"""How Creem writes things (creem-api.md, section 2): money, moments, references, words.

Each reader takes whatever a JSON document may hold at that place and raises `Unreadable`, and nothing but `Unreadable`, for what
cannot be meant. Words stay open: Creem's documentation and schema disagree on spellings, and lists of words grow unannounced.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from worker.strict import shown

T = TypeVar("T")
MOST = 10**12
"""Minor units. Far above every charge, far below where a float stops counting in ones."""
LONGEST = 256
"""Characters of an id or a word."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = range(10**12, 10**13)
"""2001 to 2286. A number of seconds lies a thousand times lower, so neither can be taken for the other."""
_YEARS = range(2001, 2287)


class Unreadable(ValueError):
    """Creem said something that cannot be read; the message says what was there and what would be right."""


def money(value: object) -> int:
    """An amount in minor units, never negative. The schema says "number": 4900.0 is 4900, and a fraction is refused."""
    return _whole(value, "amount", "minor units")


def units(value: object) -> int:
    """How many of a product; never negative, and written as amounts are."""
    return _whole(value, "number", "units")


def moment(value: object) -> datetime:
    """A moment in UTC, from either of Creem's two ways to write one: epoch milliseconds, or ISO 8601 with its zone."""
    if isinstance(value, str):
        return _iso(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _MILLISECONDS[0] <= value <= _MILLISECONDS[-1]:
        raise Unreadable(f"{_short(value)} is no time; epoch milliseconds or ISO 8601 are expected")
    return _BEGINNING + timedelta(milliseconds=value)


def id_of(value: object) -> str:
    """The id of what a field points at: the field holds the id, or the whole object."""
    return text(value.get("id") if isinstance(value, dict) else value)


def ref(value: object) -> str | None:
    """The same of a field that may hold nothing."""
    return optional(id_of, value)


def text(value: object) -> str:
    """An id or a word, as it stands: 1 to 256 printable characters."""
    if isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable():
        return value
    raise Unreadable(f"{_short(value)} is no id and no word; 1 to {LONGEST} printable characters are expected")


def currency(value: object) -> str:
    """A currency in the capital letters of ISO 4217, in whatever case it is written: of two spellings it is the same one."""
    return text(value).upper()


def optional(read: Callable[[object], T], value: object) -> T | None:
    """What `read` makes of the value; None where there is none."""
    return None if value is None else read(value)


def _whole(value: object, what: str, of: str) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= MOST:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise Unreadable(f"{_short(value)} is no {what}; a whole number of {of} is expected")
    return value


def _iso(value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Unreadable(f"{_short(value)} is no time; ISO 8601 like 2026-11-03T09:15:30.000Z is expected") from None
    if found.tzinfo is None or found.year not in _YEARS:
        raise Unreadable(f"{_short(value)} is no time; a zone and a year from 2001 to 2286 are expected")
    return found.astimezone(UTC)


def _short(value: object) -> str:
    """The value, fit for one line; of what is large, its kind alone."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    # writing out a number of thousands of digits is an error of its own
    if isinstance(value, int) and abs(value) > MOST * MOST:
        return "a huge number"
    return shown(value[:LONGEST] if isinstance(value, str) else value)
