"""Effects: what must happen outside the database, written in the transaction that decided it and done after the commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, case, cast, or_, select, update

from worker.store.bulk import Record, Tx, unlocked
from worker.store.statements import Among, one_of, verbatim
from worker.store.tables import cases, effects


class EffectKind(StrEnum):
    """What an effect does."""

    RERUN = "rerun"
    ANNOUNCE = "announce"
    ANNOUNCE_ALL = "announce_all"
    """Announces the end of every case that its payload names."""


EACH = "each"
"""Where the record of an effect has the records of all that it is for, none of which is a row."""
SUBJECTS = "by_subject"
"""Key in the payload of an effect that announces many: they are known outside by what their cases are about (decision 241)."""
ANNOUNCING = (EffectKind.ANNOUNCE.value, EffectKind.ANNOUNCE_ALL.value)
"""The kinds that tell the product something."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One claimed effect; `attempt` is the fencing token of the claim."""

    key: str
    sent_as: str
    """What it is known by outside: what it is about (decision 241); else its key, or the id under which a release before 0013 may
    have sent it.
    """
    case_id: str
    job_id: str | None
    payload: dict[str, Any]
    attempt: int
    created_at: datetime
    case_state: str


UNDONE = one_of(effects.c.state, ("due", "claimed"))
"""The condition that an effect is still to be done, as the index of these has it."""
_FOR_ALL = effects.c.kind == verbatim(EffectKind.ANNOUNCE_ALL.value)
NUMBER = case((_FOR_ALL, effects.c.payload["number"].as_integer()), else_=1)
"""How many things an effect does."""
KIND = case((_FOR_ALL, verbatim(EffectKind.ANNOUNCE.value)), else_=effects.c.kind)
"""The kind of each of them."""


def about(case_id: str) -> ColumnElement[bool]:
    """The condition that an effect is about this case, alone or among others."""
    named = cast(effects.c.payload, Text).contains(f'"{case_id}"', autoescape=True)
    return or_(effects.c.case_id == case_id, and_(_FOR_ALL, named))


def rerun_key(job_id: str) -> str:
    """The key of the one re-run of a job."""
    return f"{EffectKind.RERUN}:{job_id}"


def add(tx: Tx, records: Sequence[Record]) -> None:
    """Writes intents; one whose key exists already stays as it is."""
    tx.insert_absent(effects, [{name: value for name, value in record.items() if name != EACH} for record in records])


def each(record: Record) -> Sequence[Record]:
    """What an effect is for: itself, or all that it stands for."""
    many: Sequence[Record] = record.get(EACH, [record])
    return many


# a claim whose time is over belongs to a process that died; kinds that only a newer release knows are left to that
_READY = and_(UNDONE, effects.c.due_at <= bindparam("now"), one_of(effects.c.kind, EffectKind))
DUE = select(effects.c.kind).where(_READY)
_KINDS_DUE = DUE.distinct()


def kinds_due(tx: Tx, now: datetime) -> set[EffectKind]:
    """The kinds of which something is to be done now, however much there is of the others."""
    return {EffectKind(row.kind) for row in tx.all(_KINDS_DUE, now=now)}


def claim(tx: Tx, kind: EffectKind, *, keys: Sequence[str], limit: int, now: datetime, lease: timedelta) -> list[Effect]:
    """Takes due effects of one kind, those named or, with no names, any; counts the attempt; nobody else sees them until
    the lease ends.
    """
    asked = {"now": now, "until": now + lease, "of_kind": kind, "limit": limit}
    taken = tx.ask(_named, keys=keys, **asked) if keys else tx.connection.execute(_ANY, asked)
    named = [row.key for row in taken]
    if not named:
        return []
    rows = tx.all(
        select(effects, cases.c.state.label("case_state"))
        .join(cases, cases.c.case_id == effects.c.case_id)
        .where(tx.among(effects.c.key, named))
        .order_by(effects.c.key)
    )
    return [Effect(r.key, r.effect_id, r.case_id, r.job_id, r.payload, r.attempts, r.created_at, r.case_state) for r in rows]


def _claimed(*which: ColumnElement[bool]) -> Any:
    chosen = select(effects.c.key).where(_READY, effects.c.kind == bindparam("of_kind"), *which)
    mine = effects.c.key.in_(unlocked(chosen.order_by(effects.c.due_at).limit(bindparam("limit"))))
    values = {"state": "claimed", "attempts": effects.c.attempts + 1, "due_at": bindparam("until")}
    return update(effects).where(mine).values(values).returning(effects.c.key)


def _named(among: Among) -> Any:
    return _claimed(among(effects.c.key, "keys"))


_ANY = _claimed()


def finish(tx: Tx, done: Sequence[Effect], *, state: str, result: str, now: datetime) -> set[str]:
    """Ends claims that are still ours as `done` or `dropped`; returns the keys ended."""
    records = [{"key": e.key, "was": e.attempt, "state": state, "done_at": now, "result": result} for e in done]
    return tx.update(effects, records, by=["key"], expect={"attempts": "was"})


def postpone(tx: Tx, waiting: Sequence[Effect], *, due_at: datetime, result: str) -> None:
    """Gives claims back to be tried again at `due_at`."""
    records = [{"key": e.key, "was": e.attempt, "state": "due", "due_at": due_at, "result": result} for e in waiting]
    tx.update(effects, records, by=["key"], expect={"attempts": "was"})
