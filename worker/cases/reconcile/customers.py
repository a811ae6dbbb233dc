"""Creem's side of reconcile: the transactions of our customers are read, booked, and compared with our purchases and claims."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest
from typing import Any

from sqlalchemy import Row, and_, case, exists, func, or_, select, update

from policy.lifecycle import CaseKind, CaseState
from policy.words import count, money
from worker.cases.book.locks import lock_account
from worker.cases.money.charges import purchase_of
from worker.cases.money.seen import book
from worker.cases.money.settle import Settler
from worker.cases.reconcile.compare import HELD, Finding, compare, may_be
from worker.cases.reconcile.reconciliation import AGAIN, Reconciliation
from worker.clock import Clock, moment
from worker.creem.client import Creem, CreemAway, CreemRefused
from worker.creem.search import CameShort
from worker.creem.transactions import AS_CHARGED_BACK, Transaction
from worker.errors import LockedOut, NoGround, OutOfTime, one_line
from worker.observe import log
from worker.store.breakers import CREEM, closed_to
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, charges, purchases

MOST_IN_VAIN = 3
"""Customers in a row of whom nothing could be learned for no reason of their own; more are not asked for in this run."""


@dataclass(frozen=True, slots=True)
class Customers:
    """The step with its collaborators. `days`: how far back it looks."""

    store: Store
    creem: Creem
    settler: Settler
    clock: Clock
    days: timedelta

    def compare(
        self,
        done: Reconciliation,
        seconds: float | None,
        progress: Callable[[int, int], None],
        timer: Callable[[], float],
    ) -> None:
        """Asks for at most so many `seconds` (None: to the end), hearing `progress` of (done, of). Whom time leaves over is
        counted, and has a turn in a later run; whom nobody asked for since Creem gives no answers is told of.
        """
        now = self.clock.now()
        away = self.store.read(lambda tx: closed_to(tx, [CREEM], now))
        customers = self.store.read(lambda tx: _customers(tx, now, now - self.days))
        if away is not None:
            why, until = away
            done.found(*_not_asked(len(customers), f"nobody calls Creem until {moment(until)} ({why})"))
            return
        began, in_vain = timer(), 0
        for number, customer_id in enumerate(customers):
            left = len(customers) - number
            if seconds is not None and timer() - began >= seconds:
                done.count("customers_for_later", left)
                break
            if in_vain == MOST_IN_VAIN:
                done.found(*_not_asked(left, f"{in_vain} in a row came to nothing"))
                break
            in_vain = 0 if self._compare_one(customer_id, done, now - self.days) else in_vain + 1
            progress(number + 1, len(customers))

    def _compare_one(self, customer_id: str, done: Reconciliation, since: datetime | None) -> bool:
        """False where nothing could be learned, and not for a reason of this customer's own."""
        try:
            # before it is asked for: whatever comes of that, all others have a turn before its next one
            self.store.write(lambda tx: _take_turn(tx, customer_id, self.clock.now()))
            return self._ask_and_compare(customer_id, done, since)
        except LockedOut as error:
            # an account that somebody holds costs its own customer this run, and several in a row are no single account's
            done.found(Finding("creem", customer_id, f"could not be compared: {error}", AGAIN))
            return False

    def _ask_and_compare(self, customer_id: str, done: Reconciliation, since: datetime | None) -> bool:
        try:
            seen = self.creem.transactions_of_customer(customer_id)
        except CameShort as short:
            # what it did show counts all the same: a count that stays wrong would hide it for ever
            seen, since = short.seen, None
            do = "ask Creem, whose count and whose list do not agree; nothing was said of what the list leaves out"
            done.found(Finding("creem", customer_id, f"could not be compared whole: {short}", do))
        except (CreemAway, CreemRefused) as error:
            do = "look at `refunds doctor`; the next run asks again"
            done.found(Finding("creem", customer_id, f"could not be compared: {error}", do))
            # a no to this question is an answer; one to the key is nobody's in particular
            return isinstance(error, CreemRefused) and not error.key_trouble
        self._book_and_compare(customer_id, seen, done, since)
        done.count("customers")
        return True

    def _book_and_compare(
        self, customer_id: str, seen: Sequence[Transaction], done: Reconciliation, since: datetime | None
    ) -> None:
        done.count("transactions", len(seen))
        ours = [transaction for transaction in seen if self.creem.environment.accepts(transaction.mode)]
        for transaction in ours:
            # a list that came short does not show which others its order has
            fellows = [each for each in ours if since is not None and each.order == transaction.order]
            try:
                mended = self.store.write(partial(self._observe, seen=transaction, fellows=fellows))
            except (NoGround, OutOfTime):
                raise
            except Exception as error:
                log.exception("reconcile.not_booked", transaction_id=transaction.id)
                done.found(Finding("transaction", transaction.id, f"could not be booked: {one_line(error)}", AGAIN))
                continue
            if mended:
                done.mended("transaction", transaction.id, mended)
        for finding in self.store.read(lambda tx: compare(tx, customer_id, seen, since)):
            done.found(finding)

    def _observe(self, tx: Tx, seen: Transaction, fellows: Sequence[Transaction]) -> str | None:
        now = self.clock.now()
        named = None
        if purchase_of(tx, seen.id) is None and seen.order is not None:
            named = _nameless_purchase(tx, seen, fellows)
        if named is not None:
            lock_account(tx, named.account_id)
            mine = and_(purchases.c.purchase_id == named.purchase_id, purchases.c.transaction_id.is_(None))
            tx.connection.execute(update(purchases).where(mine).values(transaction_id=seen.id))
        changed = book(tx, seen, self.settler, now)
        if named is not None:
            self.settler.settle(tx, [named.purchase_id], now)
            return f"order {seen.order} was found to be this transaction"
        if not changed or purchase_of(tx, seen.id) is None:
            return None
        return f"Creem shows it as {seen.status_verbatim}, {money(seen.refunded_amount, seen.currency)} given back: booked"


