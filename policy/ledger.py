"""The arithmetic of the credit ledger: which lots a debit draws on, what goes back to which, and between which accounts.

Nothing here books anything. Every result keeps the law of a lot: remaining + spent + frozen + void = granted, all of them
at least 0; what would break it raises `LedgerError`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class LedgerError(ValueError):
    """A figure that the books can never hold."""


class PostingKind(StrEnum):
    """Why credits move. A posting goes from one ledger account to another and is always positive."""

    GRANT = "grant"
    DEBIT = "debit"
    REVERSAL = "reversal"
    FREEZE = "freeze"
    RELEASE = "release"
    VOID = "void"


CHART: dict[PostingKind, tuple[str, str]] = {
    PostingKind.GRANT: ("issued", "lot:{purchase}"),
    PostingKind.DEBIT: ("lot:{purchase}", "job:{job}"),
    PostingKind.REVERSAL: ("job:{job}", "lot:{purchase}"),
    PostingKind.FREEZE: ("lot:{purchase}", "frozen:{purchase}"),
    PostingKind.RELEASE: ("frozen:{purchase}", "lot:{purchase}"),
    PostingKind.VOID: ("frozen:{purchase}", "void:{purchase}"),
}
"""Source and destination of each kind of posting."""

_OF_A_JOB = frozenset({PostingKind.DEBIT, PostingKind.REVERSAL})


def sides(kind: PostingKind, purchase_id: str, job_id: str | None = None) -> tuple[str, str]:
    """Names of the ledger accounts a posting leaves and reaches. Raises `LedgerError` for a job's posting without a job."""
    if kind in _OF_A_JOB and job_id is None:
        raise LedgerError(f"a {kind} on {purchase_id} names no job")
    source, destination = CHART[kind]
    return source.format(purchase=purchase_id, job=job_id), destination.format(purchase=purchase_id, job=job_id)


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left to spend of one purchase."""

    purchase_id: str
    remaining: int


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a job's debit, or of what came back of it, that concerns one lot."""

    purchase_id: str
    credits: int


def allocate(amount: int, lots: Iterable[Lot]) -> tuple[Share, ...] | None:
    """The shares of a debit, oldest lot first as the lots are given; None where they do not cover it: whole or not at all.

    Raises `LedgerError` on a negative amount or a negative lot on the way; lots behind those that cover it are not looked at.
    """
    _never_negative("a debit", amount)
    shares = []
    for lot in lots:
        if not amount:
            break
        _never_negative(f"lot {lot.purchase_id}", lot.remaining)
        taken = min(amount, lot.remaining)
        if taken:
            shares.append(Share(lot.purchase_id, taken))
            amount -= taken
    return None if amount else tuple(shares)


def reverse(debits: Sequence[Share], already: Sequence[Share] = ()) -> tuple[Share, ...]:
    """What still has to go back, to the very lots the debit drew on (policy.md, "To where"); empty when all has.

    Raises `LedgerError` on a negative share, and where more came back to a lot than was taken from it.
    """
    taken, returned = _by_lot("debit", debits), _by_lot("reversal", already)
    for purchase_id, credits in returned.items():
        if credits > (was := taken.get(purchase_id, 0)):
            raise LedgerError(f"{credits} credits came back to {purchase_id}, only {was} were taken from it")
    left = {purchase_id: credits - returned.get(purchase_id, 0) for purchase_id, credits in taken.items()}
    return tuple(Share(purchase_id, credits) for purchase_id, credits in left.items() if credits)


@dataclass(frozen=True, slots=True)
class Hold:
    """What was frozen of a lot, released or voided; `missed` credits of it never moved where the customer sees them."""

    kind: PostingKind
    credits: int
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Untaken:
    """What of a lot's holds never moved where the customer sees the credits."""

    held: int = 0
    """Frozen and never taken: a release does not give them back."""
    void: int = 0
    """Void and never taken."""
    owed: int = 0
    """Released, taken before, and never given back."""


def untaken(holds: Iterable[Hold]) -> Untaken:
    """What these holds of one lot, first to last, left undone. A release begins with what was never taken and gives back the
    rest; a void begins with what was taken: so nobody is given back more than was taken of them and is not void.
    """
    taken = held = void = owed = 0
    for hold in holds:
        match hold.kind:
            case PostingKind.FREEZE:
                held += hold.missed
                taken += hold.credits - hold.missed
            case PostingKind.RELEASE:
                never = min(held, hold.credits)
                held -= never
                taken -= hold.credits - never
                owed += hold.missed - never
            case PostingKind.VOID:
                never = max(0, hold.credits - taken)
                taken -= hold.credits - never
                held -= never
                void += never
            case _:
                raise LedgerError(f"a {hold.kind} holds nothing")
    return Untaken(held, void, owed)


def _by_lot(word: str, shares: Iterable[Share]) -> dict[str, int]:
    total: dict[str, int] = {}
    for share in shares:
        if share.credits < 0:
            _never_negative(f"a {word} on {share.purchase_id}", share.credits)
        total[share.purchase_id] = total.get(share.purchase_id, 0) + share.credits
    return total


def _never_negative(what: str, credits: int) -> None:
    if credits < 0:
        raise LedgerError(f"{what} is never negative, not {credits}")
