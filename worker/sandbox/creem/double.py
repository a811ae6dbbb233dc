"""The double as one object: what people do at Creem, what its API answers, what it sends, and the ledger nobody can talk to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from worker.clock import Clock
from worker.sandbox.creem import documents
from worker.sandbox.creem.answers import Reply
from worker.sandbox.creem.book import Book
from worker.sandbox.creem.charges import Charge, Kind, Movement, News, Payment
from worker.sandbox.creem.credits import Credits
from worker.sandbox.creem.deliveries import Attempt, Deliver, Deliveries, Event
from worker.sandbox.creem.desk import Desk, Seen
from worker.sandbox.creem.names import Names
from worker.sandbox.creem.settings import Settings
from worker.sandbox.creem.switches import Switches
from worker.sandbox.creem.wire import InProcess
from worker.sandbox.creem.words import Nested


class CreemDouble:
    """A Creem of one's own. All that happens by itself happens in `tick`, by the clock that was given."""

    def __init__(
        self,
        clock: Clock,
        *,
        api_key: str = "creem_test_double",
        webhook_secret: str = "double-secret",  # noqa: S107 - opens nothing
        switches: Switches = Switches(),  # noqa: B008 - frozen
        deliver: Deliver | None = None,
        seed: int = 0,
    ) -> None:
        self.api_key, self.webhook_secret = api_key, webhook_secret
        self._clock, self._names, self._settings = clock, Names(seed), Settings(switches)
        self._book = Book(self._names, self._tell)
        self._deliveries = Deliveries(self._book.lock, self._names, webhook_secret, deliver)
        self._desk = Desk(self._book, self._settings, self._names, api_key)

    # --- what exists

    def pay(
        self,
        transaction_id: str,
        *,
        customer_id: str,
        amount: int,
        currency: str = "USD",
        product_id: str = "prod_pack",
        order_id: str | None = None,
        subscription_id: str | None = None,
        request_id: str | None = None,
        tax: int = 0,
        email: str | None = None,
        paid_at: datetime | None = None,
        period_start: datetime | None = None,
        period_end: datetime | None = None,
        announce: bool = False,
        metadata: dict[str, Any] | None = None,
        status: str = "paid",
    ) -> None:
        """A customer pays `amount` and `tax`. A second payment for a subscription is a renewal and has no order ([O])."""
        with self._book.lock:
            now = self._clock.now()
            renewal = subscription_id in self._book.subscriptions
            payment = Payment(
                id=transaction_id,
                customer_id=customer_id,
                amount=amount,
                tax=tax,
                currency=currency,
                product_id=product_id,
                order_id=order_id or (None if renewal else self._names.new("ord")),
                subscription_id=subscription_id,
                checkout_id=self._names.new("ch"),
                request_id=request_id,
                email=email or f"{customer_id}@example.org",
                metadata=metadata or {},
                paid_at=paid_at or now,
                known_at=now,
                period=(period_start, period_end) if period_start and period_end else None,
                renewal=renewal,
                status=status,
            )
            self._book.pay(payment, announce)

    def refund_in_dashboard(self, transaction_id: str, amount: int | None = None) -> None:
        """A person gives back so much, or all that is left. Raises ValueError for more than is left."""
        with self._book.lock:
            charge, switches = self._charge(transaction_id), self._settings.of(transaction_id)
            self._book.dashboard_refund(charge, charge.left if amount is None else amount, switches, self._clock.now())

    def dispute(self, transaction_id: str) -> None:
        """The buyer goes to the bank, which takes back what has not left yet."""
        with self._book.lock:
            self._book.dispute(self._charge(transaction_id), self._clock.now())

    def win_dispute(self, transaction_id: str) -> None:
        """The bank decides for the seller and gives the money back. How Creem tells of that is unknown: here it does not."""
        with self._book.lock:
            self._book.win_dispute(self._charge(transaction_id), self._clock.now())

    def cancel_subscription(self, subscription_id: str, *, scheduled: bool = True) -> None:
        """Cancels at the end of the period, or now. No money moves ([O])."""
        with self._book.lock:
            self._book.cancel(self._book.subscriptions[subscription_id], scheduled, self._clock.now())

    @property
    def credits(self) -> Credits:
        """The accounts in which customers have credits."""
        return self._desk.credits

    @property
    def switches(self) -> Switches:
        """What holds for every transaction that has no switches of its own."""
        return self._settings.default

    @switches.setter
    def switches(self, switches: Switches) -> None:
        with self._book.lock:
            self._settings.set_default(switches)

    def set(self, transaction_id: str, switches: Switches) -> None:
        """Gives one transaction, existing or to come, switches of its own."""
        with self._book.lock:
            self._settings.set(transaction_id, switches)

    # --- how it is reached

    def transport(self) -> httpx.BaseTransport:
        """The API for an `httpx.Client` in the same process, without a socket."""
        return InProcess(self)

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answers one request as of now. `target` is the path with its query; names of headers count in any case."""
        lower = {name.lower(): value for name, value in headers.items()}
        with self._book.lock:
            self._catch_up(self._clock.now())
            return self._desk.answer(method, target, lower, body, self._clock.now())

    def tick(self) -> int:
        """Does what is due by now, in the order in which it is due; returns how many things that were.

        A delivery is made without the lock; while one is made, a tick from within it or beside it does everything but deliveries.
        """
        done, now = 0, self._clock.now()
        while True:
            with self._book.lock:
                first = self._deliveries.next_due
                done += self._catch_up(now if first is None else min(now, first))
                first = self._deliveries.next_due
                if first is None or first > now:
                    return done + self._catch_up(now)
            self._deliveries.attempt()
            done += 1

    def next_due(self) -> datetime | None:
        """When something will happen by itself."""
        with self._book.lock:
            return min((due for due in (self._book.next_due, self._deliveries.next_due) if due is not None), default=None)

    def _catch_up(self, until: datetime) -> int:
        done = 0
        while (due := self._book.next_due) is not None and due <= until:
            self._book.step()
            done += 1
        return done

    # --- what happened

    @property
    def movements(self) -> list[Movement]:
        """Every time money left, in order."""
        return self._book.movements

    @property
    def requests(self) -> list[Seen]:
        """Every request that arrived, in order."""
        return self._desk.requests

    @property
    def events(self) -> list[Event]:
        """Every event that was made, sent or not; those that a switch dropped are not among them."""
        return self._deliveries.events

    @property
    def attempts(self) -> list[Attempt]:
        """Every delivery, as it went."""
        return self._deliveries.attempts

    def gone(self, transaction_id: str, kind: Kind | None = None) -> int:
        """The sum that left the merchant for it, of one kind or of all."""
        with self._book.lock:
            return self._book.gone(transaction_id, kind)

    def paid(self, transaction_id: str) -> int:
        """What the customer paid, tax included."""
        return self._charge(transaction_id).payment.paid

    def posts(self, transaction_id: str) -> int:
        """How many `POST /v1/refunds` arrived for it, however they were answered."""
        return self._desk.posts[transaction_id]

    def overpaid(self) -> dict[str, int]:
        """For each transaction, what left beyond what was paid; empty when all is well."""
        beyond = {one.transaction_id: -self.paid(one.transaction_id) for one in self.movements}
        for one in self.movements:
            beyond[one.transaction_id] += one.amount
        return {transaction_id: amount for transaction_id, amount in beyond.items() if amount > 0}

    # --- news

    def _charge(self, transaction_id: str) -> Charge:
        return self._book.charges[transaction_id]

    def _tell(self, news: News) -> None:
        payment, switches = news.charge.payment, self._settings.of(news.charge.payment.id)
        if self._settings.take(payment.id, "webhook_dropped", switches.webhook_dropped):
            return
        of = self._book.subscriptions.get(payment.subscription_id or "")
        if news.refund is not None:
            parts = documents.parts_of(payment, of, switches.nested, expanded=True)
            thing = documents.refund(news.charge, news.refund, switches.snapshot_after, parts, switches.docs_spelling)
        elif news.kind == "dispute.created":
            parts = documents.parts_of(payment, of, switches.nested, expanded=False)
            thing = documents.dispute(news.charge, self._names.new("disp"), news.at, parts, switches.docs_spelling)
        elif news.kind == "checkout.completed":
            thing = documents.completed_checkout(payment, of, switches.order_names_transaction)
        else:
            assert of is not None, "only subscriptions have other news"
            thing = documents.subscription(of, expanded=switches.nested is Nested.AS_DOCUMENTED)
        self._deliveries.announce(news.kind, payment.id, thing, news.at, switches)
