"""What of a hold did not move where customers see their credits: written down beside the posting, never given back, and for a
person to see. One law for the product's own table and for Creem.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import case, func, select

from policy.ledger import Hold, PostingKind, Untaken
from policy.ledger import untaken as left_undone
from worker.credits.ledger import Posting
from worker.store.bulk import Tx
from worker.store.tables import creem_credits, postings, purchases

e = creem_credits.c


class EntryState(StrEnum):
    """How far an entry has come."""

    DUE = "due"
    CLAIMED = "claimed"
    DONE = "done"
    REFUSED = "refused"
    """It could not be moved: the customer has fewer credits there than were to be taken, or the product's table took less."""
    DROPPED = "dropped"
    """It would have given back what was never taken."""


OPEN = (EntryState.DUE.value, EntryState.CLAIMED.value)
NEVER_TAKEN = "nothing of it had been taken"
_HOLDS = (PostingKind.FREEZE.value, PostingKind.RELEASE.value, PostingKind.VOID.value)
_MISSED: Any = case((e.state.in_(OPEN), 0), else_=func.abs(e.credits) - func.abs(func.coalesce(e.booked, 0)))


@dataclass(frozen=True, slots=True)
class Difference:
    """A lot of which credits were not taken, or not given back, where the customer sees them, and why."""

    purchase_id: str
    account_id: str
    untaken: Untaken
    why: str


def untaken(tx: Tx, purchase_id: str, *, before: str | None = None) -> Untaken:
    """What the holds of a lot left undone, or those `before` the posting of that key."""
    p = postings.c
    moved = select(p.kind, p.credits, func.coalesce(_MISSED, 0).label("missed")).outerjoin(creem_credits, e.key == p.key)
    chosen = moved.where(p.purchase_id == purchase_id, p.kind.in_(_HOLDS)).order_by(p.id)
    if before is not None:
        chosen = chosen.where(p.id < select(p.id).where(p.key == before).correlate(None).scalar_subquery())
    return left_undone(Hold(PostingKind(row.kind), row.credits, row.missed) for row in tx.all(chosen))


def why_untaken(tx: Tx, purchase_id: str) -> str | None:
    """Why not all that is frozen of a lot has been taken, as was said last; None where it has."""
    if not untaken(tx, purchase_id).held:
        return None
    refused = (e.purchase_id == purchase_id, e.kind == PostingKind.FREEZE.value, e.state == EntryState.REFUSED.value)
    return str(tx.value(select(e.result).where(*refused).order_by(e.id.desc()).limit(1)))


def write_down(tx: Tx, posting: Posting, credits: int, state: EntryState, why: str, at: datetime) -> None:
    """So many credits of the posting, signed, did not move; it is over at once."""
    record = {
        "key": posting.key,
        "kind": posting.kind.value,
        "purchase_id": posting.purchase_id,
        "case_id": posting.case_id,
        "credits": credits,
        "state": state.value,
        "due_at": at,
        "attempts": 0,
        "created_at": at,
        "done_at": at,
        "result": why,
    }
    tx.insert(creem_credits, [record])


def differences(tx: Tx, since: datetime) -> list[Difference]:
    """The lots of which something could not be moved since then and still is not as the books have it, each once."""
    refused = (e.state == EntryState.REFUSED.value, e.created_at >= since)
    last = select(func.max(e.id)).where(*refused).group_by(e.purchase_id)
    joined = select(e.purchase_id, e.result, purchases.c.account_id).join(purchases, purchases.c.purchase_id == e.purchase_id)
    rows = tx.all(joined.where(e.id.in_(last)).order_by(e.id))
    found = [Difference(row.purchase_id, row.account_id, untaken(tx, row.purchase_id), row.result) for row in rows]
    return [each for each in found if each.untaken != Untaken()]
