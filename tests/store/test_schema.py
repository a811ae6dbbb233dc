"""Migrations make exactly the tables of `worker/store/tables.py`, all or nothing, however many try at once."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, cast, func, inspect, select, text, update
from sqlalchemy.dialects.postgresql import REGCLASS

from tests.store.rows import NOON, a_case, a_purchase, an_account, given
from tests.store.test_engine import ON_POSTGRES
from tests.threads import at_once
from worker.errors import Misconfigured, TryLater
from worker.store import schema
from worker.store.bulk import Tx
from worker.store.effects import EffectKind, claim
from worker.store.engine import Store
from worker.store.tables import accounts, cases, effects, installation, metadata, purchases

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("work", ["read", "rehearse"])
def test_look_at_a_file_that_is_not_there_makes_none(tmp_path: Path, work: str) -> None:
    file = tmp_path / "mistyped.db"
    with pytest.raises(Misconfigured, match="refunds db upgrade"):
        getattr(Store(f"sqlite:///{file}"), work)(lambda tx: tx.all(select(accounts)))
    assert not file.exists()


@pytest.fixture
def empty(database_url: str) -> Iterator[Store]:
    """A database with nothing in it."""
    made = Store(database_url)
    yield made
    made.close()


def definitions(store: Store) -> set[str]:
    """Every table, column, constraint and index as the database itself words it, without our version table."""
    if store.dialect == "sqlite":
        return _of_sqlite(store)
    query = """
        select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
          from information_schema.columns where table_schema = 'public' and table_name <> 'alembic_version'
        union all
        select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
          from pg_constraint where connamespace = 'public'::regnamespace and conrelid <> 'alembic_version'::regclass
        union all
        select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'alembic_version'
    """
    with store.engine.connect() as connection:
        return {re.sub(r"\s+", " ", row[0]) for row in connection.execute(text(query))}


def _of_sqlite(store: Store) -> set[str]:
    # not its `create table` texts: a column that was added stands at their end
    found = inspect(store.engine)
    told: set[str] = set()
    for table in set(found.get_table_names()) - {"alembic_version"}:
        columns = [{**column, "type": str(column["type"])} for column in found.get_columns(table)]
        foreign = [{**key, "options": None} for key in found.get_foreign_keys(table)]
        checks, uniques = found.get_check_constraints(table), found.get_unique_constraints(table)
        parts: list[Any] = [*columns, *foreign, *checks, *uniques, found.get_pk_constraint(table)]
        told |= {f"{table} {sorted((k, str(v)) for k, v in part.items())}" for part in parts}
    query = "select sql from sqlite_master where type = 'index' and sql is not null"
    with store.engine.connect() as connection:
        return told | {re.sub(r"\s+", " ", row[0]) for row in connection.execute(text(query))}


def alembic() -> Config:
    """Alembic as it finds our migrations."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    return config


def upgrade_to(store: Store, revision: str) -> None:
    """Brings the database as far as the release of that revision would have."""
    config = alembic()

    def migrate(tx: Tx) -> None:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)

    store.write(migrate)


def pretend(store: Store, revision: str) -> None:
    """Makes the database say it is at another revision."""
    with store.engine.begin() as connection:
        versions = Table("alembic_version", MetaData(), autoload_with=connection)
        connection.execute(update(versions).values(version_num=revision))


