"""The JSON documents of Creem, section by section of creem-api.md: which fields, which of the two time formats, what is null."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from worker.sandbox.creem.charges import Charge, Payment, Refund, Shown, Subscription
from worker.sandbox.creem.words import Nested

MODE = "test"
Document = dict[str, Any]

_DOCS_SPELLING = {"chargedBack": "chargeback", "partialRefund": "partially_refunded"}


def milliseconds(at: datetime) -> int:
    """Times of group A: transactions, refunds, disputes, envelopes."""
    return int(at.timestamp() * 1000)


def iso(at: datetime) -> str:
    """Times of group B: everything else."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def transaction(payment: Payment, shown: Shown, docs_spelling: bool = False) -> Document:
    """Section 4.3."""
    document: Document = {
        "id": payment.id,
        "mode": MODE,
        "object": "transaction",
        "amount": payment.amount,
        "amount_paid": payment.paid if payment.status == "paid" else None,
        "discount_amount": None,
        "currency": payment.currency,
        "type": "payment" if payment.subscription_id is None else "invoice",
        "tax_country": "DE" if payment.tax else None,
        "tax_amount": payment.tax or None,
        "status": _DOCS_SPELLING.get(shown.status, shown.status) if docs_spelling else shown.status,
        "refunded_amount": shown.refunded_amount,
        "order": payment.order_id,
        "subscription": payment.subscription_id,
        "customer": payment.customer_id,
        "description": "Credits",
        "created_at": milliseconds(payment.paid_at),
    }
    if payment.period is not None:
        document["period_start"], document["period_end"] = map(milliseconds, payment.period)
    return document


def order(payment: Payment, names_transaction: bool) -> Document:
    """Section 5. Its status never follows a refund."""
    document: Document = {
        "id": payment.order_id,
        "mode": MODE,
        "object": "order",
        "customer": payment.customer_id,
        "product": payment.product_id,
        "amount": payment.amount,
        "currency": payment.currency,
        "status": "paid",
        "type": "onetime" if payment.subscription_id is None else "recurring",
        "created_at": iso(payment.paid_at - timedelta(seconds=12)),
        "updated_at": iso(payment.paid_at),
    }
    return document | {"transaction": payment.id} if names_transaction else document


def customer(payment: Payment) -> Document:
    """Section 7."""
    since = iso(payment.paid_at - timedelta(minutes=1))
    who = {"id": payment.customer_id, "mode": MODE, "object": "customer", "email": payment.email, "name": None}
    return who | {"country": "DE" if payment.tax else "US", "created_at": since, "updated_at": since}


def product(payment: Payment) -> Document:
    """Section 9, the fields that matter."""
    recurring = payment.subscription_id is not None
    return {
        "id": payment.product_id,
        "mode": MODE,
        "object": "product",
        "name": "Credits",
        "price": payment.amount,
        "currency": payment.currency,
        "billing_type": "recurring" if recurring else "onetime",
        "billing_period": "every-month" if recurring else "once",
        "status": "active",
    }


def subscription(of: Subscription, *, expanded: bool) -> Document:
    """Section 8. Product and customer are objects in its own events and reads, ids inside other documents."""
    last, ends = of.last, of.last.period[1] if of.last.period else None
    document: Document = {
        "id": of.id,
        "mode": MODE,
        "object": "subscription",
        "product": product(last) if expanded else last.product_id,
        "customer": customer(last) if expanded else last.customer_id,
        "collection_method": "charge_automatically",
        "status": of.status,
        "last_transaction_id": last.id,
        "last_transaction_date": iso(last.paid_at),
        "canceled_at": iso(of.canceled_at) if of.canceled_at else None,
        "metadata": of.first.metadata,
        "created_at": iso(of.first.paid_at),
        "updated_at": iso(of.changed_at or of.first.paid_at),
    }
    if last.period is not None:
        document["current_period_start_date"], document["current_period_end_date"] = map(iso, last.period)
    if ends is not None and of.status != "canceled":
        document["next_transaction_date"] = iso(ends)
    return document


def checkout(payment: Payment) -> Document:
    """Section 6, as it stands inside a refund."""
    document: Document = {
        "id": payment.checkout_id,
        "mode": MODE,
        "object": "checkout",
        "status": "completed",
        "custom_fields": [],
    }
    return document | _reference(payment) | {"metadata": payment.metadata}


def completed_checkout(payment: Payment, of: Subscription | None, names_transaction: bool) -> Document:
    """The object of `checkout.completed` (11.5), with everything expanded."""
    document = checkout(payment) | {"units": 1, "product": product(payment), "customer": customer(payment)}
    document["order"] = order(payment, names_transaction)
    return document | ({"subscription": subscription(of, expanded=False)} if of is not None else {})


def refund(charge: Charge, of: Refund, after: bool, parts: Document, docs_spelling: bool) -> Document:
    """Section 3.7. The transaction inside is from before this refund, or as it reads now; it never names the customer."""
    inside = transaction(charge.payment, charge.latest if after else of.before, docs_spelling)
    del inside["customer"]
    return {
        "id": of.id,
        "mode": MODE,
        "object": "refund",
        "status": of.status,
        "refund_amount": of.amount,
        "refund_currency": charge.payment.currency,
        "reason": "requested_by_customer",
        "transaction": inside,
        **parts,
        "created_at": milliseconds(of.created_at),
    }


def dispute(charge: Charge, dispute_id: str, at: datetime, parts: Document, docs_spelling: bool) -> Document:
    """Section 11.4. No reason, no state, no deadline."""
    return {
        "id": dispute_id,
        "mode": MODE,
        "object": "dispute",
        "amount": charge.payment.paid,
        "currency": charge.payment.currency,
        "transaction": transaction(charge.payment, charge.latest, docs_spelling),
        **parts,
        "created_at": milliseconds(at),
    }


def parts_of(payment: Payment, of: Subscription | None, nested: Nested, *, expanded: bool) -> Document:
    """The optional neighbours of a refund (objects, 11.3) or a dispute (ids, 11.4), or as the switch has them."""
    if nested is Nested.MISSING:
        return {}
    parts: Document = {"customer": customer(payment), "checkout": checkout(payment)}
    if payment.order_id is not None:
        parts["order"] = order(payment, False)
    if of is not None:
        parts["subscription"] = subscription(of, expanded=False)
    return parts if expanded and nested is Nested.AS_DOCUMENTED else {name: part["id"] for name, part in parts.items()}


def page(items: Sequence[Document], number: int, size: int) -> Document:
    """One page of a list, section 2."""
    pages = -(-len(items) // size)
    pagination = {
        "total_records": len(items),
        "total_pages": pages,
        "current_page": number,
        "next_page": number + 1 if number < pages else None,
        "prev_page": number - 1 if number > 1 else None,
    }
    return {"items": list(items[(number - 1) * size : number * size]), "pagination": pagination}


def _reference(payment: Payment) -> Document:
    return {} if payment.request_id is None else {"request_id": payment.request_id}
