"""One database on Postgres for one test after another, each of which finds it as if it had just been made.

To make one takes as long as many a test, and a new session looks up anew what each table is. So both are kept for as long as the
tests leave nothing behind but rows.
"""

from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import QueuePool, event, make_url

from tests.servers import a_name, conninfo
from worker.store.engine import Store

DELETED_BYTES = 1 << 20
"""What the deleted rows of earlier tests may take up in one table: others read past them until somebody cleans up."""
_IS_SMALL = "select max(pg_relation_size(oid)) <= %s from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
# whatever is done to tables, their columns, rights and statistics leaves other rows in these
_AS_MADE = """
    select (
        select array[count(*), sum(xmin::text::bigint), sum(reltuples), sum(relpages)] from pg_class
        where oid >= 16384 and relkind <> 'S' and relpersistence <> 't'
    ) || (
        select array[count(*), sum(a.xmin::text::bigint)] from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.oid >= 16384 and c.relpersistence <> 't'
    ) || (
        select array[count(*), sum(xmin::text::bigint)] from pg_trigger
    ) || (
        select array[count(*), sum(xmin::text::bigint)] from pg_constraint
    ) || (
        select array[count(*), sum(xmin::text::bigint)] from pg_proc where oid >= 16384
    ) || (
        select array[count(*), max(oid)::bigint] from pg_namespace where nspname !~ '^pg_'
    ) || (
        select array[count(*), max(setdatabase)::bigint] from pg_db_role_setting
    )
"""
_SESSIONS = (
    "from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
)
_OURS = f"select count(*), count(*) filter (where state = 'idle') {_SESSIONS} and pid = any(%s)"
_END_OTHERS = f"select pg_terminate_backend(pid, 5000) {_SESSIONS} and pid <> all(%s)"
_KEEP = """
    create temporary table first_alembic_version as table alembic_version;
    create temporary table first_installation as table installation
"""
# to truncate them takes as long as to make the database anew
_EMPTY = """
    do $$
    declare one record;
    begin
        -- neither what counts rows nor what holds them together has a say
        set local session_replication_role = replica;
        for one in select oid::regclass as name from pg_class
            where relkind = 'r' and relnamespace = 'public'::regnamespace and pg_relation_size(oid) > 0
        loop
            execute format('delete from %s', one.name);
        end loop;
        for one in select format('%I.%I', schemaname, sequencename) as name from pg_sequences where last_value is not null
        loop
            perform setval(one.name, 1, false);
        end loop;
        insert into alembic_version table first_alembic_version;
        insert into installation table first_installation;
    end $$
"""


class KeptPostgres:
    """The database of one test process, and its sessions."""

    def __init__(self, server: str, admin: psycopg.Connection, template: str) -> None:
        self._admin, self._template, self._name = admin, template, a_name()
        self.url = make_url(server).set(database=self._name).render_as_string(hide_password=False)
        self.store = Store(self.url)
        """What each test has a copy of, with what is compiled already and with open sessions."""
        self._pids: list[int] = []
        event.listen(self.store.engine, "connect", self._note)
        self._own: psycopg.Connection | None = None
        self._as_made: object = None

    def make_ready(self) -> None:
        """The database holds nothing now, and nobody is at work in it."""
        try:
            kept = self._own is not None and self._emptied(self._own)
        except psycopg.Error:
            kept = False
        if not kept:
            self._make_anew()

    def close(self) -> None:
        """The database is no more."""
        self.store.close()
        self._pids.clear()
        if self._own is not None:
            self._own.close()
            self._own = None
        self._admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(self._name)))

    def _note(self, connection: Any, _: object) -> None:
        self._pids.append(connection.info.backend_pid)

    def _make_anew(self) -> None:
        self.close()
        made = sql.SQL("create database {} template {}")
        self._admin.execute(made.format(sql.Identifier(self._name), sql.Identifier(self._template)))
        self._own = psycopg.connect(conninfo(self.url), autocommit=True)
        self._own.execute(_KEEP)
        self._as_made = self._own.execute(_AS_MADE).fetchone()

    def _emptied(self, own: psycopg.Connection) -> bool:
        """False where more was left than rows, and than sessions that can be ended."""
        pool = self.store.engine.pool
        assert isinstance(pool, QueuePool)
        if pool.checkedout() or own.execute(_OURS, [self._pids]).fetchone() != (pool.checkedin(), pool.checkedin()):
            return False
        own.execute(_END_OTHERS, [self._pids])
        if own.execute(_AS_MADE).fetchone() != self._as_made or own.execute(_IS_SMALL, [DELETED_BYTES]).fetchone() != (True,):
            return False
        own.execute(_EMPTY)
        return True
