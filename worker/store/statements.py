"""Statements over a whole batch, the same on both engines. Each is built once for its shape and kept: building one costs
SQLAlchemy more than Postgres takes to run it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    Subquery,
    Table,
    Text,
    UniqueConstraint,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.arrays import ArrayOf, document

Among = Callable[[ColumnElement[Any], str], ColumnElement[bool]]
"""The condition that a column holds one of the values that are given under a name."""
Question = Callable[[Among], Select[Any]]
"""Makes a statement out of that; its other parameters are `bindparam`s. A function of a module: it is kept by what it is."""
Fields = tuple[tuple[str, str], ...]
"""(field of the records, table column whose type it has)."""


def verbatim(value: str) -> ColumnElement[str]:
    """A word of ours as a part of the statement's own text: an index of some rows only is used where a plan sees that it has
    these, and nothing is written into the text each time it is sent.
    """
    if not re.fullmatch(r"[\w./]+", value):
        raise ValueError("only words of ours may be a part of a statement's text")
    return literal_column(f"'{value}'", Text())


def one_of(which: ColumnElement[Any], words: Iterable[str]) -> ColumnElement[bool]:
    """The condition that a column holds one of these words of ours, which are a part of the statement's own text, in this order:
    SQLite uses an index of rows with some words only where it is the index's own.
    """
    return which.in_([verbatim(word) for word in words])


def unsought(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """The conditions as one that rows are tested by and not sought by: SQLite, which does not know how many rows have a value,
    prefers any index that finds an equal one to that of the few rows whose time has come.
    """
    return and_(*conditions).is_(true())


def parameter(table: Table, field: str) -> str:
    """What a column of a batch is called among the parameters, on Postgres."""
    return f"{table.fullname}_{field}".replace(".", "_")


def is_among(postgres: bool, which: ColumnElement[Any], name: str | None, listed: str | None = None) -> ColumnElement[bool]:
    """The condition that a column holds one of the values that are listed, or will be under this name."""
    kind = ArrayOf(which.type) if postgres else Text()
    given = bindparam(name, type_=kind) if listed is None else bindparam(name, listed, type_=kind)
    if postgres:
        return which == any_(given)
    each = func.json_each(given).table_valued("value")
    return which.in_(select(type_coerce(each.c.value, which.type)))


def _rows(postgres: bool, table: Table, fields: Fields) -> Subquery:
    """The records of a batch as a table named `rows`: parameters `<table>_<field>` on Postgres, one JSON text `all_rows` on
    SQLite.
    """
    kinds = {field: table.c[name].type for field, name in fields}
    return _unnest(table, kinds) if postgres else _json_each(kinds)


def _unnest(table: Table, kinds: Mapping[str, Any]) -> Subquery:
    # functions that give rows, beside one another in a select, go in step
    chosen = [_each(parameter(table, field), kind).label(field) for field, kind in kinds.items()]
    return select(*chosen).subquery("rows")


def _each(name: str, kind: Any) -> ColumnElement[Any]:
    """The values of a column, one a row."""
    if not _is_document(kind):
        return type_coerce(func.unnest(bindparam(name, type_=ArrayOf(kind))), kind)
    # as one document: a list of texts would be escaped, and read twice
    each = func.jsonb_array_elements(cast(bindparam(name, type_=Text), postgresql.JSONB), type_=postgresql.JSONB)
    return func.nullif(each, cast(literal_column("'null'"), postgresql.JSONB), type_=postgresql.JSONB)


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
def built(postgres: bool, question: Question, *, alone: bool) -> tuple[Select[Any], Mapping[str, Any]]:
    """The statement of a question, and the type of each list it asks for; `alone` where every list holds one value."""
    listed: dict[str, Any] = {}

    def among(which: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        listed[name] = which.type
        return which == bindparam(name, type_=which.type) if alone else is_among(postgres, which, name)

    return question(among), listed


@cache
def insertion(postgres: bool, table: Table, names: tuple[str, ...]) -> Any:
    """Adds all rows."""
    insert = postgresql.insert if postgres else sqlite.insert
    rows = _rows(postgres, table, tuple((name, name) for name in names))
    # the WHERE keeps SQLite from reading the ON of `ON CONFLICT` as a join condition
    return insert(table).from_select(list(names), select(rows).where(true()))


def known_by(table: Table) -> list[Column[Any]] | None:
    """The columns by which a row is known to be there already; None for a table with several such keys.

    Where they are named no other key passes for them, and none that is gone: what only got the number of another row would be
    taken for known, and be lost.
    """
    keys = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    if len(keys) == 1:
        return list(keys[0].columns)
    alone = not keys and table.autoincrement_column is None and not any(index.unique for index in table.indexes)
    return list(table.primary_key.columns) or None if alone else None


@cache
def new_insertion(postgres: bool, table: Table, names: tuple[str, ...], columns: tuple[Column[Any], ...]) -> Any:
    """Adds the rows that no unique constraint forbids, and gives these columns of each that was added."""
    new = insertion(postgres, table, names).on_conflict_do_nothing(index_elements=known_by(table))
    return new.returning(*columns) if columns else new


@cache
def guarded_update(postgres: bool, table: Table, fields: Fields, by: tuple[str, ...], guards: Fields) -> Any:
    """Sets all fields on the rows with the same `by` whose guarded columns hold what they have to, and gives the first `by`."""
    rows = _rows(postgres, table, fields)
    looked_at = {*by, *(field for _, field in guards)}
    statement = update(table).values({field: rows.c[field] for field, _ in fields if field not in looked_at})
    for name, field in (*((name, name) for name in by), *guards):
        statement = statement.where(table.c[name] == rows.c[field])
    return statement.returning(table.c[by[0]])


@cache
def addition(postgres: bool, table: Table, names: tuple[str, ...], by: str) -> Any:
    """Adds all fields to the row with the same `by`, and gives that."""
    rows = _rows(postgres, table, tuple((name, name) for name in names))
    sums = {name: table.c[name] + rows.c[name] for name in names if name != by}
    return update(table).values(sums).where(table.c[by] == rows.c[by]).returning(table.c[by])


@cache
def together(parts: tuple[tuple[Any, bool], ...]) -> Any:
    """One statement for several, which gives for each the number of its rows, where that is counted, and else 0."""
    named = [(statement.cte(f"part_{number}"), counted) for number, (statement, counted) in enumerate(parts)]
    found = [
        select(func.count()).select_from(part).scalar_subquery() if counted else literal_column("0") for part, counted in named
    ]
    numbers = [number.label(f"rows_{place}") for place, number in enumerate(found)]
    return select(*numbers).add_cte(*(part for part, counted in named if not counted))


def plain(value: Any, kind: Any, bind: Any) -> Any:
    """A value as it lies in a JSON text for SQLite."""
    if _is_document(kind):
        return document(value)
    if isinstance(value, bytes):
        return value.hex()  # JSON has no bytes; `from_hex` is ours, see `worker.store.sqlite`
    return bind(value) if bind else value


def _is_document(kind: Any) -> bool:
    return isinstance(kind, JSON)
