"""Reconcile: our books against Creem's transactions, our jobs against their cases, the stream against the inbox.

What is safe is mended by the ordinary steps, each of which may run twice; everything else is listed with what to do. The
figure that counts is the money on which the two sides do not agree.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

from sqlalchemy import Row, and_, case, exists, func, or_, select, update

from policy.lifecycle import CaseKind, CaseState, PaymentState
from policy.words import money
from worker.cases.assess.assessor import Assessor
from worker.cases.audit.checks import failed_jobs_without_case
from worker.cases.book.casework import Move
from worker.cases.book.locks import held_accounts, lock_account, lock_owners
from worker.cases.money import charges
from worker.cases.money.ends import tell, untold
from worker.cases.money.seen import book
from worker.cases.money.settle import Settler
from worker.cases.reconcile.compare import (
    HELD,
    Finding,
    compare,
    may_be,
    nothing_to_compare_by,
    on_two_accounts,
    told_beyond,
    told_otherwise,
)
from worker.cases.requests.judge import wake_all_declined, wake_declined
from worker.clock import Clock, moment
from worker.credits.untaken import Difference, differences
from worker.creem.client import Creem, CreemRefused
from worker.creem.search import CameShort
from worker.creem.transactions import AS_CHARGED_BACK, Transaction
from worker.errors import LockedOut, NoGround, TryLater, one_line
from worker.observe import log
from worker.store.breakers import CREEM, closed_to
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, layer_jobs, payments, purchases
from worker.store.tables import charges as charge_rows

CHUNK = 200
BUDGET_SECONDS = 25.0
"""How long the periodic run asks Creem; the next one goes on with those not read for longest."""
MOST_IN_VAIN = 3
"""Customers in a row of whom nothing could be learned; more are not asked for in this run."""
AGAIN = "look at `refunds show`; the next run tries again"
D = TypeVar("D")


@dataclass(slots=True)
class Reconciliation:
    """What one run compared, mended, and could not mend."""

    checked: dict[str, int] = field(default_factory=dict)
    repaired: list[dict[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unmatched: int = 0
    """Minor units on which Creem and our books do not agree, all currencies added."""

    @property
    def ok(self) -> bool:
        """True when nothing is left to do."""
        return not self.findings

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "checked": self.checked,
            "repaired": self.repaired,
            "findings": [finding.document() for finding in self.findings],
            "unmatched_cents": self.unmatched,
        }

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.checked.items())
        return f"{counted}; {len(self.repaired)} mended, {len(self.findings)} left, {money(self.unmatched)} unmatched"

    def count(self, what: str, number: int = 1) -> None:
        """So many more were looked at."""
        self.checked[what] = self.checked.get(what, 0) + number

    def mended(self, check: str, row: str, what: str) -> None:
        """Something was put right."""
        self.repaired.append({"check": check, "row": row, "done": what})

    def found(self, finding: Finding) -> None:
        """Something is left for a person."""
        self.findings.append(finding)
        self.unmatched += finding.cents


@dataclass(frozen=True, slots=True)
class Reconciler:
    """The step with its collaborators. Without `creem` only our own sides are compared."""

    store: Store
    creem: Creem | None
    settler: Settler
    assessor: Assessor
    clock: Clock
    days: timedelta

    def reconcile(
        self,
        *,
        missing_events: Callable[[], Iterable[str]] | None = None,
        seconds: float | None = BUDGET_SECONDS,
        progress: Callable[[int, int], None] = lambda done, total: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> Reconciliation:
        """Compares everything; Creem for at most so many `seconds` (None: to the end), hearing `progress` of (done, of).

        `missing_events` takes entries of the stream that never reached the inbox in again and gives their ids.
        """
        done = Reconciliation()
        self._jobs(done)
        self._ends(done)
        self._requests(done)
        for entry in missing_events() if missing_events is not None else ():
            done.mended("stream", entry, "the event was read from the stream again")
        if self.creem is None:
            done.checked["creem"] = 0
        else:
            self._creem(self.creem, done, seconds, progress, timer)
        # after the reads: what was paid may be what makes two charges the same
        self._charges(done)
        self.store.read(lambda tx: self._payments(tx, done))
        since = self.clock.now() - self.days
        for finding in self.store.read(
            lambda tx: [
                *told_beyond(tx, since),
                *told_otherwise(tx, since),
                *on_two_accounts(tx, since, self.settler.bench.terms_at),
                *nothing_to_compare_by(tx, since),
            ]
        ):
            done.found(finding)
        for each in self.store.read(lambda tx: differences(tx, since)):
            done.found(_not_moved(each))
        log.info("reconciled", checked=done.checked, mended=len(done.repaired), left=len(done.findings), unmatched=done.unmatched)
        return done

    # our own sides

    def _jobs(self, done: Reconciliation) -> None:
        done.count(
            "jobs",
            self.store.read(lambda tx: int(tx.value(select(func.count()).select_from(layer_jobs)))),
        )
        rows = self.store.read(lambda tx: tx.all(failed_jobs_without_case()))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            moves, _ = _together(self.store, part, self._judge)
            states = {move.subject: move.state for move in moves}
            for row in part:
                if (said := states.get(row.row)) is None:
                    done.found(Finding("failed_job", row.row, str(row.problem), "look at `refunds show` and the job's events"))
                else:
                    done.mended("failed_job", row.row, f"its case was opened and is {said}")

    def _judge(self, part: Sequence[Row[Any]]) -> Sequence[Move]:
        return self.assessor.judge_jobs([(row.row, row.account_id) for row in part]).moves

    def _ends(self, done: Reconciliation) -> None:
        """Purchases that missed the end of their subscription have it; whoever was told no for want of it is looked at again."""
        rows = self.store.read(lambda tx: tx.all(untold()))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            told, stuck = _together(self.store, part, lambda rows: self.store.write(lambda tx: self._tell_ends(tx, rows)))
            for row, why in stuck:
                done.found(Finding("subscription", row.purchase_id, f"its end could not be booked: {why}", AGAIN))
            for row in told:
                done.mended("subscription", row.purchase_id, f"its subscription was cancelled at {moment(row.ended_at)}: booked")

    def _tell_ends(self, tx: Tx, part: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
        lock_owners(tx, part)
        told = tell(tx, [row.purchase_id for row in part])
        wake_declined(tx, [row.purchase_id for row in told], [], self.clock.now())
        return told

    def _requests(self, done: Reconciliation) -> None:
        for case_id in self.store.write(lambda tx: wake_all_declined(tx, self.clock.now())):
            done.mended("renewal", case_id, "declined as not cancelled in time, and it was: it is judged anew")

    def _charges(self, done: Reconciliation) -> None:
        """Charges of the same thing, and charges of which money went back or is disputed, are looked at once more."""
        since = self.clock.now() - self.days
        named = self.store.read(lambda tx: _worth_a_look(tx, since))
        done.count("charges", len(named))
        for start in range(0, len(named), CHUNK):
            part = named[start : start + CHUNK]
            moves, stuck = _together(self.store, part, lambda rows: self.store.write(lambda tx: self._settle(tx, rows)))
            for move in moves:
                done.mended("charge", move.subject, f"case {move.case_id} went from {move.was or 'nothing'} to {move.state}")
            for row, why in stuck:
                done.found(Finding("charge", row.purchase_id, f"could not be judged: {why}", "look at `refunds show`"))

    def _settle(self, tx: Tx, part: Sequence[Row[Any]]) -> Sequence[Move]:
        lock_owners(tx, part)
        return self.settler.settle(tx, [row.purchase_id for row in part], self.clock.now()).moves

    def _payments(self, tx: Tx, done: Reconciliation) -> None:
        """Claims whose outcome nobody can prove, and those that wait for a person."""
        rows = tx.all(
            select(payments, cases.c.state.label("case_state"))
            .join(cases, cases.c.case_id == payments.c.case_id)
            .where(payments.c.due_at.is_not(None))
            .order_by(payments.c.created_at)
        )
        done.count("open_payments", len(rows))
        for row in rows:
            if row.case_state != CaseState.REVIEW.value and row.state != PaymentState.UNKNOWN.value:
                continue
            problem = f"{money(row.amount, row.currency)}, {row.state}: {row.detail}"
            do = "compare with Creem's dashboard; do not refund there while the claim is open; it is read again by itself"
            done.found(Finding("payment", row.transaction_id, problem, do, row.amount))

    # Creem's side

    def _creem(
        self,
        creem: Creem,
        done: Reconciliation,
        seconds: float | None,
        progress: Callable[[int, int], None],
        timer: Callable[[], float],
    ) -> None:
        now = self.clock.now()
        away = self.store.read(lambda tx: closed_to(tx, [CREEM], now))
        customers = self.store.read(lambda tx: _customers(tx, now, now - self.days))
        began, in_vain = timer(), 0
        for number, customer_id in enumerate(customers):
            out_of_time = seconds is not None and timer() - began >= seconds
            if away is not None or out_of_time or in_vain == MOST_IN_VAIN:
                break
            since: datetime | None = now - self.days
            try:
                seen = creem.transactions_of_customer(customer_id)
            except CameShort as short:
                # what it did show counts all the same: a count that stays wrong would hide it for ever
                seen, since = short.seen, None
                do = "ask Creem, whose count and whose list do not agree; nothing was said of what the list leaves out"
                done.found(Finding("creem", customer_id, f"could not be compared whole: {short}", do))
            except (TryLater, CreemRefused) as error:
                if isinstance(error, TryLater) and error.service != "Creem":
                    raise
                # one customer of whom nothing can be learned stands in nobody's way
                in_vain += 1
                do = "look at `refunds doctor`; the next run asks again"
                done.found(Finding("creem", customer_id, f"could not be compared: {error}", do))
                continue
            try:
                self._customer(creem, customer_id, seen, done, since)
            except LockedOut as error:
                # an account that somebody holds costs its own customer this run, and several in a row are no single account's
                in_vain += 1
                done.found(Finding("creem", customer_id, f"could not be compared: {error}", AGAIN))
                continue
            in_vain = 0
            done.count("customers")
            progress(number + 1, len(customers))

    def _customer(
        self, creem: Creem, customer_id: str, seen: Sequence[Transaction], done: Reconciliation, since: datetime | None
    ) -> None:
        done.count("transactions", len(seen))
        ours = [transaction for transaction in seen if creem.environment.accepts(transaction.mode)]
        for transaction in ours:
            # a list that came short does not show which others its order has
            fellows = [each for each in ours if since is not None and each.order == transaction.order]
            try:
                mended = self.store.write(partial(self._observe, seen=transaction, fellows=fellows))
            except NoGround:
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
        if charges.purchase_of(tx, seen.id) is None and seen.order is not None:
            named = _nameless_purchase(tx, seen, fellows)
        if named is not None:
            lock_account(tx, named.account_id)
            mine = and_(purchases.c.purchase_id == named.purchase_id, purchases.c.transaction_id.is_(None))
            tx.connection.execute(update(purchases).where(mine).values(transaction_id=seen.id))
        changed = book(tx, seen, self.settler, now)
        if named is not None:
            self.settler.settle(tx, [named.purchase_id], now)
            return f"order {seen.order} was found to be this transaction"
        if not changed or charges.purchase_of(tx, seen.id) is None:
            return None
        return f"Creem shows it as {seen.status_verbatim}, {money(seen.refunded_amount, seen.currency)} given back: booked"


def _together(
    store: Store, rows: Sequence[Row[Any]], do: Callable[[Sequence[Row[Any]]], Sequence[D]]
) -> tuple[list[D], list[tuple[Row[Any], str]]]:
    """What became of these rows, done together where that goes, but for those whose account is held; or else each alone, for one
    may be in the way of the others; and those that nothing can be done with, with the error.
    """
    if not rows:
        return [], []
    try:
        return list(do(rows)), []
    except LockedOut as error:
        why = str(error)
        held = store.write(lambda tx: held_accounts(tx, [row.account_id for row in rows]))
        if not held:
            raise
        done, stuck = _together(store, [row for row in rows if row.account_id not in held], do)
        return done, [*stuck, *((row, why) for row in rows if row.account_id in held)]
    except NoGround:
        raise
    except Exception as error:
        why = one_line(error)
    if len(rows) == 1:
        log.warning("reconcile.not_judged", row=rows[0][0], error=why)
        return [], [(rows[0], why)]
    done = []
    stuck = []
    for row in rows:
        one, left = _together(store, [row], do)
        done += one
        stuck += left
    return done, stuck


def _not_moved(each: Difference) -> Finding:
    undone = (
        (each.untaken.void, "are void and could not be taken"),
        (each.untaken.held, "are frozen and could not be taken"),
        (each.untaken.owed, "can be spent again and could not be given back"),
    )
    said = ", ".join(f"{credits} {what}" for credits, what in undone if credits)
    do = "decide what the customer keeps, and change the balance by hand; nothing more of it is taken or given back by itself"
    return Finding("credits_not_moved", each.purchase_id, f"of the credits of {each.account_id} {said}: {each.why}", do)


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


def _worth_a_look(tx: Tx, since: datetime) -> Sequence[Row[Any]]:
    p, c = purchases.c, charge_rows.c
    # two charges a day apart may lie on either side of the bound
    recent = p.paid_at >= since - timedelta(days=2)
    same = (p.account_id, p.customer_id, p.product_id, p.currency)
    twice = select(*same).where(recent, p.customer_id.is_not(None)).group_by(*same).having(func.count() > 1).subquery("twice")
    doubled = (
        select(p.purchase_id, p.account_id).join(twice, and_(*(twice.c[column.name] == column for column in same))).where(recent)
    )
    moved = (
        select(p.purchase_id, p.account_id)
        .join(charge_rows, c.transaction_id == p.transaction_id)
        .where(recent, or_(c.refunded > 0, c.disputed_at.is_not(None)))
    )
    return tx.all(doubled.union(moved))  # type: ignore[arg-type]


def _customers(tx: Tx, now: datetime, since: datetime) -> list[str]:
    """Customers with purchases since then: in turns one with something that was never read, and the one read longest ago.

    What Creem does not know is never read, however often it is asked: whose turn it is among these, chance says, so that those
    who could be read come to it however many there are of the others.
    """
    p, c = purchases.c, charge_rows.c
    unread = func.sum(case((c.read_at.is_(None), 1), else_=0))
    joined = select(p.customer_id, unread.label("unread")).outerjoin(charge_rows, c.transaction_id == p.transaction_id)
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
