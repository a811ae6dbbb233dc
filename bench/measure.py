"""One measurement of one contestant: a backlog drained, or events paced one at a time."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench import books
from bench.contestants import Contestant, Send, left_over
from bench.meter import Processes, cpu_seconds, memory_mib
from bench.servers import OLD, ROOT, Place, Servers
from bench.work import Event

WARM = 40
START_SECONDS = 60.0
STALL_SECONDS = 60.0
OTHERS, OTHERS_PAUSE = 4000, 0.05
Tell = Callable[[int], None]


class WrongBooks(RuntimeError):
    """A contestant did not do the work: its figures would mean nothing."""


@dataclass
class Drain:
    """What one drain cost. `announced_rate` counts until nothing is left to tell either; equal to `rate` for all but ours."""

    events: int
    rate: float
    announced_rate: float
    cpu_per_1000: float
    postgres_cpu_per_1000: float
    memory: dict[str, float] = field(default_factory=dict)
    memory_before: dict[str, float] = field(default_factory=dict)


@dataclass
class Started:
    """A contestant at work: its processes, a session on its books, and the way to send it work."""

    who: Contestant
    place: Place
    db: psycopg.Connection
    processes: Processes
    send: Send


@contextmanager
def started(at: Servers, who: Contestant, tag: str) -> Iterator[Started]:
    """The contestant on tables of its own, warm: every process has done some of the work."""
    if who.old:
        place = at.place(OLD)
        at.flush()
    else:
        place = at.fresh()
    who.prepare(place)
    with tempfile.TemporaryDirectory(prefix="refunds-bench-") as name, place.connect() as db:
        send = who.open(place)
        warm = books.lay(db, f"{tag}w", WARM)
        processes = Processes(who.commands, place.environment(), Path(name))
        try:
            send(warm)
            wait(db, f"{tag}w", WARM, processes, START_SECONDS)
            yield Started(who, place, db, processes, send)
        finally:
            processes.end()


def wait(db: psycopg.Connection, tag: str, jobs: int, processes: Processes, stall: float, tell: Tell | None = None) -> float:
    """Waits until every laid job has its case, and returns the seconds. Looks seldom at first: to look costs the measured too."""
    began = moved = time.monotonic()
    before = 0
    while (now_done := books.done(db, tag)) < jobs:
        now = time.monotonic()
        if now_done > before:
            before, moved = now_done, now
            if tell:
                tell(now_done)
        elif now - moved > stall:
            raise WrongBooks(f"{now_done} of {jobs} done, and nothing more for {stall:.0f} s")
        processes.check()
        left = (now - began) / now_done * (jobs - now_done) if now_done else 0.02
        time.sleep(min(0.5, max(0.005, left / 4)))
    return time.monotonic() - began


def drain(at: Servers, who: Contestant, tag: str, events: int, tell: Tell | None = None) -> Drain:
    """A backlog laid before warm processes which stand still, then let go. Raises `WrongBooks` unless the end state is right."""
    with started(at, who, tag) as run:
        laid = books.lay(run.db, tag, events)
        settle(run)
        send_held(run, laid)
        run.db.execute("checkpoint")
        roots, server = run.processes.roots, [at.postgres.pid]
        memory_before = memory_mib(roots)
        cpu, cpu_server = cpu_seconds(roots), cpu_seconds(server)
        run.processes.release()
        seconds = wait(run.db, tag, events, run.processes, STALL_SECONDS, tell)
        seconds_told = seconds + settle(run)
        used, used_server = cpu_seconds(roots) - cpu, cpu_seconds(server) - cpu_server
        result = Drain(
            events,
            events / seconds,
            events / seconds_told,
            1000 * used / events,
            1000 * used_server / events,
            memory_mib(roots),
            memory_before,
        )
        check(run, tag, events)
    return result


def send_held(run: Started, events: Sequence[Event]) -> None:
    """Sends the events before processes that stand still until they are released."""
    run.processes.hold()
    for start in range(0, len(events), 1000):
        run.send(events[start : start + 1000])


def settle(run: Started) -> float:
    """Waits until ours has announced everything; others have nothing to announce."""
    began = time.monotonic()
    while run.who.ours and left_over(run.db):
        if time.monotonic() - began > 10 * STALL_SECONDS:
            raise WrongBooks(f"{left_over(run.db)} effects are still due")
        run.processes.check()
        time.sleep(0.1)
    return time.monotonic() - began


def check(run: Started, tag: str, events: int) -> None:
    """Raises `WrongBooks` unless credits came back exactly once for each job; ours is audited as well."""
    found = books.differences(run.db, tag, events)
    if run.who.ours and not run.who.old:
        found += audit(run.place)
    if found:
        raise WrongBooks(f"{run.who.title}: " + "; ".join(found))


def audit(place: Place) -> list[str]:
    """What the product's own audit finds."""
    command = [sys.executable, "-m", "worker.cli", "audit", "--json"]
    said = subprocess.run(command, env=place.environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    document: dict[str, Any] = json.loads(said.stdout) if said.stdout else {"ok": False, "breaches": [said.stderr]}
    return [] if document["ok"] else [f"audit: {breach}" for breach in document["breaches"][:3]]


def latency(at: Servers, who: Contestant, tag: str, events: int, tell: Tell | None = None) -> list[float]:
    """Milliseconds from enqueue to the moment another session sees the case, one event at a time, pauses between."""
    with started(at, who, tag) as run:
        laid = books.lay(run.db, tag, events)
        settle(run)
        took = paced(run, laid, tell)
        check(run, tag, events)
    return took


def paced(run: Started, events: Sequence[Event], tell: Tell | None = None) -> list[float]:
    """Sends one after another, each after the one before was seen."""
    took = []
    seen = "select 1 from cases where kind = 'job' and subject = %s"
    for n, event in enumerate(events):
        began = time.perf_counter()
        run.send([event])
        while run.db.execute(seen, (event["job"],), prepare=True).fetchone() is None:
            if time.perf_counter() - began > STALL_SECONDS:
                raise WrongBooks(f"{run.who.title}: nothing came of {event['job']} for {STALL_SECONDS:.0f} s")
            time.sleep(0.0005)
        took.append(1000 * (time.perf_counter() - began))
        if tell:
            tell(n + 1)
        # uneven pauses, so that no poll of a contestant keeps step with us
        time.sleep(0.01 + 0.007 * (n % 7))
    return took


def beside(at: Servers, who: Contestant, backlog: int, accounts: int) -> list[float]:
    """Latencies of other accounts' events, twenty a second, while a backlog of `accounts` accounts is drained."""
    with started(at, who, "o") as run:
        crowd = books.lay(run.db, "h", backlog, each=-(-backlog // accounts))
        others = books.lay(run.db, "x", OTHERS)
        settle(run)
        send_held(run, crowd)
        run.processes.release()
        took = _trickle(run, others, backlog)
        settle(run)
        if found := audit(run.place):
            raise WrongBooks("; ".join(found))
    return took


def _trickle(run: Started, events: Sequence[Event], backlog: int) -> list[float]:
    """Sends on whether or not those before were seen, until the backlog is done and all that was sent is seen."""
    waiting: dict[str, float] = {}
    took: list[float] = []
    began = moved = time.monotonic()
    left = list(reversed(events))
    drained = False
    seen = "select subject from cases where kind = 'job' and subject = any(%s)"
    while waiting or not drained:
        now = time.monotonic()
        if left and not drained and now >= began + OTHERS_PAUSE * (len(events) - len(left)):
            waiting[left[-1]["job"]] = now
            run.send([left.pop()])
        for (job,) in run.db.execute(seen, (list(waiting),)).fetchall():
            moved = time.monotonic()
            took.append(1000 * (moved - waiting.pop(job)))
        drained = drained or books.done(run.db, "h") >= backlog
        if now - moved > 2 * STALL_SECONDS:
            raise WrongBooks(f"{len(waiting)} events of others wait, nothing came for {now - moved:.0f} s")
        run.processes.check()
        time.sleep(0.02)
    return took
