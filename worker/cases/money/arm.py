"""Arming: the commit after which a call may leave, made only where everything still is as it was approved.

Inside the arming transaction, behind the account's lock, every guard of `GUARDS` is asked, in that order; one that has something
to say ends the turn with it. Only this commit makes the permission that the client takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from policy.lifecycle import CaseState, PaymentState
from worker.cases.book.book import WORKER
from worker.cases.book.casework import REMIND, go
from worker.cases.book.write import write_cases
from worker.cases.money import charges, claims, epoch, limits
from worker.cases.money.approved import Intent, comes_yet, not_as_approved, not_as_shown
from worker.cases.money.claims import READ
from worker.cases.money.clocks import apart
from worker.cases.money.close import Closing, close, hand_over, wait
from worker.cases.money.remember import as_not_sent, as_unknown, call_of
from worker.cases.money.turn import Turn, lock, move, still_ours
from worker.cases.money.unheard import unheard
from worker.credits.at_creem import taken
from worker.creem.client import Armed
from worker.creem.environment import Environment
from worker.creem.transactions import Transaction
from worker.store.breakers import answered, closed_to
from worker.store.bulk import Tx
from worker.store.tables import payment_attempts

GRACE = timedelta(seconds=5)
"""Longer than a process needs to record an answer that came at the last moment."""
STOPPED = timedelta(minutes=5)
UNHEARD, BEHIND = timedelta(seconds=1), timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Arming:
    """What arming needs. `until`: the reading of the timer after which nothing of this call may leave."""

    closing: Closing
    environment: Environment
    until: float
    timer: Callable[[], float]
    witnesses: epoch.Witnesses
    remembered: epoch.Remembered
    """What the witnesses remembered before this transaction began."""
    other_clock: Callable[[Tx], datetime | None]
    """The time that this host's clock has to agree with."""

    @property
    def now(self) -> datetime:
        """The time of the turn."""
        return self.closing.now


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
    intent = Intent(tx, _with_what_was_in_vain(tx, payment, with_), case, seen, kept, with_.environment)
    for guard in GUARDS:
        instead = guard(intent, with_)
        if instead is not None:
            return instead
    left = with_.until - with_.timer()
    if left <= 0:
        return _wait(intent, with_, with_.now, "the charge was read too long ago")
    return _armed(intent, with_, left)


def _with_what_was_in_vain(tx: Tx, payment: Row[Any], with_: Arming) -> Row[Any]:
    """The claim with the calls that this very process wrote down for it and never sent, for their commits did not come about."""
    key = (payment.environment, payment.transaction_id)
    ours = with_.witnesses.not_begun(key)
    unknown = [call for call in with_.witnesses.calls(key) if call.attempt > payment.attempts] if ours else []
    return as_not_sent(tx, payment, unknown, with_.now) if unknown and set(unknown) <= {*ours} else payment


def _clocks_apart(intent: Intent, with_: Arming) -> str | None:
    jumped = apart(with_.other_clock(intent.tx), with_.now)
    return None if jumped is None else _wait(intent, with_, with_.now + STOPPED, f"nothing is sent from here: {jumped}")


def _set_back(intent: Intent, with_: Arming) -> str | None:
    held = epoch.held_back(intent.tx, with_.remembered, with_.now) if with_.witnesses.any else None
    return None if held is None else _wait(intent, with_, held[1], f"money is stopped: {held[0]}")


def _armed_before(intent: Intent, with_: Arming) -> str | None:
    """By a process that died before its commit, or in a time that this database was set back from."""
    payment = intent.payment
    before = with_.witnesses.calls((payment.environment, payment.transaction_id))
    if before and before[-1].attempt > payment.attempts:
        return as_unknown(intent.tx, payment, intent.case, before, with_.closing)
    return None


def _not_as_approved(intent: Intent, with_: Arming) -> str | None:
    tx, payment = intent.tx, intent.payment
    end = not_as_approved(intent)
    if end is None:
        return None
    state, target, why = end
    if payment.probes < len(charges.LOOKS) and comes_yet(intent):
        # the one claim on a charge is not spent on what the next read may say otherwise
        move(tx, payment, PaymentState(payment.state), probes=payment.probes + 1)
        return _wait(intent, with_, with_.now + charges.LOOKS[payment.probes], why)
    return close(tx, payment, intent.case, state, target, why, with_.closing)


def _not_as_shown(intent: Intent, with_: Arming) -> str | None:
    """Nothing was sent, and nothing ends: the claim waits for a person's word about what would leave."""
    other = not_as_shown(intent)
    if other is None:
        return None
    hand_over(intent.tx, intent.case, other, with_.now)
    move(intent.tx, intent.payment, PaymentState(intent.payment.state), due_at=with_.now + REMIND, detail=other)
    write_cases(intent.tx, [intent.case], with_.now, WORKER)
    return f"later: {other}"


