"""Cases that others have judged anew: something became of what they are about."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.store.bulk import Tx
from worker.store.tables import cases, purchases


def wake(tx: Tx, which: Select[Any], now: datetime) -> list[str]:
    """The cases that are selected, by id, are judged anew at once. Returns them."""
    found = [row.case_id for row in tx.all(which)]
    if found:
        tx.connection.execute(update(cases).where(tx.among(cases.c.case_id, found)).values(next_action_at=now))
    return found


def wake_about_orders(tx: Tx, account_ids: Iterable[str], now: datetime) -> None:
    """Requests about purchases of these accounts that a person has are judged anew: something became of a job or of a charge.

    Called before what judges cases in the same transaction: those that it reaches have had their look.
    """
    c, p = cases.c, purchases.c
    open_ones = c.kind == CaseKind.REQUEST.value, c.state == CaseState.REVIEW.value, c.next_action_at > now
    about = select(c.case_id).join(purchases, func.coalesce(p.order_id, p.purchase_id) == c.order_id)
    wake(tx, about.where(tx.among(p.account_id, account_ids), *open_ones), now)
