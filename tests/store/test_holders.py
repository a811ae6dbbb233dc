"""The doctor names the session that holds what ours wait for: who, since when, after which statement, and how to end it."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import func, make_url, select

from tests.servers import ON_POSTGRES, conninfo, eventually
from tests.store.rows import given_an_account_with_a_purchase
from worker.cli.doctor.database import balances, locks
from worker.cli.doctor.finding import Finding
from worker.errors import BrokenOff
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store.engine import Store
from worker.store.holders import Holder, holders, prepared
from worker.store.inbox import insert, new_row

pytestmark = ON_POSTGRES
TOUCH = "update accounts set email = 'ada@example.org' where account_id = 'acc_1'"


@contextmanager
def lunch(url: str, *statements: str) -> Iterator[psycopg.Connection]:
    """Somebody has said this in psql, and not yet `commit`."""
    with psycopg.connect(conninfo(url), application_name="psql") as session:
        for statement in statements:
            session.execute(statement.encode())
        yield session
        session.rollback()


@contextmanager
def waiting(url: str) -> Iterator[None]:
    """A session of ours that waits for the row, longer than one of ours would."""
    patient = make_url(url).update_query_dict({"options": "-c lock_timeout=60000"}).render_as_string(hide_password=False)
    with closing(Store(patient)) as store, psycopg.connect(conninfo(url), autocommit=True) as admin:

        def wait() -> None:
            with suppress(BrokenOff):
                store.write(lambda tx: tx.connection.exec_driver_sql(TOUCH).rowcount)

        thread = threading.Thread(target=wait)
        thread.start()
        yield
        admin.execute(
            "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        thread.join(10)


def doctor(url: str) -> list[Finding]:
    runtime = Runtime.start(Settings(database_url=url))
    with closing(runtime.store):
        return list(locks(runtime))


def in_the_way(store: Store) -> list[Holder]:
    """Without waiting for the ten seconds that the doctor gives everybody."""
    return store.read(lambda tx: holders(tx, long=0))


def test_whoever_keeps_a_changed_row_is_named_though_nobody_waits(store: Store) -> None:
    given_an_account_with_a_purchase(store)
    with lunch(store.url, TOUCH) as session:
        [found] = in_the_way(store)
        assert (found.pid, found.application, found.state) == (session.info.backend_pid, "psql", "idle in transaction")
        assert (found.tables, found.waiting) == (["accounts"], 0)
        assert found.since is not None
        assert datetime.now(UTC) - found.since < timedelta(minutes=1)
        assert found.began == "update accounts set email =", "no value of a customer's"
    assert in_the_way(store) == []


def test_doctor_names_whom_ours_wait_for_and_how_to_end_it(store: Store) -> None:
    given_an_account_with_a_purchase(store)
    assert [each["ok"] for each in doctor(store.url)] == [True]
    with lunch(store.url, TOUCH) as session, waiting(store.url):
        assert eventually(lambda: not doctor(store.url)[0]["ok"]), "ours has waited for a second"
        [found] = doctor(store.url)
        assert found["severity"] == "warning"
        pid = session.info.backend_pid
        for said in (
            f"session {pid} (role ",
            ", psql)",
            "open since 20",
            "begins `update accounts set email =`",
            "1 of ours wait",
        ):
            assert said in found["finding"]
        assert f"`select pg_terminate_backend({pid})`" in found["finding"]


def test_doctor_names_whoever_keeps_a_balance_of_the_products_that_nobody_waits_for(store: Store) -> None:
    """Events of such an account are walked around: no session of ours waits while somebody comes to look."""
    given_an_account_with_a_purchase(store)
    with lunch(store.url) as product:
        product.execute("create schema shop")
        product.execute("create table shop.profiles (id text primary key, credits int)")
        product.execute("insert into shop.profiles values ('acc_1', 5), ('acc_2', 5)")
        product.commit()
        runtime = Runtime.start(Settings(database_url=store.url, balance_table="shop.profiles(account=id, balance=credits)"))
        with closing(runtime.store):
            product.execute("update shop.profiles set credits = 4")
            assert [each["ok"] for each in balances(runtime)] == [True], "no event of theirs waits"
            event = new_row(
                source="/p", event_id="1", type="layer_job.failed", account_id="acc_1", job_id="job_1", raw="{}", sha256="",
                received_at=datetime.now(UTC),
            )  # fmt: skip
            store.write(lambda tx: insert(tx, [event]))
            assert eventually(lambda: len(list(balances(runtime))) > 1), "its transaction is open for a second"
            said = list(balances(runtime))[-1]
            assert said["severity"] == "warning"
            pid = product.info.backend_pid
            booked = (
                f"1 account with events to handle, acc_1 for one, cannot be booked in shop.profiles now: session {pid} (role "
            )
            assert said["finding"].startswith(booked)
            assert f"`select pg_terminate_backend({pid})`" in said["finding"]
            product.commit()
            assert [each["ok"] for each in balances(runtime)] == [True]
        product.execute("drop schema shop cascade")
        product.commit()


def test_transaction_that_was_prepared_and_never_ended_is_named_by_what_ends_it(store: Store) -> None:
    """As a program leaves it that commits in two places and died between them: no session is left that could be named."""
    given_an_account_with_a_purchase(store)
    gid = f"ada's {make_url(store.url).database}"
    quoted = sql.Literal(gid)
    with lunch(store.url, TOUCH) as session:
        session.execute(sql.SQL("prepare transaction {}").format(quoted))
    with psycopg.connect(conninfo(store.url), autocommit=True) as admin:
        try:
            [found] = store.read(lambda tx: prepared(tx, long=0))
            assert (found.gid, found.waiting, found.tables) == (gid, 0, ["accounts"])
            with waiting(store.url):
                assert eventually(lambda: not doctor(store.url)[0]["ok"]), "ours has waited for a second"
                [said] = [each["finding"] for each in doctor(store.url)]
            assert "it holds rows of accounts; 1 of ours wait for it at this moment" in said
            assert f"`rollback prepared {quoted.as_string(admin)}`" in said
        finally:
            admin.execute(sql.SQL("rollback prepared {}").format(quoted))
    assert store.read(lambda tx: prepared(tx, long=0)) == []


def test_a_table_that_is_held_whole_is_no_reason_to_say_nothing(store: Store) -> None:
    everything = "lock table accounts, cases, installation, alembic_version in access exclusive mode"
    with lunch(store.url, everything) as session:
        [found] = in_the_way(store)
        assert (found.pid, found.tables) == (session.info.backend_pid, ["accounts", "cases", "installation"])


@pytest.mark.parametrize("statement", ["select * from accounts", "create temp table own (id int)"], ids=["read", "elsewhere"])
def test_who_only_reads_or_works_elsewhere_is_in_nobodys_way(store: Store, statement: str) -> None:
    with lunch(store.url, statement):
        assert in_the_way(store) == []


@pytest.fixture
def colleague(store: Store) -> Iterator[str]:
    """The URL of a colleague, who may do everything and is nobody of ours."""
    name = f"colleague_{make_url(store.url).database}"
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(f"create role {name} superuser login".encode())
        yield make_url(store.url).set(username=name).render_as_string(hide_password=False)
        owner.execute(f"drop role {name}".encode())


def test_who_waits_to_change_a_table_behind_a_reader_is_named(store: Store, colleague: str) -> None:
    """As an `alter table` behind a dump: all of ours stood behind it for as long as that took, and the doctor named nobody."""
    given_an_account_with_a_purchase(store)
    changes = b"lock table accounts in access exclusive mode"
    with psycopg.connect(conninfo(colleague)) as changer, lunch(colleague, "select from accounts") as reader:
        first, second = reader.info.backend_pid, changer.info.backend_pid
        thread = threading.Thread(target=changer.execute, args=(changes,))
        thread.start()
        assert eventually(lambda: stands_behind(store, second, first))
        with waiting(store.url):
            assert eventually(lambda: in_the_way(store)), "ours has waited for a second"
            [found] = in_the_way(store)
            assert (found.pid, found.waiting, found.behind) == (second, 1, [first])
            [said] = [each["finding"] for each in doctor(store.url)]
            assert f"1 of ours wait for it at this moment; it waits itself for session {first}. " in said
            assert f"`select pg_terminate_backend({second})`" in said
            reader.rollback()
            thread.join(10)
            changer.rollback()


def stands_behind(store: Store, pid: int, other: int) -> bool:
    """Whether one session waits for the other."""
    return bool(store.read(lambda tx: tx.value(select(func.pg_blocking_pids(pid)))) == [other])


def test_lesser_role_is_told_the_number_and_the_name(store: Store) -> None:
    """As the worker's role, which may not see what the sessions of others do."""
    given_an_account_with_a_purchase(store)
    name = f"lesser_{make_url(store.url).database}"
    lesser = make_url(store.url).set(username=name, password="x").render_as_string(hide_password=False)
    with psycopg.connect(conninfo(store.url), autocommit=True) as owner:
        owner.execute(f"create role {name} login password 'x'".encode())
        owner.execute(f"grant select, update on accounts to {name}".encode())
        try:
            with lunch(store.url, TOUCH) as session, waiting(lesser):
                assert eventually(lambda: not doctor(lesser)[0]["ok"])
                [found] = doctor(lesser)
                assert f"session {session.info.backend_pid} (role " in found["finding"]
                assert "since when this role may not see" in found["finding"]
                assert "it holds rows of accounts; 1 of ours wait" in found["finding"]
        finally:
            owner.execute(f"revoke all on accounts from {name}".encode())
            owner.execute(f"drop role {name}".encode())
