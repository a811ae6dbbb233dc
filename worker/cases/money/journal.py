"""The claim journal: the second witness, outside the database, of every call that was ever armed (failure-modes.md, K1, CP21).

One JSON line for each arming, on disk before the arming commit: journal, commit, call. A line without its call in the database
counts as a call whose outcome is unknown, never as nothing. Lines are only ever added. Processes of several machines may share
one folder where the file system appends whole writes (a local disk does, NFS does not).
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from worker.disk import append
from worker.errors import TryLater, one_line

SERVICE = "the claim journal"
Key = tuple[str, str]
"""Environment and transaction."""
_TIMES = ("armed_at", "deadline_at")


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was armed, with what is needed to make its claim again."""

    environment: str
    transaction_id: str
    attempt: int
    payment_id: str
    armed_at: datetime
    deadline_at: datetime
    account_id: str
    purchase_id: str
    kept_transaction_id: str | None
    case_id: str
    case_kind: str
    subject: str
    amount: int
    currency: str

    @property
    def key(self) -> Key:
        """What the claim is on, for ever."""
        return self.environment, self.transaction_id


class Journal:
    """One folder, one file a month. What was read once is kept; every look reads only what was added since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reached: int | None = None
        """The highest mark of the database that any line tells of; None where no line is."""
        self.begins: int | None = None
        """The lowest one: nothing armed before it is in here."""
        self.unreadable = 0
        """Lines that are none: torn by a crash, and so of calls that were never sent."""
        self._calls: dict[Key, dict[int, Call]] = defaultdict(dict)
        self._read: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        """Makes one line durable: that the database had reached `mark`, and the call that is armed next. Raises `TryLater` where
        it cannot.
        """
        said: dict[str, Any] = {"mark": mark, "at": at.isoformat()}
        if call is not None:
            said["call"] = asdict(call) | {name: getattr(call, name).isoformat() for name in _TIMES}
        # the line break before it ends whatever a crash left of the line before
        line = f"\n{json.dumps(said, separators=(',', ':'))}\n".encode()
        try:
            append(self.folder / f"{at:%Y-%m}.jsonl", line)
        except OSError as error:
            raise TryLater(SERVICE, one_line(error)) from error

    def look(self) -> None:
        """Takes in what was added since the last look. Raises `TryLater` where the folder cannot be read."""
        with self._lock:
            try:
                for file in sorted(self.folder.glob("*.jsonl")):
                    self._take_in(file)
            except OSError as error:
                raise TryLater(SERVICE, one_line(error)) from error

    def calls(self, key: Key) -> list[Call]:
        """The calls armed for this charge as of the last look, first to last."""
        known = self._calls.get(key, {})
        return [known[attempt] for attempt in sorted(known)]

    def charges(self) -> Iterator[Key]:
        """Every charge that a call was armed for."""
        yield from list(self._calls)

    def __len__(self) -> int:
        return sum(map(len, self._calls.values()))

    def _take_in(self, file: Path) -> None:
        begin = self._read.get(file.name, 0)
        if file.stat().st_size < begin:
            # somebody put an older file in its place: what we knew we still know
            begin = 0
        with file.open("rb") as opened:
            opened.seek(begin)
            added = opened.read()
        # what no line break ends yet may still be growing: it is looked at now and again the next time
        ended = added.rfind(b"\n") + 1
        for line in added[:ended].split(b"\n"):
            if line.strip() and not self._understand(line):
                self.unreadable += 1
        self._understand(added[ended:])
        self._read[file.name] = begin + ended

    def _understand(self, line: bytes) -> bool:
        try:
            said = json.loads(line)
            mark, call = int(said["mark"]), _call(said["call"]) if "call" in said else None
        except (ValueError, KeyError, TypeError):
            return False
        self.reached = mark if self.reached is None else max(mark, self.reached)
        self.begins = mark if self.begins is None else min(mark, self.begins)
        if call is not None:
            self._calls[call.key][call.attempt] = call
        return True


def _call(said: dict[str, Any]) -> Call:
    known: dict[str, Any] = {field.name: said[field.name] for field in fields(Call)}
    return Call(**known | {name: datetime.fromisoformat(known[name]) for name in _TIMES})
