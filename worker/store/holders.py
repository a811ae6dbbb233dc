"""Which sessions of Postgres hold what ours wait for."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from worker.store.bulk import Tx
from worker.store.tables import metadata

# Whoever has changed or locked our rows for longer than any unit of ours takes, seen also while nobody waits: ours wait for five
# seconds and leave it for later. And whoever one of ours waits for now, whatever it holds: a row of the product's balances, or
# what our role may not look at, as since when. Who waits itself is in somebody else's way only for as long as that one is, which
# is named in its place. But whoever wants a whole table, as to change it, has all of ours behind it while it waits for one who
# only reads there, as a dump does for hours, and who is in nobody else's way.
_HOLDERS = text("""
    with held as (
        select l.pid, array_agg(distinct c.relname::text order by c.relname::text) as tables
        from pg_locks l join pg_class c on c.oid = l.relation
        where l.granted and l.database = (select oid from pg_database where datname = current_database())
          and l.mode in ('RowShareLock', 'RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                         'AccessExclusiveLock')
          and (c.relname = any(:ours) and pg_table_is_visible(c.oid)
               or c.oid = any(cast(cast(:theirs as text[]) as regclass[])))
        group by l.pid
    ), waited_for as (
        select holder as pid, count(*) as waiting
        from pg_stat_activity w, unnest(pg_blocking_pids(w.pid)) as holder
        where w.datname = current_database() and w.usename = current_user and w.wait_event_type = 'Lock'
          and w.query_start < clock_timestamp() - make_interval(secs => :patience)
        group by holder
    )
    select a.pid, a.usename as role, a.application_name as application, a.state, a.xact_start as since, a.query,
           coalesce(held.tables, '{}') as tables, coalesce(waited_for.waiting, 0) as waiting, before_it.pids as behind
    from pg_stat_activity a left join held using (pid) left join waited_for using (pid),
         lateral (select pg_blocking_pids(a.pid) as pids) as before_it
    where a.pid <> pg_backend_pid() and a.wait_event is distinct from 'SyncRep'
      and (waited_for.pid is not null
           or held.pid is not null and a.xact_start < clock_timestamp() - make_interval(secs => :long))
      and (a.wait_event_type is distinct from 'Lock'
           or waited_for.pid is not null and a.usename is distinct from current_user
              and not before_it.pids && array(select pid from waited_for union all select pid from held))
    order by a.xact_start nulls last, a.pid
""")
# What they hold they keep until then, and to end them would help nobody: the next ones wait as well. No limit of ours ends it,
# for Postgres counts no time of a statement while it commits.
_COMMITTING = text("""
    select count(*) as sessions, min(query_start) as since, current_setting('synchronous_standby_names') as standbys
    from pg_stat_activity
    where datname = current_database() and wait_event = 'SyncRep'
      and query_start < clock_timestamp() - make_interval(secs => :patience)
""")
# A transaction that was prepared has no session any more, and keeps what it holds over every restart until somebody ends it by
# its name: what a program of the product leaves that commits in two places and died between them.
_PREPARED = text("""
    with ours as (
        select l.transactionid as xid, count(*) as waiting
        from pg_locks l join pg_stat_activity w using (pid)
        where not l.granted and l.transactionid is not null and w.usename = current_user
          and w.query_start < clock_timestamp() - make_interval(secs => :patience)
        group by l.transactionid
    )
    select p.gid, p.owner::text as role, p.prepared as since, coalesce(ours.waiting, 0) as waiting,
           coalesce(array_agg(distinct c.relname::text order by c.relname::text) filter (where c.oid is not null), '{}') as tables
    from pg_prepared_xacts p
         join pg_locks itself on itself.transactionid = p.transaction and itself.granted
         join pg_locks l on l.virtualtransaction = itself.virtualtransaction and l.pid is null
         left join pg_class c on c.oid = l.relation and c.relname = any(:ours) and pg_table_is_visible(c.oid)
         left join ours on ours.xid = p.transaction
    where p.database = current_database()
    group by p.gid, p.owner, p.prepared, ours.waiting
    having ours.waiting > 0 or p.prepared < clock_timestamp() - make_interval(secs => :long) and count(c.oid) > 0
    order by p.prepared, p.gid
""")
LONG_SECONDS, PATIENCE_SECONDS = 10.0, 1.0


class Holder(NamedTuple):
    """A session with an open transaction that is in our way. `since` and `began` are None where our role may not see them."""

    pid: int
    role: str | None
    application: str
    state: str | None
    since: datetime | None
    began: str | None
    """How its statement, or the last one, begins: never a value."""
    tables: Sequence[str]
    waiting: int
    """How many of our sessions wait for it now."""
    behind: Sequence[int]
    """The sessions that it waits for itself."""


def holders(tx: Tx, long: float = LONG_SECONDS, theirs: Sequence[str] = ()) -> list[Holder]:
    """Who is in our way, the longest first; `long`: from so many seconds on, where nobody waits. `theirs`: tables of the
    product's, as SQL names them, which count as ours do. Nobody on SQLite, where a file knows no sessions.
    """
    if not tx.postgres:
        return []
    asked = {"ours": sorted(metadata.tables), "theirs": list(theirs), "long": long, "patience": PATIENCE_SECONDS}
    return [
        Holder(
            pid=row.pid,
            role=row.role,
            application=row.application or "",
            state=row.state,
            since=row.since,
            began=_beginning(row.query),
            tables=row.tables,
            waiting=row.waiting,
            behind=row.behind,
        )
        for row in tx.connection.execute(_HOLDERS, asked)
    ]


class Unconfirmed(NamedTuple):
    """Sessions that have committed and wait for a standby to say that it has it, since when, and which standbys are meant."""

    sessions: int
    since: datetime
    standbys: str


def unconfirmed(tx: Tx) -> Unconfirmed | None:
    """Who waits for a standby, of those that our role may see; None where nobody does, and on SQLite."""
    if not tx.postgres:
        return None
    row = tx.connection.execute(_COMMITTING, {"patience": PATIENCE_SECONDS}).one()
    return Unconfirmed(*row) if row.sessions else None


class Prepared(NamedTuple):
    """A transaction that was prepared under the name `gid`, by a role, and was not ended since: it holds rows of these tables of
    ours, and so many of our sessions wait for it now.
    """

    gid: str
    role: str
    since: datetime
    waiting: int
    tables: Sequence[str]


def prepared(tx: Tx, long: float = LONG_SECONDS) -> list[Prepared]:
    """Transactions in our way that were prepared, the oldest first; `long`: from so many seconds on, where nobody waits. None on
    SQLite.
    """
    if not tx.postgres:
        return []
    asked = {"ours": sorted(metadata.tables), "long": long, "patience": PATIENCE_SECONDS}
    return [Prepared(*row) for row in tx.connection.execute(_PREPARED, asked)]


def _beginning(query: str | None) -> str | None:
    if not query or query.startswith("<"):  # `<insufficient privilege>`
        return None
    # what is quoted or counted may be a customer's
    return " ".join(re.split(r"['\"$\d]", query, maxsplit=1)[0].split()[:8])[:80] or None
