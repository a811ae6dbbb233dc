"""A file of product history, gone through as often as it is asked for; no more of it is held than a line."""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from worker.cases.assess.imports import Known
from worker.errors import Misconfigured
from worker.intake.records import read_line
from worker.strict import Malformed


class Faulty(Exception):
    """A file of history with lines that are no records: what is wrong with each, with its number."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(*faults)
        self.faults = faults


class History:
    """The records of a file in their order, the same ones each time. The first time ends in `Faulty` where a line of it is none,
    a later one raises `Misconfigured` where the file has become another meanwhile.
    """

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file, self._begin = name, file, file.tell()
        self.records: int | None = None
        """How many it has, once they were gone through."""
        self.ignored = Counter[str]()
        """In how many records a name stands that means nothing to us."""

    def __iter__(self) -> Iterator[Known]:
        yield from self._look() if self.records is None else self._again(self.records)

    def _look(self) -> Iterator[Known]:
        faults, ignored, records = list[str](), Counter[str](), 0
        for number, line in self._lines():
            records += 1
            try:
                record, unknown = read_line(line)
            except Malformed as fault:
                faults.append(f"line {number}: {fault.detail}")
                continue
            ignored.update(unknown)
            yield record
        self.ignored = ignored
        if faults:
            raise Faulty(faults)
        self.records = records

    def _again(self, records: int) -> Iterator[Known]:
        # no more than before: somebody may be writing more of it just now
        for number, line in islice(self._lines(), records):
            try:
                yield read_line(line)[0]
            except Malformed as fault:
                changed = f"{self._name} changed while it was imported, line {number}: {fault.detail}"
                raise Misconfigured(f"{changed}; import it again, what came before that line is known already") from fault

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with readable(self._name):
            self._file.seek(self._begin)
            yield from numbered(self._file)


@contextmanager
def history(name: str) -> Iterator[History]:
    """The history in the file of this name, `-` for standard input. Raises `Misconfigured` where it cannot be read."""
    with ExitStack() as open_files:
        with readable(name):
            file: BinaryIO = sys.stdin.buffer if name == "-" else open_files.enter_context(Path(name).open("rb"))
            if not file.seekable():
                # a pipe can be read once
                kept = open_files.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, kept)
                kept.seek(0)
                file = kept
        yield History(name, file)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Raises `Misconfigured`, naming the file, where the system refuses it."""
    try:
        yield
    except OSError as error:
        raise Misconfigured(f"{name}: {error.strerror or error}") from error


def numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, without their ends, and their numbers."""
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield number, line.rstrip(b"\r\n")
