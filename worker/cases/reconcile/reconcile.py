"""Reconcile: our books against Creem's transactions, our jobs against their cases, the stream against the inbox.

What is safe is mended by the ordinary steps, each of which may run twice; everything else is listed with what to do. The
figure that counts is the money on which the two sides do not agree.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Row, and_, func, or_, select

from policy.lifecycle import CaseState, PaymentState
from policy.words import money
from worker.cases.assess.assessor import Assessor
from worker.cases.audit.audit import STATEMENT_SECONDS
from worker.cases.audit.checks import failed_jobs_without_case
from worker.cases.book.casework import Move
from worker.cases.book.locks import held_accounts, lock_owners
from worker.cases.money.ends import tell, untold
from worker.cases.money.settle import Settler
from worker.cases.reconcile.compare import (
    Finding,
    nothing_to_compare_by,
    on_two_accounts,
    told_and_not_read,
    told_beyond,
    told_otherwise,
)
from worker.cases.reconcile.customers import Customers
from worker.cases.reconcile.reconciliation import AGAIN, Reconciliation, came_to_its_end
from worker.cases.requests.judge import declined_and_not_woken, wake_declined, wake_those_declined
from worker.clock import Clock, moment
from worker.credits.untaken import Difference, differences
from worker.creem.client import Creem
from worker.errors import BrokenOff, LockedOut, NoGround, OutOfTime, Unread, one_line
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, charges, payments, purchases

CHUNK = 200
BUDGET_SECONDS = 25.0
"""How long the periodic run asks Creem, and may look for jobs; the next one goes on with those asked for longest ago."""
D = TypeVar("D")
Do = Callable[[Sequence[Row[Any]]], Sequence[D]]
Came = tuple[list[D], list[tuple[Row[Any], str]]]
Held = Callable[[Sequence[Row[Any]]], set[str]]


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
        """Compares everything; Creem for at most so many `seconds`, hearing `progress` of (done, of), and the jobs of the days
        that are looked back. None: to the end, and all jobs.

        `missing_events` takes entries of the stream that never reached the inbox in again and gives their ids. A part that fails
        is told of, and the others are done all the same; raises only what no part could do without.
        """
        done = Reconciliation()
        parts: dict[str, Callable[[], None]] = {
            "jobs": lambda: self._jobs(done, seconds),
            "subscriptions": lambda: self._ends(done),
            "renewals": lambda: self._requests(done),
            "stream": lambda: self._stream(done, missing_events),
            "customers": lambda: self._customers(done, seconds, progress, timer),
            # after the reads: what was paid may be what makes two charges the same
            "charges": lambda: self._charges(done),
            "payments": lambda: self._payments(done),
            "both sides": lambda: self._both_sides(done),
            "credits": lambda: self._credits(done),
        }
        went = list[bool]()
        # nothing more is begun then; what was found before is told as well
        with suppress(OutOfTime):
            went += (_went(done, name, part) for name, part in parts.items())
        if len(went) == len(parts) and all(went):
            self.store.write(lambda tx: came_to_its_end(tx, self.clock.now()))
        log.info("reconciled", checked=done.checked, mended=len(done.repaired), left=len(done.findings), unmatched=done.unmatched)
        return done

    def _stream(self, done: Reconciliation, missing_events: Callable[[], Iterable[str]] | None) -> None:
        for entry in missing_events() if missing_events is not None else ():
            done.mended("stream", entry, "the event was read from the stream again")

    def _customers(
        self,
        done: Reconciliation,
        seconds: float | None,
        progress: Callable[[int, int], None],
        timer: Callable[[], float],
    ) -> None:
        if self.creem is None:
            done.checked["creem"] = 0
        else:
            Customers(self.store, self.creem, self.settler, self.clock, self.days).compare(done, seconds, progress, timer)

    def _both_sides(self, done: Reconciliation) -> None:
        since = self.clock.now() - self.days
        for finding in self.store.read(
            lambda tx: [
                *told_beyond(tx, since),
                *told_otherwise(tx, since),
                *told_and_not_read(tx, self.clock.now()),
                *on_two_accounts(tx, since, self.settler.bench.terms_at),
                *nothing_to_compare_by(tx, since),
            ]
        ):
            done.found(finding)

    def _credits(self, done: Reconciliation) -> None:
        since = self.clock.now() - self.days
        for each in self.store.read(lambda tx: differences(tx, since)):
            done.found(_not_moved(each))

    def _jobs(self, done: Reconciliation, seconds: float | None) -> None:
        # a run that goes to the end goes through all jobs, as the audit does, and as patiently; the others look at what is new
        since = None if seconds is None else self.clock.now() - self.days

        def look(tx: Tx) -> Sequence[Row[Any]]:
            tx.limit("statement_timeout", STATEMENT_SECONDS if seconds is None else seconds)
            return tx.all(failed_jobs_without_case(since))

        rows = self.store.read(look)
        moves, _ = _in_chunks(self._held, rows, self._judge)
        states = {move.subject: move.state for move in moves}
        for row in rows:
            if (said := states.get(row.row)) is None:
                done.found(Finding("failed_job", row.row, str(row.problem), "look at `refunds show` and the job's events"))
            else:
                done.mended("failed_job", row.row, f"its case was opened and is {said}")

    def _held(self, rows: Sequence[Row[Any]]) -> set[str]:
        """Whose account somebody else holds, of these rows."""
        owners = [row.account_id for row in rows]
        return self.store.write(lambda tx: held_accounts(tx, owners) | self.settler.ledger.held(tx, owners))

    def _judge(self, part: Sequence[Row[Any]]) -> Sequence[Move]:
        return self.assessor.judge_jobs([(row.row, row.account_id) for row in part]).moves

    def _ends(self, done: Reconciliation) -> None:
        """Purchases that missed the end of their subscription have it; whoever was told no for want of it is looked at again."""
        rows = self.store.read(lambda tx: tx.all(untold()))
        told, stuck = _in_chunks(self._held, rows, lambda part: self.store.write(lambda tx: self._tell_ends(tx, part)))
        for row, why in stuck:
            done.found(Finding("subscription", row.purchase_id, f"its end could not be booked: {why}", AGAIN))
        for row in told:
            done.mended("subscription", row.purchase_id, f"its subscription was cancelled at {moment(row.ended_at)}: booked")

    def _tell_ends(self, tx: Tx, part: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
        lock_owners(tx, part)
        told = tell(tx, tx.among(purchases.c.purchase_id, [row.purchase_id for row in part]))
        wake_declined(tx, [row.purchase_id for row in told], [], self.clock.now())
        return told

    def _requests(self, done: Reconciliation) -> None:
        found = [row.case_id for row in self.store.read(lambda tx: tx.all(declined_and_not_woken()))]
        for case_id in self.store.write(lambda tx: wake_those_declined(tx, found, self.clock.now())) if found else ():
            done.mended("renewal", case_id, "declined as not cancelled in time, and it was: it is judged anew")

    def _charges(self, done: Reconciliation) -> None:
        """Charges of the same thing, and charges of which money went back or is disputed, are looked at once more."""
        since = self.clock.now() - self.days
        named = self.store.read(lambda tx: _worth_a_look(tx, since))
        done.count("charges", len(named))
        moves, stuck = _in_chunks(self._held, named, lambda part: self.store.write(lambda tx: self._settle(tx, part)))
        for move in moves:
            done.mended("charge", move.subject, f"case {move.case_id} went from {move.was or 'nothing'} to {move.state}")
        for row, why in stuck:
            done.found(Finding("charge", row.purchase_id, f"could not be judged: {why}", "look at `refunds show`"))

    def _settle(self, tx: Tx, part: Sequence[Row[Any]]) -> Sequence[Move]:
        lock_owners(tx, part)
        return self.settler.settle(tx, [row.purchase_id for row in part], self.clock.now()).moves

    def _payments(self, done: Reconciliation) -> None:
        """Claims whose outcome nobody can prove, and those that wait for a person."""
        claims = (
            select(payments, cases.c.state.label("case_state"))
            .join(cases, cases.c.case_id == payments.c.case_id)
            .where(payments.c.due_at.is_not(None))
            .order_by(payments.c.created_at)
        )
        rows = self.store.read(lambda tx: tx.all(claims))
        done.count("open_payments", len(rows))
        for row in rows:
            if row.case_state != CaseState.REVIEW.value and row.state != PaymentState.UNKNOWN.value:
                continue
            problem = f"{money(row.amount, row.currency)}, {row.state}: {row.detail}"
            do = "compare with Creem's dashboard; do not refund there while the claim is open; it is read again by itself"
            done.found(Finding("payment", row.transaction_id, problem, do, row.amount))


def _went(done: Reconciliation, name: str, part: Callable[[], None]) -> bool:
    """False where a part could not be done: it stands in no other's way, and is told of."""
    try:
        part()
        return True
    except (LockedOut, BrokenOff, Unread) as error:
        why = str(error)
        log.warning("reconcile.part_left", part=name, error=why)
    except OutOfTime as error:
        log.warning("reconcile.part_left", part=name, error=str(error))
        do = "what comes after it was not looked at either; run `refunds reconcile`, which takes the time it needs"
        done.found(Finding("not_compared", name, f"could not be looked at to the end: {error}", do))
        raise
    except NoGround:
        raise
    except Exception as error:
        why = one_line(error)
        log.exception("reconcile.part_left", part=name)
    do = "the next run tries again; everything else was looked at"
    done.found(Finding("not_compared", name, f"could not be looked at to the end: {why}", do))
    return False


