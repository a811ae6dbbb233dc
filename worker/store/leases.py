"""Leases: what a name stands for is one holder's until a moment, by the clock of whoever asks."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, delete, or_
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.bulk import Tx
from worker.store.tables import leases


def take(tx: Tx, name: str, holder: str, now: datetime, until: datetime) -> bool:
    """True where the lease is this holder's until then, which lengthens one it has; False where somebody else has it, who can
    neither leave nor lengthen it before the commit.
    """
    taken = {"name": name, "holder": holder, "until": until, "now": now}
    return tx.connection.execute(_taking(tx.postgres), taken).first() is not None


@cache
def _taking(postgres: bool) -> Any:
    new = (postgresql.insert if postgres else sqlite.insert)(leases)
    free = or_(leases.c.until <= bindparam("now"), leases.c.holder == new.excluded.holder)
    taken = {"holder": new.excluded.holder, "until": new.excluded.until}
    # in one statement: between two of them its holder may give it back
    return new.on_conflict_do_update(index_elements=[leases.c.name], set_=taken, where=free).returning(leases.c.name)


_LEFT = delete(leases).where(leases.c.name == bindparam("named"), leases.c.holder == bindparam("held_by"))


def leave(tx: Tx, name: str, holder: str) -> None:
    """The lease is free; without effect where somebody else has it."""
    tx.connection.execute(_LEFT, {"named": name, "held_by": holder})
