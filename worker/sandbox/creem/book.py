"""What is true at Creem: payments, refunds, disputes, and the money that left. No HTTP, no webhooks, no JSON.

Everything happens at a moment of the double's clock: right away, or when `step` comes to what is due. One lock guards all of it;
who calls from outside holds it.
"""

import heapq
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from worker.sandbox.creem.charges import Accepted, Charge, Kind, Movement, News, Payment, Refund, Refused, Shown, Subscription
from worker.sandbox.creem.names import Names
from worker.sandbox.creem.switches import Switches
from worker.sandbox.creem.words import Announced, Ending, Meanwhile, MoneyLeaves, RefundAnswer, SecondRefund


class Book:
    """The state and its moves."""

    def __init__(self, names: Names, tell: Callable[[News], None]) -> None:
        self.lock = threading.RLock()
        self.charges: dict[str, Charge] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.movements: list[Movement] = []
        self._names, self._tell = names, tell
        self._agenda: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._count = 0

    # --- time

    def later(self, at: datetime, action: Callable[[datetime], None]) -> None:
        """Has the action done when the clock is there."""
        self._count += 1
        heapq.heappush(self._agenda, (at, self._count, action))

    @property
    def next_due(self) -> datetime | None:
        """When something happens by itself."""
        return self._agenda[0][0] if self._agenda else None

    def step(self) -> None:
        """Does the next thing, as of the moment it was due."""
        at, _, action = heapq.heappop(self._agenda)
        action(at)

    # --- what people do

    def pay(self, payment: Payment, announce: bool) -> None:
        """A customer pays. Raises ValueError if the transaction exists."""
        if payment.id in self.charges:
            raise ValueError(f"{payment.id} was paid before")
        charge = self.charges[payment.id] = Charge(payment, [Shown(payment.paid_at, payment.status, None)])
        if payment.subscription_id is not None:
            known = self.subscriptions.get(payment.subscription_id)
            if known is None:
                self.subscriptions[payment.subscription_id] = Subscription(payment.subscription_id, payment, payment)
            else:
                known.last, known.changed_at = payment, payment.paid_at
        if announce and not payment.renewal:
            self._tell(News(payment.known_at, "checkout.completed", charge))
        if announce and payment.subscription_id is not None:
            self._tell(News(payment.known_at, "subscription.paid", charge))

    def dashboard_refund(self, charge: Charge, amount: int, switches: Switches, at: datetime) -> None:
        """A person gives back part or all. Raises ValueError for more than is left."""
        if not 0 < amount <= charge.left:
            raise ValueError(f"{charge.payment.id} has {charge.left} left; {amount} cannot be given back")
        refund = Refund(
            self._names.new("ref"), "dashboard", amount, RefundAnswer.SUCCEEDED, at, switches, charge.latest, over=True
        )
        charge.refunds.append(refund)
        self._move(charge, refund, at)
        self._show(charge, refund, True, at)
        self._tell(News(at, "refund.created", charge, refund))

    def dispute(self, charge: Charge, at: datetime) -> None:
        """The bank takes back what has not left yet; when it comes back to the same payment, there is nothing more to take."""
        charge.disputed_at = at
        gone = self.gone(charge.payment.id, "chargeback") + sum(refund.amount for refund in charge.refunds if refund.moved)
        rest = max(0, charge.payment.paid - gone)
        if rest:
            self.movements.append(Movement(at, charge.payment.id, rest, "chargeback"))
        self._refresh(charge, at)
        self._tell(News(at, "dispute.created", charge))

    def win_dispute(self, charge: Charge, at: datetime) -> None:
        """The bank gives back what it took; nothing else tells of it, and reads go on showing the dispute. Raises ValueError
        where the bank has nothing.
        """
        held = self.gone(charge.payment.id, "chargeback")
        if not held:
            raise ValueError(f"the bank has nothing of {charge.payment.id}")
        self.movements.append(Movement(at, charge.payment.id, -held, "chargeback"))

    def gone(self, transaction_id: str, kind: Kind | None = None) -> int:
        """The sum that left the merchant for it, of one kind or of all."""
        return sum(one.amount for one in self.movements if one.transaction_id == transaction_id and kind in (None, one.kind))

    def cancel(self, subscription: Subscription, scheduled: bool, at: datetime) -> None:
        """Ends a subscription now or at the end of its period. Nothing is given back."""
        subscription.status, subscription.changed_at = ("scheduled_cancel" if scheduled else "canceled"), at
        subscription.canceled_at = None if scheduled else at
        self._tell(News(at, f"subscription.{subscription.status}", self.charges[subscription.last.id]))

    def happen(self, what: Meanwhile, charge: Charge, switches: Switches, at: datetime) -> None:
        """Somebody else acts, as far as there is anything left to act on."""
        amount = {Meanwhile.FULL_REFUND: charge.left, Meanwhile.PART_REFUND: charge.left // 2}.get(what, 0)
        if what is Meanwhile.DISPUTE and charge.disputed_at is None:
            self.dispute(charge, at)
        elif amount and charge.disputed_at is None:
            self.dashboard_refund(charge, amount, switches, at)

    # --- POST /v1/refunds

    def refund(self, charge: Charge, switches: Switches, at: datetime, arrived: datetime) -> Accepted | Refused:
        """Looks at the payment as it is at `at`, for a request that arrived earlier or just now."""
        if charge.payment.status != "paid":
            return Refused(f"Transaction with status {charge.payment.status} cannot be refunded")
        if switches.both_accepted:
            since = arrived - timedelta(seconds=switches.race_window)
            beside = next((one for one in charge.refunds if one.kind == "refund" and one.created_at >= since), None)
            if beside is not None:
                return self._accept(charge, beside.amount, switches, at)
        rule, message = _rule(charge, switches)
        if rule is None:
            return self._accept(charge, charge.left, switches, at)
        if rule is SecondRefund.PAYS_AGAIN:
            return self._accept(charge, charge.payment.paid, switches, at)
        return Accepted(switches.answer, self._names.new("ref")) if rule is SecondRefund.NO_MONEY else Refused(message)

    def _accept(self, charge: Charge, amount: int, switches: Switches, at: datetime) -> Accepted:
        word = switches.answer
        refund = Refund(self._names.new("ref"), "refund", amount, word, at, switches, charge.latest)
        charge.refunds.append(refund)
        if word in (RefundAnswer.FAILED, RefundAnswer.CANCELED):
            refund.over = True
            if switches.pays_although_failed:
                self._move(charge, refund, at)
        elif word == RefundAnswer.SUCCEEDED:
            self._end(charge, refund, Ending.SUCCEEDED, at)
        else:
            self._begin(charge, refund, at)
        return Accepted(word, refund.id)

    def _begin(self, charge: Charge, refund: Refund, at: datetime) -> None:
        switches = refund.switches
        waits_for_nobody = refund.status != RefundAnswer.REQUIRES_ACTION
        going_through = switches.ends in (Ending.SUCCEEDED, Ending.NEVER)
        if waits_for_nobody and going_through and switches.money_leaves is MoneyLeaves.ACCEPTED:
            self._move(charge, refund, at)
        if waits_for_nobody and switches.turns_early:
            self._show(charge, refund, True, at)
        if switches.announced is not Announced.ON_SUCCESS:
            self._tell(News(at, "refund.created", charge, refund))
        if switches.ends is not Ending.NEVER:
            self.later(at + timedelta(seconds=switches.settle_after), lambda due: self._end(charge, refund, switches.ends, due))

    def _end(self, charge: Charge, refund: Refund, ending: Ending, at: datetime) -> None:
        told = refund.switches.announced is Announced.AT_CREATION and refund.status != RefundAnswer.SUCCEEDED
        refund.status, refund.over = ending.value, True
        if ending is not Ending.SUCCEEDED:
            if refund.switches.falls_back:
                self._show(charge, refund, False, at)
            return
        self._move(charge, refund, at)
        self._show(charge, refund, True, at)
        if not told:
            self._tell(News(at, "refund.created", charge, refund))

    # --- the two views

    def _move(self, charge: Charge, refund: Refund, at: datetime) -> None:
        if not refund.moved:
            refund.moved = True
            self.movements.append(Movement(at, charge.payment.id, refund.amount, refund.kind))

    def _show(self, charge: Charge, refund: Refund, shown: bool, at: datetime) -> None:
        if refund.kind == "refund" and refund.switches.stays_paid:
            return
        refund.shown = shown
        self._refresh(charge, at)

    def _refresh(self, charge: Charge, at: datetime) -> None:
        # never more than was paid: Creem's view does not give a double payment away
        back = min(charge.payment.paid, sum(refund.amount for refund in charge.refunds if refund.shown))
        now = Shown(at, *_words(charge, back))
        if (now.status, now.refunded_amount) != (charge.latest.status, charge.latest.refunded_amount):
            charge.history.append(now)


def _words(charge: Charge, back: int) -> tuple[str, int | None]:
    if charge.disputed_at is not None:
        return "chargedBack", charge.payment.paid
    if back == 0:
        return charge.payment.status, None
    return ("refunded" if back == charge.payment.paid else "partialRefund"), back


def _rule(charge: Charge, switches: Switches) -> tuple[SecondRefund | None, str]:
    if charge.disputed_at is not None:
        return switches.refund_of_disputed, "Transaction has been charged back"
    if any(refund.open for refund in charge.refunds):
        return switches.second_while_pending, "A refund for this transaction is already in progress"
    if charge.left == 0:
        return switches.second_refund, "Transaction has already been refunded"
    if not switches.again_after_failed and any(refund.status in ("failed", "canceled") for refund in charge.refunds):
        return SecondRefund.REFUSED, "A refund of this transaction has failed"
    return None, ""
