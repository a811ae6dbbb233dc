"""What the checks of the audit are made of."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, String, cast, func, literal

Query = Callable[[datetime], Select[Any]]
"""One check: the rows that do not fit at this moment, as (row, problem)."""


def said(*parts: Any) -> Any:
    """A sentence put together in SQL."""
    text: Any = literal("", String)
    for part in parts:
        text = text + (literal(part, String) if isinstance(part, str) else func.coalesce(cast(part, String), "nothing"))
    return text.label("problem")
