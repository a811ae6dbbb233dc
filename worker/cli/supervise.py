"""`refunds worker`: task processes, schedule and intake side by side; one that dies is started again."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import one_line
from worker.observe import log

STEADY_SECONDS = 60.0
"""Whatever ran for so long was well: its end is the first of others, and not one more of those months ago."""
GRACE_SECONDS = 125.0
"""A warm shutdown may take a task's hard limit and half a minute more (celery-lab.md, 2.5)."""


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    not_before: float = 0.0
    began: float = 0.0
    timer: Callable[[], float] = time.monotonic

    def tend(self) -> None:
        """Starts it, or starts it again once its back-off is over."""
        if self.process is not None and self.process.poll() is None:
            return
        now = self.timer()
        if self.process is not None:
            log.warning("process.died", process=self.name, exit=self.process.returncode)
            self.process = None
            self._back_off(now)
        if now >= self.not_before:
            # a session of its own: a Ctrl-C at the keyboard reaches us alone, and we end them in order; where we are killed, they
            # are told to end, for nobody else ends what works by our settings
            bound = [*python(), "worker.cli.bound", str(os.getpid())]
            try:
                self.process = subprocess.Popen([*bound, *self.command], start_new_session=True)
            except OSError as error:
                # no memory, or no process more, just now: those that run are not to end for it
                self._back_off(now)
                log.error("process.not_started", process=self.name, error=one_line(error), next="tried again")
            else:
                log.info("process.started", process=self.name, pid=self.process.pid)
            self.began = now

    def _back_off(self, now: float) -> None:
        self.deaths = self.deaths + 1 if now - self.began < STEADY_SECONDS else 1
        self.not_before = now + min(30.0, 0.5 * 2 ** min(self.deaths, 6))


def python() -> list[str]:
    """How to start a module of ours. It finds what we found: the current folder counts only where we came from there."""
    # unbuffered: lines that could not be written would wait in a buffer, and a process whose buffer cannot be emptied cannot fork
    found = [] if _looks_here() else ["-P"]
    return [sys.executable, "-u", *found, "-m"]


def _looks_here() -> bool:
    try:
        return os.getcwd() in sys.path
    except OSError:
        # it is gone, and nothing of ours lies there
        return False


def supervise(concurrency: int, stop: threading.Event) -> int:
    """Keeps the three processes alive until `stop`, then ends them in order: intake, schedule, tasks. Returns the exit code."""
    celery = [*python(), "worker.cli.celery", "--quiet", "-A", "worker"]
    children = [
        Child(
            "tasks",
            [
                *celery,
                "worker",
                "--concurrency",
                str(concurrency),
                "--hostname",
                # no two that run here at once have one name, and one that is started again below keeps its own
                f"refunds-{os.getpid()}@%h",
                "--without-mingle",
                "--without-gossip",
            ],
        ),
        Child("schedule", [*celery, "beat"]),
        Child("intake", [*python(), "worker.cli", "intake"]),
    ]
    try:
        while not stop.is_set():
            for child in children:
                child.tend()
            stop.wait(0.25)
    finally:
        clean = [_end(child) for child in reversed(children)]
    return 0 if all(clean) else 1


def _end(child: Child) -> bool:
    process = child.process
    if process is None or process.poll() is not None:
        return True
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
        return True
    except subprocess.TimeoutExpired:
        # harmless for the books: whatever it held is found again by the sweep
        log.error("process.killed", process=child.name, after_seconds=GRACE_SECONDS)
        process.kill()
        process.wait()
        return False
