"""A transaction as Creem shows it (creem-api.md, 4.3)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.creem.reading import Unreadable, moment, money, optional, ref, text

_SPELT = {"chargeback": "chargedBack", "partially_refunded": "partialRefund"}


@dataclass(frozen=True, slots=True)
class Transaction:
    """One charge. Money in minor units, tax included in `amount_paid`; `status` in the schema's spelling."""

    id: str
    mode: str
    amount: int
    amount_paid: int | None
    currency: str
    type: str
    status: str
    status_verbatim: str
    refunded_amount: int
    tax_amount: int | None = None
    discount_amount: int | None = None
    order: str | None = None
    subscription: str | None = None
    customer: str | None = None
    created_at: datetime | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None

    @property
    def remaining(self) -> int | None:
        """What can still go back; None where Creem does not say what was paid."""
        return None if not self.amount_paid else self.amount_paid - self.refunded_amount

    @property
    def refunded_whole(self) -> bool:
        """True when Creem shows that everything went back."""
        return self.status == "refunded" or bool(self.amount_paid) and self.refunded_amount >= (self.amount_paid or 0) and not self.chargeback

    @property
    def chargeback(self) -> bool:
        """True when it was lost to a dispute."""
        return self.status == "chargedBack"


def read_transaction(document: object) -> Transaction:
    """The transaction that a document is. Raises `Unreadable`."""
    if not isinstance(document, dict):
        raise Unreadable("a transaction is an object")
    d: dict[str, Any] = document
    try:
        said = text(d["status"])
        return Transaction(
            id=text(d["id"]),
            mode=text(d["mode"]),
            amount=money(d["amount"]),
            amount_paid=optional(money, d.get("amount_paid")),
            currency=text(d["currency"]),
            type=text(d.get("type") or "unknown"),
            status=_SPELT.get(said, said),
            status_verbatim=said,
            refunded_amount=optional(money, d.get("refunded_amount")) or 0,
            tax_amount=optional(money, d.get("tax_amount")),
            discount_amount=optional(money, d.get("discount_amount")),
            order=ref(d.get("order")),
            subscription=ref(d.get("subscription")),
            customer=ref(d.get("customer")),
            created_at=optional(moment, d.get("created_at")),
            period_start=optional(moment, d.get("period_start")),
            period_end=optional(moment, d.get("period_end")),
        )
    except KeyError as missing:
        raise Unreadable(f"the transaction has no {missing}") from None
