"""How far each chain had come, kept outside the database: lines in the folder of the claim journal, only ever added to.

Whoever may write to the database can make a whole chain anew; not the heads that others keep.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from worker.clock import written
from worker.disk import append, patience
from worker.errors import TryLater, one_line
from worker.patience import Patience


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a chain at some time."""

    name: str
    number: int
    last_id: int
    hash: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A head that was kept, and when."""

    head: Head
    at: str


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads in one folder, a file a year."""

    folder: Path
    disk: Patience = field(default_factory=patience, repr=False, compare=False)

    def add(self, heads: Sequence[Head], at: datetime) -> None:
        """Keeps these heads. Raises `TryLater` where the folder cannot be written to."""
        self._write([asdict(head) for head in heads], at)

    def forgive(self, heads: Sequence[Head], at: datetime, *, by: str, reason: str) -> None:
        """These heads are no longer asked about: they belong to what a restore lost."""
        self._write([{**asdict(head), "forgiven_by": by, "reason": reason} for head in heads], at)

    def standing(self) -> list[Kept]:
        """Every head that was kept and not forgiven, in the order kept. A line that a crash has torn is none."""
        kept: dict[Head, Kept] = {}
        for line in self._lines():
            found = _read(line)
            if found is None:
                continue
            head, at, forgiven = found
            kept.pop(head, None)
            if not forgiven:
                kept[head] = Kept(head, at)
        return list(kept.values())

    def _lines(self) -> Iterator[bytes]:
        try:
            # not by a pattern: that finds nothing in a folder which may not be read, and says nothing
            names = sorted(os.listdir(self.folder)) if self.folder.exists() else []
            for name in names:
                if name.endswith(".heads"):
                    yield from (self.folder / name).read_bytes().split(b"\n")
        except OSError as error:
            raise TryLater("the heads of the chain", one_line(error)) from error

    def _write(self, said: Sequence[dict[str, Any]], at: datetime) -> None:
        lines = [json.dumps({"at": written(at), **each}, separators=(",", ":")) for each in said]
        try:
            whole = "".join(f"\n{line}\n" for line in lines).encode()
            self.disk.look(lambda: append(self.folder / f"{at:%Y}.heads", whole))
        except OSError as error:
            raise TryLater("the heads of the chain", one_line(error)) from error


def _read(line: bytes) -> tuple[Head, str, bool] | None:
    """The head, when it was kept, and whether it was forgiven."""
    try:
        said = json.loads(line)
        head = Head(str(said["name"]), int(said["number"]), int(said["last_id"]), str(said["hash"]))
        return head, str(said["at"]), "forgiven_by" in said
    except (ValueError, KeyError, TypeError):
        return None
