"""Arming: the commit after which a call may leave, made only where everything still is as it was approved.

What was read a moment ago at Creem and what our own books say now are compared inside the arming transaction, behind the
account's lock. Only this commit makes the permission that the client takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select

from policy.lifecycle import CaseState, PaymentState
from policy.words import count, money
from worker.cases.book.bench import Bench
from worker.cases.book.book import BY_PERSON, WORKER, Case
from worker.cases.book.casework import REMIND, go
from worker.cases.book.decided import amount_claimed
from worker.cases.book.write import write_cases
from worker.cases.money import charges, claims, epoch, limits
from worker.cases.money.clocks import apart
from worker.cases.money.close import Closing, close, hand_over, wait
from worker.cases.money.facts import charge_of
from worker.cases.money.remember import as_unknown, call_of
from worker.cases.money.turn import Turn, lock, move, still_ours
from worker.cases.money.unheard import unheard
from worker.cases.money.used import jobs_under
from worker.credits.at_creem import taken
from worker.creem.client import Armed, Creem
from worker.creem.transactions import Transaction
from worker.store.breakers import answered, closed_to
from worker.store.bulk import Tx
from worker.store.tables import payment_attempts, purchases

GRACE = timedelta(seconds=5)
"""Longer than a process needs to record an answer that came at the last moment."""
STOPPED = timedelta(minutes=5)
UNHEARD, BEHIND = timedelta(seconds=1), timedelta(seconds=5)
PAID = "paid"
PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Arming:
    """What arming needs. `until`: the reading of the timer after which nothing of this call may leave."""

    closing: Closing
    bench: Bench
    creem: Creem
    until: float
    timer: Callable[[], float]
    witnesses: epoch.Witnesses
    remembered: epoch.Remembered
    """What the witnesses remembered before this transaction began."""
    other_clock: Callable[[Tx], datetime | None]
    """The time that this host's clock has to agree with."""


@dataclass(frozen=True, slots=True)
class ArmedTurn:
    """The permission for one call, the number it is recorded under, and how high the database rose with it."""

    permission: Armed
    attempt: int
    mark: int


def arm(tx: Tx, turn: Turn, seen: Transaction | None, kept: Transaction | None, with_: Arming) -> ArmedTurn | str:
    """The permission to send, its intent written; or what happened instead, in words."""
    payment, case = lock(tx, turn)
    if not still_ours(payment, turn) or payment.state not in {PaymentState.CLAIMED.value, PaymentState.REFUSED.value}:
        return "another process took it over"
    now = with_.closing.now
    jumped = apart(with_.other_clock(tx), now)
    if jumped is not None:
        return wait(tx, payment, case, now + STOPPED, f"nothing is sent from here: {jumped}", with_.closing)
    if with_.witnesses.any:
        held = epoch.held_back(tx, with_.remembered, now)
        if held is not None:
            return wait(tx, payment, case, held[1], f"money is stopped: {held[0]}", with_.closing)
        before = with_.witnesses.calls((payment.environment, payment.transaction_id))
        if before and before[-1].attempt > payment.attempts:
            # armed by a process that died before its commit, or in a time that this database was set back from
            return as_unknown(tx, payment, case, before, with_.closing)
    known = charges.lock(tx, [turn.transaction_id, *([turn.kept_transaction_id] if turn.kept_transaction_id else [])])
    ends = _not_as_approved(tx, payment, case, seen, kept, known, with_)
    if ends is not None:
        state, target, why = ends
        if payment.probes < len(charges.LOOKS) and _comes_yet(payment, seen, kept, known):
            # the one claim on a charge is not spent on what the next read may say otherwise
            move(tx, payment, PaymentState(payment.state), probes=payment.probes + 1)
            return wait(tx, payment, case, now + charges.LOOKS[payment.probes], why, with_.closing)
        return close(tx, payment, case, state, target, why, with_.closing)
    other = _not_as_shown(tx, case, seen)
    if other is not None:
        # nothing was sent, and nothing ends: the claim waits for a person's word about what would leave
        hand_over(tx, case, other, now)
        move(tx, payment, PaymentState(payment.state), due_at=now + REMIND, detail=other)
        write_cases(tx, [case], now, WORKER)
        return f"later: {other}"
    told = unheard(tx, payment, now)
    if told is not None:
        # Creem told us something that nobody has handled yet: it may be about this very charge
        return wait(tx, payment, case, now + UNHEARD, told, with_.closing)
    behind = [charge.due_at for charge in known.values() if charge.due_at is not None]
    if behind:
        # another word of it calls the claim back before that
        again = max(now + BEHIND, *behind)
        return wait(tx, payment, case, again, "Creem told of a refund of the charge and does not show it yet", with_.closing)
    kept_id = payment.kept_transaction_id
    if kept_id is not None and claims.is_open(tx, payment.environment, kept_id):
        why = "a refund of the earlier charge, which was to stay, is under way"
        return wait(tx, payment, case, now + STOPPED, why, with_.closing)
    credits = taken(tx, payment.purchase_id)
    if credits.refused is not None:
        why = f"not all of its credits could be taken back: {credits.refused}"
        return close(tx, payment, case, PaymentState.MISMATCH, CaseState.REVIEW, why, with_.closing)
    if credits.pending:
        return wait(tx, payment, case, now + BEHIND, "its credits are not yet taken at Creem", with_.closing)
    stopped = closed_to(tx, [limits.KEY, limits.BALANCE], now)
    if stopped is not None:
        # an empty balance and a refused key are seen in `refunds status`; each claim asks again by itself
        move(tx, payment, PaymentState(payment.state), due_at=min(stopped[1], now + STOPPED), detail=f"money waits, {stopped[0]}")
        return f"later: money waits, {stopped[0]}"
    leaves = turn.amount if seen is None or seen.amount_paid is None else seen.amount_paid
    over = limits.admit(tx, turn.transaction_id, leaves, with_.bench.terms_at(case.failed_at), now)
    if over is not None:
        return wait(tx, payment, case, now + STOPPED, f"money is stopped: {over}", with_.closing)
    left = with_.until - with_.timer()
    if left <= 0:
        return wait(tx, payment, case, now, "the charge was read too long ago", with_.closing)
    return _armed(tx, turn, payment, case, left, seen.amount_paid if seen is not None else None, with_)


