"""A claim learns of calls that the journal knows and the database does not: their outcome is unknown, and it only reads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from policy.lifecycle import CaseState, PaymentState
from worker.cases.book.book import WORKER, Case
from worker.cases.book.casework import REMIND, go
from worker.cases.book.write import write_cases
from worker.cases.money import holds, record
from worker.cases.money.claims import READ, occasion
from worker.cases.money.close import Closing
from worker.cases.money.journal import Armed, Call
from worker.cases.money.turn import move
from worker.creem.answers import CallOutcome
from worker.store.bulk import Tx
from worker.store.tables import payment_attempts, payments

LOST = "the journal knows a call that the database does not"
OVERTAKEN = "its answer was lost with the database; a later call was armed, so it moved nothing"
IN_VAIN = "the commit that it was armed with was undone, and nothing was sent"
SENDS = {PaymentState.CLAIMED, PaymentState.REFUSED}
READS = {PaymentState.SENDING, PaymentState.UNKNOWN}


def as_unknown(tx: Tx, payment: Row[Any], case: Case, calls: Sequence[Armed], with_: Closing, why: str = LOST) -> str:
    """Puts these calls on the claim, which from here on only reads; returns it in words. Account, case and claim are locked.

    A claim that was closed without a refund of ours is opened again, its lot frozen as before.
    """
    _keep(tx, payment, calls)
    last = calls[-1]
    if payment.closed_at is not None and payment.state != PaymentState.REFUNDED.value:
        payment = _open(tx, payment, case, with_)
    known = {"attempts": last.attempt, "armed_at": last.armed_at, "deadline_at": last.deadline_at}
    if PaymentState(payment.state) in SENDS:
        move(tx, payment, PaymentState.SENDING, next_step=READ, due_at=with_.now, probes=0, **known)
    else:
        move(tx, payment, PaymentState(payment.state), **known)
    payment = _again(tx, payment)
    case.note("payment.remembered", transaction_id=payment.transaction_id, calls=[call.attempt for call in calls], why=why)
    if PaymentState(payment.state) in READS:
        if case.state is not None and case.state.final:
            go(case, CaseState.UNKNOWN, next_action_at=with_.now + REMIND)
        record.unknown(tx, payment, case, why, with_)
    else:
        write_cases(tx, [case], with_.now, WORKER)
    return f"unknown: {why}"


def as_not_sent(tx: Tx, payment: Row[Any], calls: Sequence[Armed], now: datetime) -> Row[Any]:
    """The claim with these calls on it, of which whoever armed them knows that nothing left. It is locked."""
    answer = {"outcome": CallOutcome.NOT_SENT.value, "detail": IN_VAIN, "answered_at": now}
    tx.insert(payment_attempts, [{"payment_id": payment.payment_id, **call._asdict(), **answer} for call in calls])
    one = payments.c.payment_id == payment.payment_id
    tx.connection.execute(update(payments).where(one).values(attempts=calls[-1].attempt))
    return _again(tx, payment)


def _keep(tx: Tx, payment: Row[Any], calls: Sequence[Armed]) -> None:
    """Every call has its row, also where the journal is younger than the first; all but the last are known to have moved nothing,
    or the next would not have been armed.
    """
    by_number, last = {call.attempt: call for call in calls}, calls[-1]
    rows = []
    for attempt in range(1, last.attempt + 1):
        call = by_number.get(attempt, last)
        known = {"armed_at": call.armed_at, "deadline_at": call.deadline_at}
        rows.append({"payment_id": payment.payment_id, "attempt": attempt, **known})
    tx.insert_absent(payment_attempts, rows)
    a = payment_attempts.c
    earlier = (a.payment_id == payment.payment_id, a.attempt < last.attempt, a.outcome.is_(None))
    tx.connection.execute(update(payment_attempts).where(*earlier).values(outcome=CallOutcome.NOT_SENT.value, detail=OVERTAKEN))


def _open(tx: Tx, payment: Row[Any], case: Case, with_: Closing) -> Row[Any]:
    again = {"state": PaymentState.CLAIMED.value, "closed_at": None, "due_at": with_.now, "turn": payment.turn + 1}
    tx.connection.execute(update(payments).where(payments.c.payment_id == payment.payment_id).values(again))
    opened = _again(tx, payment)
    holds.freeze(
        tx,
        with_.ledger,
        payment.purchase_id,
        occasion=occasion(payment.payment_id, opened.turn),
        case_id=case.case_id,
        now=with_.now,
    )
    return opened


def _again(tx: Tx, payment: Row[Any]) -> Row[Any]:
    return tx.one(select(payments).where(payments.c.payment_id == payment.payment_id))


def call_of(payment: Row[Any], case: Case, attempt: int, armed_at: datetime, deadline_at: datetime) -> Call:
    """One call on a claim, as the journal keeps it."""
    return Call(
        environment=payment.environment,
        transaction_id=payment.transaction_id,
        attempt=attempt,
        payment_id=payment.payment_id,
        armed_at=armed_at,
        deadline_at=deadline_at,
        account_id=payment.account_id,
        purchase_id=payment.purchase_id,
        kept_transaction_id=payment.kept_transaction_id,
        case_id=case.case_id,
        case_kind=case.kind.value,
        subject=case.subject,
        amount=payment.amount,
        currency=payment.currency,
    )
