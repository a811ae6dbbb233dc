"""The same work while its processes are killed, each time at a drawn moment after work has gone on. What ended at the top is
started again at once.

The tables forbid a second reversal to everybody, so what differs is what nobody comes back to.
"""

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import books
from bench.contestants import Contestant, left_over
from bench.measure import Started, Tell, audit, send_held, settle, started
from bench.servers import ROOT, Servers
from worker.screen import cell, out, say, table

LEAST, MOST = 0.1, 1.0
"""Seconds that work has gone on again before somebody is killed."""
UP_AGAIN = 15.0
"""Seconds after a kill in which work goes on again, or the next one comes all the same."""
SOON = 60.0
PATIENCE = 90.0
"""Seconds without any progress after which nobody is expected to come back."""
RESULTS = ROOT / "bench" / "kills.json"
TITLES = ("events", "kills", "undone after 60 s", "undone in the end", "done, s after the last kill")


@dataclass(frozen=True)
class Survived:
    """What a contestant made of a backlog under kills. Seconds count from the last kill; None where it never was done."""

    events: int
    kills: int
    undone_soon: int
    undone: int
    seconds: float | None
    wrong: Sequence[str]
    """What is not as it must be where all is done, and what ours' audit finds."""

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of the table, by `TITLES`."""
        took = "never" if self.seconds is None else f"{self.seconds:.0f}"
        return f"{self.events:,}", str(self.kills), f"{self.undone_soon:,}", f"{self.undone:,}", took


def survive(at: Servers, who: Contestant, events: int, kills: int, seed: int, tell: Tell) -> Survived:
    """Lays a backlog, kills while it is drained, and waits for whoever comes back."""
    chance = random.Random(seed)
    with started(at, who, "k") as run:
        laid = books.lay(run.db, "k", events)
        settle(run)
        send_held(run, laid)
        run.processes.release()
        killed = 0
        while killed < kills and _undone(run, events):
            _wait_for_work(run, events)
            time.sleep(chance.uniform(LEAST, MOST))
            run.processes.kill(chance)
            killed += 1
            tell(killed)
        soon, undone, seconds = _come_back(run, events)
        wrong = [] if undone else books.differences(run.db, "k", events)
        if who.ours:
            wrong += audit(run.place)
        return Survived(events, killed, soon, undone, None if undone else seconds, wrong)


def _wait_for_work(run: Started, events: int) -> None:
    began, before = time.monotonic(), _undone(run, events)
    while _undone(run, events) >= before > 0 and time.monotonic() - began < UP_AGAIN:
        run.processes.start_again()
        time.sleep(0.05)


def _come_back(run: Started, events: int) -> tuple[int, int, float]:
    """How many are undone a minute from now and in the end, and the seconds until the last was done or nothing moved any more."""
    last = moved = time.monotonic()
    before, soon = events, None
    while undone := _undone(run, events):
        run.processes.start_again()
        now = time.monotonic()
        if undone < before:
            before, moved = undone, now
        if now >= last + SOON:
            soon = undone if soon is None else soon
            if now >= moved + PATIENCE:
                break
        time.sleep(0.2)
    return undone if soon is None else soon, undone, time.monotonic() - last


def _undone(run: Started, events: int) -> int:
    """Jobs that have no case yet; of ours also what is not announced."""
    return events - books.done(run.db, "k") or (left_over(run.db) if run.who.ours else 0)


def show(survived: Mapping[str, Survived], caption: str) -> None:
    """The table at the end."""
    made = table("The same work under the same kills", "contestant", *TITLES, caption=caption)
    for column in made.columns[1:]:
        column.justify = "right"
    for title, one in survived.items():
        made.add_row(*[cell(value) for value in (title, *one.cells)])
    out.print(made)
    for title, one in survived.items():
        for wrong in one.wrong:
            say("[red]{title}[/]: {wrong}", title=title, wrong=wrong)


def write(survived: Mapping[str, Survived], facts: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """The results of the last run."""
    contestants = {name: asdict(one) for name, one in survived.items()}
    RESULTS.write_text(json.dumps({"machine": facts, "asked": asked, "contestants": contestants}, indent=1) + "\n")
