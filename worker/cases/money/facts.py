"""Charges as the policy looks at them: the purchase, its lot, and what is known of its money."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, func, select

from policy.facts import Billing, PurchaseFacts, PurchaseKind
from worker.cases.money.charges import lost
from worker.creem.transactions import CHARGED_BACK, spelt
from worker.store.bulk import Tx
from worker.store.tables import charges, purchases


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge: its facts for the policy, and what only the worker needs."""

    facts: PurchaseFacts
    order_id: str
    refunded: int
    """What went back, by anybody's hand, of what was paid."""
    charged_back: bool = False
    """Creem showed it as charged back when it was last read: a claim would end on it."""
    behind: bool = False
    """Creem told of a refund of it, settled or not, that no read has shown yet."""

    @property
    def transaction_id(self) -> str | None:
        """Creem's transaction, where it is known."""
        return self.facts.transaction_id


def charges_of(tx: Tx, purchase_ids: Iterable[str]) -> list[Charge]:
    """These charges and all others of their customers on the same accounts, by time of payment."""
    return _beside(tx, purchase_ids, by_product=False)


def charges_for_the_same(tx: Tx, purchase_ids: Iterable[str]) -> list[Charge]:
    """These charges and all others that may be for the same thing as one of them, by time of payment: of their customers, for
    their products, on the same accounts.
    """
    return _beside(tx, purchase_ids, by_product=True)


def _beside(tx: Tx, purchase_ids: Iterable[str], *, by_product: bool) -> list[Charge]:
    p = purchases.c
    chosen = select(p.purchase_id, p.account_id, p.customer_id, p.product_id)
    named = tx.all(chosen.where(tx.among(p.purchase_id, purchase_ids)))
    of_customers = [row for row in named if row.customer_id is not None]
    alone = {row.purchase_id for row in named if row.customer_id is None}
    rows: list[Row[Any]] = []
    if of_customers:
        same = [
            tx.among(p.customer_id, {row.customer_id for row in of_customers}),
            tx.among(p.account_id, {row.account_id for row in of_customers}),
        ]
        if by_product:
            same.append(tx.among(func.coalesce(p.product_id, ""), {row.product_id or "" for row in of_customers}))
        rows += _read(tx, and_(*same))
    if alone:
        rows += _read(tx, tx.among(p.purchase_id, alone))
    return [_charge(row) for row in rows]


def named_charges(tx: Tx, purchase_ids: Collection[str]) -> list[Charge]:
    """Those of these purchases alone, by time of payment."""
    return [_charge(row) for row in _read(tx, tx.among(purchases.c.purchase_id, purchase_ids))] if purchase_ids else []


def charge_of(tx: Tx, purchase_id: str) -> Charge | None:
    """That of this purchase; None where there is none."""
    return next(iter(named_charges(tx, [purchase_id])), None)


def _read(tx: Tx, which: Any) -> Any:
    known = charges.c
    is_lost = lost(purchases.c.transaction_id).label("lost")
    chosen = select(purchases, known.refunded, known.disputed_at, known.amount_paid, known.status, known.due_at, is_lost)
    joined = chosen.outerjoin(charges, known.transaction_id == purchases.c.transaction_id).where(which)
    return tx.all(joined.order_by(purchases.c.paid_at, purchases.c.purchase_id))


def _charge(row: Row[Any]) -> Charge:
    # 0 is an amount: a trial's charge has a price, and nothing was paid for it
    paid = row.amount if row.amount_paid is None else row.amount_paid
    refunded = int(row.refunded or 0)
    facts = PurchaseFacts(
        purchase_id=row.purchase_id,
        account_id=row.account_id,
        kind=PurchaseKind(row.kind),
        billing=Billing(row.billing),
        paid_at=row.paid_at,
        amount=paid,
        price=None if row.amount_paid is None else row.amount,
        currency=row.currency,
        granted=row.granted,
        remaining=row.remaining,
        frozen=row.frozen,
        void=row.void,
        customer_id=row.customer_id,
        product_id=row.product_id,
        transaction_id=row.transaction_id,
        request_id=row.request_id,
        cancelled_at=row.cancelled_at,
        period_start=row.period_start,
        period_end=row.period_end,
        disputed=row.disputed_at is not None,
        refunded_amount=min(refunded, paid),
        lost_at_bank=row.lost,
    )
    return Charge(
        facts,
        row.order_id or row.purchase_id,
        refunded,
        charged_back=row.status is not None and spelt(row.status) == CHARGED_BACK,
        behind=row.due_at is not None,
    )
