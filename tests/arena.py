"""One database for many plays, and the processes that play side by side."""

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy import event

from worker.screen import err, progress
from worker.store.engine import Store
from worker.store.schema import upgrade

HASTE = ("synchronous=off", "journal_mode=memory", "temp_store=memory")
"""A play need not survive a power cut."""
P = TypeVar("P")
R = TypeVar("R")


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


def room_for_a_server() -> str | None:
    """Where in memory a database server has room, and may run what it brings along; None where it has not. Making a database
    takes a fifteenth of what it takes on a disk.
    """
    if not MEMORY.is_dir():
        return None
    there = os.statvfs(MEMORY)
    return str(MEMORY) if there.f_bavail * there.f_frsize >= SERVER_BYTES and not there.f_flag & os.ST_NOEXEC else None


def _hurry(connection: sqlite3.Connection, _: object) -> None:
    for pragma in HASTE:
        connection.execute(f"pragma {pragma}")


class Arena:
    """One database for many plans: made empty again from a copy, which keeps compiled statements."""

    def __init__(self, within: str | None = None) -> None:
        self._scratch = scratch("arena", within)
        folder = Path(self._scratch.name)
        template = Store(f"sqlite:///{folder / 'template.db'}")
        upgrade(template)
        template.close()
        self._template = sqlite3.connect(folder / "template.db")
        self.store = Store(f"sqlite:///{folder / 'plans.db'}")
        event.listen(self.store.engine, "connect", _hurry)

    def close(self) -> None:
        """Gives the files back."""
        self.store.close()
        self._template.close()
        self._scratch.cleanup()

    @contextmanager
    def empty(self) -> Iterator[Store]:
        """The database without a row in it."""
        raw = self.store.engine.raw_connection()
        try:
            self._template.backup(raw.driver_connection)  # type: ignore[arg-type]
        finally:
            raw.close()
        yield self.store


def side_by_side(name: str, play: Callable[[Arena, P], R], plans: Sequence[P], processes: int, chunk: int = 8) -> Iterator[R]:
    """What `play` makes of each plan, as it gets done: in so many processes, each with an arena of its own. How far it is shows
    in a bar on a terminal, and elsewhere in a line each minute.
    """
    spawned = get_context("spawn")
    # the folder is this process's to remove: those of a pool are ended without a word
    with scratch("plays") as folder, spawned.Pool(processes, _prepare, (folder,)) as pool, progress() as bar:
        task, told_at = bar.add_task(name, total=len(plans)), time.monotonic()
        for number, done in enumerate(pool.imap_unordered(partial(_play, play), plans, chunksize=chunk), 1):
            yield done
            bar.advance(task)
            if not err.is_terminal and time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                err.print(f"{name}: {number:,} of {len(plans):,}")


_ARENA: list[Arena] = []


def _prepare(folder: str) -> None:
    quiet()
    _ARENA.append(Arena(folder))


def _play(play: Callable[[Arena, P], R], plan: P) -> R:
    return play(_ARENA[0], plan)
