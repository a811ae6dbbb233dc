"""The order that a mail means and does not name, said by a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.bench import Bench
from worker.cases.book.book import NOBODY
from worker.cases.book.rows import case_of
from worker.cases.requests.judge import advance_and_write
from worker.cases.requests.register import first_of
from worker.clock import moment
from worker.credits.ledger import Ledger
from worker.errors import Refused
from worker.store.bulk import Tx
from worker.store.history import line
from worker.store.tables import case_history, purchases, requests

MOST = 50
"""Most orders that are shown to choose from, the newest."""


def orders_to_name(tx: Tx, row: Row[Any]) -> list[dict[str, Any]]:
    """The orders of the account, newest first, of which a person may say that the mail of this case means one; none where it is
    known what it is about.
    """
    return [] if _why_not(tx, row) is not None else [_order(each) for each in _bought(tx, row)]


def name_order(
    tx: Tx, ledger: Ledger, bench: Bench, row: Row[Any], order: str, *, by: str, reason: str, now: datetime
) -> dict[str, Any]:
    """The mail of this case is about that order from here on, and judged by it. Raises `Refused` where it is about something
    already, and for what is no order of its account.

    The caller holds the case and its account.
    """
    why_not = _why_not(tx, row)
    if why_not is not None:
        raise Refused(f"{row.case_id}: {why_not}")
    p = purchases.c
    called = or_(p.purchase_id == order, p.order_id == order, p.transaction_id == order)
    # one of another account's is told from none by nothing
    theirs = select(purchases).where(p.account_id == row.account_id, called)
    # by itself before others by their order, which renewals may share: then the last
    found = tx.first(theirs.order_by(p.purchase_id != order, p.paid_at.desc(), p.purchase_id.desc()).limit(1))
    if found is None:
        raise Refused(f"{row.case_id}: {order} is no order of {row.account_id}")
    about = requests.c.request_id == row.subject
    tx.connection.execute(update(requests).where(about).values(purchase_id=found.purchase_id))
    tx.insert(case_history, [line(row.case_id, "request.order_named", by, now, purchase_id=found.purchase_id, reason=reason)])
    case = case_of(row)
    case.order_id, case.changed = found.order_id, True
    advance_and_write(tx, ledger, bench, case, first_of(tx, case.subject), now)
    assert case.state is not None, "a case that was read has a state"
    told = f"the mail is about {found.order_id or found.purchase_id}, and the case is {case.state.value}: {case.reason}"
    return {"case_id": row.case_id, **_order(found), "state": case.state.value, "told": told}


def _why_not(tx: Tx, row: Row[Any]) -> str | None:
    if row.kind != CaseKind.REQUEST.value:
        return "only a mail may lack an order"
    if row.account_id == NOBODY:
        return "the mail is of no account that is known"
    if row.state not in {CaseState.WAITING.value, CaseState.REVIEW.value}:
        return f"it does not wait for a person: it is {row.state}"
    first = first_of(tx, row.subject)
    known = [one for one in (first.job_id, first.purchase_id) if one is not None]
    return f"the mail is about {' and '.join(known)}" if known else None


def _bought(tx: Tx, row: Row[Any]) -> Sequence[Row[Any]]:
    p = purchases.c
    theirs = select(purchases).where(p.account_id == row.account_id)
    return tx.all(theirs.order_by(p.paid_at.desc(), p.purchase_id).limit(MOST))


def _order(row: Row[Any]) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in ("purchase_id", "order_id", "amount", "currency")}
    return shown | {"paid_at": moment(row.paid_at)}
