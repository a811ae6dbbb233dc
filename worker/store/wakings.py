"""Which cases somebody is waking, and how often that began: committed before the work, so that a case which ends its process
cannot take its own count down with it.

A row lives as long as the waking does. One left behind tells of a process that died.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select, update
from sqlalchemy.sql.selectable import FromClause

from worker.store.bulk import Tx, unlocked
from worker.store.tables import cases, wakings

BEGUN = func.coalesce(wakings.c.begun, 0).label("begun")
"""How often the waking of a case began and did not end, as of `with_wakings`."""


def with_wakings() -> FromClause:
    """Cases, each with what is known of its waking."""
    return cases.outerjoin(wakings, wakings.c.case_id == cases.c.case_id)


def nobody_is_at_it() -> ColumnElement[bool]:
    """The condition on `with_wakings` that no process is waking the case at `now`, or that its claim is over."""
    return or_(wakings.c.until.is_(None), wakings.c.until <= bindparam("now"))


def claim(tx: Tx, case_ids: Iterable[str], now: datetime, lease: timedelta) -> set[str]:
    """Takes those of the cases that nobody is at, and counts the beginning; nobody else wakes them until the lease ends."""
    named = sorted(case_ids)
    tx.insert_absent(wakings, [{"case_id": case_id, "begun": 0, "until": now} for case_id in named])
    free = select(wakings.c.case_id).where(tx.among(wakings.c.case_id, named), wakings.c.until <= now)
    taken = update(wakings).where(wakings.c.case_id.in_(unlocked(free))).values(begun=wakings.c.begun + 1, until=now + lease)
    return set(tx.connection.execute(taken.returning(wakings.c.case_id)).scalars())


def end(tx: Tx, case_ids: Iterable[str]) -> None:
    """Forgets how often these cases were begun: they were woken."""
    tx.connection.execute(delete(wakings).where(tx.among(wakings.c.case_id, case_ids)))


def give_back(tx: Tx, case_ids: Iterable[str], now: datetime) -> None:
    """Gives claimed cases back at once, uncounted: what kept them from being woken is no fault of theirs."""
    left = update(wakings).where(tx.among(wakings.c.case_id, case_ids), wakings.c.until > now)
    tx.connection.execute(left.values(begun=wakings.c.begun - 1, until=now))
