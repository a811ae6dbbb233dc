"""What the checks of the audit are made of."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    Text,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
)

from worker.store.columns import Instant

Query = Callable[[], Select[Any]]
"""One check: the rows that do not fit, as (row, problem)."""


def before(span: timedelta) -> BindParameter[datetime]:
    """The moment of the audit less the span: a parameter, so that each check is built once."""
    return bindparam(f"before_{span.total_seconds():.0f}", type_=Instant)


def after(span: timedelta) -> BindParameter[datetime]:
    """The moment of the audit and the span."""
    return bindparam(f"after_{span.total_seconds():.0f}", type_=Instant)


def said(*parts: Any) -> Any:
    """A sentence put together in SQL."""
    text: Any = literal("", String)
    for part in parts:
        text = text + (literal(part, String) if isinstance(part, str) else func.coalesce(cast(part, String), "nothing"))
    return text.label("problem")


def hashed(raw: ColumnElement[Any]) -> ColumnElement[str]:
    """SHA-256 of a text or of bytes, as it is kept beside them."""
    data = raw if isinstance(raw.type, LargeBinary) else func.convert_to(raw, literal_column("'UTF8'", String))
    return func.encode(func.sha256(data), literal_column("'hex'", String))


def has_report(reports: ColumnElement[Any], kind: str) -> ColumnElement[bool]:
    """The condition that one of the reports of a job is of this kind."""
    # engines write documents with other spaces; a quote within a text is never written bare
    return func.replace(cast(reports, Text), " ", "").contains(f'"kind":"{kind}"')


def has_no_report(reports: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition that nothing was reported of a job."""
    return cast(reports, Text) == "[]"
