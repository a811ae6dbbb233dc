"""What is known of charges: heard by webhook, read at Creem. Knowledge only ever grows.

A refund that was heard of is a reason to read the charge at Creem; what was read decides. A dispute counts from the moment it is
heard of: stopping costs nothing. Each charge has one row that everybody who tells of it locks, after the accounts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Exists, Row, Select, bindparam, exists, func, not_, or_, select, update

from policy.lifecycle import CaseKind, CaseState, PaymentState
from worker.creem.said import DisputeCreated, RefundCreated
from worker.creem.transactions import Transaction
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.statements import Among, Question, one_of
from worker.store.tables import cases, charges, creem_refunds, disputes, payments, purchases

LOOKS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600))
"""When to look again while Creem does not yet show what it told us; after the last one reconcile goes on asking."""
ASTRAY = timedelta(hours=2)
"""How far Creem's clock may be behind ours: what is closer than that may have come after."""
SUCCEEDED, IN_VAIN = "succeeded", ("failed", "canceled")
"""The words for a refund that settle what became of it; any other, known or not, leaves it open (creem-api.md, 3.1)."""


@dataclass(frozen=True, slots=True)
class Known:
    """One charge as far as it is known. `refunded` is what went back, by anybody's hand."""

    amount_paid: int | None
    refunded: int
    disputed_at: datetime | None
    due_at: datetime | None
    looks: int

    @property
    def gone(self) -> bool:
        """True when all of its money went back."""
        return self.amount_paid is not None and 0 < self.amount_paid <= self.refunded


def lock(tx: Tx, transaction_ids: Iterable[str]) -> dict[str, Known]:
    """The charges by transaction id, locked in order of id; rows are made for those never heard of."""
    wanted = sorted(set(transaction_ids))
    if not wanted:
        return {}
    new = [{"transaction_id": one, "refunded": 0, "looks": 0} for one in wanted]
    tx.insert_absent(charges, new)
    return {row.transaction_id: _known(row) for row in tx.ask(_locked, transaction_ids=wanted)}


def _locked(among: Among) -> Select[Any]:
    chosen = select(charges).where(among(charges.c.transaction_id, "transaction_ids")).order_by(charges.c.transaction_id)
    return chosen.with_for_update()


def _known(row: Row[Any]) -> Known:
    return Known(row.amount_paid, row.refunded, row.disputed_at, row.due_at, row.looks)


def hear_paid(tx: Tx, amounts: Mapping[str, int]) -> None:
    """Keeps what Creem said the customer paid, by transaction, where nothing is known of it yet. The charges are locked."""
    for transaction_id, paid in amounts.items():
        unknown = (charges.c.transaction_id == transaction_id, charges.c.amount_paid.is_(None), charges.c.refunded <= paid)
        tx.connection.execute(update(charges).where(*unknown).values(amount_paid=paid))


def hear_refunds(tx: Tx, told: Sequence[RefundCreated], now: datetime, *, can_read: bool) -> None:
    """Keeps refunds that Creem told of, each once by its own id, and makes their charges and claims due to be read.

    Where nothing can be read, because there is no key, the sum of what was heard has to do. The charges are locked.
    """
    records = [
        {
            "refund_id": one.refund_id,
            "transaction_id": one.transaction_id,
            "amount": one.amount,
            "currency": one.currency,
            "status": one.status,
            "reason": one.reason,
            "created_at": one.created_at,
            "heard_at": now,
        }
        for one in {one.refund_id: one for one in told}.values()
    ]
    tx.insert_absent(creem_refunds, records)
    # the same refund may be told of again with what became of it; a settled word is kept
    unsettled = creem_refunds.c.status.not_in([SUCCEEDED, *IN_VAIN])
    for one in told:
        tx.connection.execute(
            update(creem_refunds).where(creem_refunds.c.refund_id == one.refund_id, unsettled).values(status=one.status)
        )
    transactions = sorted({one.transaction_id for one in told})
    if can_read:
        due = {"due_at": now, "looks": 0}
        tx.connection.execute(update(charges).where(tx.among(charges.c.transaction_id, transactions)).values(due))
        p = payments.c
        about = or_(tx.among(p.transaction_id, transactions), tx.among(p.kept_transaction_id, transactions))
        # a call that is on the way has its own time
        tx.connection.execute(
            update(payments).where(about, p.due_at > now, p.state != PaymentState.SENDING.value).values(due_at=now)
        )
        return
    paid = {one.transaction_id: one.transaction.amount_paid for one in told if one.transaction is not None}
    heard = _heard(tx, transactions, _went_back)
    for transaction_id, known in lock(tx, transactions).items():
        most, refunded = paid.get(transaction_id) or known.amount_paid, heard.get(transaction_id, 0)
        if refunded > known.refunded:
            # one refund may be told of under two ids: no more goes back than was paid
            values = {"refunded": refunded if most is None else min(refunded, most), "amount_paid": most}
            tx.connection.execute(update(charges).where(charges.c.transaction_id == transaction_id).values(values))


