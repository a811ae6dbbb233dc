"""Proof by reading: what the charge shows at Creem closes a claim, or the claim is looked at again later.

Only "refunded" proves. "Paid" proves nothing about a call that may still be on its way (failure-modes.md, finding 5): it closes
a claim only where Creem itself said no to the call.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from policy.lifecycle import CaseState, PaymentState
from worker.cases.book.book import WORKER, Case
from worker.cases.book.write import write_cases
from worker.cases.money import charges
from worker.cases.money.charges import IN_VAIN
from worker.cases.money.claims import READ
from worker.cases.money.close import Closing, close, hand_over, overdue, patience_ends, proved
from worker.cases.money.turn import Turn, lock, move, still_ours
from worker.creem.environment import Environment
from worker.creem.transactions import Transaction
from worker.store.bulk import Tx
from worker.store.tables import creem_refunds, payment_attempts

LOOKS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600))
HOURLY, DAILY = timedelta(hours=1), timedelta(days=1)
OPEN = {PaymentState.UNKNOWN, PaymentState.CONFIRMING, PaymentState.IN_PROGRESS}
SAID_NO = {PaymentState.REFUSED, PaymentState.REJECTED}
LOST = "the dispute was lost, so the bank gave all of it back; whether our refund went too, only Creem's dashboard shows"


def prove(tx: Tx, turn: Turn, seen: Transaction | None, with_: Closing, environment: Environment) -> str:
    """Closes the claim where the charge proves how it ended, else says when to look again; returns it in words."""
    payment, case = lock(tx, turn)
    state = PaymentState(payment.state)
    if not still_ours(payment, turn) or state not in OPEN | SAID_NO:
        return "nothing to prove"
    if seen is None:
        return _look_again(tx, payment, case, "Creem does not know the transaction", with_)
    odd = _odd(payment, seen, environment)
    if odd is not None:
        return _look_again(tx, payment, case, odd, with_)
    if seen.refunded_whole:
        if state is PaymentState.REFUSED:
            # our only call was refused: it was somebody else's
            return close(
                tx, payment, case, PaymentState.NOT_NEEDED, CaseState.EXTERNAL, "the charge was refunded by another hand", with_
            )
        return proved(tx, payment, case, payment.charged or seen.amount_paid or payment.amount, with_)
    in_vain = PaymentState.REFUSED if state is PaymentState.REFUSED else PaymentState.REJECTED
    if tx.value(select(charges.lost(payment.transaction_id))):
        return close(tx, payment, case, in_vain, CaseState.EXTERNAL, LOST, with_)
    # under a dispute the lot stays frozen; beside a word that nobody knows, what is missing may be with the bank all the same
    if (state in SAID_NO or _ours_failed(tx, payment, state)) and (seen.tells_of_refunds or seen.chargeback):
        said = payment.detail or "Creem said that the refund failed"
        return close(tx, payment, case, in_vain, CaseState.REVIEW, f"no money moved: {said}", with_)
    if not seen.tells_of_refunds:
        shown = "was charged back" if seen.chargeback else f"is shown as {seen.status_verbatim}"
        why = f"the charge {shown} while our refund was not proved: compare with the dashboard"
        hand_over(tx, case, why, with_.now)
        return _look_again(tx, payment, case, why, with_)
    shown = f"Creem still shows the charge as {seen.status_verbatim}"
    if _one_failed(tx, payment, state):
        if with_.now >= patience_ends(payment, case, with_, left=True):
            why = f"no money moved: {shown}, and told of one refund of it, which failed"
            return close(tx, payment, case, PaymentState.REJECTED, CaseState.REVIEW, why, with_)
        shown = f"{shown}, and told of one refund of it that failed, not whether it is ours"
    return _look_again(tx, payment, case, shown, with_)


def _odd(payment: Row[Any], seen: Transaction, environment: Environment) -> str | None:
    if seen.id != payment.transaction_id:
        return f"Creem answered with another transaction, {seen.id}"
    if not environment.accepts(seen.mode):
        return f"the transaction is of mode {seen.mode}"
    if seen.currency != payment.currency:
        return f"the transaction is in {seen.currency} now"
    if payment.charged is not None and seen.amount_paid not in {None, payment.charged}:
        return f"Creem shows {seen.amount_paid} minor units as paid, and showed {payment.charged} before the call"
    return None


def _ours_failed(tx: Tx, payment: Row[Any], state: PaymentState) -> bool:
    """True where Creem accepted our call, named the refund, and told since that this very one came to nothing."""
    if state is not PaymentState.IN_PROGRESS:
        return False
    a, r = payment_attempts.c, creem_refunds.c
    named = select(a.refund_id).where(a.payment_id == payment.payment_id, a.attempt == payment.attempts)
    told = select(r.status).where(r.transaction_id == payment.transaction_id, r.refund_id == named.scalar_subquery())
    return any(row.status in IN_VAIN for row in tx.all(told))


def _one_failed(tx: Tx, payment: Row[Any], state: PaymentState) -> bool:
    """True where Creem accepted our call without naming the refund, and told of one of this charge, of no other ever, that was
    made since and came to nothing. By what Creem tells it may be another hand's, and ours be on its way.
    """
    if state is not PaymentState.IN_PROGRESS:
        return False
    a, r = payment_attempts.c, creem_refunds.c
    ours = (a.payment_id == payment.payment_id, a.attempt == payment.attempts, a.refund_id.is_not(None))
    if tx.exists(select(a.refund_id).where(*ours)):
        return False
    told = tx.all(select(r.status, r.created_at, r.heard_at).where(r.transaction_id == payment.transaction_id))
    # when it was heard is by our own clock: Creem's may be ahead
    since = len(told) == 1 and min(told[0].created_at, told[0].heard_at) >= payment.armed_at
    return since and told[0].status in IN_VAIN


def _look_again(tx: Tx, payment: Row[Any], case: Case, why: str, with_: Closing) -> str:
    now, probes = with_.now, payment.probes + 1
    ends = patience_ends(payment, case, with_, left=True)
    pause = LOOKS[min(probes, len(LOOKS) - 1)] if probes < len(LOOKS) else HOURLY
    if now >= ends:
        pause = DAILY
        overdue(tx, payment, case, why, with_, left=True)
    elif now + pause > ends:
        pause = max(ends - now, timedelta(seconds=5))
    state = PaymentState(payment.state)
    due_at = now + pause
    # a word that came since the read began called the claim back: it is read again with its charge
    charge_due_at = charges.lock(tx, [payment.transaction_id])[payment.transaction_id].due_at
    if charge_due_at is not None:
        due_at = min(due_at, max(charge_due_at, now + LOOKS[0]))
    # how Creem said no stays, for that is what the claim ends by
    said = payment.detail if state in SAID_NO else why
    move(tx, payment, state, next_step=READ, probes=probes, due_at=due_at, detail=said)
    write_cases(tx, [case], now, WORKER)
    return f"not proved yet: {why}"
