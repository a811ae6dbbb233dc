"""A database of Postgres has several schemas, and whoever runs it says which of them a session is in: whoever does not find our
tables says where they are, or whose those are that are found, and never makes a second set of them by mistake.
"""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from tests.servers import ON_POSTGRES, conninfo
from tests.store.test_session import with_options
from worker.errors import Misconfigured
from worker.store import schema
from worker.store.engine import Store

pytestmark = ON_POSTGRES
IN_PUBLIC = r"which lie in the schema public: .*options=-csearch_path%3Dpublic; .*`refunds db upgrade`$"


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo(database_url), autocommit=True) as found:
        yield found


@pytest.fixture
def empty(database_url: str) -> Iterator[Store]:
    made = Store(database_url)
    yield made
    made.close()


def places(owner: psycopg.Connection) -> list[str]:
    """The schemas that have tables of ours."""
    return [str(name) for (name,) in owner.execute("select schemaname from pg_tables where tablename = 'cases' order by 1")]


def lead_to(owner: psycopg.Connection, path: str) -> None:
    """Every new session is there from now on."""
    owner.execute(f"alter database {owner.info.dbname} set search_path = {path}".encode())


@pytest.mark.parametrize("is_there", [True, False])
def test_tables_that_the_search_path_leads_past_are_named_and_not_made_again(
    empty: Store, owner: psycopg.Connection, is_there: bool
) -> None:
    """Once it said `refunds db upgrade`, which made an empty installation beside the one with the books."""
    schema.upgrade(empty)
    if is_there:
        owner.execute("create schema elsewhere")
    lead_to(owner, "elsewhere")
    empty.close()
    for asked in (schema.upgrade, schema.require_current):
        with pytest.raises(Misconfigured, match=rf"^the search_path \(elsewhere\) leads past the tables, {IN_PUBLIC}"):
            asked(empty)
    assert places(owner) == ["public"]
    named = Store(with_options(empty.url, "-csearch_path=public"))
    assert schema.require_current(named) == schema.head()
    named.close()
    # nobody has to start it again once the setting is put right
    lead_to(owner, "public")
    assert schema.require_current(empty) == schema.head()


def test_schema_that_the_address_names_gets_an_installation_of_its_own(empty: Store, owner: psycopg.Connection) -> None:
    schema.upgrade(empty)
    owner.execute("create schema staging")
    second = Store(with_options(empty.url, "-csearch_path=staging"))
    assert schema.upgrade(second) == list(schema.known())
    assert (schema.require_current(second), schema.require_current(empty)) == (schema.head(), schema.head())
    assert places(owner) == ["public", "staging"]
    second.close()


@pytest.mark.parametrize("revision", ["a1b2c3d4e5f6", "0005", "0017"])
def test_version_table_of_another_program_is_none_of_ours(empty: Store, owner: psycopg.Connection, revision: str) -> None:
    """It was called a newer release's, or one that `refunds db upgrade` mends, or ours."""
    owner.execute("create table alembic_version (version_num varchar(32) primary key)")
    owner.execute("insert into alembic_version values (%s)", (revision,))
    owner.execute("create schema refunds")
    also = Store(with_options(empty.url, "-csearch_path=refunds,public"))
    for store in (empty, also):
        for asked in (schema.require_current, schema.upgrade):
            with pytest.raises(
                Misconfigured, match=r"^the schema public holds another program's alembic_version: create one .*%3D"
            ):
                asked(store)
    also.close()
    alone = Store(with_options(empty.url, "-csearch_path=refunds"))
    assert schema.upgrade(alone) == list(schema.known())
    assert schema.require_current(alone) == schema.head()
    alone.close()


def test_tables_of_another_program_by_our_names_are_said_in_one_line(empty: Store, owner: psycopg.Connection) -> None:
    """As in the product's database, where nobody named a schema: it was a page of stack, with `relation already exists`."""
    owner.execute("create table accounts (id uuid primary key)")
    owner.execute("create table sessions (id uuid primary key)")
    with pytest.raises(Misconfigured, match=r"^the schema public holds another program's accounts, sessions: create one"):
        schema.upgrade(empty)
    assert places(owner) == []


def test_search_path_that_names_no_schema_is_told_in_one_line(database_url: str) -> None:
    store = Store(with_options(database_url, "-csearch_path=refunds"))
    with pytest.raises(Misconfigured, match=r"^the search_path \(refunds\) names no schema that is there and open to this role$"):
        schema.upgrade(store)
    store.close()


def test_schema_that_the_role_may_not_use_is_not_called_missing(database_url: str, owner: psycopg.Connection) -> None:
    """As where nobody ran roles.sql in it."""
    owner.execute("create schema refunds")
    ours = Store(with_options(database_url, "-csearch_path=refunds"))
    schema.upgrade(ours)
    ours.close()
    name = f"stranger_{owner.info.dbname}"
    owner.execute(f"create role {name} login password 'x'".encode())
    stranger = make_url(ours.url).set(username=name, password="x").render_as_string(hide_password=False)
    store = Store(stranger)
    with pytest.raises(Misconfigured, match=r"^the search_path \(refunds\) names no schema that is there and open to this role$"):
        schema.require_current(store)
    store.close()
    owner.execute(f"drop role {name}".encode())


def test_other_objects_of_the_database_are_in_nobodys_way(empty: Store, owner: psycopg.Connection) -> None:
    owner.execute("create table profiles (id text)")
    owner.execute("create schema product create table accounts (id uuid) create table alembic_version (version_num text)")
    assert schema.upgrade(empty) == list(schema.known())
    assert schema.require_current(empty) == schema.head()