def hear_disputes(tx: Tx, told: Sequence[DisputeCreated], now: datetime) -> None:
    """Keeps each dispute once, and marks its charge as disputed if the dispute is new to us. The charges are locked.

    No mark is set on a charge whose dispute we lost: its money is gone. Nor by the first that is told of a charge that we won and
    that was read as disputed, if it was opened before that read: it is the same one, told late.
    """
    records = [
        {
            "dispute_id": one.dispute_id,
            "transaction_id": one.transaction_id,
            # nothing stands for what could not be read
            "amount": one.amount or 0,
            "currency": one.currency or "",
            "opened_at": one.created_at,
            "heard_at": now,
        }
        for one in {one.dispute_id: one for one in told}.values()
    ]
    new = tx.insert_new(disputes, records, disputes.c.dispute_id)
    for one in told:
        if one.dispute_id not in new:
            continue
        # a dispute that was read first has its own word come late, under a name that nobody has heard; beside one that was heard
        # of by its name, another name is another dispute, whatever Creem's clock says
        d = disputes.c
        named = exists().where(d.transaction_id == one.transaction_id, d.dispute_id != one.dispute_id, d.heard_at < now)
        late = won(one.transaction_id).where(cases.c.failed_at > one.created_at + ASTRAY, ~named)
        over = or_(late, lost(one.transaction_id))
        untold = (charges.c.transaction_id == one.transaction_id, charges.c.disputed_at.is_(None), ~over)
        tx.connection.execute(update(charges).where(*untold).values(disputed_at=one.created_at))


def won(transaction_id: ColumnElement[str] | str) -> Exists:
    """The condition that a person said of the dispute of this charge that we won it: the charge stands again."""
    return exists().where(*dispute_of(transaction_id), cases.c.state == CaseState.DECLINED.value)


def lost(transaction_id: ColumnElement[str] | str) -> Exists:
    """The condition that a person said of the dispute of this charge that we lost it: the bank gave all of its money back."""
    return exists().where(*dispute_of(transaction_id), cases.c.state == CaseState.EXTERNAL.value)


