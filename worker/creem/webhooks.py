"""What Creem's webhooks say (creem-api.md, 11)."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from worker.creem.reading import Unreadable, moment, money, optional, ref, text
from worker.creem.transactions import Transaction, read_transaction
from worker.strict import Malformed, digest, loads

MAX_BYTES = 256 * 1024


def signature_holds(secret: str, body: bytes, header: str | None) -> bool:
    made = hmac.new(secret.encode(), body, sha256).hexdigest()
    return header is not None and header.isascii() and hmac.compare_digest(made, header)


@dataclass(frozen=True, slots=True)
class Charge:
    transaction_id: str | None
    order_id: str | None
    subscription_id: str | None
    customer_id: str | None
    email: str | None
    product_id: str | None
    product_kind: str | None
    request_id: str | None
    amount: int
    currency: str
    paid_at: datetime
    period_start: datetime | None
    period_end: datetime | None
    first: bool | None
    account_hint: str | None


@dataclass(frozen=True, slots=True)
class CheckoutCompleted:
    charge: Charge


@dataclass(frozen=True, slots=True)
class SubscriptionPaid:
    charge: Charge


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    subscription_id: str
    status: str
    customer_id: str | None
    cancelled_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RefundCreated:
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
    dispute_id: str
    transaction_id: str
    amount: int
    currency: str
    created_at: datetime
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class Nothing:
    event_type: str


Said = CheckoutCompleted | SubscriptionPaid | SubscriptionChanged | RefundCreated | DisputeCreated | Nothing


@dataclass(frozen=True, slots=True)
class Webhook:
    id: str
    type: str
    created_at: datetime
    mode: str | None
    said: Said
    raw: str
    sha256: str


def read_webhook(raw: bytes) -> Webhook:
    d = loads(raw, most=MAX_BYTES)
    try:
        kind, at = text(d["eventType"]), moment(d["created_at"])
        o: dict[str, Any] = d["object"]
        said: Said = _SAID[kind](o, at) if kind in _SAID else (_changed(o, at) if kind.startswith("subscription.") else Nothing(kind))
        return Webhook(text(d["id"]), kind, at, o.get("mode"), said, raw.decode(), digest(raw))
    except KeyError as missing:
        raise Malformed("missing_field", f"{missing} is missing") from None
    except (Unreadable, TypeError, AttributeError) as error:
        raise Malformed("bad_value", str(error)) from None


def _checkout(o: dict[str, Any], at: datetime) -> CheckoutCompleted:
    order, product, customer = o["order"], o.get("product"), o.get("customer")
    t = order.get("transaction")
    paid_at = moment(t["created_at"]) if isinstance(t, dict) else optional(moment, order.get("updated_at")) or at
    return CheckoutCompleted(Charge(
        ref(t), ref(order), ref(o.get("subscription")), ref(customer) or ref(order.get("customer")),
        customer.get("email") if isinstance(customer, dict) else None, ref(product),
        product.get("billing_type") if isinstance(product, dict) else None, o.get("request_id"),
        money(order.get("amount_paid") or order["amount"]), text(order["currency"]), paid_at, None, None, None,
        (o.get("metadata") or {}).get("account_id")))


def _paid(o: dict[str, Any], at: datetime) -> SubscriptionPaid:
    t, product, customer = o.get("last_transaction"), o.get("product"), o.get("customer")
    start, end = optional(moment, o.get("current_period_start_date")), optional(moment, o.get("current_period_end_date"))
    created = optional(moment, o.get("created_at"))
    paid_at = moment(t["created_at"]) if isinstance(t, dict) else optional(moment, o.get("last_transaction_date")) or at
    amount = money(t["amount_paid"]) if isinstance(t, dict) and t.get("amount_paid") else money(product["price"])
    currency = text(t["currency"]) if isinstance(t, dict) else text(product["currency"])
    first = None if start is None or created is None else abs(start - created) < timedelta(days=1)
    return SubscriptionPaid(Charge(
        ref(o.get("last_transaction_id")) or ref(t), None, text(o["id"]), ref(customer),
        customer.get("email") if isinstance(customer, dict) else None, ref(product), "recurring", None,
        amount, currency, paid_at, start, end, first, (o.get("metadata") or {}).get("account_id")))


def _changed(o: dict[str, Any], at: datetime) -> SubscriptionChanged:
    status = text(o["status"])
    updated = optional(moment, o.get("updated_at")) or at
    cancelled = optional(moment, o.get("canceled_at")) or (updated if status in {"scheduled_cancel", "canceled"} else None)
    return SubscriptionChanged(text(o["id"]), status, ref(o.get("customer")), cancelled if status in {"scheduled_cancel", "canceled"} else None, updated)


def _refund(o: dict[str, Any], at: datetime) -> RefundCreated:
    t = o["transaction"]
    checkout = o.get("checkout")
    return RefundCreated(text(o["id"]), ref(t) or "", money(o["refund_amount"]), text(o["refund_currency"]), text(o["status"]),
                         text(o.get("reason") or "other"), moment(o["created_at"]), read_transaction(t) if isinstance(t, dict) else None,
                         checkout.get("request_id") if isinstance(checkout, dict) else None)


def _dispute(o: dict[str, Any], at: datetime) -> DisputeCreated:
    return DisputeCreated(text(o["id"]), ref(o["transaction"]) or "", money(o["amount"]), text(o["currency"]), moment(o["created_at"]), ref(o.get("customer")))


_SAID: Any = {"checkout.completed": _checkout, "subscription.paid": _paid, "refund.created": _refund, "dispute.created": _dispute}
