"""The answer to the one call, recorded word for word, and what it lets us do next (failure-modes.md, 2.4).

Accepted is not proved: only a read proves. Whatever is not plainly an answer leaves the outcome unknown.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, update

from policy.lifecycle import CaseState, PaymentState
from worker.cases.book.book import WORKER, Case
from worker.cases.book.casework import REMIND, go
from worker.cases.book.write import write_cases
from worker.cases.money import limits
from worker.cases.money.charges import IN_VAIN
from worker.cases.money.claims import READ, SEND
from worker.cases.money.close import Closing, hand_over, overdue
from worker.cases.money.turn import Turn, lock, move
from worker.clock import growing, written
from worker.creem.answers import Answer, CallOutcome
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.tables import payment_attempts, payments

FIRST_LOOK = timedelta(seconds=5)
NOT_SENT_PAUSE = timedelta(minutes=15)
BALANCE_PAUSE = timedelta(days=1)
KEY_REFUSALS = 24 * 6
"""A day of them: a key that may not refund is a person's to mend, and the case is a person's too by then."""


def record_answer(tx: Tx, turn: Turn, attempt: int, answer: Answer, with_: Closing) -> str:
    """Keeps the answer and moves the claim; returns it in words.

    Guarded by the number of the call and not by the turn: an answer that comes after the claim was given up as unknown is an
    answer all the same.
    """
    payment, case = lock(tx, turn)
    fresh = _keep(tx, turn, attempt, answer, with_)
    waits = payment.state in {PaymentState.SENDING.value, PaymentState.UNKNOWN.value} and payment.attempts == attempt
    if not fresh or not waits:
        return f"late answer kept: {answer.outcome.value}"
    case.note(
        "payment.answered",
        transaction_id=turn.transaction_id,
        attempt=attempt,
        outcome=answer.outcome.value,
        http_status=answer.http_status,
        status=answer.status,
        trace_id=answer.trace_id,
    )
    match answer.outcome:
        case CallOutcome.ACCEPTED:
            _accepted(tx, payment, case, answer, with_)
        case CallOutcome.REFUSED:
            return _refused(tx, payment, case, answer, with_)
        case CallOutcome.NOT_SENT:
            _not_sent(tx, payment, case, answer, with_)
        case CallOutcome.THROTTLED | CallOutcome.UNKNOWN:
            # nothing shows that a throttled refund was not executed: it is not sent again (A16)
            unknown(tx, payment, case, answer.detail, with_)
            limits.call_in_vain(tx, answer, with_.now)
    return answer.outcome.value if answer.status is None else f"{answer.outcome.value} {answer.status}"


def unknown(tx: Tx, payment: Row[Any], case: Case, why: str, with_: Closing) -> None:
    """Whether money moved is not known: from here on the claim only reads."""
    now = with_.now
    case.note("payment.unknown", transaction_id=payment.transaction_id, why=why)
    if payment.state != PaymentState.UNKNOWN.value:
        move(tx, payment, PaymentState.UNKNOWN, next_step=READ, due_at=now + FIRST_LOOK, detail=why)
        go(case, CaseState.UNKNOWN, next_action_at=now + REMIND)
    log.warning("payment.unknown", case_id=case.case_id, transaction_id=payment.transaction_id, why=why)
    write_cases(tx, [case], now, WORKER)


def _keep(tx: Tx, turn: Turn, attempt: int, answer: Answer, with_: Closing) -> bool:
    kept = (
        update(payment_attempts)
        .where(
            payment_attempts.c.payment_id == turn.payment_id,
            payment_attempts.c.attempt == attempt,
            payment_attempts.c.answered_at.is_(None),
        )
        .values(
            outcome=answer.outcome.value,
            http_status=answer.http_status,
            status=answer.status,
            trace_id=answer.trace_id,
            refund_id=answer.refund_id,
            detail=answer.detail,
            # a NUL would be refused by the database, and with it the whole answer
            raw=answer.raw.replace("\x00", "\ufffd"),
            answered_at=with_.now,
        )
    )
    return tx.connection.execute(kept).rowcount == 1


def _accepted(tx: Tx, payment: Row[Any], case: Case, answer: Answer, with_: Closing) -> None:
    now = with_.now
    if answer.mismatch:
        why = f"Creem answered for another charge or environment: {answer.detail}"
        limits.open_until(tx, limits.MONEY, limits.FOR_EVER, why, needs_person=True)
        move(tx, payment, PaymentState.UNKNOWN, next_step=READ, due_at=now + FIRST_LOOK, detail=why)
        hand_over(tx, case, why, now)
    elif answer.status == "succeeded":
        # at once: in the usual case the charge shows it already
        move(tx, payment, PaymentState.CONFIRMING, next_step=READ, due_at=now, detail=None)
    elif answer.status in IN_VAIN:
        move(tx, payment, PaymentState.REJECTED, next_step=READ, due_at=now, detail=f"Creem answered {answer.status}")
    else:
        move(tx, payment, PaymentState.IN_PROGRESS, next_step=READ, due_at=now + FIRST_LOOK, detail=None)
        if answer.status != "pending":
            hand_over(tx, case, f"Creem answered {answer.status}: the refund may need a step in its dashboard", now)
    if case.state is CaseState.UNKNOWN:
        go(case, CaseState.REFUNDING, next_action_at=now + REMIND)
    if answer.status in {"succeeded", "pending"} and not answer.mismatch:
        # accepted is kept (policy.md, "The 3 business days"), however long Creem takes to show it
        case.warn_at, case.changed = None, True
    write_cases(tx, [case], now, WORKER)


def _refused(tx: Tx, payment: Row[Any], case: Case, answer: Answer, with_: Closing) -> str:
    now, refusals = with_.now, payment.refusals + 1
    days = with_.bench.terms_at(case.failed_at).refused_payment_days
    if answer.key_trouble and refusals <= KEY_REFUSALS:
        limits.open_until(tx, limits.KEY, now + limits.KEY_TROUBLE, answer.detail)
        _try_later(tx, payment, case, refusals, now + limits.KEY_TROUBLE, answer.detail, with_)
        return f"refused, the key: {answer.detail}"
    if answer.low_balance and refusals <= days:
        # one empty balance is everybody's: no other refund is tried against it meanwhile
        missing = _missing(tx)
        why = f"the merchant balance is too low; {missing} minor units wait for it ({answer.detail})"
        limits.open_until(tx, limits.BALANCE, now + BALANCE_PAUSE, why)
        _try_later(tx, payment, case, refusals, now + BALANCE_PAUSE, why, with_)
        return "refused, balance too low: tried again tomorrow"
    # a plain no, which a read has to bear out before anything is released
    move(tx, payment, PaymentState.REFUSED, next_step=READ, refusals=refusals, due_at=now, detail=answer.detail)
    write_cases(tx, [case], now, WORKER)
    return f"refused: {answer.detail}"


def _try_later(tx: Tx, payment: Row[Any], case: Case, refusals: int, due_at: datetime, why: str, with_: Closing) -> None:
    move(tx, payment, PaymentState.REFUSED, next_step=SEND, refusals=refusals, due_at=due_at, detail=why)
    if case.state is CaseState.UNKNOWN:
        go(case, CaseState.REFUNDING, next_action_at=with_.now + REMIND)
    case.note("payment.waits", why=why, until=written(due_at))
    write_cases(tx, [case], with_.now, WORKER)


def _not_sent(tx: Tx, payment: Row[Any], case: Case, answer: Answer, with_: Closing) -> None:
    if payment.state == PaymentState.UNKNOWN.value:
        # given up as unknown meanwhile, and unknown only reads: the person who looks sees the answer
        write_cases(tx, [case], with_.now, WORKER)
        return
    again_at = with_.now + growing(payment.attempts, NOT_SENT_PAUSE)
    move(tx, payment, PaymentState.CLAIMED, next_step=SEND, due_at=again_at, detail=answer.detail)
    limits.away(tx, answer.detail, with_.now)
    overdue(tx, payment, case, answer.detail, with_, left=False)
    write_cases(tx, [case], with_.now, WORKER)


def _missing(tx: Tx) -> int:
    p, to_send = payments.c, [PaymentState.CLAIMED.value, PaymentState.REFUSED.value, PaymentState.SENDING.value]
    waiting = select(func.coalesce(func.sum(p.amount), 0)).where(p.closed_at.is_(None), p.state.in_(to_send))
    return int(tx.value(waiting))