def _armed(tx: Tx, turn: Turn, payment: Row[Any], case: Case, left: float, charged: int | None, with_: Arming) -> ArmedTurn:
    now = with_.closing.now
    attempt = payment.attempts + 1
    deadline_at = now + timedelta(seconds=left)
    tx.insert(
        payment_attempts,
        [{"payment_id": turn.payment_id, "attempt": attempt, "armed_at": now, "deadline_at": deadline_at}],
    )
    move(
        tx,
        payment,
        PaymentState.SENDING,
        next_step="read",
        attempts=attempt,
        probes=0,
        armed_at=now,
        deadline_at=deadline_at,
        charged=charged,
        due_at=deadline_at + GRACE,
        detail=None,
    )
    case.note("payment.armed", transaction_id=turn.transaction_id, attempt=attempt, amount=turn.amount, currency=turn.currency)
    if case.state is not CaseState.REFUNDING:
        go(case, CaseState.REFUNDING, next_action_at=now + REMIND)
    write_cases(tx, [case], now, WORKER)
    mark = epoch.rise(tx, now)
    if with_.witnesses.journal is not None:
        # the last thing before the commit; what the line says of the mark is committed already, whatever becomes of ours
        with_.witnesses.journal.add(mark - 1, now, call_of(payment, case, attempt, now, deadline_at))
        answered(tx, limits.JOURNAL)
    return ArmedTurn(Armed(turn.transaction_id, with_.until), attempt, mark)


End = tuple[PaymentState, CaseState, str]


def _not_as_approved(
    tx: Tx,
    payment: Row[Any],
    case: Case,
    seen: Transaction | None,
    kept: Transaction | None,
    known: dict[str, charges.Known],
    with_: Arming,
) -> End | None:
    """Why nothing may be sent, with where claim and case go; None where all is as it was approved."""
    ours = known[payment.transaction_id]
    if ours.disputed_at is not None:
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, "the charge is under dispute: nothing is sent beside it"
    wrong = _wrong(tx, payment, seen, with_)
    if wrong is not None:
        return PaymentState.MISMATCH, CaseState.REVIEW, wrong
    assert seen is not None, "a charge that is not there is wrong"
    if seen.chargeback:
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, "Creem shows the charge as charged back: nothing is sent beside it"
    if not (seen.tells_of_refunds or ours.gone):
        return PaymentState.MISMATCH, CaseState.REVIEW, f"Creem shows the charge as {seen.status_verbatim}, not as paid"
    if seen.refunded_whole or ours.gone:
        return (
            PaymentState.NOT_NEEDED,
            CaseState.EXTERNAL,
            "the charge was refunded in full by another hand before we sent anything",
        )
    if seen.refunded_amount or ours.refunded:
        part = max(seen.refunded_amount, ours.refunded)
        why = f"{part} of {seen.amount_paid} minor units went back by another hand: what is left is not what was approved"
        return PaymentState.MISMATCH, CaseState.REVIEW, why
    if seen.status != PAID:
        return PaymentState.MISMATCH, CaseState.REVIEW, f"Creem shows the charge as {seen.status_verbatim}, not as paid"
    if payment.kept_transaction_id is None and case.rule == BY_PERSON:
        # a person approved this one charge by itself: nothing has to stay in its place
        return None
    return _kept_is_gone(payment, kept, known) or _paid_otherwise(payment, seen, kept, known) or _used_since(tx, payment, case)


