"""The promises that run: which is due next, and how many are broken."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from worker.cases.document import summary
from worker.store.bulk import Tx
from worker.store.tables import cases


def promises(tx: Tx, *, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Open cases, the promise that ends first before all others, and the id to continue after."""
    wanted: list[ColumnElement[bool]] = [cases.c.closed_at.is_(None)]
    if after is not None:
        due = select(cases.c.due_at).where(cases.c.case_id == after).scalar_subquery()
        wanted.append(or_(cases.c.due_at > due, and_(cases.c.due_at == due, cases.c.case_id > after)))
    rows = tx.all(select(cases).where(*wanted).order_by(cases.c.due_at, cases.c.case_id).limit(limit + 1))
    items = [summary(row) for row in rows[:limit]]
    return items, items[-1]["case_id"] if len(rows) > limit else None


def overdue(tx: Tx, now: datetime) -> int:
    """How many promises are broken at this moment."""
    late = select(func.count()).where(cases.c.closed_at.is_(None), cases.c.due_at < now)
    return int(tx.connection.execute(late).scalar_one())
