"""Cases that others have judged anew: something became of what they are about."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Exists, Row, Select, bindparam, exists, func, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.store.bulk import Tx
from worker.store.statements import Among, one_of, unsought
from worker.store.tables import cases, purchases

_ABOUT = func.coalesce(purchases.c.order_id, purchases.c.purchase_id) == cases.c.order_id
# what is owed of these hangs on what was made of the purchase; of a dispute nothing does, and a job has its own events
_WITH_A_PERSON = unsought(
    one_of(cases.c.kind, (CaseKind.REQUEST, CaseKind.DUPLICATE_CHARGE)), cases.c.state == CaseState.REVIEW.value
)


def wake(tx: Tx, which: Select[Any], now: datetime) -> list[str]:
    """The cases that are selected, by id, are judged anew at once. Returns them."""
    return _wake(tx, tx.all(which), now)


def _wake(tx: Tx, rows: Sequence[Row[Any]], now: datetime) -> list[str]:
    found = [row.case_id for row in rows]
    if found:
        tx.connection.execute(update(cases).where(tx.among(cases.c.case_id, found)).values(next_action_at=now))
    return found


def wake_about_orders(tx: Tx, account_ids: Iterable[str], now: datetime) -> None:
    """What a person has about purchases of these accounts is judged anew: something became of a job or of a charge.

    Called before what judges cases in the same transaction: those that it reaches have had their look.
    """
    _wake(tx, tx.ask(_later, account_ids=account_ids, now=now), now)


def _later(among: Among) -> Select[Any]:
    about = select(cases.c.case_id).join(purchases, _ABOUT).where(among(purchases.c.account_id, "account_ids"))
    return about.where(_WITH_A_PERSON, cases.c.next_action_at > bindparam("now"))


def about_orders(of_accounts: ColumnElement[bool]) -> Exists:
    """The condition that a person has a case about one of these purchases, which `wake_about_orders` would find."""
    # by the indexes of the accounts' few purchases and of what is about these: an account may have any number of cases
    return exists().select_from(cases, purchases).where(_ABOUT, _WITH_A_PERSON, of_accounts)
