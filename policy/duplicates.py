"""Which charges were made twice (policy.md, "Duplicate charge")."""

from collections.abc import Sequence
from datetime import timedelta

from policy.facts import PurchaseFacts
from policy.terms import Terms


def find_duplicates(charges: Sequence[PurchaseFacts], terms: Terms) -> dict[str, PurchaseFacts]:
    """Each charge that is a duplicate, by purchase id, with the earlier charge that stays valid: n charges give n-1.

    A charge is compared with the one that stays, never with its neighbour. So a chain of charges, each within a day of the last,
    is no duplicate as a whole, and which charges are duplicates does not depend on the order in which refunds are made. A charge
    that was given back, or is disputed, is neither a duplicate nor the one that stays.
    """
    found: dict[str, PurchaseFacts] = {}
    stays: dict[tuple[object, ...], PurchaseFacts] = {}
    window = timedelta(hours=terms.duplicate_window_hours)
    for charge in sorted(charges, key=lambda each: (each.paid_at, each.purchase_id)):
        thing = _same_thing(charge)
        if thing is None or not _stands(charge):
            continue
        first = stays.get(thing)
        if first is not None and charge.paid_at - first.paid_at <= window:
            found[charge.purchase_id] = first
        else:
            stays[thing] = charge
    return found


def _same_thing(charge: PurchaseFacts) -> tuple[object, ...] | None:
    """What two charges must share to be one thing charged twice; None where customer or product is not known.

    The billing period is part of it: a daily renewal is charged every 24 hours and for another day each time.
    """
    if charge.customer_id is None or charge.product_id is None:
        return None
    return charge.customer_id, charge.product_id, charge.amount, charge.currency, charge.period_start


def _stands(charge: PurchaseFacts) -> bool:
    return not charge.disputed and not charge.given_back
