"""Turns at the claims: one process at a time works on one claim, and the number of its turn is its fencing token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, select, update

from policy.lifecycle import PAYMENT_MOVES, PaymentState
from worker.cases.book.book import Case
from worker.cases.book.locks import lock_account
from worker.cases.book.rows import case_of
from worker.errors import Collision, InvariantBroken
from worker.store import leases
from worker.store.bulk import Tx, unlocked
from worker.store.statements import one_of, unsought
from worker.store.tables import cases, payments

FLOOR = "creem"
"""The lease of whoever may call Creem."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One claim as it stood when its turn was taken."""

    payment_id: str
    turn: int
    transaction_id: str
    kept_transaction_id: str | None
    case_id: str
    account_id: str
    state: PaymentState
    next_step: str


def take_the_floor(tx: Tx, holder: str, now: datetime, lease: timedelta) -> bool:
    """True when this process alone takes turns at claims and reads charges that are due, until the lease ends: one slow provider
    holds up one process, not all. Reconcile and the credits at Creem ask beside it.
    """
    return leases.take(tx, FLOOR, holder, now, now + lease)


def leave_the_floor(tx: Tx, holder: str) -> None:
    """Another process may take turns from now on."""
    leases.leave(tx, FLOOR, holder)


def take(tx: Tx, environment: str, *, now: datetime, lease: timedelta, payment_id: str | None = None) -> Turn | None:
    """The claim of this environment that is longest due, or the one named if it is due; nobody else takes it until the lease
    ends. None where nothing is due.
    """
    statement, named = (_ANY, {}) if payment_id is None else (_NAMED, {"named": payment_id})
    asked = {"now": now, "until": now + lease, "in_environment": environment, **named}
    row = tx.connection.execute(statement, asked).first()
    return _turn(row) if row else None


def _taken(*which: ColumnElement[bool]) -> Any:
    p = payments.c
    # not those that only a newer release understands
    ours = unsought(p.environment == bindparam("in_environment"), one_of(p.state, PaymentState))
    due = select(p.payment_id).where(p.due_at <= bindparam("now"), ours, *which).order_by(p.due_at, p.payment_id).limit(1)
    taken = update(payments).where(p.payment_id.in_(unlocked(due)))
    return taken.values(turn=p.turn + 1, due_at=bindparam("until")).returning(*p)


# built once: an idle process asks this every few seconds
_ANY, _NAMED = _taken(), _taken(payments.c.payment_id == bindparam("named"))


def _turn(row: Row[Any]) -> Turn:
    return Turn(
        payment_id=row.payment_id,
        turn=row.turn,
        transaction_id=row.transaction_id,
        kept_transaction_id=row.kept_transaction_id,
        case_id=row.case_id,
        account_id=row.account_id,
        state=PaymentState(row.state),
        next_step=row.next_step,
    )


def lock(tx: Tx, turn: Turn) -> tuple[Row[Any], Case]:
    """Claim and case, locked behind their account, in the order that everybody locks in."""
    lock_account(tx, turn.account_id)
    case = tx.one(select(cases).where(cases.c.case_id == turn.case_id).with_for_update())
    payment = tx.one(select(payments).where(payments.c.payment_id == turn.payment_id).with_for_update())
    return payment, case_of(case)


def still_ours(payment: Row[Any], turn: Turn) -> bool:
    """False where the turn ran out and another took the claim."""
    return int(payment.turn) == turn.turn


def defer(tx: Tx, turn: Turn, until: datetime) -> None:
    """The claim has its next turn then, and nothing else of it changes; not where another took it, or it was closed."""
    p = payments.c
    mine = (p.payment_id == turn.payment_id, p.turn == turn.turn, p.due_at.is_not(None))
    tx.connection.execute(update(payments).where(*mine).values(due_at=until))


def move(tx: Tx, payment: Row[Any], to: PaymentState, **values: Any) -> None:
    """One guarded move of a claim. Raises `InvariantBroken` for one the lifecycle does not know, `Collision` where it moved
    meanwhile.
    """
    was = PaymentState(payment.state)
    if to is not was and to not in PAYMENT_MOVES[was]:
        raise InvariantBroken(f"{payment.payment_id}: {was.value} cannot become {to.value}")
    guarded = update(payments).where(
        payments.c.payment_id == payment.payment_id, payments.c.state == was.value, payments.c.turn == payment.turn
    )
    if tx.connection.execute(guarded.values(state=to.value, **values)).rowcount != 1:
        raise Collision(f"{payment.payment_id} moved meanwhile")
