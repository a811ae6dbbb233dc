"""What Creem said becomes what is known of charges, inside the transaction that handles it and behind the accounts' locks."""

from worker.cases.book.book import Book
from worker.cases.money import charges
from worker.cases.money.ends import hear_ends
from worker.creem.said import DisputeCreated, RefundCreated
from worker.errors import Collision
from worker.store.bulk import Tx


def hear(tx: Tx, book: Book, can_read: bool) -> None:
    """Keeps refunds, disputes, cancellations and what was paid, and marks the purchases that money went back of as touched.

    A charge that is told of before its purchase is known is kept all the same; the purchase meets it when it comes, because both
    lock the charge's row. Raises `Collision` where a purchase came in between our look and our lock: the unit is repeated.
    """
    refunds = [hook.said for hook in book.heard if isinstance(hook.said, RefundCreated)]
    disputes = [hook.said for hook in book.heard if isinstance(hook.said, DisputeCreated)]
    told = {one.transaction_id for one in refunds} | {one.transaction_id for one in disputes}
    bought = {row["transaction_id"] for row in book.purchases_known.values() if row["purchase_id"] in book.purchases_touched}
    charges.lock(tx, told | book.charges_paid.keys() | {one for one in bought if one})
    charges.hear_paid(tx, {one.transaction_id: one.amount_paid for one in disputes if one.amount_paid} | book.charges_paid)
    if told:
        charges.hear_refunds(tx, refunds, book.now, can_read=can_read)
        charges.hear_disputes(tx, disputes, book.now)
        _touch(tx, book, told)
    hear_ends(tx, book)


def _touch(tx: Tx, book: Book, told: set[str]) -> None:
    for transaction_id in sorted(told):
        purchase = charges.purchase_of(tx, transaction_id)
        if purchase is None:
            continue
        if purchase.account_id not in book.accounts:
            raise Collision(f"{transaction_id} became known meanwhile")
        book.purchases_touched.add(purchase.purchase_id)
