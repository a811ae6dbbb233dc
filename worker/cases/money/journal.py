"""The claim journal: the second witness, outside the database, of every call that was ever armed (failure-modes.md, K1, CP21).

One JSON line for each arming, on disk before the arming commit: journal, commit, call. A line without its call in the database
counts as a call whose outcome is unknown, never as nothing, but for the process that wrote it and never sent it. Lines are only
ever added. Processes of several machines may share one folder where the file system appends whole writes (a local disk does, NFS
does not).
"""

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from worker.disk import append, patience
from worker.errors import TryLater, one_line
from worker.patience import ANSWERS_WITHIN

SERVICE = "the claim journal"
Key = tuple[str, str]
"""Environment and transaction."""
END_BYTES = 2**14
"""So much of the end of a file is read for its last mark, more where nothing there can be read."""
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


class Armed(NamedTuple):
    """What a claim that does not know a call needs of it."""

    attempt: int
    armed_at: datetime
    deadline_at: datetime


class Journal:
    """One folder, one file a month. Every look reads only what was added since; of what was read is kept what who pays needs."""

    def __init__(self, folder: Path, seconds: float = ANSWERS_WITHIN) -> None:
        """`seconds`: how long its disk may take to answer, before it counts as away."""
        self.folder = folder
        # one thing after the other: a line that hangs is on disk, or is none, before the next one begins
        self._disk = patience(seconds)
        self.reached: int | None = None
        """The highest mark of the database that any line tells of; None where no line is."""
        self.begins: int | None = None
        """The lowest one: nothing armed before it is in here."""
        self.unreadable = 0
        """Lines that are none: torn by a crash, and so of calls that were never sent."""
        self._calls: dict[Key, tuple[Armed, ...]] = {}
        self._not_begun: dict[Key, tuple[Armed, ...]] = {}
        """Calls that were written down here, and of which nothing left: whoever is to send one takes them off first."""
        self._read: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, mark: int, at: datetime, call: Call | None = None) -> None:
        """Makes one line durable: that the database had reached `mark`, and the call that is armed next. Raises `TryLater` where
        it cannot.
        """
        said: dict[str, Any] = {"mark": mark, "at": at.isoformat()}
        if call is not None:
            armed = Armed(call.attempt, call.armed_at, call.deadline_at)
            self._not_begun[call.key] = (*self.not_begun(call.key), armed)
            said["call"] = asdict(call) | {name: getattr(call, name).isoformat() for name in _TIMES}
        # the line break before it ends whatever a crash left of the line before
        line = f"\n{json.dumps(said, separators=(',', ':'))}\n".encode()
        try:
            self._disk.look(lambda: append(self.folder / f"{at:%Y-%m}.jsonl", line))
        except OSError as error:
            raise TryLater(SERVICE, one_line(error)) from error

    def look(self) -> None:
        """Takes in what was added since the last look. Raises `TryLater` where the folder cannot be read."""
        with _reading():
            self._disk.look(self._take_in_all)

    def glance(self) -> int | None:
        """The highest mark that the last lines of any file tell of, for who only shows it: nothing is kept in memory.

        Marks rise from line to line, so it is `reached`, unless somebody put older lines behind. Raises `TryLater` where the
        folder cannot be read.
        """
        with _reading():
            marks = self._disk.look(lambda: [_last_mark(file) for file in self._files()])
            return max((mark for mark in marks if mark is not None), default=None)

    def calls(self, key: Key) -> Sequence[Armed]:
        """The calls armed for this charge as of the last look, first to last."""
        return self._calls.get(key, ())

    def begins_call(self, key: Key) -> None:
        """The call for this charge that was written down last may leave from here on."""
        self._not_begun.pop(key, None)

    def not_begun(self, key: Key) -> Sequence[Armed]:
        """The calls for this charge that this very process wrote down and never sent, for nobody told it that the commit stands:
        nobody else has the permission for one, and nobody else writes down another of its number.
        """
        return self._not_begun.get(key, ())

    def whole(self) -> dict[Key, list[Call]]:
        """Every call that is there now, by its charge, first to last, with all that its line says. Raises `TryLater` where the
        folder cannot be read.
        """
        found: dict[Key, dict[int, Call]] = defaultdict(dict)
        with _reading():
            for file in self._files():
                for line, _ in _lines(file, 0):
                    said = _understood(line)
                    if said is not None and said[1] is not None:
                        call = Call(**said[1])
                        found[call.key][call.attempt] = call
        return {key: [known[attempt] for attempt in sorted(known)] for key, known in found.items()}

    def __len__(self) -> int:
        return sum(map(len, self._calls.values()))

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def _take_in_all(self) -> None:
        with self._lock:
            for file in self._files():
                self._take_in(file)

    def _take_in(self, file: Path) -> None:
        begin = self._read.get(file.name, 0)
        if file.stat().st_size < begin:
            # somebody put an older file in its place: what we knew we still know
            begin = 0
        for line, ended in _lines(file, begin):
            # every line has an empty one before it
            understood = not line.strip() or self._understand(line)
            # what no line break ends yet may still be growing: it is looked at now and again the next time
            if ended:
                self.unreadable += not understood
                begin += len(line)
        self._read[file.name] = begin

    def _understand(self, line: bytes) -> bool:
        said = _understood(line)
        if said is None:
            return False
        mark, call = said
        self.reached = mark if self.reached is None else max(mark, self.reached)
        self.begins = mark if self.begins is None else min(mark, self.begins)
        if call is not None:
            key, armed = (call["environment"], call["transaction_id"]), Armed(call["attempt"], *(call[name] for name in _TIMES))
            others = (known for known in self.calls(key) if known.attempt != armed.attempt)
            self._calls[key] = tuple(sorted((*others, armed)))
        return True


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TryLater(SERVICE, one_line(error)) from error


def _lines(file: Path, begin: int) -> Iterator[tuple[bytes, bool]]:
    """Each line from there on, and whether a line break ends it, which may be missing to the last."""
    with file.open("rb") as opened:
        opened.seek(begin)
        for line in opened:
            ended = line.endswith(b"\n")
            yield line, ended
            if not ended:
                return  # or what comes meanwhile would be taken for a line of its own


def _last_mark(file: Path) -> int | None:
    size, taken = file.stat().st_size, END_BYTES
    while True:
        # what is cut off at the front is no line
        marks = [said[0] for line, _ in _lines(file, max(0, size - taken)) if (said := _understood(line)) is not None]
        if marks or taken >= size:
            return max(marks, default=None)
        taken *= 16


_NAMES = tuple(field.name for field in fields(Call))
_values = itemgetter(*_NAMES)


def _understood(line: bytes) -> tuple[int, dict[str, Any] | None] | None:
    """The mark and the fields of the call, if there is one; None where that is no line."""
    try:
        said = json.loads(line)
        mark, call = int(said["mark"]), None
        if "call" in said:
            call = dict(zip(_NAMES, _values(said["call"]), strict=True))
            call |= {name: datetime.fromisoformat(call[name]) for name in _TIMES}
            # the same few words in every line
            call["environment"] = sys.intern(call["environment"])
    except (ValueError, KeyError, TypeError):
        return None
    return mark, call
