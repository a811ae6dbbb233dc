"""When a subscription was cancelled, as far as Creem told us, stands with its purchases: whether a renewal goes back hangs on it.

That word and a purchase come in any order and at the same time. Both lock the subscription's row, after the accounts and the
charges, before either looks for the other.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, func, or_, select, update

from worker.cases.book.book import Book
from worker.creem.said import SubscriptionChanged
from worker.creem.webhooks import ENDED
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


@dataclass(frozen=True, slots=True)
class _Stands:
    """Where a subscription stands. Of one that goes on after it was cancelled, `updated_at` is since when."""

    status: str
    cancelled_at: datetime | None
    updated_at: datetime

    @property
    def ended(self) -> bool:
        """True where it is cancelled, now or for the end of its period."""
        return self.status in ENDED

    def end_of(self, renewed_at: datetime) -> datetime | None:
        """The end that a purchase has which was renewed, or bought, then."""
        return self.cancelled_at if self.ended or renewed_at < self.updated_at else None

    def after(self, said: SubscriptionChanged) -> "_Stands":
        """The same once this was said too, be it older than what was said before.

        Of several words that it was cancelled the earliest counts, until it goes on; a renewal in between was cancelled in time.
        """
        newer = said.updated_at > self.updated_at
        if said.cancelled_at is None:
            if not newer:
                return self
            went_on_before = self.cancelled_at is not None and not self.ended
            return replace(self, status=said.status, updated_at=self.updated_at if went_on_before else said.updated_at)
        since = min(self.cancelled_at or said.cancelled_at, said.cancelled_at)
        if not newer:
            return replace(self, cancelled_at=since)
        return _Stands(said.status, since if self.ended else said.cancelled_at, said.updated_at)


def hear_ends(tx: Tx, book: Book) -> None:
    """Keeps where subscriptions stand, and gives each purchase the end of its own, in the database and in the book. Raises
    `Collision` where one came in of an account that is not in the book: the unit is repeated.
    """
    changed = [hook.said for hook in book.heard if isinstance(hook.said, SubscriptionChanged)]
    paid = [row for row in (*book.purchases_new, *book.purchases_changed.values()) if row["subscription_id"]]
    named = {said.subscription_id for said in changed} | {row["subscription_id"] for row in paid}
    if not named:
        return
    stand = _lock(tx, named)
    for said in sorted(changed, key=lambda said: said.updated_at):
        stand[said.subscription_id] = stand[said.subscription_id].after(said)
    for subscription_id in sorted({said.subscription_id for said in changed}):
        one = subscriptions.c.subscription_id == subscription_id
        tx.connection.execute(update(subscriptions).where(one).values(asdict(stand[subscription_id])))
    ended = {said.subscription_id for said in changed if said.cancelled_at is not None}
    for subscription_id, theirs in payers(tx, purchases.c.subscription_id, ended).items():
        if not book.accounts.keys() >= set(theirs):
            raise Collision(f"a purchase of {subscription_id} came in meanwhile")
    if ended:
        tell(tx, tx.among(purchases.c.subscription_id, ended))
    for row in paid:
        renewed_at = row["period_start"] or book.purchases_known[row["purchase_id"]]["paid_at"]
        known = [at for at in (row["cancelled_at"], stand[row["subscription_id"]].end_of(renewed_at)) if at is not None]
        row["cancelled_at"] = min(known, default=None)


def _lock(tx: Tx, subscription_ids: Collection[str]) -> dict[str, _Stands]:
    """Where the subscriptions stand, locked in order of id; rows are made for those never heard of."""
    named = sorted(subscription_ids)
    tx.insert_absent(subscriptions, [{"subscription_id": one, **UNHEARD} for one in named])
    s = subscriptions.c
    locked = select(subscriptions).where(tx.among(s.subscription_id, named)).order_by(s.subscription_id).with_for_update()
    return {row.subscription_id: _Stands(row.status, row.cancelled_at, row.updated_at) for row in tx.all(locked)}


def untold() -> Select[Any]:
    """Purchases that say nothing of the end of their subscription, or a later one, as (purchase_id, account_id, cancelled_at,
    ended_at).
    """
    p, s = purchases.c, subscriptions.c
    chosen = select(p.purchase_id, p.account_id, p.cancelled_at, s.cancelled_at.label("ended_at"))
    joined = chosen.join(subscriptions, s.subscription_id == p.subscription_id)
    # as `_Stands.end_of` has it
    in_force = or_(s.status.in_(ENDED), func.coalesce(p.period_start, p.paid_at) < s.updated_at)
    return joined.where(s.cancelled_at.is_not(None), or_(p.cancelled_at.is_(None), p.cancelled_at > s.cancelled_at), in_force)


def tell(tx: Tx, *which: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Gives `which` purchases are `untold` the end of their subscription; returns them. Their accounts are locked."""
    found = tx.all(untold().where(*which))
    for row in found:
        mine = update(purchases).where(purchases.c.purchase_id == row.purchase_id)
        tx.connection.execute(mine.values(cancelled_at=row.ended_at))
    return found
