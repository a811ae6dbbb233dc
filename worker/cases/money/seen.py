"""What was read of a charge at Creem is booked, and what follows from it for its purchase happens, in one transaction."""

from datetime import datetime

from worker.cases.book.locks import lock_account
from worker.cases.book.woken import wake_about_orders
from worker.cases.money import charges
from worker.cases.money.settle import Settler
from worker.creem.transactions import Transaction
from worker.errors import Collision
from worker.store.bulk import Tx


def book(tx: Tx, seen: Transaction, settler: Settler, now: datetime) -> bool:
    """Keeps what was read, behind the lock of the account; True when something is known now that was not. Raises `Collision`
    where the purchase came in between our look and the lock of the charge: the unit is repeated.
    """
    purchase = charges.purchase_of(tx, seen.id)
    if purchase is not None:
        lock_account(tx, purchase.account_id)
    changed = charges.observe(tx, seen, now)
    if changed and purchase is None and charges.purchase_of(tx, seen.id) is not None:
        # it was settled on what was known before
        raise Collision(f"the purchase of {seen.id} came in meanwhile")
    if changed and purchase is not None:
        wake_about_orders(tx, [purchase.account_id], now)
        settler.settle(tx, [purchase.purchase_id], now)
    return changed
