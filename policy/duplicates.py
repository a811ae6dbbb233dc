"""Which charges were made twice (policy.md, "Duplicate charge")."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from policy.facts import PurchaseFacts
from policy.terms import Terms

SHORTEST_PERIOD = timedelta(hours=23)
"""No subscription bills for less than a day, and the day on which clocks are put forward has 23 hours."""


def find_duplicates(
    charges: Sequence[PurchaseFacts], terms_at: Callable[[datetime], Terms], meant: Collection[str] = ()
) -> dict[str, PurchaseFacts]:
    """Each charge that is a duplicate, by purchase id, with the earlier charge that stays valid: n charges give n-1.
    Each is judged by the edition in force when it was paid (policy.md, "A new edition of the policy").

    A charge is compared with the last one that stays, never with its neighbour. So a chain of charges, each within a day of the
    last, is no duplicate as a whole, and which charges are duplicates does not depend on the order in which refunds are made. A
    charge that is `meant` (by purchase id: a person let it stand) stays too, and what follows may be a duplicate of it. A charge
    that was given back, is disputed, or was never paid is neither a duplicate nor one that stays.
    """
    found: dict[str, PurchaseFacts] = {}
    stays: list[PurchaseFacts] = []
    for charge in sorted(filter(stands, charges), key=lambda each: (each.paid_at, each.purchase_id)):
        window = timedelta(hours=terms_at(charge.paid_at).duplicate_window_hours)
        first = _last_within(window, charge, stays)
        if first is not None:
            found[charge.purchase_id] = first
        if first is None or charge.purchase_id in meant:
            stays.append(charge)
    return found


def earlier_of(
    charge: PurchaseFacts,
    charges: Sequence[PurchaseFacts],
    terms_at: Callable[[datetime], Terms],
    meant: Collection[str] = (),
) -> PurchaseFacts | None:
    """The charge that this one would be a duplicate of if it stood itself: were it not disputed, and had none of it gone back."""
    stood = replace(charge, disputed=False, refunded_amount=0)
    others = [each for each in charges if each.purchase_id != charge.purchase_id]
    return find_duplicates([*others, stood], terms_at, meant).get(charge.purchase_id)


def _last_within(window: timedelta, charge: PurchaseFacts, stays: Sequence[PurchaseFacts]) -> PurchaseFacts | None:
    """The last charge for the same thing that stays and is no further away than that; `stays` by time of payment."""
    for first in reversed(stays):
        if charge.paid_at - first.paid_at > window:
            break
        if same_thing(charge, first):
            return first
    return None


def same_thing(one: PurchaseFacts, other: PurchaseFacts) -> bool:
    """True where both charges are of the same customer, product, amount and currency, none of these is unknown, and neither is
    known to be for a later billing period than the other.
    """
    if one.customer_id is None or one.product_id is None:
        return False
    return _named(one) == _named(other) and _same_amount(one, other) and not _other_period(one, other)


def same_things(charges: Sequence[PurchaseFacts]) -> Callable[[PurchaseFacts], Sequence[PurchaseFacts]]:
    """Gives for each of these charges, when asked, all of them for the same thing, itself among them, as they are ordered here.

    What is alike in all that makes two charges the same, as most of an account are, is compared once.
    """
    found: dict[tuple[object, ...], list[PurchaseFacts]] = {}

    def same(charge: PurchaseFacts) -> Sequence[PurchaseFacts]:
        alike = *_named(charge), charge.amount, charge.price, _period(charge)
        if alike not in found:
            found[alike] = [each for each in charges if same_thing(charge, each)]
        # what is the same as nothing, as where the product is not known, is not even as itself
        return found[alike] or [charge]

    return same


def amounts_differ(one: PurchaseFacts, other: PurchaseFacts) -> bool:
    """True where another amount is known to have been paid for each, as by another tax or discount on the same price."""
    return one.price is not None and other.price is not None and one.amount != other.amount


def _named(charge: PurchaseFacts) -> tuple[object, ...]:
    return charge.customer_id, charge.product_id, charge.currency


def _other_period(one: PurchaseFacts, other: PurchaseFacts) -> bool:
    """True where both billing periods are known and have no time in common: a daily renewal is charged every 24 hours, and for
    another day each time. Two subscriptions that were begun seconds apart are paid twice for all the time but those.
    """
    mine, others = _period(one), _period(other)
    if mine is None or others is None:
        return False
    return mine[1] <= others[0] or others[1] <= mine[0]


def _period(charge: PurchaseFacts) -> tuple[datetime, datetime] | None:
    begins, ends = charge.period_start, charge.period_end
    if begins is None:
        return None
    # an end that is not after the beginning is none
    return begins, ends if ends is not None and begins < ends else begins + SHORTEST_PERIOD


def _same_amount(one: PurchaseFacts, other: PurchaseFacts) -> bool:
    """Price is compared with price and what was paid with what was paid; where one charge is known by a single amount, which may
    be either, that one is compared with both of the other's.
    """
    if one.price is not None and other.price is not None:
        return one.price == other.price or one.amount == other.amount
    return bool({one.amount, one.price} & {other.amount, other.price} - {None})


def stands(charge: PurchaseFacts) -> bool:
    """True where the charge was paid and holds its money: neither disputed nor gone back whole."""
    return charge.amount > 0 and not charge.disputed and not charge.given_back
