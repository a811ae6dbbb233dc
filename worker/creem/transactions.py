"""A transaction as Creem shows it (creem-api.md, 4.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from worker.creem.reading import Unreadable, currency, moment, money, optional, ref, text

T = TypeVar("T")
PAID, PARTLY, REFUNDED, CHARGED_BACK = "paid", "partialRefund", "refunded", "chargedBack"
_SPELT = {"chargeback": CHARGED_BACK, "partially_refunded": PARTLY}
"""What the documentation writes where the schema writes otherwise."""
AS_CHARGED_BACK, AS_PARTLY = (
    (schema, *(word for word, meant in _SPELT.items() if meant == schema)) for schema in (CHARGED_BACK, PARTLY)
)
"""All the words for each."""
TELLS_OF_REFUNDS = {PAID, PARTLY, REFUNDED}
"""Words beside which what is missing went back by refund. Beside any other, known or not, a bank may have it."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One charge. Money in minor units; `amount` is the price before tax, `amount_paid` what the customer paid with tax.

    `status` is in the schema's spelling, and any word may stand there: nothing is sent back for one that is not known.
    """

    id: str
    mode: str
    amount: int
    amount_paid: int | None
    currency: str
    status: str
    status_verbatim: str
    refunded_amount: int
    order: str | None = None
    customer: str | None = None
    created_at: datetime | None = None

    @property
    def remaining(self) -> int | None:
        """What can still go back, never below zero; None where Creem does not say what was paid, or says 0."""
        return max(0, self.amount_paid - self.refunded_amount) if self.amount_paid else None

    @property
    def cost_nothing(self) -> bool:
        """True where nothing was paid for it, as for a trial, whatever its price is (creem-api.md, 4.3)."""
        return self.status == PAID and self.amount_paid == 0

    @property
    def refunded_whole(self) -> bool:
        """True when Creem shows that everything went back to the customer by refund."""
        return self.status == REFUNDED or (self.remaining == 0 and self.tells_of_refunds)

    @property
    def tells_of_refunds(self) -> bool:
        """True where `refunded_amount` is what refunds gave back; else a person has to find out what it is."""
        return self.status in TELLS_OF_REFUNDS

    @property
    def chargeback(self) -> bool:
        """True when it was lost to a dispute: a refund beside it would pay twice."""
        return self.status == CHARGED_BACK


def read_transaction(document: object) -> Transaction:
    """The transaction that a JSON value is; fields that nothing is decided by are passed over, whatever stands there. Raises
    `Unreadable` alone, for one that is used and cannot be meant.
    """
    if not isinstance(document, dict):
        raise Unreadable("a transaction is expected to be an object")

    def of(name: str, read: Callable[[object], T]) -> T:
        try:
            return read(document.get(name))
        except Unreadable as fault:
            raise Unreadable(f"transaction {_named(document)}, {name}: {fault}") from None

    def may(read: Callable[[object], T]) -> Callable[[object], T | None]:
        return lambda value: optional(read, value)

    status = of("status", text)
    return Transaction(
        id=of("id", text),
        mode=of("mode", text),
        amount=of("amount", money),
        amount_paid=of("amount_paid", may(money)),
        currency=of("currency", _currency),
        status=spelt(status),
        status_verbatim=status,
        refunded_amount=of("refunded_amount", may(money)) or 0,
        order=of("order", ref),
        customer=of("customer", ref),
        created_at=of("created_at", may(moment)),
    )


def spelt(status: str) -> str:
    """Creem's word for where a charge stands, as the schema spells it."""
    return _SPELT.get(status, status)


def _currency(value: object) -> str:
    word = currency(value)
    if len(word) != 3 or not (word.isascii() and word.isalpha()):
        raise Unreadable(f"{word[:20]} is no currency; three letters of ISO 4217 are expected")
    return word


def _named(document: dict[object, object]) -> str:
    try:
        return text(document.get("id"))
    except Unreadable:
        return "without an id"
