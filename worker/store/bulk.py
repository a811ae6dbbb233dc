"""Set-based SQL: one statement for a whole batch, the same on both engines, its cost constant in the number of rows.

A batch travels as one array a column (Postgres `unnest`) or as one JSON text (SQLite `json_each`), never as a growing list
of parameters, so that the statement is compiled once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Result,
    Row,
    Select,
    String,
    Subquery,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
    text,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.arrays import ArrayOf, document, literal

Record = Mapping[str, Any]


class Tx:
    """One open transaction, with the set-based statements the steps need."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dialect = connection.dialect
        self.postgres = connection.dialect.name == "postgresql"

    def all(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        """Every row the statement gives."""
        return self.connection.execute(statement).all()

    def limit(self, name: str, seconds: float) -> None:
        """Sets a time limit of the session for this transaction only (0: none); SQLite has none."""
        if self.postgres:
            value = f"{round(seconds * 1000)}ms"
            self.connection.execute(text("select set_config(:name, :value, true)"), {"name": name, "value": value})

    def among(self, which: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
        """The condition that a column holds one of the values."""
        listed = list(values)
        if self.postgres:
            return which == any_(bindparam(None, literal(listed, which.type), type_=ArrayOf(which.type)))
        bind = which.type.dialect_impl(self.dialect).bind_processor(self.dialect)
        plain = [bind(value) for value in listed] if bind else listed
        each = func.json_each(bindparam(None, json.dumps(plain), type_=Text)).table_valued("value")
        return which.in_(select(type_coerce(each.c.value, which.type)))

    def insert(self, table: Table, records: Sequence[Record]) -> None:
        """Adds the records; all carry the same columns."""
        if records:
            names = tuple(records[0])
            self._run(_insertion(self.postgres, table, names), table, dict(zip(names, names, strict=True)), records)

    def insert_new(self, table: Table, records: Sequence[Record], key: Column[Any]) -> set[Any]:
        """Adds the records that no unique constraint forbids and returns the `key` of each that was added."""
        return {row[0] for row in self.insert_new_returning(table, records, key)}

    def insert_new_returning(self, table: Table, records: Sequence[Record], *columns: Column[Any]) -> Sequence[Row[Any]]:
        """The same, returning these columns of each row that was added."""
        if not records:
            return []
        names = tuple(records[0])
        statement = _new_insertion(self.postgres, table, names, columns)
        return self._run(statement, table, dict(zip(names, names, strict=True)), records).all()

    def update(
        self, table: Table, records: Sequence[Record], *, by: Sequence[str], expect: Mapping[str, str] | None = None
    ) -> set[Any]:
        """Sets each record's columns on the row with the same `by` columns; returns the first `by` column of those changed.

        `expect` maps a table column to the record field that it must still equal: a guarded move changes nothing where
        somebody else moved first.
        """
        if not records:
            return set()
        guards = tuple((expect or {}).items())
        fields = {name: name for name in records[0]} | {field: name for name, field in guards}
        statement = _guarded_update(self.postgres, table, tuple(fields.items()), tuple(by), guards)
        return set(self._run(statement, table, fields, records).scalars())

    def add(self, table: Table, records: Sequence[Record], *, by: str) -> None:
        """Adds each record's figures to the row named by `by`.

        One record a row: two for one row would lose one of them, so that is refused.
        """
        if not records:
            return
        if len({record[by] for record in records}) != len(records):
            raise ValueError(f"records for {table.name} are not grouped by {by}")
        names = tuple(records[0])
        changed = self._run(
            _addition(self.postgres, table, names, by), table, dict(zip(names, names, strict=True)), records
        ).all()
        if len(changed) != len(records):
            raise ValueError(f"{len(records) - len(changed)} rows of {table.name} to add to do not exist")

    def _run(self, statement: Any, table: Table, fields: Mapping[str, str], records: Sequence[Record]) -> Result[Any]:
        """Executes a statement over `rows`; `fields` maps each field of the records to the table column whose type it has."""
        kinds = {field: table.c[name].type for field, name in fields.items()}
        columns = {field: [record[field] for record in records] for field in kinds}
        if self.postgres:
            sent = {f"all_{field}": literal(columns[field], kind) for field, kind in kinds.items()}
        else:
            plain = []
            for field, kind in kinds.items():
                bind = kind.dialect_impl(self.dialect).bind_processor(self.dialect)
                plain.append([_plain(value, kind, bind) for value in columns[field]])
            sent = {"all_rows": json.dumps(list(zip(*plain, strict=True)))}
        return self.connection.execute(statement, sent)


# The statements below are built once for each shape and kept: building one costs SQLAlchemy more than Postgres takes to run it.

Fields = tuple[tuple[str, str], ...]
"""(field of the records, table column whose type it has)."""


def _rows(postgres: bool, table: Table, fields: Fields) -> Subquery:
    """The records of a batch as a table named `rows`: parameters `all_<field>` on Postgres, one JSON text `all_rows` on
    SQLite.
    """
    kinds = {field: table.c[name].type for field, name in fields}
    return _unnest(kinds) if postgres else _json_each(kinds)


def _unnest(kinds: Mapping[str, Any]) -> Subquery:
    travels = {field: Text() if _is_document(kind) else kind for field, kind in kinds.items()}
    arrays = [bindparam(f"all_{field}", type_=ArrayOf(kind)) for field, kind in travels.items()]
    derived = func.unnest(*arrays).table_valued(*(column(field, kind) for field, kind in travels.items()), name="r")
    each = derived.render_derived(name="r")
    chosen = [
        (cast(each.c[field], postgresql.JSONB) if _is_document(kind) else each.c[field]).label(field)
        for field, kind in kinds.items()
    ]
    return select(*chosen).subquery("rows")


def _json_each(kinds: Mapping[str, Any]) -> Subquery:
    each = func.json_each(bindparam("all_rows", type_=Text)).table_valued("value", name="r")
    chosen = []
    for place, (field, kind) in enumerate(kinds.items()):
        value: Any = func.json_extract(each.c.value, f"$[{place}]")
        if isinstance(kind, LargeBinary):
            value = func.from_hex(value)
        chosen.append(type_coerce(value, String() if _is_document(kind) else kind).label(field))
    return select(*chosen).subquery("rows")


@cache
def _insertion(postgres: bool, table: Table, names: tuple[str, ...]) -> Any:
    insert = postgresql.insert if postgres else sqlite.insert
    rows = _rows(postgres, table, tuple((name, name) for name in names))
    # the WHERE keeps SQLite from reading the ON of `ON CONFLICT` as a join condition
    return insert(table).from_select(list(names), select(rows).where(true()))


@cache
def _new_insertion(postgres: bool, table: Table, names: tuple[str, ...], columns: tuple[Column[Any], ...]) -> Any:
    return _insertion(postgres, table, names).on_conflict_do_nothing().returning(*columns)


@cache
def _guarded_update(postgres: bool, table: Table, fields: Fields, by: tuple[str, ...], guards: Fields) -> Any:
    rows = _rows(postgres, table, fields)
    looked_at = {*by, *(field for _, field in guards)}
    statement = update(table).values({field: rows.c[field] for field, _ in fields if field not in looked_at})
    for name, field in (*((name, name) for name in by), *guards):
        statement = statement.where(table.c[name] == rows.c[field])
    return statement.returning(table.c[by[0]])


@cache
def _addition(postgres: bool, table: Table, names: tuple[str, ...], by: str) -> Any:
    rows = _rows(postgres, table, tuple((name, name) for name in names))
    sums = {name: table.c[name] + rows.c[name] for name in names if name != by}
    return update(table).values(sums).where(table.c[by] == rows.c[by]).returning(table.c[by])


def _plain(value: Any, kind: Any, bind: Any) -> Any:
    if _is_document(kind):
        return document(value)
    if isinstance(value, bytes):
        return value.hex()  # JSON has no bytes; `from_hex` is ours, see `worker.store.engine`
    return bind(value) if bind else value


def _is_document(kind: Any) -> bool:
    return isinstance(kind, JSON)
