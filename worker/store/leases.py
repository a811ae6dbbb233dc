"""Leases: what a name stands for is one holder's until a moment, by the clock of whoever asks."""

from datetime import datetime

from sqlalchemy import delete, or_

from worker.store.bulk import Tx
from worker.store.tables import leases


def take(tx: Tx, name: str, holder: str, now: datetime, until: datetime) -> bool:
    """True where the lease is this holder's until then, which lengthens one it has; False where somebody else has it, who can
    neither leave nor lengthen it before the commit.
    """
    free = or_(leases.c.until <= now, leases.c.holder == holder)
    taken = {"holder": holder, "until": until}
    # in one statement: between two of them its holder may give it back
    return tx.insert_or_change(leases, {"name": name, **taken}, taken, by=leases.c.name, where=free) is not None


def leave(tx: Tx, name: str, holder: str) -> None:
    """The lease is free; without effect where somebody else has it."""
    tx.connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
