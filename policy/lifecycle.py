"""The life of a case and of a payment: which state may follow which, as data.

A move in the store is one guarded UPDATE and one history row. Whatever moves a case or a claim asks these tables first; a move
that they do not know stops that one case, and nothing of it is written.
"""

from enum import StrEnum


class CaseKind(StrEnum):
    """What a case is about (contract.md, case document)."""

    JOB = "job"
    DUPLICATE_CHARGE = "duplicate_charge"
    REQUEST = "request"
    DISPUTE = "dispute"


class CaseState(StrEnum):
    """Where a case stands (contract.md, case document)."""

    WAITING = "waiting"
    RERUNNING = "rerunning"
    REFUNDING = "refunding"
    UNKNOWN = "unknown"
    REVIEW = "review"
    REFUNDED = "refunded"
    DELIVERED = "delivered"
    DECLINED = "declined"
    NOTHING_OWED = "nothing_owed"
    EXTERNAL = "external"

    @property
    def final(self) -> bool:
        """True when the case needs nobody any more."""
        return self in _FINAL


_FINAL = frozenset({CaseState.REFUNDED, CaseState.DELIVERED, CaseState.DECLINED, CaseState.NOTHING_OWED, CaseState.EXTERNAL})


class PaymentState(StrEnum):
    """Where one claim on one Creem transaction stands (creem-api.md, section 14.3)."""

    CLAIMED = "claimed"
    SENDING = "sending"
    CONFIRMING = "confirming"
    IN_PROGRESS = "in_progress"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    REJECTED = "rejected"
    NOT_NEEDED = "not_needed"
    MISMATCH = "mismatch"
    REFUNDED = "refunded"


_W, _RR, _RF, _U, _RV = (
    CaseState.WAITING,
    CaseState.RERUNNING,
    CaseState.REFUNDING,
    CaseState.UNKNOWN,
    CaseState.REVIEW,
)
_OK, _DL, _NO, _NIL, _EX = (
    CaseState.REFUNDED,
    CaseState.DELIVERED,
    CaseState.DECLINED,
    CaseState.NOTHING_OWED,
    CaseState.EXTERNAL,
)

MOVES: dict[CaseState, frozenset[CaseState]] = {
    # facts are missing: anything may come of it
    _W: frozenset({_RR, _RF, _U, _RV, _OK, _DL, _NO, _NIL, _EX}),
    # the one re-run is out: it delivers, or it does not and the credits come back
    _RR: frozenset({_RV, _OK, _DL, _NO, _NIL}),
    # money is in flight: proved, not proved, refused, or somebody else was faster
    _RF: frozenset({_U, _RV, _OK, _EX}),
    _U: frozenset({_RF, _RV, _OK, _EX}),
    # a person, or facts that arrive later, settle it
    _RV: frozenset({_W, _RR, _RF, _U, _OK, _DL, _NO, _NIL, _EX}),
    # a no, a nothing or a delivery can still turn in the customer's favour when later facts prove a fault
    _NO: frozenset({_RR, _RF, _U, _RV, _OK, _DL, _NIL, _EX}),
    _NIL: frozenset({_RR, _RF, _U, _RV, _OK, _DL, _NO, _EX}),
    _DL: frozenset({_RR, _RV, _OK, _NO, _NIL}),
    # made whole is the end: a second remedy can never follow
    _OK: frozenset(),
    # somebody else gave the money, as far as these books know: they may have been set back from a later claim of ours
    _EX: frozenset({_U}),
}
"""Which state of a case may follow which. A call that the claim journal remembers leads to `unknown`, whatever the books were set
back to: that it left is never denied."""


_P = PaymentState

PAYMENT_MOVES: dict[PaymentState, frozenset[PaymentState]] = {
    # nothing has left
    _P.CLAIMED: frozenset({_P.SENDING, _P.NOT_NEEDED, _P.MISMATCH}),
    # one call may be on its way; back to claimed only where it is certain that nothing of it left
    _P.SENDING: frozenset({_P.CONFIRMING, _P.IN_PROGRESS, _P.UNKNOWN, _P.REFUSED, _P.REJECTED, _P.CLAIMED}),
    # money may have moved: an answer that comes late, or a proof
    _P.UNKNOWN: frozenset({_P.CONFIRMING, _P.IN_PROGRESS, _P.REFUSED, _P.REJECTED, _P.REFUNDED}),
    _P.IN_PROGRESS: frozenset({_P.REJECTED, _P.REFUNDED}),
    # or a person says that the bank gave the money back, and no read can show ours any more
    _P.CONFIRMING: frozenset({_P.REJECTED, _P.REFUNDED}),
    # Creem said no to the call: a later one goes through the whole procedure
    _P.REFUSED: frozenset({_P.SENDING, _P.NOT_NEEDED, _P.MISMATCH}),
    # Creem said that the refund came to nothing, which a read may still disprove
    _P.REJECTED: frozenset({_P.REFUNDED}),
    # closed; only a person may open a claim again
    _P.NOT_NEEDED: frozenset(),
    _P.MISMATCH: frozenset(),
    _P.REFUNDED: frozenset(),
}
"""Which state of a claim may follow which. Nothing leads from a call that may have moved money back to another call."""


def may_follow(now: CaseState, wanted: CaseState) -> bool:
    """True where a case in `now` may come to stand in `wanted`, or stands there already."""
    return now is wanted or wanted in MOVES[now]
