"""Set-based SQL: one statement for a whole batch, the same on both engines, its cost constant in the number of rows.

A batch travels as one array a column (Postgres `unnest`) or as one JSON text (SQLite `json_each`), never as a growing list
of parameters, so that the statement is compiled once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
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
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

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

    def among(self, which: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
        """The condition that a column holds one of the values."""
        listed = list(values)
        if self.postgres:
            return which == any_(bindparam(None, listed, type_=ARRAY(which.type)))
        bind = which.type.dialect_impl(self.dialect).bind_processor(self.dialect)
        plain = [bind(value) for value in listed] if bind else listed
        each = func.json_each(bindparam(None, json.dumps(plain), type_=Text)).table_valued("value")
        return which.in_(select(type_coerce(each.c.value, which.type)))

    def rows(self, columns: Mapping[str, Any], records: Sequence[Record]) -> Subquery:
        """The records as a table named `rows` whose columns have the given SQL types."""
        data = {name: [record[name] for record in records] for name in columns}
        return self._unnest(columns, data) if self.postgres else self._json_each(columns, data)

    def insert(self, table: Table, records: Sequence[Record]) -> None:
        """Adds the records; all carry the same columns."""
        if records:
            self.connection.execute(self.insertion(table, records))

    def insert_new(self, table: Table, records: Sequence[Record], key: Column[Any]) -> set[Any]:
        """Adds the records that no unique constraint forbids and returns the `key` of each that was added."""
        if not records:
            return set()
        statement = self.insertion(table, records).on_conflict_do_nothing().returning(key)
        return set(self.connection.execute(statement).scalars())

    def update(
        self, table: Table, records: Sequence[Record], *, by: Sequence[str], expect: Mapping[str, str] | None = None
    ) -> set[Any]:
        """Sets each record's columns on the row with the same `by` columns; returns the first `by` column of those changed.

        `expect` maps a table column to the record field that it must still equal: a guarded move changes nothing where
        somebody else moved first.
        """
        if not records:
            return set()
        expect = expect or {}
        guards = set(expect.values())
        types = {name: table.c[name].type for name in records[0] if name not in guards}
        types |= {field: table.c[name].type for name, field in expect.items()}
        rows = self.rows(types, records)
        statement = update(table).values({name: rows.c[name] for name in types if name not in by and name not in guards})
        for name in by:
            statement = statement.where(table.c[name] == rows.c[name])
        for name, field in expect.items():
            statement = statement.where(table.c[name] == rows.c[field])
        return set(self.connection.execute(statement.returning(table.c[by[0]])).scalars())

    def add(self, table: Table, records: Sequence[Record], *, by: str) -> None:
        """Adds each record's figures to the row named by `by`.

        One record a row: two for one row would lose one of them, so that is refused.
        """
        if not records:
            return
        if len({record[by] for record in records}) != len(records):
            raise ValueError(f"records for {table.name} are not grouped by {by}")
        rows = self.rows({name: table.c[name].type for name in records[0]}, records)
        sums = {name: table.c[name] + rows.c[name] for name in records[0] if name != by}
        changed = self.connection.execute(
            update(table).values(sums).where(table.c[by] == rows.c[by]).returning(table.c[by])
        ).all()
        if len(changed) != len(records):
            raise ValueError(f"{len(records) - len(changed)} rows of {table.name} to add to do not exist")

    def insertion(self, table: Table, records: Sequence[Record]) -> Any:
        """The statement that adds the records, for callers that want their own conflict clause or returned columns."""
        insert = postgresql.insert if self.postgres else sqlite.insert
        rows = self.rows({name: table.c[name].type for name in records[0]}, records)
        # the WHERE keeps SQLite from reading the ON of `ON CONFLICT` as a join condition
        return insert(table).from_select(list(records[0]), select(rows).where(true()))

    def _unnest(self, columns: Mapping[str, Any], data: Mapping[str, list[Any]]) -> Subquery:
        arrays, derived, chosen = [], [], []
        for name, kind in columns.items():
            document = _is_document(kind)
            values = [_dumped(v) for v in data[name]] if document else data[name]
            arrays.append(bindparam(None, values, type_=ARRAY(Text() if document else kind)))
            derived.append(column(name, Text() if document else kind))
        table = func.unnest(*arrays).table_valued(*derived, name="r").render_derived(name="r")
        for name, kind in columns.items():
            chosen.append((cast(table.c[name], postgresql.JSONB) if _is_document(kind) else table.c[name]).label(name))
        return select(*chosen).subquery("rows")

    def _json_each(self, columns: Mapping[str, Any], data: Mapping[str, list[Any]]) -> Subquery:
        plain = []
        for name, kind in columns.items():
            bind = kind.dialect_impl(self.dialect).bind_processor(self.dialect)
            plain.append([_plain(value, kind, bind) for value in data[name]])
        text = json.dumps(list(zip(*plain, strict=True)))
        table = func.json_each(bindparam(None, text, type_=Text)).table_valued("value", name="r")
        chosen = []
        for i, (name, kind) in enumerate(columns.items()):
            value: Any = func.json_extract(table.c.value, f"$[{i}]")
            if isinstance(kind, LargeBinary):
                value = func.from_hex(value)
            chosen.append(type_coerce(value, String() if _is_document(kind) else kind).label(name))
        return select(*chosen).subquery("rows")


def _plain(value: Any, kind: Any, bind: Any) -> Any:
    if _is_document(kind):
        return _dumped(value)
    if isinstance(value, bytes):
        return value.hex()  # JSON has no bytes; `from_hex` is ours, see `worker.store.engine`
    return bind(value) if bind else value


def _is_document(kind: Any) -> bool:
    return isinstance(kind, JSON)


def _dumped(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))