def _comes_yet(payment: Row[Any], seen: Transaction | None, kept: Transaction | None, known: dict[str, charges.Known]) -> bool:
    """True where Creem does not show a charge yet, or not yet as paid (creem-api.md, 4.3 and 11.7), and nothing else is known."""
    if any(charge.disputed_at is not None or charge.refunded for charge in known.values()):
        return False
    read = [seen] if payment.kept_transaction_id is None else [seen, kept]
    return any(one is None or one.status == PENDING for one in read) and all(one is None or _is_plain(one) for one in read)


def _is_plain(seen: Transaction) -> bool:
    return seen.status in {PAID, PENDING} and not seen.refunded_amount


def _not_as_shown(tx: Tx, case: Case, seen: Transaction | None) -> str | None:
    """Why what a person approved is not what would leave: nobody approves, alone or with a second, what they were not shown."""
    if case.rule != BY_PERSON or seen is None or seen.amount_paid is None:
        return None
    shown = amount_claimed(tx, case.case_id)
    if shown is None or shown == seen.amount_paid:
        return None
    would, was = money(seen.amount_paid, seen.currency), money(shown, seen.currency)
    return f"{would} would go back, and {was} were approved: what was paid became known since; it has to be approved anew"


def _wrong(tx: Tx, payment: Row[Any], seen: Transaction | None, with_: Arming) -> str | None:
    if seen is None:
        return "Creem does not know the transaction"
    if seen.id != payment.transaction_id:
        return f"Creem answered with another transaction, {seen.id}"
    if not with_.creem.environment.accepts(seen.mode):
        return f"the transaction is of mode {seen.mode}, the key of {with_.creem.environment.value}"
    booked = tx.one(select(purchases.c.customer_id).where(purchases.c.purchase_id == payment.purchase_id))
    if seen.customer is not None and booked.customer_id is not None and seen.customer != booked.customer_id:
        return f"the transaction is of customer {seen.customer}, the purchase of {booked.customer_id}"
    if seen.currency != payment.currency:
        return f"the transaction is in {seen.currency}, the purchase in {payment.currency}"
    if not seen.amount_paid:
        return "Creem does not say what was paid"
    if payment.amount not in {seen.amount_paid, seen.amount}:
        return f"the transaction is of {seen.amount_paid} minor units, {payment.amount} were approved"
    return None


def _kept_is_gone(
    payment: Row[Any],
    kept: Transaction | None,
    known: dict[str, charges.Known],
) -> End | None:
    """The charge that stays valid must stand: were both gone, the customer would have paid for nothing and we twice."""
    if payment.kept_transaction_id is None:
        return (
            PaymentState.MISMATCH,
            CaseState.REVIEW,
            "the earlier charge names no transaction: whether it stands cannot be read",
        )
    stands = known[payment.kept_transaction_id]
    if stands.disputed_at is not None or (kept is not None and kept.chargeback):
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, "the earlier charge, which was to stay, is under dispute"
    if stands.refunded or kept is None or kept.refunded_amount or kept.refunded_whole or kept.status != PAID:
        said = "is not known to Creem" if kept is None else f"stands as {kept.status_verbatim}"
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, f"the earlier charge, which was to stay, {said}"
    return None


def _paid_otherwise(
    payment: Row[Any], seen: Transaction, kept: Transaction | None, known: dict[str, charges.Known]
) -> End | None:
    """What was paid is compared, whatever went back of it: the policy, told both amounts before, would have asked a person."""
    assert kept is not None, "a charge that is not there does not stand"
    paid, before = seen.amount_paid, kept.amount_paid or known[payment.kept_transaction_id].amount_paid
    if (paid, seen.currency) == (before, kept.currency):
        return None
    said = "Creem does not say what" if before is None else money(before, kept.currency)
    why = f"{money(paid or 0, seen.currency)} were paid, and for the earlier charge, which was to stay, {said}"
    return PaymentState.MISMATCH, CaseState.REVIEW, why


def _used_since(tx: Tx, payment: Row[Any], case: Case) -> End | None:
    """Nothing freezes a pass while its claim is open, and its jobs may be told of later. A person who approved it was asked."""
    charge = None if case.rule == BY_PERSON else charge_of(tx, payment.purchase_id)
    jobs = 0 if charge is None else jobs_under(tx, charge)
    if not jobs:
        return None
    why = f"{count(jobs, 'job')} ran under the charge's pass, told of since it was found to be a duplicate"
    return PaymentState.MISMATCH, CaseState.REVIEW, why
