"""Purchases taken into the working set: one for each charge, however often and under whatever name it is told of."""

from datetime import datetime, timedelta
from typing import Any

from policy.duplicates import SHORTEST_PERIOD
from policy.facts import Billing, PurchaseKind
from policy.ledger import PostingKind
from worker.cases.book.book import Account, Book
from worker.cases.book.lots import add_lot, debit_what_waits
from worker.cases.money.told import paid_again
from worker.credits.ledger import Posting
from worker.errors import CannotProcess, Collision
from worker.intake.records import PurchaseRecord

AT_ONCE = timedelta(minutes=10)
"""So far apart two tellings may have one payment, where account, product and amount alone say that it is one."""
_NEVER_CHANGES = ("account_id", "kind", "billing", "transaction_id", "amount", "currency", "granted", "paid_at")


def take_purchase(book: Book, said: PurchaseRecord, *, supposed: bool = False) -> None:
    """Takes one purchase into the book, with its lot. Told of again it adds what was not known before, and grants nothing.

    Raises `CannotProcess` where it contradicts what is booked; what was only `supposed`, before anything was locked, gives way to
    it, and raises `Collision` where that is another account's: the unit is repeated.
    """
    row: dict[str, Any] = {
        "purchase_id": said.id,
        "account_id": said.account_id,
        "kind": said.kind.value,
        "billing": said.billing.value,
        "customer_id": said.customer_id,
        "product_id": said.product_id,
        "transaction_id": said.transaction_id,
        "request_id": said.request_id,
        "order_id": said.order_id or said.id,
        "subscription_id": said.subscription_id,
        "amount": said.amount,
        "currency": said.currency,
        "paid_at": said.paid_at,
        "cancelled_at": said.cancelled_at,
        "period_start": said.period_start,
        "period_end": said.period_end,
        "granted": said.credits,
    }
    # told of by import and by webhook, a charge may have two names, and grants once
    stands = book.purchases_known.get(said.id) or book.charges_known.get(said.transaction_id or "") or _paid_before(book, said)
    if supposed and stands is not None:
        if stands["account_id"] not in book.accounts:
            raise Collision(f"{stands['purchase_id']} became known meanwhile")
        if again := paid_again(stands["purchase_id"], stands["transaction_id"], said.transaction_id):
            raise again
        row |= {name: stands[name] for name in (*_NEVER_CHANGES, *_LEARNT_LATER) if stands[name] is not None}
    vouch(book.accounts[row["account_id"]])
    if said.transaction_id is not None and said.amount_paid:
        book.charges_paid[said.transaction_id] = said.amount_paid
    if stands is not None:
        _told_again(book, said, stands, row)
        return
    book.know(row)
    book.purchases_touched.add(said.id)
    book.purchases_new.append({**row, "remaining": said.credits, "spent": 0, "frozen": 0, "void": 0})
    if said.credits:
        book.postings.append(Posting(PostingKind.GRANT, said.id, said.credits))
        add_lot(book, said)
        debit_what_waits(book, said.account_id)


def _paid_before(book: Book, said: PurchaseRecord) -> dict[str, Any] | None:
    """The payment of a subscription that this tells of as well, where one of the two tellings names no transaction: webhooks name
    it by that, histories by an order, which all months may carry. None where what is booked is another payment.
    """
    known = book.subscribed.get(said.account_id, {}).values() if said.kind is PurchaseKind.SUBSCRIPTION else ()
    alike = [stands for stands in known if _may_be(book, said, stands)]
    return min(alike, key=lambda stands: abs(said.paid_at - stands["paid_at"]), default=None)


def _may_be(book: Book, said: PurchaseRecord, stands: dict[str, Any]) -> bool:
    one_names_none = (said.transaction_id is None) is not (stands["transaction_id"] is None)
    products = {stands["product_id"], said.product_id} - {None}
    if not one_names_none or stands["currency"] != said.currency or len(products) > 1:
        return False
    booked = {stands["amount"], stands.get("amount_paid"), book.charges_paid.get(stands["transaction_id"] or "")} - {None}
    told, apart = {said.amount, said.amount_paid} - {None}, abs(said.paid_at - stands["paid_at"])
    if {said.billing.value, stands["billing"]} != {Billing.FIRST.value}:
        # of later months the order says nothing, and each is billed once
        alike = _begin_together(said.period_start, stands["period_start"])
        return alike and apart < SHORTEST_PERIOD and not booked.isdisjoint(told)
    orders = {stands["order_id"] or stands["purchase_id"], said.order_id or said.id}
    if orders & {stands["transaction_id"], said.transaction_id}:
        # Creem's word of a payment may name no order
        return apart < AT_ONCE and not booked.isdisjoint(told)
    # tax may be in one of the amounts; a trial's invoice is of the same order, and costs nothing
    return len(orders) == 1 and apart < SHORTEST_PERIOD and (0 in booked) is (0 in told)


def _begin_together(one: datetime | None, other: datetime | None) -> bool:
    """True of periods that begin at once, as far as both are known."""
    return one is not None and other is not None and abs(one - other) < AT_ONCE


_LEARNT_LATER = ("transaction_id", "request_id", "subscription_id", "cancelled_at", "period_start", "period_end")
_LEARNT_ONCE = ("customer_id", "product_id")
"""Whose charge it is and for what: what was learnt of these stays."""


def _told_again(book: Book, said: PurchaseRecord, stands: dict[str, Any], row: dict[str, Any]) -> None:
    same_name = stands["purchase_id"] == said.id
    # under another name only what makes it another charge counts
    fixed = _NEVER_CHANGES if same_name else ("account_id", "currency", "granted")
    unsaid = {name for name in ("transaction_id",) if stands[name] is None or row[name] is None}
    if row["amount"] in {stands.get("amount_paid"), book.charges_paid.get(stands["transaction_id"] or "")}:
        # a history may name what was paid, where a webhook told of the price
        unsaid.add("amount")
    differs = [name for name in fixed if name not in unsaid and stands[name] != row[name]]
    if differs:
        why = f"purchase {said.id} is already booked as {stands['purchase_id']} with another {', '.join(differs)}; "
        why += "a purchase never changes"
        if differs == ["amount"] and stands.get("amount_paid") is None:
            why += (
                ". If this is what was paid, and not the price: run `refunds reconcile`, which reads it, then requeue the letter"
            )
        raise CannotProcess("conflicting_purchase", why)
    later = {name: row[name] for name in _LEARNT_LATER if row[name] is not None}
    later |= {name: row[name] for name in _LEARNT_ONCE if stands[name] is None and row[name] is not None}
    if stands["order_id"] in {None, stands["purchase_id"]} and row["order_id"] != stands["order_id"]:
        later["order_id"] = row["order_id"]
    if any(stands[name] != value for name, value in later.items()):
        stands.update(later)
        book.know(stands)
        kept = ("purchase_id", "order_id", *_LEARNT_LATER, *_LEARNT_ONCE)
        book.purchases_changed[stands["purchase_id"]] = {name: stands[name] for name in kept}
        book.purchases_touched.add(stands["purchase_id"])


def vouch(account: Account) -> None:
    """Somebody who knows the product's books names the account."""
    if not account.known:
        account.known = account.changed = True
