"""Reads that only pages ask for: what a search names, which promise is due next, and why a case was decided as it was."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from policy import CLAUSE_TEXT, Clause, Editions, UnknownEdition
from policy.lifecycle import CaseKind
from worker.cases.decided import BY_PERSON, ask_again, explanation
from worker.cases.document import document, find, summary
from worker.store.bulk import Tx
from worker.store.tables import accounts, cases, dead_letters


def place_of(tx: Tx, name: str) -> str:
    """The path of what is called that. Raises `Refused` where nothing is, saying what is known of the name."""
    if tx.all(select(accounts.c.account_id).where(accounts.c.account_id == name)):
        return f"/accounts/{name}"
    if letters := tx.all(select(dead_letters.c.dead_id).where(or_(dead_letters.c.dead_id == name, dead_letters.c.key == name))):
        return f"/dead/{letters[0].dead_id}"
    return f"/cases/{find(tx, name).case_id}"


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


def whole_case(tx: Tx, editions: Editions, name: str) -> dict[str, Any]:
    """The case document and, under `why`, its explanation; None there while nothing is decided. Raises `Refused`."""
    row = find(tx, name)
    return document(tx, row) | {"why": _why(editions, row)}


def _why(editions: Editions, row: Row[Any]) -> dict[str, Any] | None:
    if row.outcome is None or row.facts is None or row.terms is None:
        return None
    found: dict[str, Any] = {"clause_text": CLAUSE_TEXT[Clause(row.clause)], "because": {}, "counterfactual": None}
    try:
        decision = ask_again(CaseKind(row.kind), row.facts, editions.by_name(row.terms))
    except UnknownEdition as error:
        return found | {"same_again": None, "unasked": str(error)}
    return found | explanation(decision, row.outcome, row.rule) | {"by_person": row.rule == BY_PERSON, "unasked": None}
