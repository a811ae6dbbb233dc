"""What Creem can say to us by webhook, as one frozen thing each (creem-api.md, 11.2). Money in minor units, times in UTC."""

from dataclasses import dataclass
from datetime import datetime

from worker.creem.transactions import Transaction


@dataclass(frozen=True, slots=True)
class ToldCharge:
    """A charge as a webhook tells of it. `amount`: the price, which leaves out tax and discount, or 0 where nothing was paid;
    `amount_paid`: what the customer paid, where the event says so.

    `paid_at`: the transaction's own time where it is there, else the nearest one the event has. `first`: the event alone shows
    that it is no renewal; else only what was paid before can. `units`: how many of the product were
    paid for. `account_hint`: the product's own account id, if its checkout named one.
    """

    transaction_id: str | None
    order_id: str | None
    subscription_id: str | None
    customer_id: str | None
    email: str | None
    product_id: str | None
    request_id: str | None
    amount: int
    amount_paid: int | None
    currency: str
    paid_at: datetime
    period_start: datetime | None
    period_end: datetime | None
    first: bool
    units: int
    account_hint: str | None


@dataclass(frozen=True, slots=True)
class CheckoutCompleted:
    """A customer paid at a checkout."""

    charge: ToldCharge


@dataclass(frozen=True, slots=True)
class SubscriptionPaid:
    """A period of a subscription was paid."""

    charge: ToldCharge


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """Where a subscription stands, as of `updated_at`. `cancelled_at`: when it was cancelled, now or for the period's end."""

    subscription_id: str
    status: str
    customer_id: str | None
    cancelled_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RefundCreated:
    """Money goes back, by whoever asked for it. `transaction` may be a snapshot from before this refund."""

    refund_id: str
    transaction_id: str
    amount: int
    currency: str
    status: str
    reason: str
    created_at: datetime
    transaction: Transaction | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class DisputeCreated:
    """The buyer went to the bank; the money is normally gone already. `unread`: what of it could not be read; `amount_paid`: what
    the customer had paid, where the event says so.
    """

    dispute_id: str
    transaction_id: str
    amount: int | None
    currency: str | None
    created_at: datetime
    customer_id: str | None
    unread: tuple[str, ...] = ()
    amount_paid: int | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """An event that changes nothing here; it is kept."""


Said = CheckoutCompleted | SubscriptionPaid | SubscriptionChanged | RefundCreated | DisputeCreated | Nothing
"""Whatever a webhook says."""
