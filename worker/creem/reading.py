"""How Creem writes things (creem-api.md, section 2): money, moments, references."""

from datetime import UTC, datetime
from typing import Any


class Unreadable(ValueError):
    """Creem said something that cannot be read; the message says what was there and what would be right."""


def money(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or not 0 <= value <= 10**12:
        raise Unreadable(f"{value!r} is no amount")
    return int(value)


def moment(value: object) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool) and 10**12 <= value < 10**13:
        return datetime.fromtimestamp(value / 1000, UTC)
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise Unreadable(f"{value!r} is no time") from None
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    raise Unreadable(f"{value!r} is no time")


def ref(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("id")
    return None if value is None else text(value)


def text(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= 256:
        return value
    raise Unreadable(f"{value!r} is no text")


def optional(of: Any, value: object) -> Any:
    return None if value is None else of(value)