def dispute_of(transaction_id: ColumnElement[str] | str) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a case is that of the dispute of this charge."""
    return cases.c.kind == CaseKind.DISPUTE.value, cases.c.subject == transaction_id


def _end_of_dispute(tx: Tx, transaction_id: str) -> CaseState | None:
    """How a person said that the dispute ended; None while nobody did."""
    over = cases.c.state.in_([CaseState.DECLINED.value, CaseState.EXTERNAL.value])
    row = tx.first(select(cases.c.state).where(*dispute_of(transaction_id), over))
    return CaseState(row.state) if row else None


def stand_again(tx: Tx, transaction_id: str) -> None:
    """The dispute of this charge was won: it holds nothing any more, and reads that still show it change nothing."""
    tx.connection.execute(update(charges).where(charges.c.transaction_id == transaction_id).values(disputed_at=None))


def give_up(tx: Tx, transaction_id: str, paid: int) -> None:
    """The dispute of this charge was lost: it is one whose money went back, and holds nothing any more."""
    gone = {"disputed_at": None, "refunded": func.coalesce(charges.c.amount_paid, paid)}
    tx.connection.execute(update(charges).where(charges.c.transaction_id == transaction_id).values(gone))


def observe(tx: Tx, seen: Transaction, now: datetime) -> bool:
    """Keeps what was read at Creem; True when something is known now that was not. Locks the charge.

    While Creem does not yet show all that it told us by webhook, the charge stays due, at growing intervals. A refund that is not
    plainly in vain is told of whatever its word is: what pends, money may follow.
    """
    known = lock(tx, [seen.id])[seen.id]
    paid = seen.amount_paid or known.amount_paid
    heard = _heard(tx, [seen.id], _went_back).get(seen.id, 0)
    promised = _heard(tx, [seen.id], _promised).get(seen.id, 0)
    over = _end_of_dispute(tx, seen.id) if seen.chargeback else None
    is_lost = over is CaseState.EXTERNAL
    shown = (paid or seen.refunded_amount) if seen.refunded_whole or is_lost else seen.refunded_amount
    # the bank holds all of it, for as long as the dispute lasts, or may: what went back beside it, only webhooks tell
    refunded = max(known.refunded, shown if seen.tells_of_refunds or is_lost else heard)
    if paid is None and seen.cost_nothing and not refunded and not _once_claimed(tx, seen.id):
        paid = 0
    if paid is not None:
        refunded = min(refunded, paid)
    disputed_at = known.disputed_at
    if disputed_at is None and seen.chargeback and over is None:
        disputed_at = now
    untold = promised > refunded or (not refunded and _told_otherwise(tx, seen.id))
    behind = untold and not seen.refunded_whole
    due_at = None
    if behind:
        log.warning("charge.behind", transaction_id=seen.id, told=promised, read=refunded, looks=known.looks)
        due_at = now + LOOKS[min(known.looks, len(LOOKS) - 1)]
    tx.connection.execute(
        update(charges)
        .where(charges.c.transaction_id == seen.id)
        .values(
            status=seen.status_verbatim,
            amount_paid=paid,
            refunded=refunded,
            disputed_at=disputed_at,
            read_at=now,
            due_at=due_at,
            looks=known.looks + 1 if behind else 0,
        )
    )
    return (refunded, disputed_at) != (known.refunded, known.disputed_at)


def _once_claimed(tx: Tx, transaction_id: str) -> bool:
    """It was decided to go back, or to be the one that stays: that nothing was paid for it contradicts that, for a person."""
    p = payments.c
    named = or_(p.transaction_id == transaction_id, p.kept_transaction_id == transaction_id)
    return tx.exists(select(p.payment_id).where(named))


def put_off(tx: Tx, transaction_id: str, until: datetime) -> None:
    """The charge is looked at later."""
    due = (charges.c.transaction_id == transaction_id, charges.c.due_at.is_not(None))
    tx.connection.execute(update(charges).where(*due).values(due_at=until))


_DUE = (
    select(charges.c.transaction_id)
    .where(charges.c.due_at <= bindparam("now"))
    .order_by(charges.c.due_at)
    .limit(bindparam("limit"))
)


def due(tx: Tx, now: datetime, limit: int) -> list[str]:
    """Charges to be read at Creem now, longest due first."""
    return [row.transaction_id for row in tx.all(_DUE, now=now, limit=limit)]


def purchase_of(tx: Tx, transaction_id: str) -> Row[Any] | None:
    """Purchase and account of a charge: (purchase_id, account_id); None where we have no such purchase."""
    return tx.first(_PURCHASE, charge=transaction_id)


def _heard(tx: Tx, transaction_ids: Sequence[str], which: Question) -> dict[str, int]:
    """The sum of those refunds that Creem told us of, by transaction. What it told in another currency than the purchase's adds
    to nothing.
    """
    return {row.transaction_id: int(row.told) for row in tx.ask(which, transaction_ids=transaction_ids)}


def _sums(among: Among, which: ColumnElement[bool]) -> Select[Any]:
    r = creem_refunds.c
    chosen = (among(r.transaction_id, "transaction_ids"), which, ~in_another_currency())
    return select(r.transaction_id, func.sum(r.amount).label("told")).where(*chosen).group_by(r.transaction_id)


def _went_back(among: Among) -> Select[Any]:
    return _sums(among, creem_refunds.c.status == SUCCEEDED)


def _promised(among: Among) -> Select[Any]:
    return _sums(among, creem_refunds.c.status.not_in(IN_VAIN))


def _told_otherwise(tx: Tx, transaction_id: str) -> bool:
    """True where Creem told of a refund of this charge in another currency: something goes back, and nobody can say how much."""
    return tx.first(_OTHERWISE, charge=transaction_id) is not None


def in_another_currency() -> Exists:
    """The condition that a refund that was told of is in another currency than its charge was booked in."""
    p, r = purchases.c, creem_refunds.c
    return exists().where(p.transaction_id == r.transaction_id, p.currency != r.currency)


_PURCHASE = select(purchases.c.purchase_id, purchases.c.account_id).where(purchases.c.transaction_id == bindparam("charge"))
_OTHERWISE = (
    select(creem_refunds.c.refund_id)
    .where(creem_refunds.c.transaction_id == bindparam("charge"))
    .where(not_(one_of(creem_refunds.c.status, IN_VAIN)), in_another_currency())
    .limit(1)
)
