"""The files that customers send: outside the database, under names of our own, never opened.

A file is whole or not there (`worker.disk`). Its row comes after it, so a crash in between leaves a file
without a row, which the sweep deletes.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker import disk
from worker.errors import Refused, TryLater

RAW = "mail.eml"
"""What the mail itself is called among its files."""


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of files, made on first use, readable by its owner alone."""

    folder: Path

    def keep(self, content: bytes) -> str:
        """Stores the bytes durably; returns the name, by chance and without an extension. Raises `TryLater` where it cannot."""
        name = secrets.token_hex(16)
        try:
            disk.put(self.folder / name, content)
        except OSError as error:
            raise TryLater("the evidence folder", error.strerror or type(error).__name__) from error
        return name

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises `Refused` where it is not there."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise Refused("the file is not there any more") from error

    def has(self, name: str) -> bool:
        """True where the file is there."""
        return self._path(name).is_file()

    def delete(self, name: str) -> None:
        """The file is gone, durably; one that was not there is gone too. Raises `TryLater` where it cannot be deleted, and where
        the whole folder is away: its files come back with it.
        """
        try:
            self._path(name).unlink(missing_ok=True)
            disk.sync_folder(self.folder)
        except OSError as error:
            raise TryLater("the evidence folder", error.strerror or type(error).__name__) from error

    def older_than(self, at: datetime) -> Iterator[str]:
        """The names of everything in the folder last written before `at`, leftovers of a crash among them."""
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as found:
            for entry in found:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False) and datetime.fromtimestamp(entry.stat().st_mtime, UTC) < at:
                        yield entry.name

    def _path(self, name: str) -> Path:
        assert name == Path(name).name, "names are our own"
        return self.folder / name
