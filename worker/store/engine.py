"""The database, opened the safe way on each engine, and the one shape every unit of work has."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from worker.errors import Collision, LockedOut, Misconfigured, TryLater, one_line
from worker.store.bulk import Tx
from worker.store.session import prepare_sessions, settings_of

T = TypeVar("T")

SQLITE_WAL_FROM = (3, 51, 3)
"""Below this, two connections that checkpoint at once can corrupt a WAL database (failure-modes.md, finding 11)."""
NETWORKED = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "ceph",
    "lustre",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
}
"""File systems whose locks do not keep two hosts out of one file, and ruin it (failure-modes.md, X10)."""
MOUNTS = Path("/proc/self/mountinfo")
REPEATS = 5
BUSY_SECONDS = 20
NO_SCHEMA = "the schema is missing: run `refunds db upgrade`"
NO_SUCH_TABLE = "42P01"
NOT_ALLOWED = "42501"
NOT_SUPPORTED = "0A000"
"""Of a statement: what it reads has other types since it was prepared; it is prepared anew after the rollback. Of the beginning
of a transaction that writes: the server only replays what another does."""
LOCK_NOT_AVAILABLE = "55P03"
RAISED = "P0"
"""What errors begin with that a function of the database raises itself."""
ONLY_READS = "25006"
GONE = {ONLY_READS, "25P03", "25P04"}
"""What is no defect although the driver calls it an internal error: the server only reads any more, or has ended our session."""


class Store:
    """Units of work on one database. A unit is repeated as a whole on deadlock, serialization failure, collision, where its
    connection broke before the commit, and where what it had prepared is no longer as the tables are.
    """

    def __init__(self, url: str, mounts: Path = MOUNTS) -> None:
        """`mounts`: where the system lists what is mounted. Raises `Misconfigured` for a file that another host may lock."""
        self.url = url
        self.engine = _open(url, mounts)

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self.engine.dialect.name

    @property
    def file(self) -> Path | None:
        """The file of SQLite; None where the database is no file, or one that is named in a way only SQLite reads."""
        return _file_of(self.engine.url)

    @property
    def is_to_be_made(self) -> bool:
        """True for a file of SQLite that is not there yet, and would be after a mere look."""
        file = self.file
        return file is not None and not file.exists() and file.parent.is_dir()

    def write(self, work: Callable[[Tx], T]) -> T:
        """What `work` returned, committed. `work` may run more than once and must have no effect outside the database."""
        return self._run(work, writing=True, keep=True)

    def rehearse(self, work: Callable[[Tx], T]) -> T:
        """What `write` would return or raise now, found by really doing it in a transaction that is then undone."""
        return self._run(work, writing=True, keep=False)

    def read(self, work: Callable[[Tx], T]) -> T:
        """What `work` returned, from one consistent look at the database; nothing is written."""
        return self._run(work, writing=False, keep=False)

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()

    def forget_connections(self) -> None:
        """Drops connections inherited through a fork without closing the parent's sockets."""
        self.engine.dispose(close=False)

    def _run(self, work: Callable[[Tx], T], *, writing: bool, keep: bool) -> T:
        if not keep and self.is_to_be_made:
            raise Misconfigured(NO_SCHEMA)
        try:
            for attempt in Retrying(
                retry=retry_if_exception(_worth_repeating),
                stop=stop_after_attempt(REPEATS),
                wait=wait_random_exponential(multiplier=0.02, max=1.0),
                reraise=True,
            ):
                with attempt, self.engine.connect().execution_options(writing=writing) as connection:
                    return self._once(connection, work, writing=writing, keep=keep)
        except (ProgrammingError, OperationalError, InterfaceError, InternalError) as error:
            if sqlstate(error) == NO_SUCH_TABLE or "no such table" in str(error.orig):
                raise Misconfigured(NO_SCHEMA) from error
            if sqlstate(error) == NOT_ALLOWED:
                right = "a worker signs in as deploy/postgres/roles.sql has it, and an upgrade runs as the owner of the tables"
                raise Misconfigured(f"the database: {why_unreachable(error)}; {right}") from error
            if sqlstate(error) == LOCK_NOT_AVAILABLE:
                raise LockedOut("the database", "another session holds a row that is needed, and does not let it go") from error
            if _is_defect(error, writing):
                raise
            raise TryLater("the database", why_unreachable(error)) from error
        except DatabaseError as error:
            if _is_ruined(error):
                right = 'put a backup in its place (docs/operating.md, "After a restore")'
                raise Misconfigured(f"the SQLite file cannot be used: {one_line(error.orig or error)}; {right}") from error
            raise
        except NoConnectionFree as error:
            raise TryLater("the database", "no connection came free in time") from error
        except _Broken as error:
            raise TryLater("the database", why_unreachable(error.by)) from error
        raise AssertionError("unreachable: the loop above returns or raises")

    def _once(self, connection: Connection, work: Callable[[Tx], T], *, writing: bool, keep: bool) -> T:
        if self.dialect == "postgresql" and not writing:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            # there is nothing to undo, and after a rollback the driver forgets what it has prepared
            keep = True
        with _before_the_commit(connection, writing):
            transaction = connection.begin()
        with transaction:
            with _before_the_commit(connection, writing):
                result = work(Tx(connection))
            if not keep:
                transaction.rollback()
        return result


