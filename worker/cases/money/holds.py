"""The credits of a charge, held while its money may go back: frozen before the call, voided when the money has gone, released
when it has not (policy.md, "Money refund of a credit purchase").

Every call joins the caller's transaction, and the caller holds the account's lock. `occasion` makes each posting unique: what
is repeated for the same occasion is refused by the books.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, literal, or_, select

from policy.ledger import PostingKind
from worker.cases.book.load import claimed
from worker.cases.book.lots import wake_uncovered
from worker.credits.ledger import Ledger, Posting
from worker.store.bulk import Tx
from worker.store.tables import charges, postings, proposals, purchases


def freeze(tx: Tx, ledger: Ledger, purchase_id: str, *, occasion: str, case_id: str | None, now: datetime) -> int:
    """Freezes whatever of the lot is left to spend; returns how many credits that was."""
    credits = int(_lot(tx, purchase_id).remaining)
    _book(tx, ledger, PostingKind.FREEZE, purchase_id, credits, occasion, case_id, now)
    return credits


def release(tx: Tx, ledger: Ledger, purchase_id: str, *, occasion: str, case_id: str | None, now: datetime) -> int:
    """Gives the frozen credits of the lot back to be spent, but for those that wait to be forfeited; returns how many."""
    credits = int(_lot(tx, purchase_id).frozen) - proposed(tx, purchase_id)
    _book(tx, ledger, PostingKind.RELEASE, purchase_id, credits, occasion, case_id, now)
    wake_uncovered(tx, [purchase_id], now)
    return credits


def void(tx: Tx, ledger: Ledger, purchase_id: str, *, occasion: str, case_id: str | None, now: datetime) -> int:
    """Voids every unspent credit of the lot, frozen or not: its money is gone. Returns how many."""
    freeze(tx, ledger, purchase_id, occasion=occasion, case_id=case_id, now=now)
    credits = int(_lot(tx, purchase_id).frozen)
    _book(tx, ledger, PostingKind.VOID, purchase_id, credits, occasion, case_id, now)
    return credits


def void_gone(tx: Tx, ledger: Ledger, purchase_id: str, *, case_id: str | None, now: datetime) -> int:
    """Voids the share of the lot whose money is known to have gone back, as far as it is unspent and not frozen; returns how
    many credits were voided now.
    """
    p, c = purchases.c, charges.c
    known = select(p.granted, p.remaining, p.void, p.amount, c.amount_paid, c.refunded)
    joined = known.join(charges, c.transaction_id == p.transaction_id).where(p.purchase_id == purchase_id, c.refunded > 0)
    lot = tx.first(joined.with_for_update(of=purchases))
    if lot is None:
        return 0
    paid = lot.amount_paid or lot.amount
    share = share_gone(lot.granted, lot.refunded, paid)
    credits = max(0, min(int(share - lot.void), int(lot.remaining)))
    # what is void already names the booking: credits that come back later are void in proportion too
    occasion = f"outside.{lot.refunded}.{lot.void}"
    _book(tx, ledger, PostingKind.FREEZE, purchase_id, credits, occasion, case_id, now)
    _book(tx, ledger, PostingKind.VOID, purchase_id, credits, occasion, case_id, now)
    return credits


def share_gone(granted: int, refunded: int, paid: int) -> int:
    """How many credits of a lot go with the money that went back of what was paid for it."""
    return granted if refunded >= paid else granted * refunded // paid


def proposed(tx: Tx, purchase_id: str) -> int:
    """How many credits of the lot are frozen until a second person agrees that they are forfeited, or somebody withdraws it."""
    return frozen_for(tx, proposals.c.state == "open", postings.c.purchase_id == purchase_id).get(purchase_id, 0)


def frozen_for(tx: Tx, *which: ColumnElement[bool]) -> dict[str, int]:
    """Credits frozen to be forfeited, for `which` proposals, by lot, as far as they still are."""
    p = postings.c
    mine = (p.kind == PostingKind.FREEZE.value, p.key.endswith(literal(":forfeit.") + proposals.c.proposal_id))
    joined = select(p.purchase_id, purchases.c.frozen, func.sum(p.credits).label("credits")).join(
        purchases, purchases.c.purchase_id == p.purchase_id
    )
    chosen = joined.where(*mine, *which, purchases.c.frozen > 0).group_by(p.purchase_id, purchases.c.frozen)
    return {row.purchase_id: min(int(row.credits), row.frozen) for row in tx.all(chosen)}


def held(tx: Tx, purchase_ids: Iterable[str]) -> set[str]:
    """Those of these lots that a dispute or an open claim holds: how that ends says what becomes of what is frozen."""
    disputed = exists().where(charges.c.transaction_id == purchases.c.transaction_id, charges.c.disputed_at.is_not(None))
    named = tx.among(purchases.c.purchase_id, purchase_ids)
    return {row.purchase_id for row in tx.all(select(purchases.c.purchase_id).where(named, or_(disputed, claimed())))}


def _lot(tx: Tx, purchase_id: str) -> Row[Any]:
    lot = purchases.c
    chosen = select(lot.remaining, lot.frozen).where(lot.purchase_id == purchase_id)
    return tx.one(chosen.with_for_update())


def _book(
    tx: Tx,
    ledger: Ledger,
    kind: PostingKind,
    purchase_id: str,
    credits: int,
    occasion: str,
    case_id: str | None,
    now: datetime,
) -> None:
    if credits:
        ledger.book(tx, [Posting(kind, purchase_id, credits, case_id=case_id, occasion=occasion)], now)
