"""Dead letters put back for another reading, or put aside."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, Row, case, func, or_, select, update

from worker.clock import Clock, written
from worker.creem.receive import Accepts, check_mode
from worker.creem.receive import row_of as creem_row_of
from worker.creem.webhooks import read_webhook
from worker.errors import Refused, Unhandled
from worker.intake.accept import row_of
from worker.intake.wire import read_event
from worker.store import inbox as inbox_rows
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.store.pages import page
from worker.store.tables import dead_letters, inbox
from worker.strict import MAX_BYTES, Malformed, Reason

Identity = tuple[str, str]
"""Source and id of an event."""
BYTES_STAY = "its bytes stay"
_RAW, _SIZE = dead_letters.c.raw, func.length(dead_letters.c.raw)
LISTED = (
    *(column for column in dead_letters.c if column is not _RAW),
    _SIZE.label("bytes"),
    case((_SIZE <= MAX_BYTES, _RAW)).label("raw"),
)
"""A letter for a list: without its bytes where they are more than an event may have."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters, for people: what could not be read or handled, with its reason and its original bytes.

    `accepts_mode` is None where no key says which of Creem's environments this is.
    """

    store: Store
    clock: Clock
    accepts_mode: Accepts | None

    def listing(self, *, state: str | None, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Letters, newest first, and the id to continue after; the bytes of large ones are left out."""
        wanted = [dead_letters.c.state == state] if state else []
        if after is not None:
            wanted.append(dead_letters.c.dead_id < after)
        statement = select(*LISTED).where(*wanted).order_by(dead_letters.c.dead_id.desc()).limit(limit + 1)
        rows = self.store.read(lambda tx: tx.all(statement))
        shown, following = page(rows, limit, "dead_id")
        return [_letter(row, row.bytes) for row in shown], following

    def by_reason(self) -> list[dict[str, Any]]:
        """Open letters grouped by reason, most first: how many, oldest and newest, and one to look at."""
        d = dead_letters.c
        grouped = (
            select(d.reason, func.count(), func.min(d.received_at), func.max(d.received_at), func.max(d.dead_id))
            .where(d.state == "open")
            .group_by(d.reason)
            .order_by(func.count().desc(), d.reason)
        )
        rows = self.store.read(lambda tx: tx.all(grouped))
        return [
            {"reason": reason, "count": count, "oldest_at": written(oldest), "newest_at": written(newest), "for_example": example}
            for reason, count, oldest, newest, example in map(tuple, rows)
        ]

    def reasons(self) -> list[str]:
        """Every reason that a letter has or could have, whatever became of it: one that was put back may come with another."""
        there = self.store.read(lambda tx: tx.all(select(dead_letters.c.reason).distinct()))
        return sorted({*get_args(Reason), *get_args(Unhandled), *(row.reason for row in there)})

    def of_reason(self, reason: str, limit: int, after: str | None = None) -> tuple[list[str], str | None]:
        """The ids of open letters with this reason, oldest first, and the id to continue after."""
        d = dead_letters.c
        wanted = [d.state == "open", d.reason == reason, *([d.dead_id > after] if after is not None else [])]
        chosen = select(d.dead_id).where(*wanted).order_by(d.dead_id).limit(limit + 1)
        shown, following = page(self.store.read(lambda tx: tx.all(chosen)), limit, "dead_id")
        return [row.dead_id for row in shown], following

    def one(self, name: str) -> dict[str, Any]:
        """The letter with this id or origin. Raises `Refused` where there is none."""
        row = self._one(name)
        return _letter(row, len(row.raw))

    def raw(self, name: str) -> bytes:
        """The original bytes of the letter. Raises `Refused` where there is none of that name."""
        return bytes(self._one(name).raw)

    def requeue(self, name: str, *, by: str, reason: str) -> str:
        """Puts the letter's document back into the inbox, where it is handled like any other; returns what happens next.

        Raises `Refused`, leaving the letter open, where the document still cannot be read or nothing is to be put back.
        """
        row = self._open(name)
        now = self.clock.now()
        fresh = self._fresh_row(row, now)

        def put_back(tx: Tx) -> str:
            self._resolve(tx, row, "requeued", by, reason)
            if fresh is None:
                back = (inbox.c.id == row.inbox_id, inbox.c.state == "dead")
                again = update(inbox).where(*back).values(state="new", attempts=0, due_at=now, handled_at=None)
                if tx.connection.execute(again).rowcount != 1:
                    raise _not_dead(row)
            elif not inbox_rows.insert(tx, [fresh]):
                raise _known(row)
            return _told(row, fresh)

        return self.store.write(put_back)

    def plan(self, name: str) -> dict[str, str]:
        """What `requeue` would do with the letter now, which it leaves as it is: `would_be` requeued, or still open, and `next`.

        Raises `Refused` where there is no open letter of that name.
        """
        (plan,) = self.plans([name])
        return plan

    def plans(self, names: Iterable[str]) -> Iterator[dict[str, str]]:
        """What `requeue` would do with these letters one after the other: of two with one event the first goes back."""
        gone_back: set[Identity] = set()
        for name in names:
            row = self._open(name)
            try:
                fresh = self._fresh_row(row, self.clock.now())
                if fresh is not None:
                    identity = (fresh["source"], fresh["event_id"])
                    if identity in gone_back or self._is_known(identity):
                        raise _known(row)
                    gone_back.add(identity)
            except Refused as refusal:
                yield _planned(row, "open", str(refusal))
            else:
                yield _planned(row, "requeued", _told(row, fresh))

    def plan_discard(self, name: str) -> dict[str, str]:
        """What `discard` would do, in the same shape. Raises `Refused` where there is no open letter of that name."""
        return _planned(self._open(name), "discarded", BYTES_STAY)

    def discard(self, name: str, *, by: str, reason: str) -> str:
        """Marks the letter as dealt with, and returns what becomes of it: its bytes stay."""
        row = self._open(name)
        self.store.write(lambda tx: self._resolve(tx, row, "discarded", by, reason))
        return BYTES_STAY

    def _is_known(self, identity: Identity) -> bool:
        return bool(self.store.read(lambda tx: inbox_rows.same_identity(tx, [identity])))

    def _one(self, name: str) -> Row[Any]:
        row = self.store.read(lambda tx: tx.first(select(dead_letters).where(called(name))))
        if row is None:
            raise Refused(f"{name}: no dead letter of that name")
        return row

    def _fresh_row(self, row: Row[Any], now: datetime) -> Record | None:
        """The inbox row that the letter's bytes make now; None where they have one. Raises `Refused` where they cannot be
        read, or are of another environment, and where the one they have is not dead any more.
        """
        if row.inbox_id is not None:
            if self.store.read(lambda tx: tx.value(select(inbox.c.state).where(inbox.c.id == row.inbox_id))) != "dead":
                raise _not_dead(row)
            return None
        try:
            if row.key.startswith("creem:"):
                hook = read_webhook(bytes(row.raw))
                check_mode(hook, self.accepts_mode)
                return creem_row_of(hook, now)
            return row_of(read_event(bytes(row.raw), now), row.key.removeprefix("stream:"), now)
        except Malformed as fault:
            raise Refused(f"{row.dead_id} still cannot be read: {fault.detail}") from fault

    def _open(self, name: str) -> Row[Any]:
        row = self._one(name)
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