def _word_unheard(intent: Intent, with_: Arming) -> str | None:
    """Creem told us something that nobody has handled yet: it may be about this very charge."""
    told = unheard(intent.tx, intent.payment, with_.now)
    return None if told is None else _wait(intent, with_, with_.now + UNHEARD, told)


def _refund_not_shown(intent: Intent, with_: Arming) -> str | None:
    behind = [charge.due_at for charge in intent.known.values() if charge.due_at is not None]
    if not behind:
        return None
    # another word of it calls the claim back before that
    again = max(with_.now + BEHIND, *behind)
    return _wait(intent, with_, again, "Creem told of a refund of the charge and does not show it yet")


def _kept_may_go(intent: Intent, with_: Arming) -> str | None:
    kept_id = intent.payment.kept_transaction_id
    if kept_id is not None and claims.is_open(intent.tx, intent.payment.environment, kept_id):
        why = "a refund of the earlier charge, which was to stay, is under way"
        return _wait(intent, with_, with_.now + STOPPED, why)
    return None


def _credits_not_taken(intent: Intent, with_: Arming) -> str | None:
    credits = taken(intent.tx, intent.payment.purchase_id)
    if credits.refused is not None:
        why = f"not all of its credits could be taken back: {credits.refused}"
        return close(intent.tx, intent.payment, intent.case, PaymentState.MISMATCH, CaseState.REVIEW, why, with_.closing)
    if credits.pending:
        return _wait(intent, with_, with_.now + BEHIND, "its credits are not yet taken at Creem")
    return None


def _creem_takes_none(intent: Intent, with_: Arming) -> str | None:
    """Key, balance, or calls that come to nothing. Each is seen in `refunds status`: no claim is handed over for it, and each
    asks again by itself.
    """
    stopped = closed_to(intent.tx, [limits.KEY, limits.BALANCE, limits.CALLS], with_.now)
    if stopped is None:
        return None
    why = f"money waits, {stopped[0]}"
    due_at = min(stopped[1], with_.now + STOPPED)
    move(intent.tx, intent.payment, PaymentState(intent.payment.state), due_at=due_at, detail=why)
    return f"later: {why}"


def _over_the_limit(intent: Intent, with_: Arming) -> str | None:
    payment, seen = intent.payment, intent.seen
    leaves = payment.amount if seen is None or seen.amount_paid is None else seen.amount_paid
    # how much may leave within an hour is the hour's and no case's: each by a limit of its own, the one of old would stop all
    terms = with_.closing.bench.terms_at(with_.now)
    over = limits.admit(intent.tx, payment.transaction_id, leaves, terms, with_.now)
    return None if over is None else _wait(intent, with_, with_.now + STOPPED, f"money is stopped: {over}")


def _wait(intent: Intent, with_: Arming, due_at: datetime, why: str) -> str:
    return wait(intent.tx, intent.payment, intent.case, due_at, why, with_.closing)


GUARDS: tuple[Callable[[Intent, Arming], str | None], ...] = (
    # may anything be sent from here, and was nothing sent that this database does not know?
    _clocks_apart,
    _set_back,
    _armed_before,
    # is all as it was approved, and as it was shown to whoever approved it?
    _not_as_approved,
    _not_as_shown,
    # is all known that may change that?
    _word_unheard,
    _refund_not_shown,
    _kept_may_go,
    _credits_not_taken,
    # does anything stop money?
    _creem_takes_none,
    _over_the_limit,
)
"""Each says what happened instead of arming, in words; None: nothing is in the way. The first that has something to say ends the
turn.
"""


def _armed(intent: Intent, with_: Arming, left: float) -> ArmedTurn:
    tx, payment, case, now = intent.tx, intent.payment, intent.case, with_.now
    attempt = payment.attempts + 1
    deadline_at = now + timedelta(seconds=left)
    tx.insert(
        payment_attempts,
        [{"payment_id": payment.payment_id, "attempt": attempt, "armed_at": now, "deadline_at": deadline_at}],
    )
    move(
        tx,
        payment,
        PaymentState.SENDING,
        next_step=READ,
        attempts=attempt,
        probes=0,
        armed_at=now,
        deadline_at=deadline_at,
        charged=intent.seen.amount_paid if intent.seen is not None else None,
        due_at=deadline_at + GRACE,
        detail=None,
    )
    gives = {"amount": payment.amount, "currency": payment.currency}
    case.note("payment.armed", transaction_id=payment.transaction_id, attempt=attempt, **gives)
    if case.state is not CaseState.REFUNDING:
        go(case, CaseState.REFUNDING, next_action_at=now + REMIND)
    write_cases(tx, [case], now, WORKER)
    mark = epoch.rise(tx, now)
    if with_.witnesses.journal is not None:
        answered(tx, limits.JOURNAL)
        # the last thing before the commit; what the line says of the mark is committed already, whatever becomes of ours
        with_.witnesses.journal.add(mark - 1, now, call_of(payment, case, attempt, now, deadline_at))
    return ArmedTurn(Armed(payment.transaction_id, with_.until), attempt, mark)