def may_run_from(store: Store, oldest: str) -> None:
    """Makes the database say which release is the oldest that may run on it."""
    with store.engine.begin() as connection:
        connection.execute(update(installation).where(installation.c.name == "oldest_release").values(value=oldest))


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrations_make_the_tables_the_code_knows(empty: Store) -> None:
    schema.upgrade(empty)
    migrated = definitions(empty)
    with empty.engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert migrated == definitions(empty)


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_alembic_finds_no_difference(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_upgrade_names_what_it_applied_and_then_has_nothing_to_do(empty: Store) -> None:
    assert schema.upgrade(empty) == list(schema.known())
    assert schema.upgrade(empty) == []
    assert schema.require_current(empty) == schema.head()


def test_known_revisions_are_one_line_of_files() -> None:
    script = ScriptDirectory.from_config(alembic())
    assert [revision.revision for revision in script.walk_revisions()] == list(reversed(schema.known()))
    assert script.get_heads() == [schema.head()]


def test_database_without_schema_is_refused(empty: Store) -> None:
    with pytest.raises(Misconfigured, match=r"^the database has no schema: run `refunds db upgrade`$"):
        schema.require_current(empty)


def test_schema_of_a_newer_release_is_refused(store: Store) -> None:
    pretend(store, "9999")
    may_run_from(store, "9998")
    for refuse in (schema.require_current, schema.upgrade):
        with pytest.raises(
            Misconfigured, match="at 9999, which this version does not know: a newer release upgraded it; start that one"
        ):
            refuse(store)
    assert store.read(lambda tx: tx.value(text("select version_num from alembic_version"))) == "9999"


def test_fault_says_what_to_do() -> None:
    revisions = ("0001", "0002", "0003")
    assert schema.fault("0003", revisions) is None
    assert schema.fault("0002", revisions) == "the schema is at 0002, this version needs 0003: run `refunds db upgrade`"
    assert schema.fault(None, revisions) == "the database has no schema: run `refunds db upgrade`"
    assert "newer release" in str(schema.fault("0004", revisions))
    assert "newer release" in str(schema.fault("0005", revisions, "0004"))
    assert schema.fault("0005", revisions, "0003") is None


def test_release_runs_on_a_newer_schema_that_says_it_may(store: Store) -> None:
    pretend(store, "9999")
    may_run_from(store, schema.head())
    assert schema.require_current(store) == "9999"
    assert schema.upgrade(store) == []


def test_schema_of_this_release_may_be_used_by_it(store: Store) -> None:
    with store.engine.connect() as connection:
        oldest = connection.execute(select(installation.c.value).where(installation.c.name == "oldest_release")).scalar_one()
    assert oldest in schema.known()


def test_database_belongs_to_the_installation_that_first_decided_in_it(store: Store) -> None:
    store.read(lambda tx: schema.require_ours(tx, "observer:next"))
    for _ in range(2):
        store.write(lambda tx: schema.take_for(tx, "refunds"))
    store.read(lambda tx: schema.require_ours(tx, "refunds"))
    said = "^the database is of the installation refunds, and this is observer:next: each has one of its own$"
    for ask in (schema.require_ours, schema.take_for):
        with pytest.raises(Misconfigured, match=said):
            store.write(lambda tx, ask=ask: ask(tx, "observer:next"))  # type: ignore[misc]


def test_database_keeps_its_first_name(store: Store) -> None:
    assert store.read(schema.known_name) is None
    assert [store.write(lambda tx, name=name: schema.name_of(tx, name)) for name in ("db_a", "db_b")] == ["db_a"] * 2  # type: ignore[misc]
    assert store.read(schema.known_name) == "db_a"


def test_two_upgrades_at_once_are_one(empty: Store) -> None:
    others = [Store(empty.url) for _ in range(4)]
    results = at_once(*[lambda store=store: schema.upgrade(store) for store in others])
    for store in others:
        store.close()
    assert sorted(results) == [[], [], [], list(schema.known())]
    schema.require_current(empty)


KILLED_AT = """
import os, signal, sys
from sqlalchemy import event
from worker.store.engine import Store
from worker.store.schema import upgrade

store = Store(sys.argv[1])

@event.listens_for(store.engine, "after_cursor_execute")
def die(_connection, _cursor, statement, *_):
    if sys.argv[2] in " ".join(statement.split()):
        os.kill(os.getpid(), signal.SIGKILL)

upgrade(store)
"""


@pytest.mark.parametrize(
    "moment",
    ["CREATE TABLE alembic_version", "CREATE TABLE accounts", "ix_cases_next", "CREATE TABLE reruns", "INSERT INTO alembic_v"],
)
def test_kill_in_the_middle_leaves_nothing(empty: Store, moment: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", KILLED_AT, empty.url, moment], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    with empty.engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    assert schema.upgrade(empty) == list(schema.known())


@ON_POSTGRES
def test_upgrade_waits_for_another_and_gives_up_in_one_line(empty: Store) -> None:
    with empty.engine.begin() as holder:
        holder.execute(text("select pg_advisory_xact_lock(:key)"), {"key": schema.ONE_AT_A_TIME})
        with pytest.raises(TryLater, match=r"another upgrade has been running for over 0\.1 s"):
            schema.upgrade(empty, queue_seconds=0.1)
    assert schema.upgrade(empty) == list(schema.known())


@ON_POSTGRES
def test_upgrade_lets_go_when_a_table_cannot_be_had(empty: Store) -> None:
    with empty.engine.connect() as holder:
        holder.execute(text("create table reruns ()"))
        with pytest.raises(TryLater, match=r"somebody held a table for 0\.1 s; nothing was changed"):
            schema.upgrade(empty, lock_seconds=0.1)
        holder.rollback()
    assert schema.upgrade(empty) == list(schema.known())


def test_effect_of_a_release_before_stands_and_goes_out_under_the_id_it_may_have_been_sent_by(empty: Store) -> None:
    before_keys = "0012"
    upgrade_to(empty, before_keys)
    given(empty, accounts, an_account())
    given(empty, cases, a_case("case_1", state="rerunning", next_action_at=NOON))
    due = {"state": "due", "attempts": 0, "due_at": NOON, "created_at": NOON, "payload": {"attempt": 2}}
    given(empty, effects, {"effect_id": "eff_1", "key": "rerun:job_1", "kind": "rerun", "case_id": "case_1", **due})

    schema.upgrade(empty)

    taken = partial(claim, kind=EffectKind.RERUN, keys=(), limit=10, now=NOON, lease=timedelta(minutes=1))
    (claimed,) = empty.write(taken)
    assert (claimed.key, claimed.sent_as, claimed.payload) == ("rerun:job_1", "eff_1", {"attempt": 2})


@ON_POSTGRES
def test_a_lot_and_an_account_change_within_their_page_and_no_index_is_written(empty: Store) -> None:
    schema.upgrade(empty)
    names = [str(n) for n in range(200)]
    empty.write(lambda tx: tx.insert(accounts, [an_account(f"acc_{name}") for name in names]))
    empty.write(lambda tx: tx.insert(purchases, [a_purchase(f"ord_{name}", f"acc_{name}") for name in names]))
    for table, change in ((purchases, {"remaining": 45, "spent": 5}), (accounts, {"reversals_today": 1})):
        with empty.engine.begin() as connection:
            # of the first page, which was full long before the last row came
            connection.execute(update(table).where(table.c.account_id == "acc_0").values(change))
            stayed = select(func.pg_stat_get_xact_tuples_hot_updated(cast(table.name, REGCLASS)))
            assert connection.execute(stayed).scalar_one() == 1, table.name
