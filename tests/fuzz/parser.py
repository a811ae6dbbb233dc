"""A parser under fuzz, and the loop that feeds it. What a run found is repeated by its seed and kept as bytes."""

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.changes import Change

MIB = 1024 * 1024
Check = Callable[[bytes], Iterable[str]]
"""Feeds the parser; returns what is wrong with what came out. What it raises is wrong as well."""


@dataclass(frozen=True, slots=True)
class Parser:
    """One parser that outside bytes reach. `opened` gives the check, with whatever it stands on in a folder of its own."""

    name: str
    seeds: Callable[[], Sequence[bytes]]
    change: Change
    opened: Callable[[Path], AbstractContextManager[Check]]
    slowest: float = 0.1
    """Seconds of the processor that one input may take, and `per_mib` more for each MiB of it."""
    per_mib: float = 1.0
    most_memory: int = 128 * MIB
    """By how much the process may grow over a run."""


def pure(check: Check) -> Callable[[Path], AbstractContextManager[Check]]:
    """For a parser that stands on nothing."""

    @contextmanager
    def opened(_: Path) -> Iterator[Check]:
        yield check

    return opened


def feed(parser: Parser, check: Check, raw: bytes) -> tuple[list[str], float]:
    """What is wrong with one input, and the seconds of the processor it took."""
    faults, took = _timed(check, raw)
    allowed = parser.slowest + parser.per_mib * len(raw) / MIB
    if took > allowed and not faults:
        # the machine's own hiccups pass, slow input stays slow
        faults, again = _timed(check, raw)
        took = min(took, again)
    if took > allowed:
        faults.append(f"took {took * 1000:.0f} ms; at most {allowed * 1000:.0f} are allowed")
    return faults, took


def _timed(check: Check, raw: bytes) -> tuple[list[str], float]:
    start = time.process_time()
    try:
        faults = list(check(raw))
    except Exception as error:
        faults = [f"{type(error).__name__}: {error}"[:300]]
    return faults, time.process_time() - start


@dataclass
class Figures:
    """What came of a run."""

    name: str
    seed: int
    runs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    slowest_input: bytes = b""
    grown: int = 0
    faults: list[str] = field(default_factory=list)
    found: bytes = b""

    @property
    def per_second(self) -> float:
        """Inputs a second."""
        return self.runs / self.seconds if self.seconds else 0.0


def fuzz(
    parser: Parser, folder: Path, *, seed: int, seconds: float = float("inf"), runs: int = 10**12, tell: Callable[[Figures], None]
) -> Figures:
    """Changes and feeds until time or runs are over, or something is wrong; `tell` hears of it now and then."""
    chance, seeds, figures = Random(f"{parser.name} {seed}"), list(parser.seeds()), Figures(parser.name, seed)
    with parser.opened(folder) as check:
        # each seed as it stands first: what is honest has to come through, and it is the warm-up for the figures of memory
        for raw in seeds:
            _feed(parser, check, raw, figures)
        before, began = _resident(), time.monotonic()
        while not figures.faults and figures.runs < runs and (figures.runs % 16 or time.monotonic() - began < seconds):
            _feed(parser, check, parser.change(chance, chance.choice(seeds), seeds), figures)
            figures.seconds = time.monotonic() - began
            if figures.runs % 256 == 0:
                tell(figures)
    figures.grown = _resident() - before
    if not figures.faults and figures.grown > parser.most_memory:
        figures.faults.append(f"the process grew by {figures.grown // MIB} MiB")
    tell(figures)
    return figures


def _feed(parser: Parser, check: Check, raw: bytes, figures: Figures) -> None:
    if figures.faults:
        return
    faults, took = feed(parser, check, raw)
    figures.runs += 1
    if took > figures.slowest:
        figures.slowest, figures.slowest_input = took, raw
    if faults:
        figures.faults, figures.found = faults, raw


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
