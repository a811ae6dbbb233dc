"""The schema and its versions: migrations forward only, each all or nothing, two upgrades at once harmless.

The version a database is at stands in its `alembic_version`; the versions this release knows are the files in
`migrations/versions`, whose names begin with their revision. A release also runs beside newer ones, on their schema, as long as
that says so (`installation.oldest_release`): migrations expand first and take away one release later.
"""

from pathlib import Path

from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import OperationalError

from worker.errors import Misconfigured, TryLater
from worker.store.bulk import Tx
from worker.store.closed import MARK, told
from worker.store.engine import Store, parts_of
from worker.store.faults import LOCK_NOT_AVAILABLE, sqlstate
from worker.store.hidden import hidden
from worker.store.place import astray
from worker.store.session import settings_of
from worker.store.sqlite import takes_no_writes
from worker.store.tables import installation

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
UPGRADE = "run `refunds db upgrade`"
ONE_AT_A_TIME = 0x726566756E6473
"""Key of the Postgres advisory lock that an upgrade holds."""
QUEUE_SECONDS = 60
"""How long an upgrade waits for another one."""
LOCK_SECONDS = 10
"""How long a migration waits for a table: whoever stands behind it in that queue waits as long."""


def upgrade(store: Store, *, queue_seconds: float = QUEUE_SECONDS, lock_seconds: float = LOCK_SECONDS) -> list[str]:
    """Brings the database to `head()` and returns the revisions applied, oldest first; all of them or none.

    Raises `Misconfigured` for a schema of a newer release, `TryLater` while a table or the database cannot be had.
    """
    # who names a schema in the address may mean to have one beside another installation's
    anew = "search_path" in settings_of(parts_of(store.url))
    return store.write(lambda tx: _upgrade(tx, anew, queue_seconds, lock_seconds))


def head() -> str:
    """The revision this release needs."""
    return known()[-1]


def known() -> tuple[str, ...]:
    """Every revision this release knows, oldest first."""
    return tuple(sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def require_current(store: Store, group: str | None = None) -> str:
    """The revision the database is at: this release's, or a newer one that this release may run beside.

    Raises `Misconfigured` with one line for any other, and for the database of another installation than `group`.
    """
    if store.is_to_be_made:
        raise Misconfigured(str(fault(None, known())))
    found, kept, unfit = store.read(lambda tx: (_found(tx), _kept(tx), _unfit(tx) or _astray(tx, anew=False)))
    if unfit is not None:
        # the address may lead to another server by now, or its settings be others, and these connections never hear of it
        store.close()
    wrong = unfit or _closed(kept) or fault(found, known(), kept.get("oldest_release"))
    if wrong or found is None:
        raise Misconfigured(str(wrong))
    if group is not None:
        _require(kept.get("group"), group)
    return found


def require_whole(store: Store, group: str | None = None) -> None:
    """Raises `Misconfigured` where the schema is not exactly that of this release, which knows all that is kept in it, or where
    the database is of another installation than `group`. One that is closed will do.
    """
    found, kept, unfit = store.read(lambda tx: (_found(tx), _kept(tx), _unfit(tx) or _astray(tx, anew=False)))
    wrong = unfit or fault(found, known())
    if wrong and MARK in kept and found in known()[:-1]:
        # an upgrade is turned away there too
        wrong = f"the schema is at {found}, and the database is closed: do this with the release that closed it, then upgrade"
    if wrong:
        raise Misconfigured(wrong)
    if group is not None:
        _require(kept.get("group"), group)


def take_for(tx: Tx, group: str) -> None:
    """This database is of that installation from now on. Raises `Misconfigured` where it is of another."""
    tx.insert_absent(installation, [{"name": "group", "value": group}])
    require_ours(tx, group)


def require_ours(tx: Tx, group: str) -> None:
    """Raises `Misconfigured` where the database is another installation's; one that nobody has decided in is anybody's."""
    _require(_kept(tx).get("group"), group)


def name_of(tx: Tx, name: str) -> str:
    """What this database is called for good: `name`, where it has none yet."""
    tx.insert_absent(installation, [{"name": "database", "value": name}])
    return _kept(tx)["database"]


def known_name(tx: Tx) -> str | None:
    """What this database is called; None until an intake has read into it."""
    return _kept(tx).get("database")


def _require(owner: str | None, group: str) -> None:
    if owner not in (None, group):
        raise Misconfigured(f"the database is of the installation {owner}, and this is {group}: each has one of its own")


def fault(found: str | None, revisions: tuple[str, ...], oldest: str | None = None) -> str | None:
    """What is wrong with a database at `found` for a release that knows `revisions`, and what would be right; None if nothing.

    `oldest` is the first revision whose release may run on it, as the database says.
    """
    needed = revisions[-1]
    if found is None:
        return f"the database has no schema: {UPGRADE}"
    if found == needed:
        return None
    if found in revisions:
        return f"the schema is at {found}, this version needs {needed}: {UPGRADE}"
    if oldest is not None and oldest <= needed:
        return None
    return f"the schema is at {found}, which this version does not know: a newer release upgraded it; start that one"


def _upgrade(tx: Tx, anew: bool, queue_seconds: float, lock_seconds: float) -> list[str]:
    # Alembic takes a fifth of a second to import, and every command asks `require_current`
    from alembic import command
    from alembic.config import Config

    if unfit := _unfit(tx) or _astray(tx, anew=anew) or _closed(_kept(tx)):
        raise Misconfigured(unfit)
    if tx.postgres:
        _stand_in_line(tx, queue_seconds, lock_seconds)
    found = _found(tx)
    if found is not None and found not in known():
        wrong = fault(found, known(), _kept(tx).get("oldest_release"))
        if wrong:
            raise Misconfigured(wrong)
        return []
    applied: list[str] = []
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=tx.connection, applied=applied)
    try:
        command.upgrade(config, "head")
    except OperationalError as error:
        raise _in_one_line(error, f"somebody held a table for {lock_seconds:g} s; nothing was changed") from error
    return applied


