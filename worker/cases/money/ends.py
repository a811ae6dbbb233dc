"""When a subscription was cancelled, as far as Creem told us, stands with its purchases: whether a renewal goes back hangs on it.

That word and a purchase come in any order and at the same time. Both lock the subscription's row, after the accounts and the
charges, before either looks for the other.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Row, Select, or_, select, update

from worker.cases.book.book import Book
from worker.creem.said import SubscriptionChanged
from worker.errors import Collision
from worker.store.bulk import Tx
from worker.store.tables import purchases, subscriptions

UNHEARD = {"status": "unheard", "updated_at": datetime.fromtimestamp(0, UTC)}
"""A subscription of which only a payment is known: older than any word of it."""


def payers(tx: Tx, which: Column[Any], names: Collection[str]) -> dict[str, list[str]]:
    """The accounts whose purchases name these in that column, such as a subscription, by name and in order of id."""
    found: dict[str, list[str]] = {}
    if names:
        paid = select(which.label("name"), purchases.c.account_id).where(tx.among(which, names)).distinct()
        for row in tx.all(paid.order_by(which, purchases.c.account_id)):
            found.setdefault(row.name, []).append(row.account_id)
    return found


def hear_ends(tx: Tx, book: Book) -> None:
    """Keeps where subscriptions stand, and gives each purchase the end of its own, in the database and in the book. Raises
    `Collision` where one came in of an account that is not in the book: the unit is repeated.
    """
    changed = [hook.said for hook in book.heard if isinstance(hook.said, SubscriptionChanged)]
    paid = [row for row in (*book.purchases_new, *book.purchases_changed) if row["subscription_id"]]
    named = {said.subscription_id for said in changed} | {row["subscription_id"] for row in paid}
    if not named:
        return
    _lock(tx, named)
    for said in sorted(changed, key=lambda said: said.updated_at):
        _change(tx, book, said)
    chosen = select(subscriptions.c.subscription_id, subscriptions.c.cancelled_at)
    ends = {r.subscription_id: r.cancelled_at for r in tx.all(chosen.where(tx.among(subscriptions.c.subscription_id, named)))}
    for row in paid:
        known = [at for at in (row["cancelled_at"], ends[row["subscription_id"]]) if at is not None]
        row["cancelled_at"] = min(known, default=None)


def _lock(tx: Tx, subscription_ids: Collection[str]) -> None:
    """Locks the subscriptions in order of id, making rows for those never heard of."""
    named = sorted(subscription_ids)
    tx.insert_absent(subscriptions, [{"subscription_id": one, **UNHEARD} for one in named])
    s = subscriptions.c
    tx.all(select(s.subscription_id).where(tx.among(s.subscription_id, named)).order_by(s.subscription_id).with_for_update())


def _change(tx: Tx, book: Book, said: SubscriptionChanged) -> None:
    # an older word that arrives later changes nothing
    newer = (subscriptions.c.subscription_id == said.subscription_id, subscriptions.c.updated_at < said.updated_at)
    values = {"status": said.status, "cancelled_at": said.cancelled_at, "updated_at": said.updated_at}
    if not tx.connection.execute(update(subscriptions).where(*newer).values(values)).rowcount or said.cancelled_at is None:
        return
    theirs = payers(tx, purchases.c.subscription_id, [said.subscription_id]).get(said.subscription_id, [])
    if not book.accounts.keys() >= set(theirs):
        raise Collision(f"a purchase of {said.subscription_id} came in meanwhile")
    p = purchases.c
    paid_later = or_(p.cancelled_at.is_(None), p.cancelled_at > said.cancelled_at)
    mine = update(purchases).where(p.subscription_id == said.subscription_id, paid_later)
    tx.connection.execute(mine.values(cancelled_at=said.cancelled_at))


def untold() -> Select[Any]:
    """Purchases that say nothing of the end of their subscription, or a later one, as (purchase_id, account_id, cancelled_at,
    ended_at).
    """
    p, s = purchases.c, subscriptions.c
    chosen = select(p.purchase_id, p.account_id, p.cancelled_at, s.cancelled_at.label("ended_at"))
    joined = chosen.join(subscriptions, s.subscription_id == p.subscription_id)
    return joined.where(s.cancelled_at.is_not(None), or_(p.cancelled_at.is_(None), p.cancelled_at > s.cancelled_at))


def tell(tx: Tx, purchase_ids: Iterable[str]) -> Sequence[Row[Any]]:
    """Gives those of these purchases that are `untold` the end of their subscription; returns them. Their accounts are locked."""
    found = tx.all(untold().where(tx.among(purchases.c.purchase_id, purchase_ids)))
    for row in found:
        mine = update(purchases).where(purchases.c.purchase_id == row.purchase_id)
        tx.connection.execute(mine.values(cancelled_at=row.ended_at))
    return found
