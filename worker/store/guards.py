"""Whether the server still holds what is to happen once to once: the keys and checks of the schema, the numbers of its rows, and
the order of text that the keys were made in. Data that was moved by other means than a backup may have lost any of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import CheckConstraint, Table, UniqueConstraint, func, select, text

from worker.store.bulk import Tx
from worker.store.faults import numbers_on
from worker.store.tables import metadata

# one that is being made, or whose making was broken off, guards nothing
_KEYS = text("""
    select c.relname as name, i.indpred is not null as partial,
           array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = any(i.indkey)) as columns
    from pg_index i join pg_class c on c.oid = i.indrelid
    where i.indisunique and i.indisvalid and i.indisready and pg_table_is_visible(c.oid) and c.relname = any(:ours)
""")
_CHECKS = text("""
    select k.conname as name from pg_constraint k join pg_class c on c.oid = k.conrelid
    where k.contype = 'c' and k.convalidated and pg_table_is_visible(c.oid) and c.relname = any(:ours)
""")
_TRIGGERS = text("""
    select t.tgname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where not t.tgisinternal and t.tgenabled <> 'D' and pg_table_is_visible(c.oid) and c.relname = 'cases'
""")
COUNTING = ("tally_changed", "tally_entered")
"""The triggers that keep the numbers of the cases (migration 0010); who fills a database may switch them off."""
_SORTED_BY = text("""
    select datname as database, datcollversion as made, pg_database_collation_actual_version(oid) as found
    from pg_database where datname = current_database()
""")


def missing(tx: Tx) -> list[str]:
    """The unique keys, checks and triggers that the server lacks, in words. A key of the same columns by another name is one."""
    ours = {"ours": list(metadata.tables)}
    found = tx.connection.execute(_KEYS, ours).all()
    keys = {(row.name, frozenset(row.columns)) for row in found if not row.partial}
    partial = {(row.name, frozenset(row.columns)) for row in found}
    checks = {row.name for row in tx.connection.execute(_CHECKS, ours)}
    gone = []
    for table in metadata.sorted_tables:
        for columns, of_some in _keys(table):
            if (table.name, frozenset(columns)) not in (partial if of_some else keys):
                gone.append(f"the unique key of {table.name} ({', '.join(columns)})")
        gone += [f"the check {name} of {table.name}" for name in _checks(table) if name not in checks]
    counting = {row.name for row in tx.connection.execute(_TRIGGERS)}
    return gone + [f"the trigger {name} of cases" for name in COUNTING if name not in counting]


def numbers_behind(tx: Tx) -> list[str]:
    """What to type for each table whose next row would get the number of one that is there."""
    behind = []
    for table in metadata.sorted_tables:
        number = table.autoincrement_column
        if number is None:
            continue
        given = func.pg_sequence_last_value(func.to_regclass(func.pg_get_serial_sequence(table.name, number.name)))
        row = tx.one(select(func.max(number).label("last"), given.label("given")))
        if row.last is not None and row.last > (row.given or 0):
            behind.append(numbers_on(table.name, number.name))
    return behind


def sorted_otherwise(tx: Tx) -> str | None:
    """What is wrong where the server sorts text by other rules than its keys were made by, and what to type; None where it
    does not, and where it cannot tell.
    """
    # only from Postgres 15 on
    if tx.value(select(func.to_regproc("pg_database_collation_actual_version"))) is None:
        return None
    row = tx.one(_SORTED_BY)
    if row.made is None or row.made == row.found:
        return None
    name = tx.dialect.identifier_preparer.quote(row.database)
    end = f"reindex database {name}; alter database {name} refresh collation version"
    return f"the keys were made by the rules {row.made} for sorting text, and the server goes by {row.found}: {end}"


def _keys(table: Table) -> Iterator[tuple[Sequence[str], bool]]:
    """The columns of each unique key, and whether it is one of some rows only. Numbers of rows decide nothing."""
    if table.autoincrement_column is None:
        yield [column.name for column in table.primary_key.columns], False
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns], False
    for index in table.indexes:
        if index.unique:
            yield [column.name for column in index.columns], index.dialect_options["postgresql"]["where"] is not None


def _checks(table: Table) -> list[str]:
    names: list[Any] = [each.name for each in table.constraints if isinstance(each, CheckConstraint)]
    return sorted(str(name) for name in names)
