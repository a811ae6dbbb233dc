"""What Creem's webhooks say (creem-api.md, 11): bytes in, one frozen thing said out, and nothing believed about its order.

The reading depends on the bytes alone. Unknown events and fields are passed over; a known event that cannot be read is
`Malformed` with the place in it.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from worker.creem.reading import Unreadable, currency, id_of, moment, money, ref, text, units
from worker.creem.said import (
    CheckoutCompleted,
    DisputeCreated,
    Nothing,
    RefundCreated,
    Said,
    SubscriptionChanged,
    SubscriptionPaid,
    ToldCharge,
)
from worker.creem.transactions import read_transaction
from worker.strict import Malformed, digest, loads

T = TypeVar("T")
MAX_BYTES = 256 * 1024
ABOUT = timedelta(days=1)
"""Of two ends of periods that are so close to each other, both are the same moment."""
ENDED = {"scheduled_cancel", "canceled"}


def signature_holds(secret: str, body: bytes, header: str | None) -> bool:
    """True when `header` is the HMAC-SHA256 of the raw body under the secret, in lower-case hex. In constant time."""
    made = hmac.new(secret.encode(), body, sha256).hexdigest()
    return header is not None and header.isascii() and hmac.compare_digest(made, header)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One delivery. `id` is Creem's event id: the same event may be delivered any number of times."""

    id: str
    type: str
    created_at: datetime
    mode: str | None
    said: Said
    raw: str
    sha256: str


def read_webhook(raw: bytes) -> Webhook:
    """What the bytes say. Raises `Malformed` naming the place and what would be right, and nothing else."""
    event = _Part(loads(raw, most=MAX_BYTES), "")
    type_, named = event.of("eventType", text), _Named(event.of("id", text), event.of("created_at", moment))
    said = event.part("object")
    reader = _READERS.get(type_) or (_changed if type_.startswith("subscription.") else None)
    return Webhook(
        id=named.id,
        type=type_,
        created_at=named.at,
        mode=said.may("mode", text),
        said=reader(said, named) if reader is not None else Nothing(),
        raw=raw.decode(),
        sha256=digest(raw),
    )


