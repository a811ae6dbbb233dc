"""A table of the product by its name: how the words are read, which columns will do, and the value an account has in it."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import TIMESTAMP, BigInteger, Column, Enum, Float, Integer, MetaData, Numeric, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import DOMAIN, ENUM

from tests.servers import ON_SQLITE
from worker.credits.named import Named, Product, find, kind_of, needs_a_value
from worker.store.columns import Instant
from worker.store.engine import Store

UUID = "0aa0bbcc-0000-4000-8000-00000000000f"
BIGGEST = 2**63 - 1
NEEDED, MORE = ("key", "account", "credits"), ("kind", "at")


def product_of(kind: Any) -> Product:
    """A product whose accounts are of this type."""
    return Product(Named(None, "profiles", {"account": "id"}), Table("profiles", MetaData(), Column("id", kind)))


@pytest.mark.parametrize(
    ("kind", "account", "value"),
    [
        (Text(), "acc_1", "acc_1"),
        (Uuid(as_uuid=False), UUID, UUID),
        (Uuid(as_uuid=False), UUID.upper(), UUID),
        # the same number, written as no row of ours would be written
        (Uuid(as_uuid=False), UUID.replace("-", ""), None),
        (Uuid(as_uuid=False), "{" + UUID + "}", None),
        (Uuid(as_uuid=False), "acc_1", None),
        (BigInteger(), "7", 7),
        (BigInteger(), "0", 0),
        (BigInteger(), "07", None),
        (BigInteger(), "-1", None),
        (BigInteger(), "1", 1),
        (BigInteger(), "²", None),
        (BigInteger(), "٣", None),
        (BigInteger(), "acc_1", None),
        (BigInteger(), "", None),
        (BigInteger(), str(BIGGEST), BIGGEST),
        (BigInteger(), str(BIGGEST + 1), None),
    ],
)
def test_an_account_has_one_value_or_none_that_a_row_could_be_of(kind: Any, account: str, value: Any) -> None:
    assert product_of(kind).account(account) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("entries", "expected a table and its columns, like public.some_table(key=column, account=column, credits=column)"),
        ("entries(key)", "'key' is not part=column or column='text'"),
        ("entries(key=a, account=b)", "no column is named for credits"),
        ("entries(key=a)", "no column is named for account and credits"),
        ("entries(key=a, key=b)", "'key' is named twice or no part; there are key, account, credits, kind, at"),
        ("entries(key=a, other=b)", "'other' is named twice or no part; there are key, account, credits, kind, at"),
        ("entries(key=a, account=a, credits=c)", "a column is named twice"),
        ("entries(key=a, account=b, credits=c, a='x')", "a column is named twice"),
    ],
)
def test_words_that_name_no_table_are_refused_with_what_is_wrong(words: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Named.parse(words, NEEDED, MORE, adds=True)


def test_a_text_of_our_own_goes_only_where_rows_are_added() -> None:
    with pytest.raises(ValueError, match=r"^\"by='us'\" is not part=column$"):
        Named.parse("profiles(account=id, by='us')", ("account",), adds=False)


def test_spaces_and_a_comma_at_the_end_are_no_matter_and_a_schema_is_kept() -> None:
    named = Named.parse(" shop.entries ( key = ref , account=who,credits=amount, by='refunds', ) ", NEEDED, MORE, adds=True)
    assert named == Named("shop", "entries", {"key": "ref", "account": "who", "credits": "amount"}, {"by": "refunds"})
    assert (str(named), str(Named(None, "entries", {}))) == ("shop.entries", "entries")


COLUMNS = "ref text primary key, who text not null, amount bigint not null"
ENTRIES = Named(None, "entries", {"key": "ref", "account": "who", "credits": "amount"}, {"note": "by refunds"})


@ON_SQLITE
@pytest.mark.parametrize(
    ("columns", "faults"),
    [
        (f"{COLUMNS}, note text", []),
        (f"{COLUMNS}, note text not null, other text", []),
        (f"{COLUMNS}, note text, other text not null default ''", []),
        (f"{COLUMNS}, note text, other text generated always as (who) not null", []),
        (
            f"{COLUMNS}, note text, other text not null",
            ["entries.other may not be empty and has no default: name it, as a part or as other='text'"],
        ),
        (COLUMNS, ["entries has no column note"]),
        ("ref text unique, who text, amount int, note text", []),
        ("ref text, who text, amount int, note text, unique (ref, who)", ["entries.ref needs a unique constraint"]),
        ("ref text, who text, amount int, note text", ["entries.ref needs a unique constraint"]),
        ("ref text primary key, who int, amount numeric, note text", []),
        (
            "ref text primary key, who float, amount real, note text",
            [
                "entries.who is FLOAT, which cannot hold what account is",
                "entries.amount is REAL, which cannot hold what credits is",
            ],
        ),
        ("ref int primary key, who text, amount text, note text", [
            "entries.ref is INTEGER, which cannot hold what key is",
            "entries.amount is TEXT, which cannot hold what credits is",
        ]),
    ],
)  # fmt: skip
def test_a_table_will_do_or_every_fault_is_named(store: Store, columns: str, faults: Sequence[str]) -> None:
    store.write(lambda tx: tx.connection.execute(text(f"create table entries ({columns})")))
    found, said = store.read(lambda tx: find(tx, ENTRIES, unique="key", adds=True))
    assert said == list(faults)
    assert (found is None) == bool(faults)


@pytest.mark.parametrize(
    ("part", "found", "postgres", "kind"),
    [
        ("account", Text(), True, Text),
        ("account", Integer(), True, BigInteger),
        ("account", Uuid(), True, Uuid),
        ("account", DOMAIN("shop_id", Text()), True, Text),
        ("account", DOMAIN("number", Integer()), True, BigInteger),
        ("account", Float(), True, None),
        ("account", ENUM("a", "b", name="few"), True, None),
        ("account", Enum("a", "b"), False, None),
        ("key", Text(), True, Text),
        ("key", Integer(), True, None),
        ("key", Uuid(), True, None),
        ("kind", ENUM("a", "b", name="few"), True, None),
        ("credits", Numeric(), True, BigInteger),
        ("balance", Float(), True, None),
        ("after", Text(), True, None),
        ("after", Integer(), True, Numeric),
        ("after", Numeric(), False, BigInteger),
        ("at", TIMESTAMP(), True, Instant),
        ("at", Text(), True, None),
        ("at", Text(), False, Instant),
        ("at", Integer(), False, None),
    ],
)
def test_what_a_column_holds_follows_from_its_part_and_its_type(part: str, found: Any, postgres: bool, kind: Any) -> None:
    taken = kind_of(part, found, postgres=postgres)
    assert taken is None if kind is None else type(taken) is kind
    # accounts travel as text everywhere
    assert not isinstance(taken, Uuid) or taken.as_uuid is False


@pytest.mark.parametrize(
    ("column", "needed"),
    [
        ({}, True),
        ({"nullable": True}, False),
        ({"default": "''"}, False),
        ({"identity": {"start": 1}}, False),
        ({"computed": {"sqltext": "1"}}, False),
        ({"autoincrement": True}, False),
        ({"autoincrement": False, "default": None, "identity": None, "computed": None}, True),
        ({"autoincrement": "auto"}, True),
    ],
)
def test_a_column_needs_a_value_where_nothing_else_gives_one(column: dict[str, Any], needed: bool) -> None:
    assert needs_a_value({"nullable": False} | column) == needed


@ON_SQLITE
@pytest.mark.parametrize(("kind", "enough"), [("unique index", True), ("index", False)])
def test_a_unique_index_is_as_good_as_a_constraint(store: Store, kind: str, enough: bool) -> None:
    made = "create table entries (ref text, who text, amount int, note text)"
    store.write(lambda tx: [tx.connection.execute(text(sql)) for sql in (made, f"create {kind} u on entries (ref)")])
    found, _ = store.read(lambda tx: find(tx, ENTRIES, unique="key", adds=True))
    assert (found is not None) == enough


@ON_SQLITE
def test_a_table_in_which_rows_are_only_changed_may_need_what_it_likes(store: Store) -> None:
    made = "create table profiles (id text primary key, credits int not null, name text not null)"
    store.write(lambda tx: tx.connection.execute(text(made)))
    named = Named(None, "profiles", {"account": "id", "balance": "credits"})
    found, said = store.read(lambda tx: find(tx, named, unique="account", adds=False))
    assert (found is not None, said) == (True, [])