class _Broken(Exception):
    """A connection turned out to be broken before the commit: kept ones outlive their server, and to ask each before its use
    would cost every unit a round trip.
    """

    def __init__(self, by: DBAPIError) -> None:
        super().__init__(by)
        self.by = by


@contextmanager
def _before_the_commit(connection: Connection, writing: bool) -> Iterator[None]:
    """Raises `_Broken` where what is done within finds the connection so. Not for a commit, whose answer alone may be lost."""
    try:
        yield
    except DBAPIError as error:
        if writing and _only_reads(connection, error):
            # after a failover the address may lead to another server, and this connection never will
            connection.invalidate()
            raise _Broken(error) from error
        if error.connection_invalidated:
            raise _Broken(error) from error
        raise


def _only_reads(connection: Connection, error: DBAPIError) -> bool:
    if sqlstate(error) != NOT_SUPPORTED:
        return sqlstate(error) == ONLY_READS
    # a twentieth of a second to import, which a file does without
    from psycopg.pq import TransactionStatus

    # by this and not by the server's words, which are in its own language: where the beginning was refused none is open
    session: Any = connection.connection.driver_connection
    return bool(session.info.transaction_status == TransactionStatus.IDLE)


def _open(url: str, mounts: Path) -> Engine:
    parsed = parts_of(url)
    if parsed.get_backend_name() == "sqlite":
        file = _file_of(parsed)
        if file is not None:
            _refuse_network(file, mounts)
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        if file is not None:
            event.listen(engine, "do_connect", lambda *_: _make_private(file))
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        # what its options set is set by `prepare_sessions`
        parsed.difference_update_query(["options"]),
        hide_parameters=True,
        # locked first and read after: what was committed meanwhile is to be seen, whatever the server takes for its default
        isolation_level="READ COMMITTED",
        pool_size=4,
        max_overflow=4,
        pool_timeout=10,
        connect_args={"connect_timeout": 5, "keepalives_idle": 10},
    )
    prepare_sessions(engine, settings_of(parsed))
    event.listen(engine, "handle_error", _hide_values)
    return engine


def _hide_values(context: ExceptionContext) -> None:
    """Takes what the server adds to its message out of an error: it quotes the row."""
    said = getattr(getattr(context.original_exception, "diag", None), "message_primary", None)
    if said is not None:
        context.original_exception.args = (said,)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (said,)


