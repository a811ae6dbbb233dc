"""Our ledger: double entry, append-only, each posting keyed so that it can be booked once.

A lot's columns are a running total of its postings, changed in the same transaction and only by postings that were really
added. The database refuses a lot that does not add up; `refunds audit` recomputes every one.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row, Select, select

from policy.ledger import Lot, PostingKind, Share, sides
from worker.credits.lots import OpenLots
from worker.store.bulk import Tx
from worker.store.statements import Among
from worker.store.tables import postings, purchases

# what one credit of each kind moves between the columns of its lot
_MOVES: dict[PostingKind, dict[str, int]] = {
    PostingKind.GRANT: {},  # the row is inserted with what it granted
    PostingKind.DEBIT: {"remaining": -1, "spent": +1},
    PostingKind.REVERSAL: {"spent": -1, "remaining": +1},
    PostingKind.FREEZE: {"remaining": -1, "frozen": +1},
    PostingKind.RELEASE: {"frozen": -1, "remaining": +1},
    PostingKind.VOID: {"frozen": -1, "void": +1},
}


BOOKED = (
    postings.c.kind.label("booked_kind"),
    postings.c.purchase_id.label("booked_lot"),
    postings.c.credits.label("booked_credits"),
)
"""What a posting moved, for `Ledger.booked`."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Credits from one side of the books to the other, about one lot."""

    kind: PostingKind
    purchase_id: str
    credits: int
    job_id: str | None = None
    case_id: str | None = None
    occasion: str | None = None
    """What a freeze, release or void is for: a lot may be frozen for one reason, released, and frozen for another."""

    @property
    def key(self) -> str:
        """What makes this posting unique: a job debits and is reversed once for each lot, a purchase is granted once."""
        return ":".join(part for part in (self.kind.value, self.job_id, self.purchase_id, self.occasion) if part)


@dataclass(frozen=True, slots=True)
class JobCredits:
    """What a job took from which lots, and what came back."""

    debits: tuple[Share, ...] = ()
    reversals: tuple[Share, ...] = ()

    @property
    def debit(self) -> int:
        """Credits the ledger took for the job."""
        return sum(share.credits for share in self.debits)

    @property
    def reversed(self) -> int:
        """Credits that came back."""
        return sum(share.credits for share in self.reversals)


class Home(Protocol):
    """Where customers see their credits, when that is not here: `worker.credits.balances`."""

    def book(self, tx: Tx, wanted: Sequence[Posting], at: datetime) -> None:
        """Follows the postings within their transaction."""

    def short(self, tx: Tx, purchase_id: str) -> str | None:
        """Why the unspent credits of a lot cannot all be frozen; None where they can."""

    def held(self, tx: Tx, account_ids: Collection[str]) -> set[str]:
        """Those whose credits somebody else has locked at this moment."""


@dataclass(frozen=True)
class Ledger:
    """The credits port over our own tables. Every call joins the caller's transaction; the caller holds the account's lock."""

    home: Home | None = None

    def open_lots(self, tx: Tx, account_ids: Sequence[str]) -> dict[str, OpenLots]:
        """The lots of each of these accounts that still have credits."""
        lots = {account_id: OpenLots() for account_id in account_ids}
        for row in tx.ask(_open_lots, account_ids=account_ids):
            lots[row.account_id].append(row.paid_at, Lot(row.purchase_id, row.remaining))
        return lots

    def of_jobs(self, tx: Tx, job_ids: Iterable[str]) -> dict[str, JobCredits]:
        """What the books say about each job, by job id; a job without postings is absent."""
        return self.booked(tx.ask(_booked, job_ids=job_ids))

    def booked(self, rows: Iterable[Row[Any]]) -> dict[str, JobCredits]:
        """What the books say about each job, by job id, out of rows that somebody read with other things: `job_id` and the
        columns `BOOKED`, in order of booking; NULL where a job has no postings.
        """
        found: dict[str, dict[str, list[Share]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row.booked_kind is not None:
                found[row.job_id][row.booked_kind].append(Share(row.booked_lot, row.booked_credits))
        return {
            job_id: JobCredits(tuple(kinds[PostingKind.DEBIT]), tuple(kinds[PostingKind.REVERSAL]))
            for job_id, kinds in found.items()
        }

    def book(self, tx: Tx, wanted: Sequence[Posting], at: datetime) -> None:
        """Makes the postings stand, each once, and the lots follow. Raises `Collision` where one of them already stood."""
        if not wanted:
            return
        records = []
        for posting in wanted:
            source, destination = sides(posting.kind, posting.purchase_id, posting.job_id)
            records.append(
                {
                    "key": posting.key,
                    "kind": posting.kind.value,
                    "source": source,
                    "destination": destination,
                    "credits": posting.credits,
                    "purchase_id": posting.purchase_id,
                    "job_id": posting.job_id,
                    "case_id": posting.case_id,
                    "at": at,
                }
            )
        tx.insert_all(postings, records, postings.c.key)
        tx.add(purchases, _by_lot(wanted), by="purchase_id")
        if self.home is not None:
            self.home.book(tx, wanted, at)

    @staticmethod
    def spendable(pending: Iterable[Posting]) -> Counter[str]:
        """How many credits more, or fewer, can be spent of each lot once these are booked, by purchase."""
        more: Counter[str] = Counter()
        for posting in pending:
            more[posting.purchase_id] += _MOVES[posting.kind].get("remaining", 0) * posting.credits
        return more

    def short(self, tx: Tx, purchase_id: str) -> str | None:
        """Why the unspent credits of a lot cannot all be frozen: the product's balance is lower. None where they can."""
        return None if self.home is None else self.home.short(tx, purchase_id)

    def held(self, tx: Tx, account_ids: Collection[str]) -> set[str]:
        """Those of the accounts whose credits somebody else has locked at this moment, where the product keeps them."""
        return set() if self.home is None else self.home.held(tx, account_ids)


def _open_lots(among: Among) -> Select[Any]:
    return (
        select(purchases.c.account_id, purchases.c.purchase_id, purchases.c.remaining, purchases.c.paid_at)
        .where(among(purchases.c.account_id, "account_ids"), purchases.c.remaining > 0)
        .order_by(purchases.c.paid_at, purchases.c.purchase_id)
    )


def _booked(among: Among) -> Select[Any]:
    return select(postings.c.job_id, *BOOKED).where(among(postings.c.job_id, "job_ids")).order_by(postings.c.id)


def _by_lot(wanted: Sequence[Posting]) -> list[Mapping[str, int | str]]:
    # grouped before the update: two rows for one lot in one UPDATE … FROM add only one of them, silently
    sums: dict[str, dict[str, int]] = {}
    for posting in wanted:
        move = _MOVES[posting.kind]
        if move:
            lot = sums.setdefault(posting.purchase_id, {"remaining": 0, "spent": 0, "frozen": 0, "void": 0})
            for name, sign in move.items():
                lot[name] += sign * posting.credits
    return [{"purchase_id": purchase_id, **sums[purchase_id]} for purchase_id in sorted(sums)]
