"""The inbox: every accepted document, once, with its original text; what is to be handled is found here and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, exists, func, or_, select, tuple_, update

from worker.clock import new_id
from worker.store.bulk import Record, Tx, unlocked
from worker.store.statements import Among, verbatim
from worker.store.tables import dead_letters, inbox, layer_jobs
from worker.strict import MAX_BYTES

NO_TIME = timedelta(0)

SOON = timedelta(seconds=5)
"""When a row that waits is looked at again at the earliest."""

# What every sweep asks, built once: for the minimum, which is the first entry of an index. Asked whether there is any row,
# Postgres may read the table from its start, past all rows that are done, because it expects to find one soon.
_first_due = func.min(inbox.c.due_at)
AWAITED = select(_first_due <= bindparam("now")).where(inbox.c.state == verbatim("waiting"))
DUE = select(_first_due <= bindparam("by")).where(inbox.c.state == verbatim("new"))


@dataclass(frozen=True, slots=True)
class Claim:
    """A row this process may work on until the claim ends.

    `attempt` is also the fencing token: a later claim has a higher one.
    """

    id: int
    attempt: int
    event_id: str | None = None
    job_id: str | None = None
    """What the row is about, for the log."""


def new_row(
    *,
    source: str,
    event_id: str,
    type: str,
    account_id: str | None,
    job_id: str | None,
    raw: str,
    sha256: str,
    received_at: datetime,
    stream_id: str | None = None,
    occurred_at: datetime | None = None,
    handled: bool = False,
) -> Record:
    """A row that is to be handled from its receipt on; `handled` where that is done in the transaction that adds it."""
    return {
        "source": source,
        "event_id": event_id,
        "type": type,
        "account_id": account_id,
        "job_id": job_id,
        "raw": raw,
        "sha256": sha256,
        "stream_id": stream_id,
        "occurred_at": occurred_at,
        "received_at": received_at,
        "state": "handled" if handled else "new",
        "attempts": 1 if handled else 0,
        "due_at": received_at,
        "handled_at": received_at if handled else None,
    }


def letter_key(row_id: int) -> str:
    """What the dead letter of an inbox row is known by."""
    return f"inbox:{row_id}"


def new_letter(
    *, key: str, reason: str, detail: str, raw: bytes, received_at: datetime, now: datetime, inbox_id: int | None = None
) -> Record:
    """An open dead letter; `key` says where it came from."""
    return {
        "dead_id": new_id("dead", now),
        "key": key,
        "reason": reason,
        "detail": detail,
        "raw": raw,
        "sha256": sha256(raw).hexdigest(),
        "inbox_id": inbox_id,
        "state": "open",
        "received_at": received_at,
    }


def insert(tx: Tx, rows: Sequence[Record]) -> dict[tuple[str, str], int]:
    """Adds the rows whose identity is new; returns the id of each added row by (source, event id)."""
    added = tx.insert_new_returning(inbox, rows, inbox.c.source, inbox.c.event_id, inbox.c.id)
    return {(row.source, row.event_id): row.id for row in added}


def same_identity(tx: Tx, identities: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row[Any]]:
    """The stored rows with these (source, event id) identities."""
    if not identities:
        return {}
    wanted = tuple_(inbox.c.source, inbox.c.event_id).in_(list(identities))
    return {(row.source, row.event_id): row for row in tx.all(select(inbox).where(wanted))}


def claim(tx: Tx, *, ids: Sequence[int], limit: int, now: datetime, lease: timedelta, waited: timedelta = NO_TIME) -> list[Claim]:
    """Takes up to `limit` rows that are due, those named and then others that `waited` so long, and counts the attempt.

    With no backlog each event so stays a task of its own; when tasks fall behind, each takes along what the others have
    not come to, and the batch grows by itself.

    Committed by itself *before* the work, so an event that kills its worker cannot take its own count down with it. Until the
    lease is over nobody else sees the rows; a worker that dies gives them back by doing nothing.
    """
    until = now + lease
    taken = list(tx.ask(_named, ids=ids, by=now, limit=limit, until=until)) if ids else []
    if len(taken) < limit:
        taken += tx.connection.execute(_OTHERS, {"by": now - waited, "limit": limit - len(taken), "until": until})
    return [Claim(row.id, row.attempts, row.event_id, row.job_id) for row in taken]


def _taken(chosen: Select[Any]) -> Any:
    return (
        update(inbox)
        .where(inbox.c.id.in_(unlocked(chosen.limit(bindparam("limit")))))
        .values(attempts=inbox.c.attempts + 1, due_at=bindparam("until"))
        .returning(inbox.c.id, inbox.c.attempts, inbox.c.event_id, inbox.c.job_id)
    )


_NEW = select(inbox.c.id).where(inbox.c.state == verbatim("new"), inbox.c.due_at <= bindparam("by"))
_OTHERS = _taken(_NEW.order_by(inbox.c.due_at, inbox.c.id))


def _named(among: Among) -> Any:
    return _taken(_NEW.where(among(inbox.c.id, "ids")).order_by(inbox.c.id))


def lock(tx: Tx, claims: Sequence[Claim]) -> Sequence[Row[Any]]:
    """The claimed rows that are still ours, locked: not those that another worker claimed or handled since."""
    if not claims:
        return []
    attempt = {claim.id: claim.attempt for claim in claims}
    rows = tx.ask(_claimed, ids=attempt)
    return [row for row in rows if row.attempts == attempt[row.id]]


def _claimed(among: Among) -> Select[Any]:
    return select(inbox).where(among(inbox.c.id, "ids"), inbox.c.state == "new").order_by(inbox.c.id).with_for_update()


def waiting_for(tx: Tx, job_ids: Sequence[str]) -> Sequence[Row[Any]]:
    """The rows that wait for one of these jobs to become known, locked."""
    if not job_ids:
        return []
    return tx.ask(_waiting_for, job_ids=job_ids)


def _waiting_for(among: Among) -> Select[Any]:
    waiting = select(inbox).where(inbox.c.state == "waiting", among(inbox.c.job_id, "job_ids"))
    return waiting.order_by(inbox.c.id).with_for_update()


def look_at_waiting(tx: Tx, now: datetime, by: datetime, limit: int) -> int:
    """Wakes rows that wait for a job that is known by now, due since `by`; returns how many were looked at, of those whose time
    it is. The others are looked at again when they have waited twice as long: most of them wait for a job that never comes.

    Job and report that name different accounts are handled under different locks: each may miss the other, and nobody would
    come back to the report.
    """
    known = exists().where(layer_jobs.c.job_id == inbox.c.job_id)
    chosen = select(inbox.c.id, inbox.c.handled_at, known.label("known")).where(
        inbox.c.state == verbatim("waiting"), inbox.c.due_at <= now
    )
    rows = tx.all(chosen.order_by(inbox.c.due_at).limit(limit).with_for_update(skip_locked=True, of=inbox))
    wake(tx, [row.id for row in rows if row.known], by)
    later = [{"id": row.id, "due_at": now + max(SOON, now - row.handled_at)} for row in rows if not row.known]
    tx.update(inbox, later, by=["id"])
    return len(rows)


def wake(tx: Tx, ids: Sequence[int], now: datetime) -> None:
    """Makes waiting rows due at once, uncounted: that they waited is no fault of theirs."""
    tx.update(
        inbox,
        [{"id": id, "was": "waiting", "state": "new", "due_at": now, "attempts": 0, "handled_at": None} for id in ids],
        by=["id"],
        expect={"state": "was"},
    )


def tell_again(tx: Tx, ids: Sequence[int], now: datetime) -> set[int]:
    """Makes handled rows due once more, as if they had come in `now`; returns which."""
    back = {"was": "handled", "state": "new", "received_at": now, "due_at": now, "attempts": 0, "handled_at": None}
    return tx.update(inbox, [{"id": id, **back} for id in ids], by=["id"], expect={"state": "was"})


def settle(tx: Tx, fates: Sequence[Record]) -> None:
    """Marks each row {id, state, handled_at} with what became of it; one that waits is looked at again from `due_at` on."""
    tx.update(inbox, fates, by=["id"])


def postpone(tx: Tx, claim: Claim, error: str, due_at: datetime) -> None:
    """Gives one row back for a later try, with what went wrong."""
    tx.update(
        inbox,
        [{"id": claim.id, "was": claim.attempt, "last_error": error, "due_at": due_at}],
        by=["id"],
        expect={"attempts": "was"},
    )


def release(tx: Tx, claims: Sequence[Claim], now: datetime) -> None:
    """Gives rows back for `now` or later, uncounted: what kept them from being handled is no fault of theirs."""
    tx.update(
        inbox,
        [{"id": c.id, "was": c.attempt, "still": "new", "due_at": now, "attempts": c.attempt - 1} for c in claims],
        by=["id"],
        expect={"attempts": "was", "state": "still"},
    )


def begin(tx: Tx, claim: Claim) -> bool:
    """Counts the attempt at a row that was released to wait for its turn; False where somebody else has it by now."""
    counted = {"id": claim.id, "was": claim.attempt - 1, "still": "new", "attempts": claim.attempt}
    return bool(tx.update(inbox, [counted], by=["id"], expect={"attempts": "was", "state": "still"}))


def bury(tx: Tx, letters: Sequence[Record]) -> int:
    """Makes each letter stand open, one for each origin; one that was requeued and comes back is opened again. Returns how
    many were opened.
    """
    if not letters:
        return 0
    # what is larger than an event may be goes by itself
    small = [letter for letter in letters if len(letter["raw"]) <= MAX_BYTES]
    new = tx.insert_new(dead_letters, small, dead_letters.c.key)
    new |= {letter["key"] for letter in letters if len(letter["raw"]) > MAX_BYTES and tx.insert_one(dead_letters, letter)}
    again = [
        {"key": letter["key"], "was": "requeued", "state": "open", "reason": letter["reason"], "detail": letter["detail"]}
        for letter in letters
        if letter["key"] not in new
    ]
    return len(new) + len(tx.update(dead_letters, again, by=["key"], expect={"state": "was"}))


def any_due(tx: Tx, by: datetime) -> bool:
    """True when a row has waited to be handled since `by` or longer and nobody has claimed it."""
    return bool(tx.value(DUE, by=by))


def any_awaited(tx: Tx, now: datetime) -> bool:
    """True when it is time to look at a row that waits for its job."""
    return bool(tx.value(AWAITED, now=now))


def unhandled_accounts(tx: Tx, limit: int) -> set[str]:
    """Whose events are to be handled, of so many rows at most: those first that were put off for the longest."""
    chosen = select(inbox.c.account_id).where(inbox.c.state == verbatim("new"), inbox.c.account_id.is_not(None))
    return {row.account_id for row in tx.all(chosen.order_by(inbox.c.due_at.desc()).limit(limit))}


def unhandled_from(tx: Tx, source: str, now: datetime) -> bool:
    """True when a row of this source waits to be handled that nobody tried yet, or whose next try is due or under way."""
    return tx.exists(select(inbox.c.id).where(*_new_from(source), ~_is_put_off(now)))


def put_off_from(tx: Tx, source: str, now: datetime, limit: int) -> Sequence[Row[Any]]:
    """Up to so many rows of this source that were tried and left for later than `now`."""
    return tx.all(select(inbox).where(*_new_from(source), _is_put_off(now)).order_by(inbox.c.id).limit(limit))


def _new_from(source: str) -> tuple[ColumnElement[bool], ...]:
    # as the index has it, word for word, so that it is used whichever source is asked for
    return inbox.c.state == verbatim("new"), inbox.c.source == verbatim(source)


def _is_put_off(now: datetime) -> ColumnElement[bool]:
    """The condition that `postpone` or `release` left the row for later; one that was never tried is due since its receipt."""
    released = and_(inbox.c.attempts == 0, inbox.c.due_at > inbox.c.received_at)
    return and_(inbox.c.due_at > now, or_(inbox.c.last_error.is_not(None), released))


def backlog(tx: Tx) -> tuple[int, datetime | None]:
    """How many rows are unhandled, and since when the oldest was received."""
    count, oldest = tuple(tx.one(select(func.count(), func.min(inbox.c.received_at)).where(inbox.c.state == verbatim("new"))))
    return int(count), oldest
