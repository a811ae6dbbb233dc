"""What the checks of the audit are made of."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Select, String, bindparam, cast, func, literal

from worker.store.columns import Instant

Query = Callable[[], Select[Any]]
"""One check: the rows that do not fit, as (row, problem)."""


def before(span: timedelta) -> BindParameter[datetime]:
    """The moment of the audit less the span: a parameter, so that each check is built once."""
    return bindparam(f"before_{span.total_seconds():.0f}", type_=Instant)


def said(*parts: Any) -> Any:
    """A sentence put together in SQL."""
    text: Any = literal("", String)
    for part in parts:
        text = text + (literal(part, String) if isinstance(part, str) else func.coalesce(cast(part, String), "nothing"))
    return text.label("problem")
