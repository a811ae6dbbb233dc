"""One database for many plays, and the processes that play side by side."""

import gc
import logging
import os
import sqlite3
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import delete, event, insert, select

from tests.postgres import start_postgres
from tests.servers import believe_in_one_row, fresh_database, give_schema, signed_in
from worker.screen import err, progress
from worker.store.engine import Store
from worker.store.tables import case_tallies, metadata

HASTE = ("synchronous=off", "journal_mode=memory", "temp_store=memory")
"""A play need not survive a power cut."""
P = TypeVar("P")
R = TypeVar("R")
Rows = dict[str, list[dict[str, Any]]]


def quiet() -> None:
    """Says nothing below an error that nobody expects."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


MEMORY = Path("/dev/shm")  # noqa: S108
"""Where files are kept in memory, on machines that have it."""
TOLD_EVERY_SECONDS = 60.0
"""How often a proof says how far it is, where nobody watches a bar."""
SERVER_BYTES = 3 << 30
"""What a database server of the tests may come to, its log included."""


def scratch(name: str, within: str | None = None) -> tempfile.TemporaryDirectory[str]:
    """A fresh folder for files that need not survive a power cut, in memory where the machine has such a place."""
    return tempfile.TemporaryDirectory(prefix=f"refunds-{name}-", dir=within or (MEMORY if MEMORY.is_dir() else None))


@contextmanager
def passing_postgres() -> Iterator[str]:
    """The URL of a real Postgres that need not survive a power cut. Raises `ServerFailed` where none starts."""
    with scratch("postgres", roomy_memory() or tempfile.gettempdir()) as folder:
        # it may run as another user, who must get there
        Path(folder).chmod(0o755)
        with start_postgres(Path(folder), durable=False) as server:
            yield server.url


def roomy_memory() -> str | None:
    """Where in memory a server has room, which has to run what it brings along; None where there is no such place."""
    # making a database takes a fifteenth there of what it takes on a disk
    if not MEMORY.is_dir():
        return None
    there = os.statvfs(MEMORY)
    return str(MEMORY) if there.f_bavail * there.f_frsize >= SERVER_BYTES and not there.f_flag & os.ST_NOEXEC else None


def _hurry(connection: sqlite3.Connection, _: object) -> None:
    for pragma in HASTE:
        connection.execute(f"pragma {pragma}")


def snapshot(store: Store) -> Rows:
    """Everything the database holds but who is at work just now."""
    kept = [table for table in metadata.sorted_tables if table.name != "leases"]
    return store.read(lambda tx: {t.name: [dict(row._mapping) for row in tx.all(select(t))] for t in kept})


def put_back(store: Store, rows: Rows) -> None:
    """Makes the database hold that again and nothing else."""
    with store.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        for table in sorted(metadata.sorted_tables, key=lambda table: table is case_tallies):
            if table is case_tallies:
                # a backup is put back without triggers: what they counted just now is in it already
                connection.execute(delete(table))
            if rows.get(table.name):
                connection.execute(insert(table), rows[table.name])


class Stage(Protocol):
    """A database that can be made empty again."""

    def empty(self) -> AbstractContextManager[Store]:
        """The database without a row in it."""
        ...


class PutBack:
    """A database of either engine whose rows are put back as they are now."""

    def __init__(self, store: Store) -> None:
        self.store, self._rows = store, snapshot(store)

    @contextmanager
    def empty(self) -> Iterator[Store]:
        """The database with these rows and no others."""
        put_back(self.store, self._rows)
        yield self.store


class Arena(ABC):
    """One database for many plays, which keeps compiled statements."""

    store: Store

    @abstractmethod
    def empty(self) -> AbstractContextManager[Store]:
        """The database without a row in it."""

    @abstractmethod
    def close(self) -> None:
        """Gives the place back."""


class PostgresArena(PutBack, Arena):
    """A database of its own on a server."""

    def __init__(self, server: str) -> None:
        self._kept = ExitStack()
        url = self._kept.enter_context(fresh_database(server))
        give_schema(url)
        with signed_in(url) as session:
            believe_in_one_row(session)
        super().__init__(Store(url))

    def close(self) -> None:
        """Gives the database back."""
        self.store.close()
        self._kept.close()


class SqliteArena(PutBack, Arena):
    """A file in memory."""

    def __init__(self, within: str | None = None) -> None:
        self._scratch = scratch("arena", within)
        url = f"sqlite:///{Path(self._scratch.name) / 'plans.db'}"
        give_schema(url)
        store = Store(url)
        event.listen(store.engine, "connect", _hurry)
        super().__init__(store)

    def close(self) -> None:
        """Gives the file back."""
        self.store.close()
        self._scratch.cleanup()


def an_arena(server: str | None, within: str | None = None) -> Arena:
    """One on the Postgres that is named, or as a file in that folder."""
    return PostgresArena(server) if server else SqliteArena(within)


def on_postgres(wanted: bool) -> AbstractContextManager[str | None]:
    """A server for arenas; None where they are files, in which a play takes a few times less."""
    return passing_postgres() if wanted else nullcontext()


def side_by_side(
    name: str, play: Callable[[Arena, P], R], plans: Sequence[P], processes: int, server: str | None, chunk: int = 8
) -> Iterator[R]:
    """What `play` makes of each plan, as it gets done: in so many processes, each with an arena of its own. How far it is shows
    in a bar on a terminal, and elsewhere in a line each minute.
    """
    spawned = get_context("spawn")
    # the folder is this process's to remove: those of a pool are ended without a word
    with scratch("plays") as folder, spawned.Pool(processes, _prepare, (server, folder)) as pool, progress() as bar:
        task, told_at = bar.add_task(name, total=len(plans)), time.monotonic()
        for number, done in enumerate(pool.imap_unordered(partial(_play, play), plans, chunksize=chunk), 1):
            yield done
            bar.advance(task)
            if not err.is_terminal and time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                err.print(f"{name}: {number:,} of {len(plans):,}")


_ARENA: list[Arena] = []


def _prepare(server: str | None, folder: str) -> None:
    quiet()
    _ARENA.append(an_arena(server, folder))
    # what is there now stays, and a play leaves little behind: nobody need look through all of it again and again
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _play(play: Callable[[Arena, P], R], plan: P) -> R:
    return play(_ARENA[0], plan)
