"""Whose a folder of customers' files is: that of the database that first kept one there, which a file in it names.

What no row of ours names may be in a row of theirs, so nobody keeps or deletes files in the folder of another database. The mark
also names the newest file of the books: books that do not know it were set back since, or are a copy from before.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import func, select

from worker import disk
from worker.clock import Clock, new_id
from worker.errors import TryLater
from worker.patience import Patience
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.schema import known_name, name_of
from worker.store.tables import evidence

MARK = ".database"
LOOKED_UP = 2000
"""Files in one question to the database."""


@contextmanager
def reaching() -> Iterator[None]:
    """What cannot be done with the folder raises `TryLater`."""
    try:
        yield
    except OSError as error:
        raise TryLater("the evidence folder", error.strerror or type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of a folder, and the books that it is compared with. Raises `TryLater` where the folder cannot be read."""

    folder: Path
    store: Store
    clock: Clock
    patience: Patience = field(default_factory=disk.patience, compare=False)
    """The mark is read before anything else is done there: a folder that hangs holds nobody up."""

    def stranger(self) -> str | None:
        """Which database the folder is of, where that is another one than ours."""
        owner, _ = self._read()
        return None if owner in (None, self.store.read(known_name)) else owner

    def require_ours(self) -> None:
        """Raises `TryLater` where the folder is another database's."""
        if other := self.stranger():
            raise TryLater("the evidence folder", f"it is that of the database {other}; ours needs one of its own")

    def is_ours(self) -> bool:
        """True where the mark says so."""
        return self._read()[0] is not None and self.stranger() is None

    def take(self, lying: Iterator[str]) -> None:
        """The folder is ours from here on. One without a mark is where none of the files that lie in it are, or a row of ours
        names one of them: earlier releases kept no mark. Raises `TryLater` where it is another database's.
        """
        self.require_ours()
        if self.is_ours():
            return
        if not self._may_be_ours(lying):
            raise TryLater(
                "the evidence folder", "no row of our database names any of the files in it; ours needs one of its own"
            )
        self._write(self.store.write(lambda tx: name_of(tx, new_id("db", self.clock.now()))))
        # of two that come at once the later one has it
        self.require_ours()

    def books_are_behind(self) -> bool:
        """True where the folder has seen a file that no row of ours names."""
        _, newest = self._read()
        seen = select(evidence.c.evidence_id).where(evidence.c.evidence_id == newest)
        return newest is not None and self.store.read(lambda tx: tx.first(seen)) is None

    def keep_up(self) -> None:
        """The folder, which is ours, has seen the newest file of our books."""
        owner, newest = self._read()
        # ids sort by when they were made
        known = self.store.read(lambda tx: tx.connection.execute(select(func.max(evidence.c.evidence_id))).scalar())
        if owner is not None and known not in (None, newest):
            self._write(owner, known)

    def kept_up_at(self) -> datetime:
        """When the folder saw its newest file."""
        with reaching():
            return datetime.fromtimestamp((self.folder / MARK).stat().st_mtime, UTC)

    def _may_be_ours(self, lying: Iterator[str]) -> bool:
        some = False
        while names := list(islice(lying, LOOKED_UP)):
            some = True
            if self.store.read(partial(_any_row, names=names)):
                return True
        return not some

    def _read(self) -> tuple[str | None, str | None]:
        """The database and the newest file; None for what is not said."""
        with reaching():
            try:
                said = self.patience.look((self.folder / MARK).read_bytes).decode(errors="replace").split()
            except FileNotFoundError:
                return None, None
        return said[0] if said else None, said[1] if len(said) > 1 else None

    def _write(self, owner: str, newest: str = "") -> None:
        with reaching():
            disk.put(self.folder / MARK, f"{owner} {newest}\n".encode())


def _any_row(tx: Tx, names: Sequence[str]) -> bool:
    return tx.first(select(evidence.c.stored).where(tx.among(evidence.c.stored, names))) is not None
