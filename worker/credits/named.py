"""A table of the product, as the settings name it: which column plays which part, looked up and checked in the database."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, cast, inspect, literal, select, text
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.exc import DBAPIError, NoSuchTableError, ProgrammingError
from sqlalchemy.types import DateTime, Float, Integer, Numeric, String, TypeEngine, UserDefinedType, Uuid

from worker.store.bulk import Tx
from worker.store.columns import Instant
from worker.store.faults import refuses_the_row

ACCOUNT, BALANCE, KEY, CREDITS, AT, AFTER = "account", "balance", "key", "credits", "at", "after"
_TABLE = re.compile(r"\s*(?:(\w+)\.)?(\w+)\s*\((.*)\)\s*", re.DOTALL)
_COLUMN = re.compile(r"\s*(\w+)\s*=\s*(?:(\w+)|'([^',]*)')\s*")
_NUMBERS = {BALANCE, CREDITS, AFTER}
_BIGGEST = 2**63 - 1
# by null, which says nothing of a length, `char` and `bit` would be those of length one
_CALLED = text(
    "select format_type(atttypid, -1) as plain, format_type(atttypid, atttypmod) as sized from pg_attribute"
    " where attrelid = cast(:table as regclass) and attname = :column"
)
_USUAL_KEY = len("refunds:reversal::") + 2 * len(str(uuid.UUID(int=0)))


class _Called(UserDefinedType[str]):
    """A type of the product's by the name that its database has for it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The name of the type in SQL."""
        return self.name


@dataclass(frozen=True, slots=True)
class Named:
    """A table by its name: the column of each part, and the text that stands in others in every row we add."""

    schema: str | None
    name: str
    parts: Mapping[str, str]
    fixed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @classmethod
    def parse(cls, words: str, needed: Sequence[str], more: Sequence[str] = (), *, adds: bool) -> "Named":
        """The table that `schema.table(part=column, column='text')` names; texts only where rows are added.

        Raises `ValueError` saying what is wrong.
        """
        found = _TABLE.fullmatch(words)
        if found is None:
            shown = ", ".join(f"{part}=column" for part in needed)
            raise ValueError(f"expected a table and its columns, like public.some_table({shown})")
        schema, table, listed = found.groups()
        parts, fixed = dict[str, str](), dict[str, str]()
        for one in filter(str.strip, listed.split(",")):
            column = _COLUMN.fullmatch(one)
            if column is None or (column[3] is not None and not adds):
                raise ValueError(f"{one.strip()!r} is not part=column" + (" or column='text'" if adds else ""))
            if column[3] is not None:
                fixed[column[1]] = column[3]
            elif column[1] in {*needed, *more} - parts.keys():
                parts[column[1]] = column[2]
            else:
                raise ValueError(f"{column[1]!r} is named twice or no part; there are {', '.join((*needed, *more))}")
        missing = [part for part in needed if part not in parts]
        if missing:
            raise ValueError(f"no column is named for {' and '.join(missing)}")
        if len({*parts.values(), *fixed}) < len(parts) + len(fixed):
            raise ValueError("a column is named twice")
        return cls(schema, table, parts, fixed)


@dataclass(frozen=True)
class Product:
    """A table of the product as it was found, with the columns that are used and no others."""

    named: Named
    table: Table

    def __str__(self) -> str:
        return str(self.named)

    def column(self, part: str) -> Column[Any]:
        """The column of a part."""
        return self.table.c[self.named.parts[part]]

    def account(self, account_id: str) -> Any:
        """The value that an account has here; None for one that no row of this table can be of."""
        kind = self.column(ACCOUNT).type
        if isinstance(kind, Uuid):
            try:
                found = str(uuid.UUID(account_id))
            except ValueError:
                return None
            return found if found == account_id.lower() else None
        if isinstance(kind, Integer):
            if not (account_id.isascii() and account_id.isdecimal()):
                return None
            number = int(account_id)
            return number if str(number) == account_id and number <= _BIGGEST else None
        return account_id


def find(tx: Tx, named: Named, *, unique: str, adds: bool) -> tuple[Product | None, list[str]]:
    """The table, and what keeps us from working with it, a line each: the column of `unique` has to be that by itself, and
    where rows are added nothing else may be missing in them.
    """
    looked = inspect(tx.connection)
    try:
        listed = {str(column["name"]): column for column in looked.get_columns(named.name, named.schema)}
    except NoSuchTableError:
        return None, [f"there is no table {named}"]
    wrong = [f"{named} has no column {name}" for name in (*named.parts.values(), *named.fixed) if name not in listed]
    if wrong:
        return None, wrong
    columns = []
    for part, name in named.parts.items():
        kind = kind_of(part, listed[name]["type"], postgres=tx.postgres)
        if kind is None:
            wrong.append(f"{named}.{name} is {listed[name]['type']}, which cannot hold what {part} is")
        else:
            columns.append(Column(name, kind))
    for name, words in named.fixed.items():
        kind = _as_it_is(tx, named, name, words)
        if kind is None:
            wrong.append(f"{named}.{name} is {listed[name]['type']}, which cannot hold {words!r}")
        else:
            columns.append(Column(name, kind))
    written = [*named.parts.values(), *named.fixed] if adds else [named.parts[BALANCE]]
    wrong += [
        f"{named}.{name} is worked out by the database: nothing can be written there"
        for name in written
        if worked_out(listed[name])
    ]
    keys: list[list[str | None]] = [list(looked.get_pk_constraint(named.name, named.schema)["constrained_columns"])]
    keys += [list(key["column_names"]) for key in looked.get_unique_constraints(named.name, named.schema)]
    keys += [list(index["column_names"]) for index in looked.get_indexes(named.name, named.schema) if _is_of_all_rows(index)]
    if [named.parts[unique]] not in keys:
        wrong.append(f"{named}.{named.parts[unique]} needs a unique constraint")
    if adds:
        wrong += [
            f"{named}.{name} may not be empty and has no default: name it, as a part or as {name}='text'"
            for name, column in listed.items()
            if name not in {*named.parts.values(), *named.fixed} and needs_a_value(column)
        ]
    if tx.postgres:
        wrong += _not_allowed(tx, named, adds=adds)
    if wrong:
        return None, wrong
    return Product(named, Table(named.name, MetaData(), *columns, schema=named.schema)), []


