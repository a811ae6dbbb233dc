"""Lists, a page at a time: each page ends with the id that the next begins after."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row


def page(rows: Sequence[Row[Any]], limit: int, key: str) -> tuple[Sequence[Row[Any]], str | None]:
    """Of rows that were asked for with one more than `limit`: those to be shown, and the `key` of the last of them, None where
    nothing comes after it.
    """
    shown = rows[:limit]
    return shown, getattr(shown[-1], key) if len(rows) > limit else None
