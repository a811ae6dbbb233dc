"""What an error of the database means for whoever asked for the work."""

import re
import sqlite3

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)

from worker.errors import BrokenOff, LockedOut, Misconfigured, TryLater, one_line
from worker.store.closed import SAID
from worker.store.sqlite import BUSY_SECONDS
from worker.store.tables import metadata

NO_SCHEMA = "the schema is missing: run `refunds db upgrade`"
NO_SUCH_TABLE = "42P01"
NO_SUCH_COLUMN = "42703"
NOT_ALLOWED = "42501"
NOT_SUPPORTED = "0A000"
"""What a statement reads has other types since it was prepared; it is prepared anew after the rollback."""
NO_SUCH_KEY = "42P10"
TAKEN = "23505"
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
RAISED = "P0"
"""What errors begin with that a function of the database raises itself."""
ONLY_READS = "25006"
GONE = {ONLY_READS, "25P03", "25P04"}
"""What is no defect although the driver calls it an internal error: the server only reads any more, or has ended our session."""


def meaning(error: DBAPIError, *, writing: bool) -> Exception:
    """What is raised in its place: something to be put right, or to be tried later. A defect is raised as it is."""
    if _is_ruined(error):
        right = 'put a backup in its place (docs/operating.md, "After a restore")'
        return Misconfigured(f"the SQLite file cannot be used: {one_line(error.orig or error)}; {right}")
    if SAID in str(error.orig):
        return Misconfigured(f"{SAID}: see `refunds doctor`")
    state = sqlstate(error)
    if state == TAKEN and (behind := _numbers_behind(error)):
        return Misconfigured(behind)
    if not isinstance(error, ProgrammingError | OperationalError | InterfaceError | InternalError):
        return error
    if state == NO_SUCH_TABLE or "no such table" in str(error.orig):
        return Misconfigured(NO_SCHEMA if _is_table_of_ours(error) else _gone(error))
    if state == NO_SUCH_COLUMN and not _is_column_of_ours(error):
        return Misconfigured(_gone(error))
    if state == NOT_ALLOWED:
        right = "a worker signs in as deploy/postgres/roles.sql has it, and an upgrade runs as the owner of the tables"
        return Misconfigured(f"the database: {why_unreachable(error)}; {right}")
    if state == NO_SUCH_KEY:
        return Misconfigured("the schema lacks a unique key that what is done once stands on: see `refunds doctor`")
    if state == LOCK_NOT_AVAILABLE:
        return LockedOut(
            "the database", "another session holds a row that is needed, and does not let it go: see `refunds doctor`"
        )
    if state == QUERY_CANCELED:
        return BrokenOff("the database", why_unreachable(error))
    if _is_defect(error, writing):
        return error
    return TryLater("the database", why_unreachable(error))


def numbers_on(table: str, number: str) -> str:
    """What the owner of a table types so that its numbers go on behind its rows."""
    counted = f"pg_get_serial_sequence('{table}', '{number}')"
    return f"as its owner, select setval({counted}, max({number})) from {table}"  # noqa: S608 - to be read, not run


def _numbers_behind(error: DBAPIError) -> str | None:
    """What to type where a new row got the number of one that is there; None where another key was taken."""
    diag = getattr(error.orig, "diag", None)
    table = metadata.tables.get(getattr(diag, "table_name", None) or "")
    number = None if table is None else table.autoincrement_column
    if table is None or number is None or diag is None or diag.constraint_name != table.primary_key.name:
        return None
    return f"the numbers of {table.name} begin again before its rows: {numbers_on(table.name, number.name)}"


def _is_table_of_ours(error: DBAPIError) -> bool:
    # a table of the product's may have the name of one of ours, in another schema
    said = re.findall(r"[\w.]+", one_line(error.orig or error).replace("main.", ""))
    return any(name in said for name in metadata.tables)


def _is_column_of_ours(error: DBAPIError) -> bool:
    said = set(re.findall(r"\w+", one_line(error.orig or error)))
    return any({column.table.name, column.name} <= said for table in metadata.tables.values() for column in table.c)


def _gone(error: DBAPIError) -> str:
    said = one_line(error.orig or error)
    return f"{said}: the table of the product that holds credits is gone or has other columns; see `refunds doctor`"


def _is_defect(error: DBAPIError, writing: bool) -> bool:
    if not isinstance(error, InternalError):
        return isinstance(error, ProgrammingError)
    state = sqlstate(error)
    # a look that writes is a defect of ours
    return state not in GONE or (state == ONLY_READS and not writing)


def _is_ruined(error: DBAPIError) -> bool:
    return type(error) is DatabaseError and isinstance(error.orig, sqlite3.DatabaseError)


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters by which Postgres calls the error; None where it said nothing, and on SQLite."""
    return getattr(error.orig, "sqlstate", None)


def refuses_the_row(error: DBAPIError) -> bool:
    """True where the database did what it was told and refused the row: a constraint, a type, a trigger that raises."""
    return isinstance(error, IntegrityError | DataError) or (sqlstate(error) or "").startswith(RAISED)


def why_unreachable(error: DBAPIError) -> str:
    """One line that says what the driver said, with what to do where we know it; never a password."""
    said = one_line(error.orig or error)
    if "database is locked" in said:
        return f"the SQLite file is locked by another process (waited {BUSY_SECONDS} s); end it or use Postgres"
    if "unable to open database file" in said:
        return "the SQLite file cannot be opened: does its folder exist, and may we write there?"
    return said