def _not_asked(left: int, why: str) -> list[Finding]:
    if not left:
        return []
    do = "once Creem answers, `refunds reconcile` again"
    return [Finding("not_compared", "customers", f"{count(left, 'customer')} not asked for: {why}", do)]


def _nameless_purchase(tx: Tx, seen: Transaction, fellows: Sequence[Transaction]) -> Row[Any] | None:
    """The purchase of the transaction's order that does not yet know its transaction, where it can be no other than this one: of
    its `fellows`, all those of the order, it alone holds money and is nobody's, and it is what the purchase says.
    """
    p = purchases.c
    held = [each.id for each in fellows if each.status in HELD]
    taken = {row.transaction_id for row in tx.all(select(p.transaction_id).where(tx.among(p.transaction_id, held)))}
    if [each for each in held if each not in taken] != [seen.id]:
        return None
    columns = (p.purchase_id, p.account_id, p.customer_id, p.amount, p.currency)
    rows = tx.all(select(*columns).where(p.order_id == seen.order, p.transaction_id.is_(None)).limit(2))
    return rows[0] if len(rows) == 1 and may_be(rows[0], seen) else None


def _take_turn(tx: Tx, customer_id: str, now: datetime) -> None:
    """Whatever of this customer was read before comes after all that was not asked for since."""
    theirs = select(purchases.c.transaction_id).where(purchases.c.customer_id == customer_id)
    was_read = (charges.c.transaction_id.in_(theirs), charges.c.read_at.is_not(None))
    tx.connection.execute(update(charges).where(*was_read).values(read_at=now))


def _customers(tx: Tx, now: datetime, since: datetime) -> list[str]:
    """Customers with purchases since then: in turns one with something that was never read, and the one asked for longest ago.

    What Creem does not know is never read, however often it is asked: whose turn it is among these, chance says, so that those
    who could be read come to it however many there are of the others.
    """
    p, c = purchases.c, charges.c
    unread = func.sum(case((c.read_at.is_(None), 1), else_=0))
    joined = select(p.customer_id, unread.label("unread")).outerjoin(charges, c.transaction_id == p.transaction_id)
    # a dispute lasts longer: until Creem shows that one was won, nothing can be sent for its charge
    won = cases.c.kind == CaseKind.DISPUTE.value, cases.c.state == CaseState.DECLINED.value
    stands_again = c.disputed_at.is_(None) & exists().where(cases.c.subject == p.transaction_id, *won)
    shown = func.coalesce(c.status, "").in_(AS_CHARGED_BACK)
    chosen = joined.where(p.customer_id.is_not(None), or_(p.paid_at >= since, and_(shown, stands_again))).group_by(p.customer_id)
    rows = tx.all(chosen.order_by(func.min(c.read_at), p.customer_id))
    never = [row.customer_id for row in rows if row.unread]
    random.Random(now.isoformat()).shuffle(never)
    read = [row.customer_id for row in rows if not row.unread]
    return [customer for pair in zip_longest(never, read) for customer in pair if customer is not None]
