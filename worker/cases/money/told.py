"""What Creem's webhooks mean in our books: whose account, which purchase, how many credits.

A webhook names a product and a customer, never an account of ours or its credits. Both are looked up in what we already know; a
charge that cannot be placed goes to the dead letters with what to do, and comes back from there by `refunds dead requeue`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_, select

from policy.facts import Billing, PurchaseKind
from policy.words import listed
from worker.cases.money.ends import payers
from worker.creem.said import CheckoutCompleted, DisputeCreated, RefundCreated, SubscriptionChanged, SubscriptionPaid, ToldCharge
from worker.creem.webhooks import ABOUT, Webhook
from worker.errors import CannotProcess
from worker.intake.records import PurchaseRecord
from worker.store.bulk import Tx
from worker.store.tables import accounts, charges, purchases

OF_LATE = 100
"""Purchases of a product among which one at the same price is looked for."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where one webhook belongs: its account and purchase if it is a charge, the account of the charge or of the ended
    subscription it is about if we have a purchase of that. `fault` says why it cannot be placed.
    """

    account_id: str | None = None
    purchase: PurchaseRecord | None = None
    fault: CannotProcess | None = None
    beside: tuple[str, ...] = ()
    """Other accounts that paid the same subscription."""


def place(tx: Tx, webhooks: Mapping[int, Webhook]) -> dict[int, Placed]:
    """Each webhook, by inbox row, with where it belongs. Reads only; nothing is locked yet."""
    paid = {
        row_id: hook.said.charge
        for row_id, hook in webhooks.items()
        if isinstance(hook.said, CheckoutCompleted | SubscriptionPaid)
    }
    about = {
        row_id: hook.said.transaction_id
        for row_id, hook in webhooks.items()
        if isinstance(hook.said, RefundCreated | DisputeCreated)
    }
    ended = {
        row_id: hook.said.subscription_id
        for row_id, hook in webhooks.items()
        if isinstance(hook.said, SubscriptionChanged) and hook.said.cancelled_at is not None
    }
    theirs = payers(tx, purchases.c.subscription_id, ended.values())
    known = _purchases(tx, {c.transaction_id for c in paid.values() if c.transaction_id} | set(about.values()))
    placed = {row_id: Placed() for row_id in webhooks}
    for row_id, transaction_id in about.items():
        row = known.get(transaction_id)
        placed[row_id] = Placed(account_id=row.account_id if row is not None else None)
    for row_id, subscription_id in ended.items():
        owners = theirs.get(subscription_id, [])
        placed[row_id] = Placed(account_id=owners[0] if owners else None, beside=tuple(owners[1:]))
    if paid:
        books = _Books.read(tx, list(paid.values()))
        for row_id, charge in paid.items():
            placed[row_id] = _place(charge, webhooks[row_id], books, known)
    return placed


@dataclass(frozen=True, slots=True)
class _Books:
    """What is known that can place a charge."""

    by_customer: dict[str, list[str]]
    by_subscription: dict[str, list[str]]
    by_email: dict[str, list[str]]
    known_accounts: set[str]
    granted: dict[ToldCharge, tuple[str, int]]
    """What each charge bought and how many credits that grants, where it is known."""
    orders: dict[str, Row[Any]]
    periods: list["_Period"]

    @classmethod
    def read(cls, tx: Tx, paid: Sequence[ToldCharge]) -> "_Books":
        """Reads it for these charges."""
        p, a = purchases.c, accounts.c
        emails = {c.email.lower() for c in paid if c.email}
        hints = {c.account_hint for c in paid if c.account_hint}
        sold = {row.product_id: row for row in _newest(tx, {c.product_id for c in paid if c.product_id})}
        mailed: dict[str, list[str]] = {}
        for row in tx.all(select(a.email, a.account_id).where(tx.among(func.lower(a.email, type_=a.email.type), emails))):
            mailed.setdefault(row.email.lower(), []).append(row.account_id)
        orders = tx.all(select(purchases).where(tx.among(p.order_id, {c.order_id for c in paid if c.order_id})))
        return cls(
            by_customer=payers(tx, p.customer_id, {c.customer_id for c in paid if c.customer_id}),
            by_subscription=payers(tx, p.subscription_id, {c.subscription_id for c in paid if c.subscription_id}),
            by_email=mailed,
            known_accounts={row.account_id for row in tx.all(select(a.account_id).where(tx.among(a.account_id, hints)))},
            granted={charge: (like.kind, like.granted) for charge in paid if (like := _alike(tx, charge, sold)) is not None},
            orders={row.order_id: row for row in orders},
            periods=_paid_periods(tx, paid),
        )


@dataclass(frozen=True, slots=True)
class _Period:
    """A time for which a subscription was paid. A purchase from an import names its customer and no subscription."""

    subscription_id: str | None
    customer_id: str | None
    product_id: str | None
    begins: datetime
    ends: datetime

    def goes_on_with(self, charge: ToldCharge) -> bool:
        """True where the charge is for the same, from the moment on at which this was over."""
        if charge.period_start is None or self.product_id != charge.product_id:
            return False
        imported = self.subscription_id is None
        same = self.customer_id == charge.customer_id if imported else self.subscription_id == charge.subscription_id
        return same and self.begins < charge.period_start and abs(charge.period_start - self.ends) < ABOUT


def _place(charge: ToldCharge, hook: Webhook, books: _Books, known: Mapping[str, Row[Any]]) -> Placed:
    stands = known.get(charge.transaction_id or "")
    if stands is None and charge.order_id is not None and not charge.subscription_id:
        stands = books.orders.get(charge.order_id)
    if stands is not None:
        if again := paid_again(stands.purchase_id, stands.transaction_id, charge.transaction_id):
            return Placed(stands.account_id, fault=again)
        return Placed(stands.account_id, _as_booked(charge, hook, stands))
    if charge.subscription_id and charge.transaction_id is None:
        # the checkout of a subscription names no charge; its `subscription.paid` does, and brings the purchase
        return Placed()
    fitting = _accounts(charge, books)
    if len(fitting) != 1:
        return Placed(fault=_no_one_account(charge, fitting))
    [account_id] = fitting
    product = books.granted.get(charge)
    if product is None:
        units = "" if charge.units == 1 else f"{charge.units} units of "
        detail = f"nobody bought {units}product {charge.product_id} before, so what it grants is not known; import this purchase"
        return Placed(fault=CannotProcess("unknown_product", detail))
    renewed = not charge.first and any(period.goes_on_with(charge) for period in books.periods)
    return Placed(account_id, _record(charge, hook, account_id, Billing.RENEWAL if renewed else Billing.FIRST, *product))


def _accounts(charge: ToldCharge, books: _Books) -> list[str]:
    """Whose the charge may be: the account that it names; else its customer's, of several the one that has its subscription, or
    its address; else the one with its address. None, or several, where nothing says which one it is.
    """
    if charge.account_hint is not None and charge.account_hint in books.known_accounts:
        return [charge.account_hint]
    addressed = books.by_email.get((charge.email or "").lower(), [])
    owned = books.by_customer.get(charge.customer_id or "", [])
    if len(owned) <= 1:
        return owned or addressed
    subscribed = books.by_subscription.get(charge.subscription_id or "", [])
    narrowed = ([account_id for account_id in owned if account_id in those] for those in (subscribed, addressed))
    return next((named for named in narrowed if named), owned)


def _no_one_account(charge: ToldCharge, fitting: Sequence[str]) -> CannotProcess:
    who = f"customer {charge.customer_id}"
    if not fitting:
        return CannotProcess("unknown_customer", f"{who} belongs to no account we know; import it, then requeue")
    several = f"{who} may be any of {listed(fitting)}, and nothing says for which of them was paid"
    return CannotProcess("several_accounts", f"{several}; import this purchase, then requeue")


def _record(charge: ToldCharge, hook: Webhook, account_id: str, billing: Billing, kind: str, credits: int) -> PurchaseRecord:
    # a renewal makes no order: its charge names it
    name = charge.order_id if charge.order_id and not charge.subscription_id else charge.transaction_id
    if name is None:
        raise CannotProcess("missing_field", "the charge names neither order nor transaction")
    return PurchaseRecord(
        id=name,
        account_id=account_id,
        kind=PurchaseKind.SUBSCRIPTION if charge.subscription_id else PurchaseKind(kind),
        billing=billing,
        amount=charge.amount,
        currency=charge.currency,
        credits=credits,
        paid_at=charge.paid_at,
        customer_id=charge.customer_id,
        product_id=charge.product_id,
        transaction_id=charge.transaction_id,
        request_id=charge.request_id,
        cancelled_at=None,
        period_start=charge.period_start,
        period_end=charge.period_end,
        raw=hook.raw,
        sha256=hook.sha256,
        order_id=charge.order_id,
        subscription_id=charge.subscription_id,
        amount_paid=charge.amount_paid,
    )


def paid_again(purchase_id: str, booked: str | None, told: str | None) -> CannotProcess | None:
    """Why a person has what Creem tells of an order that is booked with another transaction: it may be a second payment, or the
    first one's name may be wrong. None where both are the same, or one is not known.
    """
    if told is None or booked in {None, told}:
        return None
    why = f"{purchase_id} is booked with transaction {booked}, and Creem tells of {told} for the same order"
    do = "find both in Creem's dashboard; where both were paid, import the second as a purchase of its own, then requeue"
    return CannotProcess("conflicting_purchase", f"{why}; {do}")


def _as_booked(charge: ToldCharge, hook: Webhook, stands: Row[Any]) -> PurchaseRecord:
    """The charge as it is booked already, with what the webhook adds: what is booked never changes."""
    return PurchaseRecord(
        id=stands.purchase_id,
        account_id=stands.account_id,
        kind=PurchaseKind(stands.kind),
        billing=Billing(stands.billing),
        amount=stands.amount,
        currency=stands.currency,
        credits=stands.granted,
        paid_at=stands.paid_at,
        customer_id=stands.customer_id or charge.customer_id,
        product_id=stands.product_id or charge.product_id,
        transaction_id=stands.transaction_id or charge.transaction_id,
        request_id=stands.request_id or charge.request_id,
        cancelled_at=None,
        period_start=stands.period_start or charge.period_start,
        period_end=stands.period_end or charge.period_end,
        raw=hook.raw,
        sha256=hook.sha256,
        order_id=charge.order_id,
        subscription_id=charge.subscription_id,
        amount_paid=charge.amount_paid,
    )


def _paid_periods(tx: Tx, paid: Sequence[ToldCharge]) -> list[_Period]:
    """Periods that were paid for, of what these charges may go on with: booked ones, and those of the charges themselves."""
    p = purchases.c
    later = [charge for charge in paid if charge.subscription_id is not None and not charge.first]
    if not later:
        return []
    subscribed = tx.among(p.subscription_id, {charge.subscription_id for charge in later})
    imported = and_(p.subscription_id.is_(None), tx.among(p.customer_id, {c.customer_id for c in later if c.customer_id}))
    # what a trial's invoice says of a period was not paid for, and its webhook may name the list price alone
    held_money = p.amount > 0, or_(charges.c.amount_paid.is_(None), charges.c.amount_paid > 0)
    whole = p.kind == PurchaseKind.SUBSCRIPTION.value, p.period_start.is_not(None), p.period_end.is_not(None)
    chosen = select(p.subscription_id, p.customer_id, p.product_id, p.period_start, p.period_end)
    joined = chosen.outerjoin(charges, charges.c.transaction_id == p.transaction_id)
    booked = tx.all(joined.where(or_(subscribed, imported), *held_money, *whole))
    return [_Period(r.subscription_id, r.customer_id, r.product_id, r.period_start, r.period_end) for r in booked] + [
        _Period(charge.subscription_id, charge.customer_id, charge.product_id, charge.period_start, charge.period_end)
        for charge in paid
        if charge.subscription_id is not None and charge.amount > 0 and charge.period_start and charge.period_end
    ]


def _newest(tx: Tx, product_ids: Iterable[str]) -> Sequence[Row[Any]]:
    """The newest purchase of each product, which says what it grants today: looked up one by one, for nobody knows how many
    there are.
    """
    p, own = purchases.c, purchases.alias("own").c
    given = tx.each(p.product_id, product_ids)
    newest = select(own.purchase_id).where(own.product_id == given.c.value).order_by(own.paid_at.desc()).limit(1)
    joined = select(p.product_id, p.kind, p.granted, p.amount).select_from(given)
    return tx.all(joined.join(purchases, p.purchase_id == newest.scalar_subquery()))


def _alike(tx: Tx, charge: ToldCharge, newest: Mapping[str, Row[Any]]) -> Row[Any] | None:
    """The purchase that says what the charge grants: of its product the newest at the same price, which is another for each
    number of units; where there is none, of one unit, the newest.
    """
    last, prices = newest.get(charge.product_id or ""), {charge.amount, charge.amount_paid} - {None, 0}
    if last is None or last.amount in prices:
        return last
    p = purchases.c
    chosen = select(p.kind, p.granted, p.amount, p.paid_at).where(p.product_id == charge.product_id)
    late = chosen.order_by(p.paid_at.desc()).limit(OF_LATE).subquery("late")
    same = tx.first(select(late).where(late.c.amount.in_(prices)).order_by(late.c.paid_at.desc()).limit(1)) if prices else None
    return same or (last if charge.units == 1 else None)


def _purchases(tx: Tx, transaction_ids: Iterable[str]) -> dict[str, Row[Any]]:
    named = sorted(set(transaction_ids))
    if not named:
        return {}
    return {row.transaction_id: row for row in tx.all(select(purchases).where(tx.among(purchases.c.transaction_id, named)))}