@dataclass(frozen=True, slots=True)
class _Named:
    """What the event around the object stands in for where the object does not say it itself."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _Part:
    """One object of the document, and where it stands."""

    document: dict[str, Any]
    at: str

    def of(self, name: str, read: Callable[[object], T]) -> T:
        if self.document.get(name) is None:
            raise Malformed("missing_field", f"{self.at}{name} is missing")
        return self._read(name, read)

    def may(self, name: str, read: Callable[[object], T]) -> T | None:
        return None if self.document.get(name) is None else self._read(name, read)

    def part(self, name: str) -> "_Part":
        found = self.document.get(name)
        if not isinstance(found, dict):
            raise Malformed("missing_field" if found is None else "bad_value", f"{self.at}{name}: an object is expected")
        return _Part(found, f"{self.at}{name}.")

    def maybe(self, name: str) -> "_Part":
        """The object there; an empty one where only an id stands, or nothing."""
        found = self.document.get(name)
        return _Part(found if isinstance(found, dict) else {}, f"{self.at}{name}.")

    def _read(self, name: str, read: Callable[[object], T]) -> T:
        try:
            return read(self.document.get(name))
        except Unreadable as fault:
            raise Malformed("bad_value", f"{self.at}{name}: {fault}") from None


def _checkout(said: _Part, event: _Named) -> CheckoutCompleted:
    order, customer = said.part("order"), said.maybe("customer")
    transaction = order.maybe("transaction")
    paid_at = transaction.may("created_at", moment) or order.may("updated_at", moment) or order.may("created_at", moment)
    paid = _paid_amount(transaction, order)
    charge = ToldCharge(
        transaction_id=order.may("transaction", ref),
        order_id=order.of("id", text),
        subscription_id=said.may("subscription", ref),
        customer_id=said.may("customer", ref) or order.may("customer", ref),
        email=customer.may("email", text),
        product_id=said.may("product", ref) or order.may("product", ref),
        request_id=said.may("request_id", text),
        amount=0 if paid == 0 else order.of("amount", money),
        amount_paid=paid,
        currency=order.of("currency", currency),
        paid_at=paid_at or event.at,
        period_start=None,
        period_end=None,
        first=True,
        units=said.may("units", units) or 1,
        account_hint=said.maybe("metadata").may("account_id", text),
    )
    return CheckoutCompleted(charge)


def _paid(said: _Part, event: _Named) -> SubscriptionPaid:
    transaction, product, customer = said.maybe("last_transaction"), said.maybe("product"), said.maybe("customer")
    begins, created = said.may("current_period_start_date", moment), said.may("created_at", moment)
    paid_at = transaction.may("created_at", moment) or said.may("last_transaction_date", moment)
    price, paid, of_it = transaction.may("amount", money), _paid_amount(transaction), _units(said)
    if paid == 0:
        price = 0
    elif price is None:
        # a product's price is that of one unit
        price = product.of("price", lambda value: money(money(value) * of_it))
    charge = ToldCharge(
        transaction_id=said.may("last_transaction_id", ref) or said.may("last_transaction", ref),
        order_id=transaction.may("order", ref),
        subscription_id=said.of("id", text),
        customer_id=said.may("customer", ref),
        email=customer.may("email", text),
        product_id=said.may("product", ref),
        request_id=None,
        amount=price,
        amount_paid=paid,
        currency=transaction.may("currency", currency) or product.of("currency", currency),
        paid_at=paid_at or event.at,
        period_start=begins,
        period_end=said.may("current_period_end_date", moment),
        # a period that begins later may be the one after a trial, or a change of plan: it is no renewal for that alone
        first=begins is not None and created is not None and abs(begins - created) < ABOUT,
        units=of_it,
        account_hint=said.maybe("metadata").may("account_id", text),
    )
    return SubscriptionPaid(charge)


def _units(said: _Part) -> int:
    """How many of its product a subscription is for. Where it has several items it names one product, and the most counts."""
    items = said.document.get("items")
    listed = [_Part(item, f"{said.at}items.") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return max([item.may("units", units) or 1 for item in listed], default=1)


def _paid_amount(*parts: _Part) -> int | None:
    """What the customer paid, tax included, by the first part that says it: 0 is an amount (creem-api.md, 4.3)."""
    said = (part.may("amount_paid", money) for part in parts)
    return next((amount for amount in said if amount is not None), None)


def _changed(said: _Part, event: _Named) -> SubscriptionChanged:
    status, updated_at = said.of("status", text), said.may("updated_at", moment) or event.at
    # `canceled_at` may be set while the subscription goes on (creem-api.md, 8): the status decides
    cancelled_at = (said.may("canceled_at", moment) or updated_at) if status in ENDED else None
    return SubscriptionChanged(said.of("id", text), status, said.may("customer", ref), cancelled_at, updated_at)


def _refund(said: _Part, event: _Named) -> RefundCreated:
    whole = isinstance(said.document.get("transaction"), dict)
    return RefundCreated(
        refund_id=said.of("id", text),
        transaction_id=said.of("transaction", id_of),
        amount=said.of("refund_amount", money),
        currency=said.of("refund_currency", currency),
        status=said.of("status", text),
        reason=said.may("reason", text) or "other",
        created_at=said.may("created_at", moment) or event.at,
        transaction=said.may("transaction", read_transaction) if whole else None,
        request_id=said.maybe("checkout").may("request_id", text),
    )


def _dispute(said: _Part, event: _Named) -> DisputeCreated:
    """Holds its charge whatever else of it cannot be read: stopping costs nothing."""
    transaction_id, unread = said.of("transaction", id_of), list[str]()

    def try_(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Malformed as fault:
            unread.append(str(fault))
            return None

    return DisputeCreated(
        # after its event, and not its charge: the next one of that charge whose name cannot be read is another dispute
        dispute_id=try_(lambda: said.of("id", text)) or f"unnamed:{event.id}",
        transaction_id=transaction_id,
        amount=try_(lambda: said.of("amount", money)),
        currency=try_(lambda: said.of("currency", currency)),
        created_at=try_(lambda: said.may("created_at", moment) or event.at) or event.at,
        customer_id=try_(lambda: said.may("customer", ref)),
        amount_paid=try_(lambda: _paid_amount(said.maybe("transaction"))),
        unread=tuple(unread),
    )


_READERS: dict[str, Callable[[_Part, _Named], Said]] = {
    "checkout.completed": _checkout,
    "subscription.paid": _paid,
    "refund.created": _refund,
    "dispute.created": _dispute,
}
