"""How far each chain had come, kept outside the database: lines in the folder of the claim journal, only ever added to.

Whoever may write to the database can make a whole chain anew; not the heads that others keep.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from worker.cases.money.journal import append
from worker.clock import written
from worker.errors import TryLater, one_line


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

    def add(self, heads: Sequence[Head], at: datetime) -> None:
        """Keeps these heads. Raises `TryLater` where the folder cannot be written to."""
        self._write([asdict(head) for head in heads], at)

    def forgive(self, heads: Sequence[Head], at: datetime, *, by: str, reason: str) -> None:
        """These heads are no longer asked about: they belong to what a restore lost."""
        self._write([{**asdict(head), "forgiven_by": by, "reason": reason} for head in heads], at)

    def standing(self) -> list[Kept]:
        """Every head that was kept and not forgiven, in the order kept. A line that a crash has torn is none."""
        kept: dict[Head, Kept] = {}
        try:
            for file in sorted(self.folder.glob("*.heads")):
                for said in map(_read, file.read_bytes().split(b"\n")):
                    if said is None:
                        continue
                    head = Head(str(said["name"]), int(said["number"]), int(said["last_id"]), str(said["hash"]))
                    kept.pop(head, None)
                    if "forgiven_by" not in said:
                        kept[head] = Kept(head, str(said["at"]))
        except OSError as error:
            raise TryLater("the heads of the chain", one_line(error)) from error
        return list(kept.values())

    def _write(self, said: Sequence[dict[str, Any]], at: datetime) -> None:
        lines = [json.dumps({"at": written(at), **each}, separators=(",", ":")) for each in said]
        try:
            append(self.folder / f"{at:%Y}.heads", "".join(f"\n{line}\n" for line in lines).encode())
        except OSError as error:
            raise TryLater("the heads of the chain", one_line(error)) from error


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(said, dict) and {"at", "name", "number", "last_id", "hash"} <= said.keys()
    return said if whole else None
