"""Set-based SQL: one statement for a whole batch, the same on both engines, its cost constant in the number of rows.

A batch travels as one array a column (Postgres `unnest`; documents as one JSON array) or as one JSON text (SQLite `json_each`),
never as a growing list of parameters, so that the statement is compiled once. Statements whose rows nobody waits for can travel
together.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Executable,
    Result,
    Row,
    Select,
    Subquery,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite

from worker.errors import Collision
from worker.store import statements
from worker.store.arrays import ArrayOf, literal
from worker.store.statements import Question

Record = Mapping[str, Any]


def unlocked(chosen: Select[Any]) -> Select[Any]:
    """Those of the rows that nobody has locked, locked for this transaction, to be the right side of an IN: found once, as a
    table of their own.

    As a plain sub-query Postgres may look for them anew for each row it compares (it does where the table seems to hold one).
    One that skips locked rows then finds the next each time, and its limit bounds nothing.
    """
    return select(chosen.with_for_update(skip_locked=True).cte("chosen"))


class Absent(ValueError):
    """A row that was to be added to is not there, or was not to be changed."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What is raised where not every record found its row."""

    error: type[Exception]
    why: str


_MOVED = _Refusal(Collision, "appeared, moved or went meanwhile")
_ABSENT = _Refusal(Absent, "to add to do not exist")


@dataclass(frozen=True, slots=True)
class _Change:
    """A statement over records of one table."""

    statement: Any
    table: Table
    fields: Mapping[str, str]
    records: Sequence[Record]
    refusal: _Refusal | None = None

    @property
    def parameters(self) -> frozenset[str]:
        """What the columns of the records are called within the statement, on Postgres."""
        return frozenset(statements.parameter(self.table, field) for field in self.fields)

    def goes_with(self, other: "_Change") -> bool:
        """Whether both can be one statement: there neither sees the other's rows, and nothing may be called the same."""
        return self.table.fullname != other.table.fullname and self.parameters.isdisjoint(other.parameters)

    def check(self, rows: int) -> None:
        if self.refusal is not None and rows != len(self.records):
            raise self.refusal.error(f"{len(self.records) - rows} rows of {self.table.name} {self.refusal.why}")


