"""The files that customers send: outside the database, under names of our own, never opened.

A file is whole or not there (`worker.disk`). Its row comes after it, so a crash in between leaves a file
without a row, which the sweep deletes. Files by other names are not ours, whatever folder we were given.
"""

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker import disk
from worker.cases.requests.mark import MARK, Mark, reaching
from worker.errors import Refused, TryLater

RAW = "mail.eml"
"""What the mail itself is called among its files."""
_WHOLE = re.compile(r"[0-9a-f]{32}")
_HALF = re.compile(rf"({_WHOLE.pattern}|{re.escape(MARK)})\.[0-9a-f]{{8}}\.part")
"""What a process that died while it wrote one leaves (`disk.put`)."""


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of files, made on first use, readable by its owner alone."""

    mark: Mark

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.mark.folder

    def keep(self, content: bytes) -> str:
        """Stores the bytes durably; returns the name, by chance and without an extension. Raises `TryLater` where it cannot."""
        name = secrets.token_hex(16)
        with reaching():
            self.mark.take(name for name, _ in self._lying() if _WHOLE.fullmatch(name))
            disk.put(self.folder / name, content)
        return name

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises `Refused` where it is not there, or where that is no name of a file of ours."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise Refused("the file is not there any more") from error

    def has(self, name: str) -> bool:
        """True where the file is there."""
        return bool(_WHOLE.fullmatch(name)) and self._path(name).is_file()

    def delete(self, names: Iterable[str]) -> dict[str, TryLater]:
        """The files are gone, durably, but for those that cannot be deleted, which are returned with why; one that was not there
        is gone too. Raises `TryLater` where the whole folder is away: its files come back with it.
        """
        kept: dict[str, TryLater] = {}
        for name in names:
            try:
                with reaching():
                    self._path(name).unlink(missing_ok=True)
            except TryLater as error:
                kept[name] = error
            except Refused as error:
                kept[name] = TryLater("a file", str(error))
        with reaching():
            disk.sync_folder(self.folder)
        return kept

    def older_than(self, whole: datetime, half: datetime) -> Iterator[str]:
        """The names of our own files last written before `whole`, and of what crashes left of some before `half`."""
        for name, written in self._lying():
            if written < (whole if _WHOLE.fullmatch(name) else half):
                yield name

    def _lying(self) -> Iterator[tuple[str, datetime]]:
        """What lies there under names of our own making, and when each was last written."""
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as found:
            for entry in found:
                with suppress(FileNotFoundError):
                    ours = _WHOLE.fullmatch(entry.name) or _HALF.fullmatch(entry.name)
                    if ours and entry.is_file(follow_symlinks=False):
                        yield entry.name, datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_mtime, UTC)

    def _path(self, name: str) -> Path:
        # a row that was put in by hand may name any file of this host
        if not (_WHOLE.fullmatch(name) or _HALF.fullmatch(name)):
            raise Refused(f"{name!r} is no name of a file of ours")
        return self.folder / name
