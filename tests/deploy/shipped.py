"""Processes as an operator's platform starts them: the command line of a file, the environment of that file and no other."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.scenarios.system import ROOT, a_purchase, an_account, charge, kill_group
from tests.scenarios.terminal import Done, in_new_interpreter
from worker.clock import written
from worker.sandbox.creem import CreemDouble
from worker.sandbox.servers import RunningRedis, start_redis

IMAGE = {"PYTHONUNBUFFERED": "1", "REFUNDS_LOG_FORMAT": "json"}
"""What the Dockerfile sets for all of them, beside the path."""
PROGRAMS = {"refunds": "worker.cli", "celery": "celery"}
USERS = (ROOT / "deploy/redis/users.acl").read_text()
PASSWORDS = {
    "refunds": "choose-one",
    "web": "choose-a-third",
    "pipeline": "choose-another",
    "product": "and-another",
    "observer": "and-yet-another",
}


@dataclass
class Platform:
    """Starts what it is told to in a home that only looks writable, and ends it."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir()

    @property
    def home(self) -> Path:
        """Where every process begins, which is read-only in a container."""
        return self.folder / "home"

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """All that a process of the image knows: nothing of ours gets in."""
        ours = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**ours, **IMAGE, **given}

    def start(self, name: str, command: Sequence[str], given: Mapping[str, str]) -> None:
        """A process that stays."""
        words = [sys.executable, "-m", PROGRAMS[command[0]], *command[1:]]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                words, env=self.environ(given), cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )

    def refunds(self, *words: str, given: Mapping[str, str], stdin: bytes = b"") -> Done:
        """One command in the container of that environment, to its end."""
        done = in_new_interpreter(words, stdin, self.environ(given), self.home)
        assert done.returncode == 0, f"refunds {' '.join(words)} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def stop(self) -> dict[str, int]:
        """Ends all of them as the platform does; how each ended, by its name."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(60) for name, process in self.running.items()}

    def end(self) -> None:
        """Whatever is still there is gone."""
        for process in self.running.values():
            if process.poll() is None:
                kill_group(process)

    def said(self) -> str:
        """What they had to say, for a failing test."""
        return "\n".join(
            f"--- {path.stem}\n{path.read_text(errors='replace')[-4000:]}" for path in sorted(self.folder.glob("*.log"))
        )


def charged_twice(double: CreemDouble) -> list[dict[str, Any]]:
    """What the product says of an account that Creem charged twice for the same thing, `ord_again` after `ord_stays`."""
    records = [an_account("acc_2")]
    for order, minutes in (("ord_stays", 30), ("ord_again", 25)):
        paid_at = datetime.now(UTC) - timedelta(minutes=minutes)
        records.append(a_purchase(order, "acc_2", 10, written(paid_at)))
        charge(double, records[-1], paid_at)
    return records


def states(cases: str) -> dict[str, str]:
    """State of each of these cases, by job, order or kind."""
    return {item["job_id"] or item["order_id"] or item["kind"]: item["state"] for item in json.loads(cases)["items"]}


def status(url: str, *, auth: tuple[str, str] | None = None) -> int:
    """What a plain GET answers; 0 while nobody listens."""
    with suppress(httpx.TransportError):
        return httpx.get(url, auth=auth, timeout=5).status_code
    return 0


@contextmanager
def guarded_redis(folder: Path) -> Iterator[RunningRedis]:
    """A Redis with the users of the file. What starts it asks for a ping as nobody, so they are set once it runs."""
    with start_redis(folder) as server:
        admin: Any = redis.Redis.from_url(server.url)
        default, *users = [line for line in USERS.splitlines() if line.startswith("user ")]
        for line in [*users, default]:
            admin.execute_command("ACL", "SETUSER", *line.split()[1:])
        yield server


def as_user(server: RunningRedis, name: str) -> str:
    """Where that user signs in."""
    return server.url.replace("redis://", f"redis://{name}:{PASSWORDS[name]}@")
