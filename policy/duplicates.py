"""Which charges are made twice (policy.md, "Duplicate charge")."""

from collections.abc import Sequence
from datetime import timedelta

from policy.facts import PurchaseFacts
from policy.terms import Terms


def find_duplicates(charges: Sequence[PurchaseFacts], terms: Terms) -> dict[str, PurchaseFacts]:
    """Each charge that is a duplicate, by purchase id, with the earlier charge that stays valid.

    A charge is compared with the one that stays, never with its neighbour: so which charges are duplicates does not depend on
    the order in which the refunds are made.
    """
    found: dict[str, PurchaseFacts] = {}
    anchors: dict[tuple[object, ...], PurchaseFacts] = {}
    window = timedelta(hours=terms.duplicate_window_hours)
    for charge in sorted(charges, key=lambda c: (c.paid_at, c.purchase_id)):
        if charge.disputed or charge.customer_id is None or charge.product_id is None or 0 < charge.amount <= charge.refunded_amount:
            continue
        thing = (charge.customer_id, charge.product_id, charge.amount, charge.currency, charge.period_start)
        first = anchors.get(thing)
        if first is not None and charge.paid_at - first.paid_at <= window:
            found[charge.purchase_id] = first
        else:
            anchors[thing] = charge
    return found