def _is_of_all_rows(index: ReflectedIndex) -> bool:
    """Whether no two rows of the table have the same key: one with a condition says so of some, a broken-off one of none."""
    partial = {"postgresql_where", "sqlite_where", "postgresql_invalid"}
    return index["unique"] and partial.isdisjoint(index.get("dialect_options", {}))


def doubts(tx: Tx, named: Named) -> list[str]:
    """What may keep single rows from being worked with, a line each."""
    found = []
    if tx.postgres:
        active = text("select row_security_active(cast(:name as text))")
        if tx.value(active, name=quoted(named)):
            found.append(f"{named}: row security hides rows from this role; give it BYPASSRLS, or a policy of its own")
    if (room := _room_for_keys(tx, named)) is not None:
        found.append(
            f"{named}.{named.parts[KEY]} takes {room} characters, and our keys are `refunds:reversal:JOB:PURCHASE`: "
            "a longer one has its event in the dead letters"
        )
    balance = named.parts.get(BALANCE)
    for check in inspect(tx.connection).get_check_constraints(named.name, named.schema):
        if balance is not None and re.search(rf"\b{balance}\b", str(check["sqltext"])):
            found.append(
                f"{named}: the constraint {check['name']} may refuse to take back credits that were spent meanwhile; "
                "`refunds reconcile` names what was not taken"
            )
    return found


def _room_for_keys(tx: Tx, named: Named) -> int | None:
    """How many characters the column of keys takes, where that is fewer than two ids of usual length ask for."""
    if KEY not in named.parts:
        return None
    columns = inspect(tx.connection).get_columns(named.name, named.schema)
    (found,) = [column["type"] for column in columns if column["name"] == named.parts[KEY]]
    length = getattr(getattr(found, "data_type", found), "length", None)
    return length if length is not None and length < _USUAL_KEY else None


def kind_of(part: str, found: TypeEngine[Any], *, postgres: bool) -> TypeEngine[Any] | None:
    """As what a column that was found with this type is read and written; None where it cannot hold what the part is."""
    found = getattr(found, "data_type", found)  # a domain is what it is made of
    if part in _NUMBERS:
        # a balance may have decimals, and so the one that is written down
        whole = Numeric() if part == AFTER and postgres else BigInteger()
        return whole if isinstance(found, Integer | Numeric) and not isinstance(found, Float) else None
    if part == AT:
        return Instant() if isinstance(found, DateTime if postgres else String) else None
    if part == ACCOUNT and isinstance(found, Uuid):
        return Uuid(as_uuid=False)
    if part == ACCOUNT and isinstance(found, Integer):
        return BigInteger()
    return Text() if type(found).__visit_name__ != "enum" and isinstance(found, String) else None


def _as_it_is(tx: Tx, named: Named, column: str, words: str) -> TypeEngine[Any] | None:
    """The type of a column of the product as its database calls it, an enum or a number or whatever it is; None where this text
    cannot stand there. Text on SQLite.
    """
    if not tx.postgres:
        return Text()
    called = tx.one(_CALLED, table=quoted(named), column=column)
    try:
        with tx.by_itself():
            kept = tx.value(select(cast(cast(literal(words, Text), _Called(called.sized)), Text)))
    except DBAPIError as error:
        if not (refuses_the_row(error) or isinstance(error, ProgrammingError)):
            raise
        return None
    # what is too long is cut by a cast, and refused by a row
    return _Called(called.plain) if kept == words or not words.startswith(kept) else None


def needs_a_value(column: Mapping[str, Any]) -> bool:
    """Whether every new row has to say what stands in a column, described as SQLAlchemy's inspector does."""
    given = column.get("default") is not None or column.get("identity") or column.get("computed")
    return not column["nullable"] and not given and column.get("autoincrement") is not True


def worked_out(column: Mapping[str, Any]) -> bool:
    """Whether the database alone writes a column, described as SQLAlchemy's inspector does: from others, or by counting."""
    return bool(column.get("computed") or (column.get("identity") or {}).get("always"))


def _not_allowed(tx: Tx, named: Named, *, adds: bool) -> list[str]:
    wanted = [("SELECT", name) for name in named.parts.values()]
    wanted += [("INSERT", name) for name in (*named.parts.values(), *named.fixed)] if adds else []
    wanted += [] if adds else [("UPDATE", named.parts[BALANCE])]
    asked = text("select has_column_privilege(cast(:table as text), cast(:column as text), cast(:right as text))")
    return [
        f"this role may not {right} {named}.{name}"
        for right, name in wanted
        if not tx.value(asked, table=quoted(named), column=name, right=right)
    ]


def quoted(named: Named) -> str:
    """The table as SQL names it."""
    return ".".join(f'"{part}"' for part in (named.schema, named.name) if part)
