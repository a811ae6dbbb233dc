"""A database that is closed: its book is kept in another one, or has not fully arrived in this one. It says so to whoever asks,
and the database itself turns every write away: from processes that are still at work too, and from those of an older release.
"""

from typing import NamedTuple

from sqlalchemy import delete, select, text

from worker.store.bulk import Tx
from worker.store.tables import installation, metadata

MARK = "closed"
SAID = "this database is closed, and its book is kept in another one"
"""By what the error of a write is known."""
_EACH = ("insert", "update", "delete")


class Closed(NamedTuple):
    """By which move a database was closed, and why nothing is kept in it, in words."""

    move: str
    why: str


def closed(tx: Tx) -> Closed | None:
    """Why nothing is kept in this database; None where it is open."""
    row = tx.first(select(installation.c.value).where(installation.c.name == MARK))
    return None if row is None else told(row.value)


def told(value: str) -> Closed:
    """What the row of the installation says."""
    move, _, why = value.partition(" ")
    return Closed(move, why)


def close(tx: Tx, move: str, why: str) -> None:
    """Nobody writes into this database from the commit on, whoever they are, until it is opened."""
    tx.insert(installation, [{"name": MARK, "value": f"{move} {why}"}])
    for statement in _CLOSING_POSTGRES if tx.postgres else _CLOSING_SQLITE:
        tx.connection.execute(text(statement))


def open_again(tx: Tx) -> None:
    """The database takes writes again."""
    for statement in _OPENING_POSTGRES if tx.postgres else _OPENING_SQLITE:
        tx.connection.execute(text(statement))
    tx.connection.execute(delete(installation).where(installation.c.name == MARK))


# a trigger of Postgres may stand for all three and for `truncate`, one of SQLite is for one of them and for each row
_CLOSING_POSTGRES = (
    # not one of the errors by which a row is refused: no row is at fault
    "create function turned_away() returns trigger language plpgsql as "
    f"$$ begin raise exception '{SAID}' using errcode = 'object_not_in_prerequisite_state'; end $$",
    *(
        f"create trigger closed before insert or update or delete or truncate on {name} execute function turned_away()"
        for name in metadata.tables
    ),
)
_OPENING_POSTGRES = ("drop function turned_away() cascade",)
_CLOSING_SQLITE = tuple(
    f"create trigger closed_{name}_{verb} before {verb} on {name} begin select raise(abort, '{SAID}'); end"
    for name in metadata.tables
    for verb in _EACH
)
_OPENING_SQLITE = tuple(f"drop trigger closed_{name}_{verb}" for name in metadata.tables for verb in _EACH)
