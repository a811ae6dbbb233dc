"""Claims: at most one for each charge, for ever, committed with the decision and before anything is sent (creem-api.md, 14.3)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update

from policy.facts import PurchaseFacts
from policy.lifecycle import PaymentState
from worker.cases.book.book import Case
from worker.cases.money import holds
from worker.cases.money.facts import Charge
from worker.clock import new_id
from worker.credits.ledger import Ledger
from worker.creem.answers import MOVED_NOTHING
from worker.creem.environment import Environment
from worker.errors import Collision
from worker.store.bulk import Record, Tx
from worker.store.tables import payment_attempts, payments

SEND, READ = "send", "read"


def unproved() -> ColumnElement[bool]:
    """That a call was armed for the claim, and what came of it is neither proved nor settled by a person."""
    in_doubt = [PaymentState.SENDING.value, PaymentState.UNKNOWN.value]
    return and_(payments.c.state.in_(in_doubt), payments.c.due_at.is_not(None))


def make(environment: Environment, case: Case, charge: Charge, kept: PurchaseFacts | None, now: datetime) -> Record:
    """The claim on a whole charge, due at once; nothing may be sent that it does not name."""
    return {
        "payment_id": new_id("pay", now),
        "environment": environment.value,
        "transaction_id": charge.transaction_id,
        "case_id": case.case_id,
        "account_id": charge.facts.account_id,
        "purchase_id": charge.facts.purchase_id,
        "kept_transaction_id": kept.transaction_id if kept else None,
        # as booked, whatever was learned since; what goes back is what was paid, and that is read before the call
        "amount": charge.facts.amount if charge.facts.price is None else charge.facts.price,
        "currency": charge.facts.currency,
        "state": PaymentState.CLAIMED.value,
        "next_step": SEND,
        "turn": 0,
        "attempts": 0,
        "probes": 0,
        "refusals": 0,
        "due_at": now,
        "refunded": 0,
        "created_at": now,
    }


def insert(tx: Tx, ledger: Ledger, wanted: Sequence[Record], now: datetime) -> None:
    """Makes the claims stand and freezes their lots. Raises `Collision` where a charge is claimed already."""
    added = tx.insert_new(payments, wanted, payments.c.payment_id)
    if len(added) != len(wanted):
        raise Collision(f"{len(wanted) - len(added)} charges were claimed meanwhile")
    for claim in wanted:
        holds.freeze(
            tx, ledger, claim["purchase_id"], occasion=occasion(claim["payment_id"], 0), case_id=claim["case_id"], now=now
        )


def go_on(tx: Tx, payment_id: str, now: datetime) -> None:
    """The claim, of which nothing is on its way, takes its turn at once. Raises `Collision` where it moved meanwhile."""
    p = payments.c
    mine = (p.payment_id == payment_id, p.next_step == SEND, p.closed_at.is_(None))
    if tx.connection.execute(update(payments).where(*mine).values(due_at=now)).rowcount != 1:
        raise Collision(f"{payment_id} moved meanwhile")


def nothing_left(tx: Tx, payment: Row[Any]) -> bool:
    """True where no money of an open claim can be on its way: its next step is a call, and those that were made moved nothing."""
    if payment.closed_at is not None or payment.next_step != SEND:
        return False
    a = payment_attempts.c
    moved = or_(a.outcome.is_(None), a.outcome.not_in(MOVED_NOTHING))
    return not tx.exists(select(a.payment_id).where(a.payment_id == payment.payment_id, moved))


def is_open(tx: Tx, environment: str, transaction_id: str) -> bool:
    """True where a claim on the charge has not ended: its money may go back, or be on its way."""
    p = payments.c
    mine = (p.environment == environment, p.transaction_id == transaction_id, p.closed_at.is_(None))
    return tx.exists(select(p.payment_id).where(*mine))


def open_elsewhere(tx: Tx, environment: str | None) -> dict[str, int]:
    """How many open claims are of another environment than the one that is named, by theirs: with its key nobody goes on with
    them. None where no environment is named.
    """
    p = payments.c
    if environment is None:
        return {}
    counted = select(p.environment, func.count()).where(p.due_at.is_not(None), p.environment != environment)
    return {whose: int(number) for whose, number in tx.connection.execute(counted.group_by(p.environment))}


def environments(tx: Tx) -> list[str]:
    """Whose money was ever claimed here: `test`, `live`, both or none."""
    found = select(payments.c.environment).distinct().order_by(payments.c.environment)
    return [row.environment for row in tx.all(found)]


def occasion(payment_id: str, turn: int) -> str:
    """What the postings of one turn of a claim are for."""
    return f"{payment_id}.{turn}"


def of_charges(tx: Tx, found: Iterable[Charge], environment: Environment | None) -> dict[str, Row[Any]]:
    """The claim that counts on each of these charges, by transaction id: one that is open, whatever environment it is of, for
    its money may be on its way; else that of this environment, or of any where there is no key.
    """
    named = {charge.transaction_id for charge in found if charge.transaction_id}
    if not named:
        return {}
    rows = tx.all(select(payments).where(tx.among(payments.c.transaction_id, named)))
    counting = [row for row in rows if row.closed_at is None or not is_elsewhere(row, environment)]
    # of two that are open, the one that nobody here can end
    counting.sort(key=lambda row: (row.closed_at is None, is_elsewhere(row, environment)))
    return {row.transaction_id: row for row in counting}


def is_elsewhere(payment: Row[Any], environment: Environment | None) -> bool:
    """True of a claim that whoever has the key of this environment cannot carry out."""
    return environment is not None and bool(payment.environment != environment.value)
