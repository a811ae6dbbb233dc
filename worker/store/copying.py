"""One database's rows in another, of either engine: read and written a few at a time, and read back for proof.

Values travel as Python has them, by the types of the columns, which mean the same on both engines.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import LargeBinary, Row, Table, delete, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError

from worker.errors import Refused, one_line
from worker.store.bulk import Tx
from worker.store.tables import case_tallies, installation, metadata

MADE_BY_THE_SCHEMA = {"oldest_release", "reconciled_at"}
"""What the migrations write down of an installation, before anybody used it."""
ORDER = sorted(metadata.sorted_tables, key=lambda table: table is case_tallies)
"""What is referred to before what refers to it. The numbers of the cases come last: whoever enters cases is counted."""
MADE_ANEW = {case_tallies, installation}
"""What stands in the tables before their rows come, and gives way to them."""
ROWS, HEAVY_ROWS = 500, 1
"""At once; a letter may be of many megabytes, and lies in memory several times while it is sent."""
_ALL = 1 << 256
_LOCK = f"lock table {', '.join(metadata.tables)} in exclusive mode"
_ANALYZE = f"analyze {', '.join(metadata.tables)}"

Told = Callable[[str, int, int], None]
"""Hears what is being done, and how many of how many are."""


@dataclass(slots=True)
class Copied:
    """How many rows a table has, and a digest of them all, in whatever order they are read."""

    rows: int = 0
    digest: int = 0

    def take(self, row: Row[Any]) -> None:
        """One more."""
        said = json.dumps([_plain(value) for value in row], sort_keys=True, default=_plain)
        self.rows += 1
        self.digest = (self.digest + int.from_bytes(sha256(said.encode()).digest(), "big")) % _ALL


def hold_still(tx: Tx) -> None:
    """Nobody else writes until this transaction ends; readers are not kept waiting. It takes as long as it takes."""
    if tx.postgres:
        # on SQLite the transaction began with the one lock there is
        tx.connection.execute(text(_LOCK))
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        tx.limit(limit, 0)


def used(tx: Tx) -> list[str]:
    """The tables that hold more than the schema brings along."""
    found = [table.name for table in ORDER if table is not installation and tx.exists(select(table))]
    known = {row.name for row in tx.all(select(installation.c.name))}
    return found + ([installation.name] if known - MADE_BY_THE_SCHEMA else [])


def copy(source: Tx, target: Tx, heard: Told) -> dict[str, Copied]:
    """Every row of the source is in the target, whose numbers go on behind them; by table. Raises `Refused` where the target does
    not take a row, or gives it back as another.
    """
    total = sum(int(source.value(select(func.count()).select_from(table))) for table in ORDER)
    copied = {table.name: Copied() for table in ORDER}
    for table in ORDER:
        if table in MADE_ANEW:
            target.connection.execute(delete(table))
        for rows in _chunks(source, table):
            heard(f"copying {table.name}", sum(each.rows for each in copied.values()), total)
            _add(target, table, rows)
            for row in rows:
                copied[table.name].take(row)
    _count_on(target)
    _compare(target, copied, heard, total)
    return copied


def _compare(target: Tx, copied: dict[str, Copied], heard: Told, total: int) -> None:
    done = 0
    for table in ORDER:
        found = Copied()
        for rows in _chunks(target, table):
            heard(f"reading back {table.name}", done + found.rows, total)
            for row in rows:
                found.take(row)
        if found != copied[table.name]:
            counted = f"{copied[table.name].rows} rows went in and {found.rows} came back"
            raise Refused(f"{table.name}: the target holds other rows than it was given ({counted}); nothing was moved")
        done += found.rows


def _chunks(tx: Tx, table: Table) -> Iterator[Sequence[Row[Any]]]:
    heavy = any(isinstance(column.type, LargeBinary) for column in table.columns)
    size = HEAVY_ROWS if heavy else ROWS
    with tx.connection.execute(select(table).execution_options(yield_per=size)) as found:
        yield from found.partitions()


def _add(tx: Tx, table: Table, rows: Sequence[Row[Any]]) -> None:
    try:
        tx.connection.execute(insert(table), [dict(row._mapping) for row in rows])
    except (IntegrityError, DataError) as error:
        # which values they are the server may have said, and nobody is to read them here
        why = one_line(error.orig or error)
        raise Refused(f"{table.name}: the target does not take a row as it stands: {why}; nothing was moved") from error


def _count_on(tx: Tx) -> None:
    """New rows get numbers behind those that came; SQLite goes by the rows themselves."""
    if not tx.postgres:
        return
    for table in ORDER:
        number = table.autoincrement_column
        if number is not None:
            numbers = func.pg_get_serial_sequence(table.name, number.name)
            tx.connection.execute(select(func.setval(numbers, func.max(number))))
    # nothing is known of rows that came just now, and what asks for all of them would go by that
    tx.connection.execute(text(_ANALYZE))


def _plain(value: Any) -> Any:
    """The same for what is the same on both engines."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return sha256(value).hexdigest()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
