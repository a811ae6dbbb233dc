"""The permission to send one refund. Whoever has none cannot send; whoever has one can send once, and not late."""

import threading

from worker.errors import InvariantBroken, RefundsError


class DeadlinePassed(RefundsError):
    """The time in which the call might leave is over. Nothing was sent."""


class Armed:
    """Made by the arming commit alone, used up by the call.

    `until` is a reading of the timer after which nothing may be sent. It cannot be pickled: a permission does not
    travel to another process, and a copy shares its one use with the original.
    """

    __slots__ = ("_transaction_id", "_unspent", "until")

    def __init__(self, transaction_id: str, until: float) -> None:
        self._transaction_id, self.until = transaction_id, until
        # taken once and never given back: of two threads one gets it
        self._unspent = threading.Lock()

    def __repr__(self) -> str:
        return f"Armed({self._transaction_id!r}, until={self.until}, {'spent' if self._unspent.locked() else 'unspent'})"

    def spend(self, now: float) -> str:
        """The transaction to refund. Raises `InvariantBroken` on every use but the first, `DeadlinePassed` where that one is
        late.
        """
        if not self._unspent.acquire(blocking=False):
            raise InvariantBroken(f"the permission to refund {self._transaction_id} was used before; nothing is sent")
        if now >= self.until:
            raise DeadlinePassed(f"the permission to refund {self._transaction_id} ran out; nothing was sent")
        return self._transaction_id
