"""The end of a claim: proved, needless, refused or handed to a person. Claim, lot, case and announcement end in one commit."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select

from policy.ledger import PostingKind
from policy.lifecycle import CaseState, PaymentState
from worker.cases.book.bench import Bench
from worker.cases.book.book import WORKER, Case
from worker.cases.book.casework import REMIND, announcement, go
from worker.cases.book.decided import reason_decided
from worker.cases.book.load import claimed
from worker.cases.book.notify import NoticeKind, notice, write_effects
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.money import charges, holds
from worker.cases.money.claims import READ, occasion
from worker.cases.money.settle import Settler
from worker.cases.money.turn import move
from worker.credits.ledger import Ledger
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.tables import cases, payments, postings, purchases

MAY_HAVE_LEFT = {
    PaymentState.SENDING,
    PaymentState.UNKNOWN,
    PaymentState.CONFIRMING,
    PaymentState.IN_PROGRESS,
    PaymentState.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Closing:
    """What the end of a claim needs besides its rows."""

    settler: Settler
    now: datetime

    @property
    def ledger(self) -> Ledger:
        """The books of credits."""
        return self.settler.ledger

    @property
    def bench(self) -> Bench:
        """What cases are judged by."""
        return self.settler.bench


def close(tx: Tx, payment: Row[Any], case: Case, to: PaymentState, target: CaseState, why: str, with_: Closing) -> str:
    """Ends a claim that gave nothing back, releases its lot, and moves its case; returns it in words.

    The lot stays frozen under a dispute and while another claim on it is open, and is voided where the money went back by another
    hand. `why` is for the person who looks; what is told outside is why the money was owed, or, where the charges stand otherwise
    than when that was decided, what is decided by now.
    """
    now = with_.now
    move(tx, payment, to, next_step=READ, due_at=None, closed_at=now, detail=why)
    known = charges.lock(tx, [payment.transaction_id])[payment.transaction_id]
    words = _settle_lot(tx, payment, known, with_)
    case.note("payment.closed", transaction_id=payment.transaction_id, state=to.value, why=why, **words)
    decided = reason_decided(tx, case)
    # an external end keeps the decision's reason: it was owed, and somebody else gave it
    case.reason = (decided or case.reason) if target is CaseState.EXTERNAL else why
    if case.warn_at is None and case.warned_percent < 100:
        # Creem's acceptance had kept the promise, and came to nothing
        case.warn_at = case.due_at
    go(case, target, next_action_at=None if target.final else now + REMIND, now=now)
    told = with_.settler.judge_stopped(tx, case, payment.purchase_id, now) if target is CaseState.REVIEW else None
    if told is None:
        as_before = announcement(case, now, amount=payment.amount, currency=payment.currency, reason=decided)
        told = [] if as_before is None else [as_before]
    write_cases(tx, [case], now, WORKER)
    freed = free_at_last(tx, payment.purchase_id, now) if words.get("credits_released") and "credits_voided" not in words else []
    write_effects(tx, told, freed, now=now)
    log.warning("payment.closed", case_id=case.case_id, transaction_id=payment.transaction_id, state=to.value, why=why)
    return f"{to.value}: {why}"


def proved(tx: Tx, payment: Row[Any], case: Case, refunded: int, with_: Closing) -> str:
    """The money has gone back, as Creem shows: voids the lot, and the case is done. Returns it in words."""
    now = with_.now
    move(tx, payment, PaymentState.REFUNDED, next_step=READ, due_at=None, closed_at=now, refunded=refunded, detail=None)
    voided = holds.void(
        tx,
        with_.ledger,
        payment.purchase_id,
        occasion=occasion(payment.payment_id, payment.turn),
        case_id=case.case_id,
        now=now,
    )
    case.note(
        "payment.refunded",
        transaction_id=payment.transaction_id,
        amount=refunded,
        currency=payment.currency,
        credits_voided=voided,
    )
    # a hand-over in between had its own words
    decided = reason_decided(tx, case)
    case.reason = decided or case.reason
    go(case, CaseState.REFUNDED, next_action_at=None, now=now)
    gone = {"amount": refunded, "currency": payment.currency, "transaction_id": payment.transaction_id}
    # whoever keeps balances by what is announced takes them, or the customer has the money and the credits
    void = {"credits_void": voided} if voided else {}
    told = announcement(case, now, **gone, **void, reason=decided)
    write_cases(tx, [case], now, WORKER)
    if told is not None:
        write_effects(tx, [told], now=now)
    log.info("payment.refunded", case_id=case.case_id, transaction_id=payment.transaction_id, amount=refunded)
    return "refunded"


def hand_over(tx: Tx, case: Case, why: str, now: datetime) -> None:
    """A person looks at a case whose claim is still open and goes on being read; `why` is told to nobody else."""
    if case.state is CaseState.REVIEW and case.reason == why:
        return
    case.reason = why
    case.note("case.handed_over", why=why)
    go(case, CaseState.REVIEW, next_action_at=now + REMIND)
    told = announcement(case, now, reason=reason_decided(tx, case))
    if told is not None:
        write_effects(tx, [told], now=now)
    log.error("payment.needs_person", case_id=case.case_id, why=why)


def wait(tx: Tx, payment: Row[Any], case: Case, due_at: datetime, why: str, with_: Closing) -> str:
    """The claim waits for its next turn; one that waits for too long is also a person's. Returns it in words."""
    state = PaymentState(payment.state)
    move(tx, payment, state, due_at=due_at, detail=why)
    overdue(tx, payment, case, why, with_, left=state in MAY_HAVE_LEFT)
    write_cases(tx, [case], with_.now, WORKER)
    return f"later: {why}"


