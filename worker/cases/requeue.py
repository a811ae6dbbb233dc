"""Putting back: a case for another judgement, a dead letter for another reading. Never repeats an effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, or_, select, update

from policy.lifecycle import CaseState
from worker.cases.assess import Assessor
from worker.cases.document import find, pending_effects
from worker.clock import Clock
from worker.errors import Refused
from worker.intake.strict import Malformed
from worker.intake.wire import read_event
from worker.store import inbox as inbox_rows
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import case_history, cases, dead_letters, effects, inbox


class _Undo(Exception):
    """Carries the outcome of a rehearsal out of the transaction that must not commit."""

    def __init__(self, moves: list[tuple[str, str, str | None, str, int]]) -> None:
        super().__init__(moves)
        self.moves = moves


@dataclass(frozen=True, slots=True)
class Plan:
    """What requeueing one case would do."""

    case_id: str
    job_id: str | None
    state: str
    would_be: str
    credits: int
    effects: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """True when nothing at all would happen."""
        return self.state == self.would_be and not self.effects and not self.credits

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "case_id": self.case_id,
            "job_id": self.job_id,
            "state": self.state,
            "would_be": self.would_be,
            "credits": self.credits,
            "effects": list(self.effects),
            "nothing": self.nothing,
        }


@dataclass(frozen=True, slots=True)
class Requeuer:
    """The requeue step with its collaborators."""

    store: Store
    assessor: Assessor
    clock: Clock

    def plan(self, name: str) -> Plan:
        """What would happen, found by really doing it in a transaction that is then undone."""
        row, pending = self.store.read(lambda tx: _with_effects(tx, name))
        would_be, credits = row.state, 0
        if not _settled(row):
            for case_id, _, _, state, reversed_credits in self._rehearse(row.case_id):
                if case_id == row.case_id:
                    would_be, credits = state, reversed_credits - row.credits_reversed
        return Plan(row.case_id, row.job_id, row.state, would_be, credits, tuple(f"{e.kind} ({e.key})" for e in pending))

    def requeue(self, name: str, *, by: str, reason: str) -> Plan:
        """Puts the case back: due for judgement now, its unfinished effects due now, with actor and reason on record.
        Returns what was planned.
        """
        plan = self.plan(name)
        if plan.nothing:
            return plan
        now = self.clock.now()

        def put_back(tx: Tx) -> None:
            open_case = (cases.c.case_id == plan.case_id, cases.c.state == plan.state)
            changed = tx.connection.execute(update(cases).where(*open_case).values(next_action_at=now, stuck=0))
            if changed.rowcount != 1:
                raise Refused(f"{plan.case_id} moved meanwhile; look again")
            # a claim in somebody's hands stays there: only what waits is brought forward
            waiting = (effects.c.case_id == plan.case_id, effects.c.state == "due")
            tx.connection.execute(update(effects).where(*waiting).values(due_at=now))
            tx.insert(
                case_history,
                [{"case_id": plan.case_id, "at": now, "event": "case.requeued", "by": by, "detail": {"reason": reason}}],
            )

        self.store.write(put_back)
        return plan

    def _rehearse(self, case_id: str) -> list[tuple[str, str, str | None, str, int]]:
        def act_and_undo(tx: Tx) -> None:
            raise _Undo(self.assessor.judge_in(tx, [case_id]).moves)

        try:
            self.store.write(act_and_undo)
        except _Undo as undone:
            return undone.moves
        raise AssertionError("unreachable: the rehearsal always ends in its undoing")


def _with_effects(tx: Tx, name: str) -> tuple[Row[Any], Sequence[Row[Any]]]:
    row = find(tx, name)
    return row, pending_effects(tx, row.case_id)


def _settled(row: Row[Any]) -> bool:
    return row.state in {CaseState.REFUNDED.value, CaseState.EXTERNAL.value}


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters, for people: what could not be read or handled, with its reason and its original bytes."""

    store: Store
    clock: Clock

    def listing(self, *, state: str | None, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Letters, newest first, and the id to continue after."""
        wanted = [dead_letters.c.state == state] if state else []
        if after is not None:
            wanted.append(dead_letters.c.dead_id < after)
        statement = select(dead_letters).where(*wanted).order_by(dead_letters.c.dead_id.desc()).limit(limit + 1)
        rows = self.store.read(lambda tx: tx.all(statement))
        items = [letter(row) for row in rows[:limit]]
        return items, items[-1]["dead_id"] if len(rows) > limit else None

    def one(self, name: str) -> Row[Any]:
        """The letter with this id or origin. Raises `Refused` where there is none."""
        named = or_(dead_letters.c.dead_id == name, dead_letters.c.key == name)
        rows = self.store.read(lambda tx: tx.all(select(dead_letters).where(named)))
        if not rows:
            raise Refused(f"{name}: no dead letter of that name")
        return rows[0]

    def requeue(self, name: str, *, by: str, reason: str) -> str:
        """Puts the letter's document back into the inbox, where it is handled like any other; returns what happens next.

        Raises `Refused`, leaving the letter open, where the document still cannot be read.
        """
        row = self._open(name)
        now = self.clock.now()
        if row.inbox_id is None:
            try:
                event = read_event(bytes(row.raw), now)
            except Malformed as fault:
                raise Refused(f"{row.dead_id} still cannot be read: {fault.detail}") from fault

        def put_back(tx: Tx) -> str:
            if row.inbox_id is not None:
                back = (inbox.c.id == row.inbox_id, inbox.c.state == "dead")
                tx.connection.execute(update(inbox).where(*back).values(state="new", attempts=0, due_at=now, handled_at=None))
                told = f"inbox row {row.inbox_id} is to be handled again"
            else:
                fresh = {
                    "source": event.source,
                    "event_id": event.id,
                    "type": event.type,
                    "account_id": event.account_id,
                    "job_id": event.job_id,
                    "raw": event.raw,
                    "sha256": event.sha256,
                    "stream_id": row.key.removeprefix("stream:"),
                    "occurred_at": event.time,
                    "received_at": now,
                    "state": "new",
                    "attempts": 0,
                    "due_at": now,
                }
                if not inbox_rows.insert(tx, [fresh]):
                    raise Refused(f"{row.dead_id}: an event with this identity is already known; the first stays")
                told = f"event {event.id} is in the inbox"
            self._resolve(tx, row, "requeued", by, reason)
            return told

        return self.store.write(put_back)

    def discard(self, name: str, *, by: str, reason: str) -> None:
        """Marks the letter as dealt with; its bytes stay."""
        row = self._open(name)
        self.store.write(lambda tx: self._resolve(tx, row, "discarded", by, reason))

    def _open(self, name: str) -> Row[Any]:
        row = self.one(name)
        if row.state != "open":
            raise Refused(f"{row.dead_id} is already {row.state} by {row.resolved_by}: {row.resolution}")
        return row

    def _resolve(self, tx: Tx, row: Row[Any], state: str, by: str, reason: str) -> None:
        values: dict[str, Any] = {"state": state, "resolved_at": self.clock.now(), "resolved_by": by, "resolution": reason}
        if state == "requeued":
            values["requeues"] = dead_letters.c.requeues + 1
        still_open = (dead_letters.c.dead_id == row.dead_id, dead_letters.c.state == "open")
        if tx.connection.execute(update(dead_letters).where(*still_open).values(values)).rowcount != 1:
            raise Refused(f"{row.dead_id} was dealt with meanwhile")


def letter(row: Row[Any]) -> dict[str, Any]:
    """A dead letter for `--json`: its bytes as text where they are, escaped where they are not."""
    return {
        "dead_id": row.dead_id,
        "origin": row.key,
        "reason": row.reason,
        "detail": row.detail,
        "state": row.state,
        "requeues": row.requeues,
        "received_at": row.received_at.isoformat(),
        "bytes": len(row.raw),
        "sha256": row.sha256,
        "raw": bytes(row.raw).decode("utf-8", errors="backslashreplace"),
        "resolved_by": row.resolved_by,
        "resolution": row.resolution,
    }
