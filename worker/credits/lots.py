"""The open lots of one account while jobs are debited: what is taken comes off the oldest."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime

from policy.ledger import Lot, Share, allocate


class OpenLots:
    """What can be spent of each lot of an account, oldest purchase first. There may be thousands, so neither what comes in nor
    what is taken looks at all of them.
    """

    def __init__(self) -> None:
        self._paid_at: list[datetime] = []
        self._lots: list[Lot] = []
        self.spendable = 0
        """Credits of all of them."""

    def __iter__(self) -> Iterator[Lot]:
        return iter(self._lots)

    def append(self, paid_at: datetime, lot: Lot) -> None:
        """Puts a lot behind all others."""
        self._put(len(self._lots), paid_at, lot)

    def add(self, paid_at: datetime, lot: Lot) -> None:
        """Puts the lot of a new purchase among the others, in order of purchase."""
        begins, ends = bisect_left(self._paid_at, paid_at), bisect_right(self._paid_at, paid_at)
        # counted, for databases sort what was bought in one instant by their own alphabet
        self._put(begins + sum(other.purchase_id < lot.purchase_id for other in self._lots[begins:ends]), paid_at, lot)

    def take(self, amount: int) -> tuple[Share, ...] | None:
        """Takes the amount from the oldest lots; None, and nothing is taken, where they do not cover it."""
        if amount > self.spendable:
            return None
        shares = allocate(amount, self._lots)
        if shares:
            last = self._lots[len(shares) - 1]
            left = last.remaining - shares[-1].credits
            emptied = len(shares) - bool(left)
            del self._lots[:emptied], self._paid_at[:emptied]
            if left:
                self._lots[0] = Lot(last.purchase_id, left)
            self.spendable -= amount
        return shares

    def _put(self, place: int, paid_at: datetime, lot: Lot) -> None:
        if lot.remaining:
            self._paid_at.insert(place, paid_at)
            self._lots.insert(place, lot)
            self.spendable += lot.remaining