def _file_of(url: URL) -> Path | None:
    """The file of SQLite that the URL names; None for a database in memory and for a server."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def _refuse_network(file: Path, mounts: Path) -> None:
    try:
        listed = os.fsdecode(mounts.read_bytes())
    except OSError:
        return  # a system that tells nothing of its mounts
    file, found, deepest = file.resolve(), "", 0
    for line in listed.splitlines():
        about, _, kind = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), about.split(" ")[4]))
        # of two at one point the later lies on top
        if file.is_relative_to(point) and len(point.parts) >= deepest:
            found, deepest = kind.split(" ")[0], len(point.parts)
    if found in NETWORKED:
        raise Misconfigured(f"the SQLite file lies on {found}, where locks do not hold: put it on a local disk, or use Postgres")


def _make_private(file: Path) -> None:
    """Makes the file, where it is not there, readable by us alone: SQLite would make it as the umask has it."""
    with suppress(OSError):  # there already, or not to be made, which SQLite says itself
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def parts_of(url: str) -> URL:
    """The parts of the URL. Raises `Misconfigured` where they cannot be, whatever would answer there, and never repeats them, for
    a password is among them.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise Misconfigured("the database URL cannot be read; several servers are ?host=a:5432&host=b:5432") from error
    # a slash after an @ in a password ends the host, and what follows looks like a database's name
    if parsed.get_backend_name() != "sqlite" and "@" in (parsed.host or "") + (parsed.database or ""):
        raise Misconfigured("the database URL: in a user name or password write @ as %40")
    if parsed.get_backend_name() != "sqlite":
        _refuse_options_nobody_knows(parsed)
        settings_of(parsed)
    return parsed


def _refuse_options_nobody_knows(url: URL) -> None:
    # a twentieth of a second to import, which a file does without
    from psycopg import ProgrammingError, conninfo

    try:
        conninfo.make_conninfo(**dict.fromkeys(url.query, "any"))
    except ProgrammingError as error:
        raise Misconfigured(f"the database URL: {one_line(error)}") from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # the driver must not begin transactions by itself: it would only do so before the first write
    connection.isolation_level = None
    connection.create_function("from_hex", 1, _from_hex, deterministic=True)
    connection.create_function("sha256", 1, _sha256, deterministic=True)
    mode = "wal" if sqlite3.sqlite_version_info >= SQLITE_WAL_FROM else "delete"
    for pragma in (f"journal_mode={mode}", "synchronous=full", "foreign_keys=on"):
        connection.execute(f"pragma {pragma}")


def _from_hex(text: str | None) -> bytes | None:
    # SQLite has `unhex` only from 3.41 on
    return None if text is None else bytes.fromhex(text)


def _sha256(text: str) -> bytes:
    # SQLite has none, Postgres does
    return sha256(text.encode()).digest()


def _begin_sqlite(connection: Connection) -> None:
    # a write lock taken up front: "select, decide, insert" is one transaction, and two writers queue instead of failing
    writing = connection.get_execution_options().get("writing", True)
    connection.exec_driver_sql("begin immediate" if writing else "begin")


def _worth_repeating(error: BaseException) -> bool:
    if isinstance(error, Collision | _Broken):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # not a locked SQLite file: it was already waited for
    return sqlstate(error) in {"40P01", "40001", NOT_SUPPORTED}


def _is_defect(error: DBAPIError, writing: bool) -> bool:
    if not isinstance(error, InternalError):
        return isinstance(error, ProgrammingError)
    state = sqlstate(error)
    # a look that writes is a defect of ours
    return state not in GONE or (state == ONLY_READS and not writing)


def _is_ruined(error: DatabaseError) -> bool:
    return type(error) is DatabaseError and isinstance(error.orig, sqlite3.DatabaseError)


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters by which Postgres calls the error; None where it said nothing, and on SQLite."""
    return getattr(error.orig, "sqlstate", None)


def refuses_the_row(error: DBAPIError) -> bool:
    """True where the database did what it was told and refused the row: a constraint, a type, a trigger that raises."""
    return isinstance(error, IntegrityError | DataError) or (sqlstate(error) or "").startswith(RAISED)


def why_unreachable(error: DBAPIError) -> str:
    """One line that says what the driver said, with what to do where we know it; never a password."""
    said = one_line(error.orig or error)
    if "database is locked" in said:
        return f"the SQLite file is locked by another process (waited {BUSY_SECONDS} s); end it or use Postgres"
    if "unable to open database file" in said:
        return "the SQLite file cannot be opened: does its folder exist, and may we write there?"
    return said