def _in_chunks(held: Held, rows: Sequence[Row[Any]], do: Do[D], size: int = CHUNK) -> Came[D]:
    """What became of the rows, so many at a time, and those that nothing can be done with, with the error."""
    done, stuck = list[D](), list[tuple[Row[Any], str]]()
    for start in range(0, len(rows), size):
        each, left = _together(held, rows[start : start + size], do)
        done += each
        stuck += left
    return done, stuck


def _together(held: Held, rows: Sequence[Row[Any]], do: Do[D]) -> Came[D]:
    """These rows, done together where that goes, but for those whose account is held; or else each alone, for one may be in the
    way of the others.
    """
    if not rows:
        return [], []
    try:
        return list(do(rows)), []
    except LockedOut as error:
        why = str(error)
        left = held(rows)
        if not left:
            raise
        done, stuck = _together(held, [row for row in rows if row.account_id not in left], do)
        return done, [*stuck, *((row, why) for row in rows if row.account_id in left)]
    except (NoGround, OutOfTime):
        raise
    except Exception as error:
        why = one_line(error)
    if len(rows) == 1:
        log.warning("reconcile.not_judged", row=rows[0][0], error=why)
        return [], [(rows[0], why)]
    return _in_chunks(held, rows, do, 1)


def _not_moved(each: Difference) -> Finding:
    undone = (
        (each.untaken.void, "are void and could not be taken"),
        (each.untaken.held, "are frozen and could not be taken"),
        (each.untaken.owed, "can be spent again and could not be given back"),
    )
    said = ", ".join(f"{credits} {what}" for credits, what in undone if credits)
    do = "decide what the customer keeps, and change the balance by hand; nothing more of it is taken or given back by itself"
    return Finding("credits_not_moved", each.purchase_id, f"of the credits of {each.account_id} {said}: {each.why}", do)


def _worth_a_look(tx: Tx, since: datetime) -> Sequence[Row[Any]]:
    p, c = purchases.c, charges.c
    # two charges a day apart may lie on either side of the bound
    recent = p.paid_at >= since - timedelta(days=2)
    same = (p.account_id, p.customer_id, p.product_id, p.currency)
    twice = select(*same).where(recent, p.customer_id.is_not(None)).group_by(*same).having(func.count() > 1).subquery("twice")
    doubled = (
        select(p.purchase_id, p.account_id).join(twice, and_(*(twice.c[column.name] == column for column in same))).where(recent)
    )
    moved = (
        select(p.purchase_id, p.account_id)
        .join(charges, c.transaction_id == p.transaction_id)
        .where(recent, or_(c.refunded > 0, c.disputed_at.is_not(None)))
    )
    return tx.all(doubled.union(moved))  # type: ignore[arg-type]