def overdue(tx: Tx, payment: Row[Any], case: Case, why: str, with_: Closing, *, left: bool) -> None:
    """Hands the case over where its claim could not be carried out for as long as the terms allow; the claim goes on trying.

    Where a call may have `left`, nobody is told that nothing was sent: a person who believes that sends the money again.
    """
    if with_.now >= patience_ends(payment, case, with_, left=left):
        hours = with_.bench.terms_at(case.failed_at).unproved_payment_hours
        said = f"not proved within {hours} hours" if left else f"nothing could be sent for {hours} hours"
        hand_over(tx, case, f"{said}: {why}", with_.now)


def patience_ends(payment: Row[Any], case: Case, with_: Closing, *, left: bool) -> datetime:
    """Until when the terms let a claim wait without a person: from its call, where one may have `left`, else from the claim."""
    since: datetime = (payment.armed_at if left else None) or payment.created_at
    return since + timedelta(hours=with_.bench.terms_at(case.failed_at).unproved_payment_hours)


def hand_over_untaken(tx: Tx, case_ids: Iterable[str], bench: Bench, now: datetime) -> list[Case]:
    """Those of these cases go to a person whose claim nobody took up for as long as the terms allow; returns those that moved.
    The caller holds the locks of their accounts.

    Every process finds them, by the time of the case and whatever key it has: it may be that none that runs has the claim's.
    """
    p = payments.c
    untaken = select(p.environment, p.due_at.label("since"), cases).join(cases, cases.c.case_id == p.case_id)
    rows = tx.all(untaken.where(tx.among(p.case_id, case_ids), p.due_at <= now).order_by(p.due_at.desc(), p.payment_id))
    handed = []
    # of two on one case, the one that has waited longer
    for row in {row.case_id: row for row in rows}.values():
        case = case_of(row)
        hours = bench.terms_at(case.failed_at).unproved_payment_hours
        if now - row.since < timedelta(hours=hours):
            continue
        hand_over(
            tx, case, f"nobody took up the refund for {hours} hours: it takes a process with Creem's {row.environment} key", now
        )
        write_cases(tx, [case], now, WORKER)
        if case.state is not case.was:
            handed.append(case)
    return handed


def free_at_last(tx: Tx, purchase_id: str, now: datetime) -> list[Record]:
    """Notices of credits that came back for failed jobs while a claim on their purchase was open: nobody was told of what could
    not be spent.
    """
    c, p = cases.c, postings.c
    frozen = select(p.case_id, func.sum(p.credits).label("credits")).group_by(p.case_id)
    back = frozen.where(p.purchase_id == purchase_id, p.kind == PostingKind.FREEZE.value, p.key.contains(":back."))
    held = {row.case_id: int(row.credits) for row in tx.all(back)}
    told = tx.all(select(cases).where(tx.among(c.case_id, held)).order_by(c.case_id)) if held else []
    freed = ((case_of(row), held[row.case_id]) for row in told)
    return [notice(case, NoticeKind.CREDITS_RETURNED, now, "freed", credits=credits) for case, credits in freed]


def _settle_lot(tx: Tx, payment: Row[Any], known: charges.Known, with_: Closing) -> dict[str, int]:
    lot = {
        "occasion": occasion(payment.payment_id, payment.turn),
        "case_id": payment.case_id,
        "now": with_.now,
    }
    if known.gone:
        return {"credits_voided": holds.void(tx, with_.ledger, payment.purchase_id, **lot)}
    # another claim on it is of another environment, whose key some process had by mistake: its money may be on its way
    another = purchases.c.purchase_id == payment.purchase_id, claimed()
    if known.disputed_at is not None or tx.exists(select(purchases.c.purchase_id).where(*another)):
        row = tx.one(select(purchases.c.frozen).where(purchases.c.purchase_id == payment.purchase_id))
        return {"credits_kept_frozen": int(row.frozen)}
    words = {"credits_released": holds.release(tx, with_.ledger, payment.purchase_id, **lot)}
    voided = holds.void_gone(tx, with_.ledger, payment.purchase_id, case_id=payment.case_id, now=with_.now)
    return words | ({"credits_voided": voided} if voided else {})
