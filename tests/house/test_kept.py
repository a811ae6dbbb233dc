"""What one test leaves in the database of Postgres that is kept, the next does not find."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import func, select

from tests.kept import KeptPostgres
from tests.servers import conninfo
from tests.store.rows import NOON, a_case, an_account
from worker.store.bulk import Tx
from worker.store.tables import accounts, case_history, cases, installation, metadata


@pytest.fixture
def kept(postgres_server: str, postgres_admin: psycopg.Connection, migrated_postgres: str) -> Iterator[KeptPostgres]:
    """One that is ready, and has been since it was made."""
    made = KeptPostgres(postgres_server, postgres_admin, migrated_postgres)
    made.make_ready()
    yield made
    made.close()


def filled(kept: KeptPostgres) -> int:
    """The number that the database gives to a line of history, laid with what belongs to it."""

    def lay(tx: Tx) -> int:
        tx.insert(accounts, [an_account()])
        tx.insert(cases, [a_case()])
        tx.insert(case_history, [{"case_id": "case_1", "event": "case.opened", "by": "worker", "at": NOON, "detail": {}}])
        return int(tx.connection.execute(select(case_history.c.id)).scalar_one())

    return kept.store.write(lay)


def rows(kept: KeptPostgres) -> dict[str, int]:
    """How many there are in each table, of those that have any."""
    counted = {table.name: select(func.count()).select_from(table) for table in metadata.sorted_tables}
    found = kept.store.read(lambda tx: {name: tx.connection.execute(each).scalar_one() for name, each in counted.items()})
    return {name: count for name, count in found.items() if count}


def made_when(kept: KeptPostgres) -> int:
    """A number that another database of this name would not have."""
    with psycopg.connect(conninfo(kept.url)) as session:
        found = session.execute("select oid from pg_database where datname = current_database()").fetchone()
    assert found is not None
    return int(found[0])


def test_rows_are_gone_and_numbers_begin_anew_in_the_same_database(kept: KeptPostgres) -> None:
    at_first, made = rows(kept), made_when(kept)
    assert filled(kept) == 1
    kept.make_ready()
    assert (rows(kept), filled(kept), made_when(kept)) == (at_first, 1, made)
    kept.store.write(lambda tx: tx.connection.execute(installation.delete()))
    kept.make_ready()
    assert (rows(kept), made_when(kept)) == (at_first, made)


def in_other_words(kept: KeptPostgres, statement: str) -> None:
    with psycopg.connect(conninfo(kept.url), autocommit=True) as session:
        session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "alter table cases add column more text",
        "alter table cases drop column reason",
        "create table mine (of_mine text)",
        "drop trigger {trigger} on {of}",
        "alter table accounts alter column email set default 'a'",
        "alter table postings drop constraint {constraint}",
        "grant select on cases to public",
        "drop index {index}",
        "create schema beside",
        "analyze accounts",
        "create or replace function something() returns int language sql as 'select 1'",
    ],
)
def test_database_with_more_than_other_rows_is_made_anew(kept: KeptPostgres, statement: str) -> None:
    filled(kept)
    made = made_when(kept)
    in_other_words(kept, statement.format(**names(kept)))
    kept.make_ready()
    assert made_when(kept) != made


def names(kept: KeptPostgres) -> dict[str, str]:
    """Some trigger, constraint and index of the schema."""
    with psycopg.connect(conninfo(kept.url)) as session:
        trigger = session.execute(
            "select tgname, tgrelid::regclass::text from pg_trigger where not tgisinternal limit 1"
        ).fetchone()
        constraint = session.execute("select conname from pg_constraint where conrelid = 'postings'::regclass limit 1").fetchone()
        index = session.execute(
            "select indexrelid::regclass::text from pg_index join pg_class c on c.oid = indrelid"
            " where not indisunique and c.relnamespace = 'public'::regnamespace limit 1"
        ).fetchone()
    assert trigger is not None
    assert constraint is not None
    assert index is not None
    return {"trigger": trigger[0], "of": trigger[1], "constraint": constraint[0], "index": index[0]}


def test_session_of_another_ends_and_the_database_is_the_same(kept: KeptPostgres) -> None:
    made = made_when(kept)
    with psycopg.connect(conninfo(kept.url)) as session:
        session.execute("lock table accounts in access exclusive mode")
        kept.make_ready()
        assert (filled(kept), made_when(kept)) == (1, made)
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")


def test_session_of_the_store_that_is_still_at_work_goes_with_its_database(kept: KeptPostgres) -> None:
    made = made_when(kept)
    with kept.store.engine.connect() as left:
        left.execute(accounts.insert().values(an_account()))
        kept.make_ready()
        assert (filled(kept), made_when(kept) == made) == (1, False)
        left.invalidate()


def test_sessions_of_the_store_are_used_again(kept: KeptPostgres) -> None:
    def session(tx: Tx) -> int:
        return int(tx.connection.execute(select(func.pg_backend_pid())).scalar_one())

    first = kept.store.read(session)
    kept.make_ready()
    assert kept.store.read(session) == first
