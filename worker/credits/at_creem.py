"""Credits that customers see and spend at Creem: what is booked by our hand is written down beside it, to be carried out there.

The books stay the record (decision 29). An entry stands in the transaction of its posting and carries the posting's key, so the
call may be repeated until it is heard. Entries of one lot are carried out one after another; what could not be taken is not given
back.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, func, or_, select, update

from policy.ledger import PostingKind
from worker.credits.balances import GIVEN, GIVES
from worker.credits.ledger import Posting
from worker.credits.untaken import NEVER_TAKEN, OPEN, EntryState, untaken, why_untaken
from worker.store.bulk import Tx, unlocked
from worker.store.statements import one_of
from worker.store.tables import creem_credits, installation, postings, purchases

e = creem_credits.c


@dataclass(frozen=True, slots=True)
class Due:
    """One claimed entry; `attempt` is the fencing token of the claim, `credits` what Creem is to be told, signed."""

    id: int
    key: str
    purchase_id: str
    customer_id: str | None
    case_id: str | None
    credits: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What became at Creem of the credits of a lot: whether any entry is open, and why some could not be taken."""

    pending: bool
    refused: str | None


@dataclass(frozen=True)
class AtCreem:
    """The port's home for credits that live at Creem, in the account of that name of each customer."""

    name: str

    def begin(self, tx: Tx, now: datetime) -> None:
        """Remembers since when postings are written down here, for the audit."""
        tx.insert_absent(installation, [{"name": self._since, "value": now.isoformat()}])

    def book(self, tx: Tx, wanted: Sequence[Posting], at: datetime) -> None:
        """Writes down what these postings give and take, to be carried out after the commit."""
        moved = [posting for posting in wanted if posting.kind in GIVES]
        if not moved:
            return
        ids = sorted({posting.purchase_id for posting in moved})
        lot = purchases.c
        customers = tx.all(select(lot.purchase_id, lot.customer_id).where(tx.among(lot.purchase_id, ids)))
        customer_of = {row.purchase_id: row.customer_id for row in customers}
        records = [
            {
                "key": posting.key,
                "kind": posting.kind.value,
                "purchase_id": posting.purchase_id,
                "customer_id": customer_of[posting.purchase_id],
                "case_id": posting.case_id,
                "credits": GIVES[posting.kind] * posting.credits,
                "state": EntryState.DUE.value,
                "due_at": at,
                "attempts": 0,
                "created_at": at,
            }
            for posting in moved
        ]
        tx.insert(creem_credits, records)

    def short(self, tx: Tx, purchase_id: str) -> str | None:
        """None: whether there are enough is known once they have been taken, and no money is sent before that."""
        return None

    def held(self, tx: Tx, account_ids: Collection[str]) -> set[str]:
        """Nobody: no transaction of ours waits for Creem."""
        return set()

    def breaches(self, tx: Tx, limit: int) -> Iterable[tuple[str, str]]:
        """Where entries are not what the postings say, as (key, problem)."""
        since = tx.connection.execute(select(installation.c.value).where(installation.c.name == self._since)).scalar()
        if since is None:
            return
        booked = select(postings.c.key, GIVEN.label("gives"), e.credits.label("stands"))
        booked = booked.outerjoin(creem_credits, e.key == postings.c.key).where(
            GIVEN.is_not(None), postings.c.at >= datetime.fromisoformat(since), or_(e.key.is_(None), e.credits != GIVEN)
        )
        for row in tx.all(booked.limit(limit)):
            stands = "no entry" if row.stands is None else f"an entry of {row.stands}"
            yield row.key, f"gives {row.gives} and has {stands} for Creem"
        unknown = select(e.key).where(~exists().where(postings.c.key == e.key))
        for row in tx.all(unknown.limit(limit)):
            yield row.key, "stands for Creem and was never booked"
        more = select(e.key, e.credits, e.booked).where(func.abs(e.booked) > func.abs(e.credits))
        for row in tx.all(more.limit(limit)):
            yield row.key, f"gives {row.credits}, and Creem was told {row.booked}"

    @property
    def _since(self) -> str:
        return f"creem_credits:{self.name}"


def taken(tx: Tx, purchase_id: str) -> Taken:
    """Whether what is frozen of a lot has been taken where the customer sees it."""
    pending = exists().where(e.purchase_id == purchase_id, e.state.in_(OPEN))
    return Taken(bool(tx.value(select(pending))), why_untaken(tx, purchase_id))


def claim(tx: Tx, now: datetime, lease: timedelta) -> Due | None:
    """The entry that is due the longest and has none of its lot before it; nobody else sees it until the lease ends.

    Where it gives back credits of which some could not be taken, it gives back the others; nothing left is `credits` 0.
    """
    earlier = creem_credits.alias("earlier")
    before = exists().where(earlier.c.purchase_id == e.purchase_id, earlier.c.state.in_(OPEN), earlier.c.id < e.id)
    chosen = select(e.id).where(one_of(e.state, OPEN), e.due_at <= now, ~before).order_by(e.due_at, e.id).limit(1)
    # whose the purchase is may be learnt after the entry was written, and never changes
    bought_by = select(purchases.c.customer_id).where(purchases.c.purchase_id == e.purchase_id).scalar_subquery()
    values = {"state": EntryState.CLAIMED.value, "attempts": e.attempts + 1, "due_at": now + lease}
    values["customer_id"] = func.coalesce(e.customer_id, bought_by)
    taken_now = update(creem_credits).where(e.id.in_(unlocked(chosen)))
    rows = tx.connection.execute(taken_now.values(values).returning(*e)).all()
    if not rows:
        return None
    (row,) = rows
    credits = row.credits
    if row.kind == PostingKind.RELEASE.value:
        credits = max(0, credits - untaken(tx, row.purchase_id, before=row.key).held)
    return Due(row.id, row.key, row.purchase_id, row.customer_id, row.case_id, credits, row.attempts)


def done(tx: Tx, due: Due, transaction_id: str, now: datetime) -> bool:
    """Creem has booked it; False where another process took the entry over meanwhile."""
    return _end(tx, due, state=EntryState.DONE.value, booked=due.credits, transaction_id=transaction_id, result=None, done_at=now)


def refused(tx: Tx, due: Due, why: str, now: datetime) -> bool:
    """Creem has fewer credits of the customer and took nothing; False where another process took the entry over meanwhile."""
    return _end(tx, due, state=EntryState.REFUSED.value, result=why, done_at=now)


def dropped(tx: Tx, due: Due, now: datetime) -> bool:
    """Nothing is left to give back; False where another process took the entry over meanwhile."""
    return _end(tx, due, state=EntryState.DROPPED.value, result=NEVER_TAKEN, done_at=now)


def postpone(tx: Tx, due: Due, until: datetime, why: str) -> bool:
    """The entry is due again at `until`; False where another process took it over meanwhile."""
    return _end(tx, due, state=EntryState.DUE.value, due_at=until, result=why)


def _end(tx: Tx, due: Due, **values: Any) -> bool:
    mine = (e.id == due.id, e.attempts == due.attempt, e.state == EntryState.CLAIMED.value)
    return tx.connection.execute(update(creem_credits).where(*mine).values(**values)).rowcount == 1
