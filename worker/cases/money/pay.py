"""One charge goes back at most once: claim → read → arm → one call → record → prove by reading (creem-api.md, 14.3).

Three kinds of turn. `send` reads the charge, compares it with what was approved, commits the intent, and makes the one call.
`lost` finds a call whose sender never came back: from here on its outcome is unknown. `prove` reads, and nothing else. A claim
whose outcome is unknown is closed by a proof or by a person, never by another call.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from policy.lifecycle import PaymentState
from worker.cases.money import arm, charges, close, limits, prove, record
from worker.cases.money.claims import READ, SEND
from worker.cases.money.epoch import Remembered, Watch, Witnesses
from worker.cases.money.journal import SERVICE as JOURNAL
from worker.cases.money.journal import Key
from worker.cases.money.seen import book
from worker.cases.money.settle import Settler
from worker.cases.money.turn import Turn, defer, leave_the_floor, lock, still_ours, take, take_the_floor
from worker.clock import ROUND_SECONDS, Clock, growing
from worker.creem.answers import Answer, CallOutcome
from worker.creem.client import Creem, CreemAway, CreemRefused, DeadlinePassed
from worker.creem.transactions import Transaction
from worker.errors import LockedOut, Misconfigured, NoGround, OfNewerRelease, OutOfTime, TryLater, one_line
from worker.observe import log
from worker.settings import Mode
from worker.store.breakers import CREEM, answered, closed_to
from worker.store.bulk import Tx
from worker.store.engine import Store

HELD = timedelta(minutes=5)
NO_JOURNAL = timedelta(minutes=2)
"""Shorter than it takes `RefundsMoneyStopped` to call somebody: one hiccup is over before."""
STUCK = timedelta(minutes=15)
LONGEST_AWAY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Payer:
    """The step with its collaborators. `holder` names this process among all that may call Creem."""

    store: Store
    creem: Creem
    settler: Settler
    clock: Clock
    holder: str
    refund_seconds: float
    turn_seconds: float
    """How long one turn may take at most: two reads and the call."""
    round_seconds: float = ROUND_SECONDS
    """No new turn begins after this: a task has a time limit."""
    timer: Callable[[], float] = time.monotonic
    witnesses: Witnesses = Witnesses()  # noqa: RUF009 - frozen
    watch: Watch | None = None
    other_clock: Callable[[Tx], datetime | None] = lambda tx: None
    """A clock that this host's has to agree with; without one nothing is compared."""

    def pay(self, payment_ids: Sequence[str] = ()) -> list[str]:
        """Takes the turns that are due, those named or any, one after the other; returns what came of each.

        Returns at once where another process is at it, and where Creem is known to be away.
        """
        if self.watch is not None:
            self.watch.look()
        began, told = self.timer(), list[str]()
        named = list(payment_ids)
        while self.timer() - began < self.round_seconds and self._may_call(CREEM):
            was_named = bool(named)
            turn = self._take(named.pop(0) if named else None)
            if turn is not None:
                told.append(f"{self._turn(turn)} {turn.transaction_id}")
            elif not was_named:
                break
        told += self._look_at_charges(began)
        self.store.write(lambda tx: leave_the_floor(tx, self.holder))
        return told

    def _may_call(self, *held_by: str) -> bool:
        now = self.clock.now()
        lease = timedelta(seconds=self.turn_seconds)

        def look(tx: Tx) -> bool:
            return closed_to(tx, held_by, now) is None and take_the_floor(tx, self.holder, self._floor_time(tx), lease)

        return self.store.write(look)

    def _floor_time(self, tx: Tx) -> datetime:
        """The time by which all hosts share the floor: one whose clock jumped ahead must not keep the others away."""
        return self.other_clock(tx) or self.clock.now()

    def _take(self, payment_id: str | None) -> Turn | None:
        now = self.clock.now()
        lease = timedelta(seconds=self.turn_seconds)
        environment = self.creem.environment.value
        return self.store.write(lambda tx: take(tx, environment, now=now, lease=lease, payment_id=payment_id))

    def _turn(self, turn: Turn) -> str:
        try:
            said = self._worked_on(turn)
        except LockedOut as error:
            # walked around, as by everybody else (41, 120): its turn runs out and comes again, and the others have theirs
            said = f"later, {error}:"
        log.info("payment.turn", case_id=turn.case_id, transaction_id=turn.transaction_id, turn=turn.turn, said=said)
        return said

    def _worked_on(self, turn: Turn) -> str:
        try:
            if turn.state is PaymentState.SENDING:
                never_sent = self._never_sent(turn)
                if never_sent is not None:
                    return never_sent
                turn = self._lost(turn)
            return self._send(turn) if turn.next_step == SEND else self._prove(turn)
        except CreemAway as error:
            return self._away(turn, error)
        except TryLater as error:
            if error.service != JOURNAL:
                raise
            return self._no_journal(turn, error)
        except (Misconfigured, OutOfTime):
            raise
        except OfNewerRelease as error:
            # its turn runs out; a process of the newer release takes it
            return str(error)
        except Exception as error:
            # one claim that cannot be worked on stops alone, and a person is called; what it may have sent stays unknown
            log.exception("payment.stuck", transaction_id=turn.transaction_id)
            return self._stuck(turn, f"{type(error).__name__}: {one_line(error)}")

    # send

    def _send(self, turn: Turn) -> str:
        mode = self.settler.bench.mode
        if mode is not Mode.FULL:
            return self._wait(turn, HELD, f"no money leaves in mode {mode.value}")
        read_at, remembered = self.timer(), self.witnesses.ask(self.store)
        try:
            seen = self.creem.transaction(turn.transaction_id)
            kept = self.creem.transaction(turn.kept_transaction_id) if turn.kept_transaction_id else None
        except CreemRefused as refusal:
            return self._no_answer(turn, refusal)
        self._observe(turn, seen, kept)
        armed = self.store.write(lambda tx: arm.arm(tx, turn, seen, kept, self._arming(read_at, remembered)))
        if isinstance(armed, str):
            return armed
        self.witnesses.begins_call(self._key(turn))
        untold = self.witnesses.tell(armed.mark)
        if untold is not None and self.witnesses.journal is None:
            # were the database lost now, nobody would remember the call
            answer = Answer(outcome=CallOutcome.NOT_SENT, detail=f"no witness could be told: {untold}")
        else:
            answer = self._call(armed)
        # from here on only the answer is missing: nobody calls again whatever happens to this process
        return self.store.write(lambda tx: record.record_answer(tx, turn, armed.attempt, answer, self._closing()))

    def _call(self, armed: arm.ArmedTurn) -> Answer:
        try:
            return self.creem.refund(armed.permission)
        except DeadlinePassed as late:
            # this process was held up after arming: the call was never begun
            return Answer(outcome=CallOutcome.NOT_SENT, detail=str(late))

    def _arming(self, read_at: float, remembered: Remembered) -> arm.Arming:
        return arm.Arming(
            closing=self._closing(),
            environment=self.creem.environment,
            until=read_at + self.refund_seconds,
            timer=self.timer,
            witnesses=self.witnesses,
            remembered=remembered,
            other_clock=self.other_clock,
        )

    def _closing(self) -> close.Closing:
        return close.Closing(self.settler, self.clock.now())

    # read

    def _never_sent(self, turn: Turn) -> str | None:
        """What came of a call that this very process armed, and did not send because it never heard that the commit stands; None
        where it is not such a one.
        """
        ours = self.witnesses.not_begun(self._key(turn))
        if not ours:
            return None
        answer = Answer(outcome=CallOutcome.NOT_SENT, detail="the database did not say that it was armed")

        def not_sent(tx: Tx) -> str | None:
            payment, _ = lock(tx, turn)
            armed = (payment.attempts, payment.armed_at, payment.deadline_at)
            if not still_ours(payment, turn) or payment.state != PaymentState.SENDING.value or armed not in ours:
                return None
            return record.record_answer(tx, turn, payment.attempts, answer, self._closing())

        return self.store.write(not_sent)

    def _key(self, turn: Turn) -> Key:
        return self.creem.environment.value, turn.transaction_id

    def _lost(self, turn: Turn) -> Turn:
        """Whoever armed this call never recorded its answer, and its deadline is past: the outcome is unknown."""
        now = self.clock.now()

        def give_up(tx: Tx) -> bool:
            payment, case = lock(tx, turn)
            if not still_ours(payment, turn) or payment.state != PaymentState.SENDING.value:
                return False
            record.unknown(tx, payment, case, "the process that sent it did not live to see the answer", self._closing())
            return True

        gone = self.store.write(give_up)
        log.warning("payment.lost", transaction_id=turn.transaction_id, ours=gone, now=now.isoformat())
        return replace(turn, state=PaymentState.UNKNOWN, next_step=READ)

    def _prove(self, turn: Turn) -> str:
        try:
            seen = self.creem.transaction(turn.transaction_id)
        except CreemRefused as refusal:
            return self._no_answer(turn, refusal)
        self._observe(turn, seen, None)
        return self.store.write(lambda tx: prove.prove(tx, turn, seen, self._closing(), self.creem.environment))

    def _observe(self, turn: Turn, seen: Transaction | None, kept: Transaction | None) -> None:
        """What was read is kept, and what follows from it happens: a dispute that was never told of is a dispute."""
        asked = (seen, turn.transaction_id), (kept, turn.kept_transaction_id)
        read = [one for one, wanted in asked if one is not None and one.id == wanted]

        def keep(tx: Tx) -> None:
            answered(tx, CREEM)
            for one in read:
                self._keep(tx, one)

        self.store.write(keep)

    def _keep(self, tx: Tx, seen: Transaction) -> None:
        if self.creem.environment.accepts(seen.mode):
            book(tx, seen, self.settler, self.clock.now())

    def _look_at_charges(self, began: float) -> list[str]:
        """Charges that something was heard of are read, so that what was heard becomes what is known."""
        told: list[str] = []
        while self.timer() - began < self.round_seconds and self._may_call(CREEM, limits.KEY):
            now = self.clock.now()
            due = self.store.read(partial(charges.due, now=now, limit=1))
            if not due:
                break
            told.append(self._look_at(due[0]))
        return told

    def _look_at(self, transaction_id: str) -> str:
        try:
            seen = self.creem.transaction(transaction_id)
        except CreemAway as error:
            return self._look_later(transaction_id, error)
        except CreemRefused as refusal:
            self._hear_of_the_key(refusal)
            return self._leave(transaction_id, limits.KEY_TROUBLE, "refused")
        if seen is None or seen.id != transaction_id or not self.creem.environment.accepts(seen.mode):
            return self._leave(transaction_id, timedelta(hours=1), "not there")
        try:
            self.store.write(lambda tx: self._keep(tx, seen))
        except LockedOut as error:
            return self._leave(transaction_id, HELD, f"later, {error}:")
        except (NoGround, OutOfTime):
            raise
        except OfNewerRelease:
            return self._leave(transaction_id, STUCK, "left for a newer release")
        except Exception:
            log.exception("charge.stuck", transaction_id=transaction_id)
            return self._leave(transaction_id, STUCK, "stuck")
        return f"read {transaction_id}"

    def _leave(self, transaction_id: str, pause: timedelta, said: str) -> str:
        """Puts off what cannot be booked now: it would be read on and on, and no other charge at all."""
        until = self.clock.now() + pause
        self.store.write(lambda tx: charges.put_off(tx, transaction_id, until))
        return f"{said} {transaction_id}"

    def _look_later(self, transaction_id: str, error: CreemAway) -> str:
        now = self.clock.now()

        def later(tx: Tx) -> None:
            limits.away(tx, str(error), now, asked=error.retry_after)
            charges.put_off(tx, transaction_id, now + HELD)

        self.store.write(later)
        return f"later {transaction_id}"

    # what holds a turn up

    def _away(self, turn: Turn, error: CreemAway) -> str:
        now = self.clock.now()
        self.store.write(lambda tx: limits.away(tx, str(error), now, asked=error.retry_after))
        return self._wait(turn, growing(turn.turn, LONGEST_AWAY), str(error))

    def _no_answer(self, turn: Turn, refusal: CreemRefused) -> str:
        self._hear_of_the_key(refusal)
        return self._wait(turn, limits.KEY_TROUBLE, str(refusal))

    def _hear_of_the_key(self, refusal: CreemRefused) -> None:
        """Creem refused a read: for the key, nobody's read will do better until somebody mends it; else it is about that one."""
        if refusal.key_trouble:
            until = self.clock.now() + limits.KEY_TROUBLE
            self.store.write(lambda tx: limits.open_until(tx, limits.KEY, until, str(refusal)))

    def _no_journal(self, turn: Turn, error: TryLater) -> str:
        """Nothing was armed: the line is written before the commit, and what it was for was undone."""
        now = self.clock.now()
        self.store.write(lambda tx: limits.open_until(tx, limits.JOURNAL, now + 2 * HELD, str(error)))
        return self._wait(turn, NO_JOURNAL, str(error))

    def _stuck(self, turn: Turn, why: str) -> str:
        def set_aside(tx: Tx) -> str:
            payment, case = lock(tx, turn)
            if still_ours(payment, turn) and payment.closed_at is None:
                close.hand_over(tx, case, f"the worker could not go on with the payment: {why}", self.clock.now())
                close.wait(tx, payment, case, self.clock.now() + STUCK, why, self._closing())
            return f"stuck: {why}"

        try:
            return self.store.write(set_aside)
        except (NoGround, OutOfTime):
            raise
        except Exception:
            # nobody can be called by its case either: the claim waits as it is, and the others are served all the same
            log.exception("payment.not_set_aside", transaction_id=turn.transaction_id)
            until = self.clock.now() + STUCK
            self.store.write(lambda tx: defer(tx, turn, until))
            return f"stuck: {why}"

    def _wait(self, turn: Turn, pause: timedelta, why: str) -> str:
        due_at = self.clock.now() + pause

        def put_off(tx: Tx) -> str:
            payment, case = lock(tx, turn)
            if still_ours(payment, turn):
                close.wait(tx, payment, case, due_at, why, self._closing())
            return f"later: {why}"

        return self.store.write(put_off)