def _stand_in_line(tx: Tx, queue_seconds: float, lock_seconds: float) -> None:
    # SQLite needs none of this: the transaction began with the write lock
    # an index over a hundred million rows takes as long as it takes; waiting for a lock does not
    tx.limit("statement_timeout", 0)
    tx.limit("lock_timeout", queue_seconds)
    try:
        tx.connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
    except OperationalError as error:
        raise _in_one_line(error, f"another upgrade has been running for over {queue_seconds:g} s") from error
    tx.limit("lock_timeout", lock_seconds)


def _in_one_line(error: OperationalError, why: str) -> Exception:
    return TryLater("the database", why) if sqlstate(error) == LOCK_NOT_AVAILABLE else error


def _found(tx: Tx) -> str | None:
    if not inspect(tx.connection).has_table("alembic_version"):
        return None
    return tx.connection.execute(text("select max(version_num) from alembic_version")).scalar()


def _unfit(tx: Tx) -> str | None:
    """Why nothing can be kept in this database, whatever is in it; None where it can."""
    if not tx.postgres:
        return takes_no_writes(tx.connection.engine.url)
    # not `transaction_read_only`: a look sets that itself
    names = "default_transaction_read_only", "server_encoding"
    replica, reads_only, encoding = tuple(tx.one(select(func.pg_is_in_recovery(), *(func.current_setting(one) for one in names))))
    if replica:
        return "the database server is a read-only replica: name the primary"
    if reads_only == "on":
        return "the database takes no writes: default_transaction_read_only is on, for the server, this database or this role"
    if encoding != "UTF8":
        return f"the database keeps text as {encoding}, and customers write in any script: create it with encoding 'UTF8'"
    return hidden(tx)


def _astray(tx: Tx, *, anew: bool) -> str | None:
    """Why our tables are not found and cannot be made where we look; None where they can."""
    # what every release since 0005 has written down, so that nobody is asked for more where all is well
    return None if _kept(tx) else astray(tx, anew=anew)


def _closed(kept: dict[str, str]) -> str | None:
    """Why nothing is kept in this database any more, or yet."""
    return told(kept[MARK]).why if MARK in kept else None


def _kept(tx: Tx) -> dict[str, str]:
    """What is true of this installation whichever release looks at it."""
    if not inspect(tx.connection).has_table(installation.name):
        return {}
    return {row.name: row.value for row in tx.all(select(installation))}