class Tx:
    """One open transaction, with the set-based statements the steps need."""

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self.postgres = connection.dialect.name == "postgresql"
        self._connection = connection
        self._gathered: list[_Change] | None = None

    @property
    def connection(self) -> Connection:
        """The connection, with everything sent that was gathered for it."""
        self._send()
        return self._connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """What `insert`, `insert_all`, `insert_absent`, `update_all` and `add` are given in here goes out as few statements as
        can be, in order, and before anything else is asked: with the effect of one after another, and fewer round trips.
        A `Collision` may so come later, at the end of the block at the latest.
        """
        self._gathered = []
        try:
            yield
            self._send()
        finally:
            self._gathered = None

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """What is done in here stands whole or not at all, whatever becomes of the transaction: an error undoes it, and what was
        done before stands and can be gone on with.
        """
        with self.connection.begin_nested():
            try:
                yield
                self._send()
            except BaseException:
                self._gathered = None if self._gathered is None else []
                raise

    def check_now(self) -> None:
        """What constraints and triggers of tables that are not ours put off to the commit has happened, or raises here."""
        if self.postgres:
            self.connection.exec_driver_sql("set constraints all immediate")
            self.connection.exec_driver_sql("set constraints all deferred")

    def all(self, statement: Select[Any], **values: Any) -> Sequence[Row[Any]]:
        """Every row the statement gives for these values of its parameters."""
        return self.connection.execute(statement, values).all()

    def one(self, statement: Executable, **values: Any) -> Row[Any]:
        """The only row the statement gives; that it gives exactly one is asserted."""
        return self.connection.execute(statement, values).one()

    def first(self, statement: Select[Any], **values: Any) -> Row[Any] | None:
        """The first row the statement gives, None where it gives none."""
        return self.connection.execute(statement, values).first()

    def value(self, statement: Executable, **values: Any) -> Any:
        """What the statement counts or computes: the first column of its only row."""
        return self.one(statement, **values)[0]

    def exists(self, statement: Select[Any], **values: Any) -> bool:
        """Whether the statement gives any row."""
        return self.first(statement.limit(1), **values) is not None

    def ask(self, question: Question, **values: Any) -> Sequence[Row[Any]]:
        """Every row that the question gives for these values. It is built once, however often it is put.

        Lists of one are asked for with `=`: Postgres takes an unseen list for ten values, and so plans anew each time.
        """
        statement, kinds = statements.built(self.postgres, question, alone=False)
        lists = {name: list(values[name]) for name in kinds}
        if all(len(listed) == 1 for listed in lists.values()):
            statement, _ = statements.built(self.postgres, question, alone=True)
            sent = {name: listed[0] for name, listed in lists.items()}
        else:
            sent = {name: self._listed(listed, kinds[name]) for name, listed in lists.items()}
        return self.connection.execute(statement, values | sent).all()

    def limit(self, name: str, seconds: float) -> None:
        """Sets a time limit of the session for this transaction only (0: none); SQLite has none."""
        self._set(name, f"{round(seconds * 1000)}ms")

    def plan_for_all_rows(self) -> None:
        """Has this transaction read whole tables from end to end rather than row by row through an index: pages that lie anywhere
        count as much as Postgres itself says, not as little as our sessions say.
        """
        self._set("random_page_cost", "4")

    def _set(self, name: str, value: str) -> None:
        if self.postgres:
            self.connection.execute(text("select set_config(:name, :value, true)"), {"name": name, "value": value})

    def among(self, which: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
        """The condition that a column holds one of the values."""
        return statements.is_among(self.postgres, which, None, self._listed(list(values), which.type))

    def each(self, which: Column[Any], values: Iterable[Any]) -> Subquery:
        """The values, as the column holds them, as a table with one column `value`."""
        listed = self._listed(list(values), which.type)
        if self.postgres:
            given: Any = func.unnest(bindparam(None, listed, type_=ArrayOf(which.type)))
        else:
            given = func.json_each(bindparam(None, listed, type_=Text())).table_valued("value").c.value
        return select(type_coerce(given, which.type).label("value")).subquery("given")

    def _listed(self, values: list[Any], kind: Any) -> str:
        """The values of a list as they travel: an array literal on Postgres, a JSON text on SQLite."""
        if self.postgres:
            return literal(values, kind)
        bind = kind.dialect_impl(self.dialect).bind_processor(self.dialect)
        return json.dumps([bind(value) for value in values] if bind else values)

    def insert(self, table: Table, records: Sequence[Record]) -> None:
        """Adds the records; all carry the same columns."""
        if records:
            names = tuple(records[0])
            self._change(statements.insertion(self.postgres, table, names), table, _same(names), records)

    def insert_all(self, table: Table, records: Sequence[Record], key: Column[Any]) -> None:
        """Adds the records. Raises `Collision` where a unique constraint forbids one: it came up meanwhile."""
        if records:
            names = tuple(records[0])
            self._change(statements.new_insertion(self.postgres, table, names, (key,)), table, _same(names), records, _MOVED)

    def insert_absent(self, table: Table, records: Sequence[Record]) -> None:
        """Adds the records that no unique constraint forbids."""
        if records:
            names = tuple(records[0])
            self._change(statements.new_insertion(self.postgres, table, names, ()), table, _same(names), records)

    def insert_new(self, table: Table, records: Sequence[Record], key: Column[Any]) -> set[Any]:
        """Adds the records that no unique constraint forbids and returns the `key` of each that was added."""
        return {row[0] for row in self.insert_new_returning(table, records, key)}

    def insert_new_returning(self, table: Table, records: Sequence[Record], *columns: Column[Any]) -> Sequence[Row[Any]]:
        """Adds the records that no unique constraint forbids and returns these columns of each row that was added."""
        if not records:
            return []
        names = tuple(records[0])
        return self._run(statements.new_insertion(self.postgres, table, names, columns), table, _same(names), records).all()

    def insert_one(self, table: Table, record: Record) -> bool:
        """Adds the record unless a unique constraint forbids it; True where it was added. Its bytes travel as they are: beside
        others they would in hexadecimal, several times their size.
        """
        insertion = (postgresql.insert if self.postgres else sqlite.insert)(table).values(record)
        new = insertion.on_conflict_do_nothing(index_elements=statements.known_by(table))
        return self.connection.execute(new).rowcount == 1

    def insert_or_change(
        self,
        table: Table,
        record: Record,
        changes: Mapping[str, Any],
        *,
        by: Column[Any],
        where: ColumnElement[bool] | None = None,
    ) -> Row[Any] | None:
        """Adds the record, or makes these changes to the row that is there by the same `by`, if `where` holds of it; returns the
        row as it is now, None where it was left as it is. Either way nobody else changes it or takes it away before the commit.
        """
        insertion = (postgresql.insert if self.postgres else sqlite.insert)(table).values(record)
        changed = insertion.on_conflict_do_update(index_elements=[by], set_=changes, where=where)
        return self.connection.execute(changed.returning(table)).one_or_none()

    def update(
        self, table: Table, records: Sequence[Record], *, by: Sequence[str], expect: Mapping[str, str] | None = None
    ) -> set[Any]:
        """Sets each record's columns on the row with the same `by` columns; returns the first `by` column of those changed.

        `expect` maps a table column to the record field that it must still equal: a guarded move changes nothing where
        somebody else moved first.
        """
        if not records:
            return set()
        statement, fields = self._guarded(table, records[0], by, expect)
        return set(self._run(statement, table, fields, records).scalars())

    def update_all(
        self, table: Table, records: Sequence[Record], *, by: Sequence[str], expect: Mapping[str, str] | None = None
    ) -> None:
        """Sets each record's columns on the row with the same `by` columns, guarded by `expect` as in `update`.

        Raises `Collision` where a record found no row: somebody else moved first.
        """
        if records:
            statement, fields = self._guarded(table, records[0], by, expect)
            self._change(statement, table, fields, records, _MOVED)

    def _guarded(
        self, table: Table, record: Record, by: Sequence[str], expect: Mapping[str, str] | None
    ) -> tuple[Any, Mapping[str, str]]:
        guards = tuple((expect or {}).items())
        fields = {name: name for name in record} | {field: name for name, field in guards}
        return statements.guarded_update(self.postgres, table, tuple(fields.items()), tuple(by), guards), fields

    def add(self, table: Table, records: Sequence[Record], *, by: str) -> None:
        """Adds each record's figures to the row named by `by`.

        One record a row: two for one row would lose one of them, so that is refused.
        """
        if not records:
            return
        if len({record[by] for record in records}) != len(records):
            raise ValueError(f"records for {table.name} are not grouped by {by}")
        names = tuple(records[0])
        self._change(statements.addition(self.postgres, table, names, by), table, _same(names), records, _ABSENT)

    def _change(
        self,
        statement: Any,
        table: Table,
        fields: Mapping[str, str],
        records: Sequence[Record],
        refusal: _Refusal | None = None,
    ) -> None:
        change = _Change(statement, table, fields, records, refusal)
        if self._gathered is None:
            change.check(self._alone(change))
            return
        if not all(change.goes_with(other) for other in self._gathered):
            self._send()
        self._gathered.append(change)

    def _send(self) -> None:
        changes, self._gathered = self._gathered, [] if self._gathered is not None else None
        if not changes:
            return
        if len(changes) == 1 or not self.postgres:
            for change in changes:
                change.check(self._alone(change))
            return
        sent = {name: value for change in changes for name, value in self._sent(change).items()}
        together = statements.together(tuple((change.statement, change.refusal is not None) for change in changes))
        rows = self._connection.execute(together, sent).one()
        for change, found in zip(changes, rows, strict=True):
            change.check(found)

    def _alone(self, change: _Change) -> int:
        result = self._connection.execute(change.statement, self._sent(change))
        return len(result.all()) if change.refusal else 0

    def _run(self, statement: Any, table: Table, fields: Mapping[str, str], records: Sequence[Record]) -> Result[Any]:
        return self.connection.execute(statement, self._sent(_Change(statement, table, fields, records)))

    def _sent(self, change: _Change) -> dict[str, Any]:
        """The parameters of a statement over `rows`."""
        kinds = {field: change.table.c[name].type for field, name in change.fields.items()}
        columns = {field: [record[field] for record in change.records] for field in kinds}
        if self.postgres:
            return {statements.parameter(change.table, field): literal(columns[field], kind) for field, kind in kinds.items()}
        plain = []
        for field, kind in kinds.items():
            bind = kind.dialect_impl(self.dialect).bind_processor(self.dialect)
            plain.append([statements.plain(value, kind, bind) for value in columns[field]])
        return {"all_rows": json.dumps(list(zip(*plain, strict=True)))}


def _same(names: Iterable[str]) -> Mapping[str, str]:
    """Fields of records that are columns of the table by the same names."""
    return {name: name for name in names}
