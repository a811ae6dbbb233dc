"""The database, opened the safe way on each engine, and the one shape every unit of work has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from worker.errors import Collision, Misconfigured, OutOfTime, TryLater, Unanswered, one_line
from worker.observe import rehearsing
from worker.store import sqlite
from worker.store.bulk import Tx
from worker.store.faults import NO_SCHEMA, NOT_SUPPORTED, ONLY_READS, meaning, sqlstate, why_unreachable
from worker.store.session import is_asking, prepare_sessions, settings_of

T = TypeVar("T")

REPEATS = 5
LINE = {
    "connect_timeout": 5,
    # a server that vanishes without a word is noticed in 20 s: where we wait for it by questions that nobody answers,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # and where what we sent was never taken, by this (milliseconds; else the system tries for a quarter of an hour)
    "tcp_user_timeout": 20_000,
}
"""What the driver is told about the line to Postgres; a system that has no such setting passes over it."""


class Store:
    """Units of work on one database. A unit is repeated as a whole on deadlock, serialization failure, collision, where its
    connection broke before the commit, and where what it had prepared is no longer as the tables are.
    """

    def __init__(self, url: str, mounts: Path = sqlite.MOUNTS) -> None:
        """`mounts`: where the system lists what is mounted. Raises `Misconfigured` for a file that another host may lock."""
        self.url = url
        self.engine = _open(url, mounts)

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self.engine.dialect.name

    @cached_property
    def file(self) -> Path | None:
        """The file of SQLite; None where the database is no file, or one that is named in a way only SQLite reads."""
        return sqlite.file_of(self.engine.url)

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
        with rehearsing():
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
            return self._repeated(partial(self._once, work, writing=writing, keep=keep))
        except DBAPIError as error:
            ours = meaning(error, writing=writing)
            if ours is error:
                raise
            raise ours from error
        except NoConnectionFree as error:
            raise TryLater("the database", "no connection came free in time") from error
        except _Broken as error:
            raise TryLater("the database", why_unreachable(error.by)) from error

    @staticmethod
    def _repeated(once: Callable[[], T]) -> T:
        # nearly every unit is done at once, and what repeats it would take a quarter of the time around it
        try:
            return once()
        except Exception as error:
            if not _worth_repeating(error):
                raise
        again: T = _AGAIN(once)
        return again

    def _once(self, work: Callable[[Tx], T], *, writing: bool, keep: bool) -> T:
        with self.engine.connect().execution_options(writing=writing) as connection:
            if self.dialect == "postgresql" and not writing:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                # there is nothing to undo, and after a rollback the driver forgets what it has prepared
                keep = True
            with _before_the_commit(connection, writing):
                transaction = connection.begin()
            # its end commits: by hand, a commit that fails would leave what was begun on the connection for whoever has it next
            with _within_the_time(connection), transaction:
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
        with _within_the_time(connection):
            yield
    except DBAPIError as error:
        if writing and sqlstate(error) == ONLY_READS:
            # after a failover the address may lead to another server, and this connection never will
            connection.invalidate()
            raise _Broken(error) from error
        if error.connection_invalidated:
            raise _Broken(error) from error
        raise


@contextmanager
def _within_the_time(connection: Connection) -> Iterator[None]:
    """Raises `Unanswered` where the time of the task is over while the database is silent, be it at a commit: one that waits for
    a standby waits without end, and may stand already.
    """
    try:
        yield
    except OutOfTime as error:
        if connection.invalidated or not is_asking(connection):
            raise
        # on this connection it takes no `rollback` either
        connection.invalidate()
        raise Unanswered("the database", "had not answered when the time of the task was over") from error


def _open(url: str, mounts: Path) -> Engine:
    parsed = parts_of(url)
    if parsed.get_backend_name() == "sqlite":
        return sqlite.opened(parsed, mounts)
    engine = create_engine(
        # what its options set is set by `prepare_sessions`
        parsed.difference_update_query(["options"]),
        hide_parameters=True,
        # locked first and read after: what was committed meanwhile is to be seen, whatever the server takes for its default
        isolation_level="READ COMMITTED",
        pool_size=4,
        max_overflow=4,
        pool_timeout=10,
        connect_args={name: value for name, value in LINE.items() if name not in parsed.query},
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
    elif sqlite.in_memory(parsed):
        raise Misconfigured("the database URL names no file, and what is kept in memory ends with its process: sqlite:///FILE")
    return parsed


def _refuse_options_nobody_knows(url: URL) -> None:
    # a twentieth of a second to import, which a file does without
    from psycopg import ProgrammingError, conninfo

    try:
        conninfo.make_conninfo(**dict.fromkeys(url.query, "any"))
    except ProgrammingError as error:
        raise Misconfigured(f"the database URL: {one_line(error)}") from error


def _worth_repeating(error: BaseException) -> bool:
    if isinstance(error, Collision | _Broken):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # not a locked SQLite file: it was already waited for
    return sqlstate(error) in {"40P01", "40001", NOT_SUPPORTED}


_AGAIN = Retrying(
    retry=retry_if_exception(_worth_repeating),
    stop=stop_after_attempt(REPEATS - 1),
    wait=wait_random_exponential(multiplier=0.02, max=1.0),
    reraise=True,
)
