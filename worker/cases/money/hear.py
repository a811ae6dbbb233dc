"""What Creem said becomes what is known of charges, inside the transaction that handles it and behind the accounts' locks."""

from sqlalchemy import or_, select, update

from worker.cases.book import Book
from worker.cases.money import charges
from worker.creem.said import DisputeCreated, RefundCreated, SubscriptionChanged
from worker.errors import Collision
from worker.store.bulk import Tx
from worker.store.tables import purchases, subscriptions


def hear(tx: Tx, book: Book, can_read: bool) -> None:
    """Keeps refunds, disputes, cancellations and what was paid, and marks the purchases that money went back of as touched.

    A charge that is told of before its purchase is known is kept all the same; the purchase meets it when it comes, because both
    lock the charge's row. Raises `Collision` where the purchase came in between our look and our lock: the unit is repeated.
    """
    refunds = [hook.said for hook in book.heard if isinstance(hook.said, RefundCreated)]
    disputes = [hook.said for hook in book.heard if isinstance(hook.said, DisputeCreated)]
    told = {one.transaction_id for one in refunds} | {one.transaction_id for one in disputes}
    bought = {row["transaction_id"] for row in book.purchases_known.values() if row["purchase_id"] in book.charges_touched}
    charges.lock(tx, told | book.charges_paid.keys() | {one for one in bought if one})
    charges.hear_paid(tx, book.charges_paid)
    if told:
        charges.hear_refunds(tx, refunds, book.now, can_read=can_read)
        charges.hear_disputes(tx, disputes, book.now)
        _touch(tx, book, told)
    changed = [hook.said for hook in book.heard if isinstance(hook.said, SubscriptionChanged)]
    for one in sorted(changed, key=lambda one: one.updated_at):
        _changed(tx, one)
    _known_as_cancelled(tx, book)


def _touch(tx: Tx, book: Book, told: set[str]) -> None:
    for transaction_id in sorted(told):
        purchase = charges.purchase_of(tx, transaction_id)
        if purchase is None:
            continue
        if purchase.account_id not in book.accounts:
            raise Collision(f"{transaction_id} became known meanwhile")
        book.charges_touched.add(purchase.purchase_id)


def _changed(tx: Tx, said: SubscriptionChanged) -> None:
    row = {
        "subscription_id": said.subscription_id,
        "status": said.status,
        "cancelled_at": said.cancelled_at,
        "updated_at": said.updated_at,
    }
    if not tx.insert_new(subscriptions, [row], subscriptions.c.subscription_id):
        # an older word that arrives later changes nothing
        newer = (subscriptions.c.subscription_id == said.subscription_id, subscriptions.c.updated_at < said.updated_at)
        if not tx.connection.execute(update(subscriptions).where(*newer).values(row)).rowcount:
            return
    if said.cancelled_at is not None:
        paid_later = or_(purchases.c.cancelled_at.is_(None), purchases.c.cancelled_at > said.cancelled_at)
        mine = (purchases.c.subscription_id == said.subscription_id, paid_later)
        tx.connection.execute(update(purchases).where(*mine).values(cancelled_at=said.cancelled_at))


def _known_as_cancelled(tx: Tx, book: Book) -> None:
    """A purchase that arrives after the word of its subscription's end carries it."""
    new = [row for row in book.purchases_new if row["subscription_id"] and row["cancelled_at"] is None]
    if not new:
        return
    named = {row["subscription_id"] for row in new}
    chosen = select(subscriptions.c.subscription_id, subscriptions.c.cancelled_at)
    ends = {r.subscription_id: r.cancelled_at for r in tx.all(chosen.where(tx.among(subscriptions.c.subscription_id, named)))}
    for row in new:
        row["cancelled_at"] = ends.get(row["subscription_id"])