def _known(row: Row[Any]) -> Refused:
    return Refused(f"{row.dead_id}: an event with this identity is already known; the first stays")


def _not_dead(row: Row[Any]) -> Refused:
    return Refused(
        f"{row.dead_id}: inbox row {row.inbox_id} is not dead any more, so nothing is to be put back; discard the letter"
    )


def _told(row: Row[Any], fresh: Record | None) -> str:
    return f"inbox row {row.inbox_id} is to be handled again" if fresh is None else f"event {fresh['event_id']} is in the inbox"


def _planned(row: Row[Any], would_be: str, following: str) -> dict[str, str]:
    return {"dead_id": row.dead_id, "reason": row.reason, "would_be": would_be, "next": following}


def called(name: str) -> ColumnElement[bool]:
    """That a letter has this id or origin."""
    return or_(dead_letters.c.dead_id == name, dead_letters.c.key == name)


def _letter(row: Row[Any], size: int) -> dict[str, Any]:
    """A dead letter for `--json`: its bytes as text where they are, escaped where not; None where a list left them out."""
    return {
        "dead_id": row.dead_id,
        "origin": row.key,
        "reason": row.reason,
        "detail": row.detail,
        "state": row.state,
        "requeues": row.requeues,
        "received_at": written(row.received_at),
        "bytes": size,
        "sha256": row.sha256,
        "raw": None if row.raw is None else bytes(row.raw).decode("utf-8", errors="backslashreplace"),
        "resolved_by": row.resolved_by,
        "resolution": row.resolution,
    }
