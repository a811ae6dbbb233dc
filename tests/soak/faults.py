"""What is done to real processes and servers while they work."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from tests.postgres import RunningPostgres
from tests.scenarios.system import descendants, kill_group
from tests.soak.clocks import WallClock
from tests.soak.disk import SmallDisk
from worker.sandbox.servers import RunningRedis

FREEZE_SECONDS = (2.5, 6.0)
"""Longer than a claim lasts in the soak, so that others take what a frozen process held."""
AWAY_SECONDS = (0.2, 3.0)
FULL_SECONDS = (2.5, 6.0)
"""Long enough for the mail that comes meanwhile to be tried and turned away."""
STEPS = (-3600, -300, 300, 3600)
"""Seconds by which a clock is set wrong, and then right again."""
WRONG_FOR = (1, 5)
"""So many faults happen before it is set right."""


@dataclass
class Kept:
    """One process that is started again whenever it dies, as any supervisor does."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    spared: bool = False
    """Never killed, so that its memory can be watched."""
    clock: WallClock | None = None
    """Its own, where it can be set."""
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    wanted: bool = True
    """False: it stays down."""

    def keep(self) -> None:
        """Starts it where it does not run."""
        if self.wanted and (self.process is None or self.process.poll() is not None):
            self._forget()
            self.process = self.start()
            self.starts += 1

    def end(self) -> None:
        """Ends it where it runs."""
        if self.process is not None and self.process.poll() is None:
            kill_group(self.process)
        self._forget()

    def _forget(self) -> None:
        if self.clock is not None and self.process is not None:
            self.clock.forget(self.process.pid)


@dataclass
class Faults:
    """Draws faults and commits them, one after another; never two at once on one server."""

    chance: random.Random
    processes: list[Kept]
    redis: RunningRedis
    postgres: RunningPostgres
    dsn: str
    evidence: Path
    emptied: Callable[[], None]
    """Called after Redis was emptied: producers send again."""
    mailed: Callable[[], None]
    """Called while the disk is full: a customer sends files."""
    disk: SmallDisk | None = None
    """The disk of the evidence folder, where it can be filled."""
    done: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    _stepped: WallClock | None = None
    _right_at: int = 0
    """After how many faults in all the clock that is wrong is set right."""

    def commit(self) -> str:
        """One fault; returns its name."""
        # one that cannot be committed here keeps its share: the same seed draws the same faults everywhere
        kinds: list[tuple[int, Callable[[], str] | None]] = [
            (50, self._kill),
            (14, self._kill_child),
            (10, self._freeze),
            (8, self._cut_database),
            (8, self._cut_redis),
            (4, self._purge),
            (3, self._lose_redis),
            (3, self._lose_database),
            (2, self._lose_folder),
            (1, self._empty_redis),
            (4, self._fill_disk if self.disk is not None else None),
            (6, self._step_clock if any(one.clock is not None for one in self.processes) else None),
        ]
        if self.done.total() >= self._right_at:
            self.set_clock_right()
        do = None
        while do is None:
            (do,) = self.chance.choices([do for _, do in kinds], [share for share, _ in kinds])
        name = do()
        self.done[name] += 1
        return name

    def set_clock_right(self) -> None:
        """No clock is wrong any more."""
        if self._stepped is not None:
            self._stepped.set(0)
            self._stepped = None

    def _victim(self) -> Kept:
        return self.chance.choice([one for one in self.processes if not one.spared and one.process is not None])

    def _kill(self) -> str:
        victim = self._victim()
        assert victim.process is not None
        with suppress(ProcessLookupError):
            kill_group(victim.process)
        self.kills += 1
        return f"SIGKILL {victim.name}"

    def _kill_child(self) -> str:
        parents = [one for one in self.processes if one.name.startswith("worker") and one.process is not None]
        victim = self.chance.choice(parents)
        assert victim.process is not None
        children = descendants(victim.process.pid)
        if children:
            with suppress(ProcessLookupError):
                os.kill(self.chance.choice(children), signal.SIGKILL)
            self.kills += 1
        return "SIGKILL a task process"

    def _freeze(self) -> str:
        victim = self._victim()
        assert victim.process is not None
        pids = [victim.process.pid, *descendants(victim.process.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(*FREEZE_SECONDS))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return f"SIGSTOP {victim.name}"

    def _cut_database(self) -> str:
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname is not null"
            )
        return "database connections cut"

    def _cut_redis(self) -> str:
        with redis.Redis.from_url(self.redis.url, retry=None) as client:
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)
        return "Redis connections cut"

    def _purge(self) -> str:
        with redis.Redis.from_url(self.redis.url, retry=None) as client:
            client.delete(*(f"refunds:{queue}" for queue in ("assess", "remedies", "money", "sweep")))
        return "queues purged"

    def _lose_redis(self) -> str:
        self.redis.kill()
        time.sleep(self.chance.uniform(*AWAY_SECONDS))
        self.redis.start()
        return "SIGKILL Redis"

    def _lose_database(self) -> str:
        self.postgres.kill()
        time.sleep(self.chance.uniform(*AWAY_SECONDS))
        self.postgres.start()
        return "SIGKILL Postgres"

    def _lose_folder(self) -> str:
        """The evidence folder takes nothing more: a file stands in its place."""
        aside = self.evidence.with_name("evidence-aside")
        self.evidence.rename(aside)
        self.evidence.write_bytes(b"")
        time.sleep(self.chance.uniform(*AWAY_SECONDS))
        self.evidence.unlink()
        aside.rename(self.evidence)
        return "evidence folder away"

    def _fill_disk(self) -> str:
        """The evidence folder has no room, or too little, for the mail that comes."""
        assert self.disk is not None
        self.disk.fill(free_pages=self.chance.randint(0, 2))
        self.mailed()
        time.sleep(self.chance.uniform(*FULL_SECONDS))
        self.disk.clear()
        return "evidence disk full"

    def _step_clock(self) -> str:
        """The clock of one process jumps; it goes on with it through the faults that follow."""
        self.set_clock_right()
        victim = self.chance.choice([one for one in self.processes if one.clock is not None])
        self._stepped, seconds = victim.clock, self.chance.choice(STEPS)
        assert self._stepped is not None
        self._stepped.set(seconds)
        self._right_at = self.done.total() + self.chance.randint(*WRONG_FOR)
        return f"clock {seconds:+d} s {victim.name}"

    def _empty_redis(self) -> str:
        with redis.Redis.from_url(self.redis.url, retry=None) as client:
            client.flushall()
        self.emptied()
        return "Redis emptied"


class Supervisor(threading.Thread):
    """Starts again whatever died, a moment later."""

    def __init__(self, processes: list[Kept]) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.processes, self.over, self.lock = processes, threading.Event(), threading.Lock()

    def run(self) -> None:
        while not self.over.wait(0.3):
            with self.lock:
                for process in self.processes:
                    process.keep()

    def end(self) -> None:
        """Ends them all, and starts none again."""
        self.over.set()
        self.join()
        for process in self.processes:
            process.end()
