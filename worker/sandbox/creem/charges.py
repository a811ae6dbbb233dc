"""What Creem's books consist of: payments, what went back, what was said when."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from worker.sandbox.creem.switches import Switches

Kind = Literal["refund", "dashboard", "chargeback"]


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that left the merchant."""

    at: datetime
    transaction_id: str
    amount: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Shown:
    """What Creem says about a transaction from `at` on."""

    at: datetime
    status: str
    refunded_amount: int | None


@dataclass(frozen=True, slots=True)
class Payment:
    """What was agreed when the customer paid; `amount` is without tax."""

    id: str
    customer_id: str
    amount: int
    tax: int
    currency: str
    product_id: str
    order_id: str | None
    subscription_id: str | None
    checkout_id: str
    request_id: str | None
    email: str
    metadata: dict[str, Any]
    paid_at: datetime
    known_at: datetime
    period: tuple[datetime, datetime] | None
    renewal: bool
    status: str = "paid"

    @property
    def paid(self) -> int:
        """What the customer paid, tax included."""
        return self.amount + self.tax


@dataclass(slots=True)
class Refund:
    """One time money goes back, or was to go back."""

    id: str
    kind: Kind
    amount: int
    status: str
    created_at: datetime
    switches: Switches
    before: Shown
    shown: bool = False
    moved: bool = False
    over: bool = False

    @property
    def open(self) -> bool:
        """Whether its end is still to come."""
        return not self.over


@dataclass(slots=True)
class Charge:
    """A payment and what became of it."""

    payment: Payment
    history: list[Shown]
    refunds: list[Refund] = field(default_factory=list)
    disputed_at: datetime | None = None

    @property
    def latest(self) -> Shown:
        """What Creem's own books say now."""
        return self.history[-1]

    @property
    def left(self) -> int:
        """What may still be given back; money on its way counts as gone."""
        return max(0, self.payment.paid - sum(refund.amount for refund in self.refunds if refund.open or refund.moved))

    def seen(self, until: datetime) -> Shown:
        """What was true at that time, or when it was paid if that is later."""
        return next((shown for shown in reversed(self.history) if shown.at <= until), self.history[0])


@dataclass(slots=True)
class Subscription:
    """A subscription, by its last payment."""

    id: str
    first: Payment
    last: Payment
    status: str = "active"
    canceled_at: datetime | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class News:
    """Something Creem tells by webhook, told while the lock is held: what it points at is as it was at that moment."""

    at: datetime
    kind: str
    charge: Charge
    refund: Refund | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A refund answered with 200; whether money moved is in the ledger."""

    word: str
    refund_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A refund answered with 400."""

    message: str
