"""First figures on this machine: drain rate, idle latency, memory.

Real Postgres (durable), real Redis (AOF), real Celery processes.

    .venv/bin/python -m bench.first_figures [--events 3000]

Numbers depend on the machine and on who else uses it; compare the rows of one run, not runs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import redis
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import make_url

from worker.intake.wire import event_document
from worker.sandbox.servers import start_postgres, start_redis

ROOT = Path(__file__).resolve().parents[1]
STREAM = "layer-jobs:events"
JOBS_AN_ACCOUNT = 10
"""Below the velocity limit, so that every failure is a reversal."""
out = Console(highlight=False)


class Bench:
    """One installation whose processes are started and ended for each measurement."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder, self.database_url, self.redis_url = folder, database_url, redis_url
        self.redis = redis.Redis.from_url(redis_url)
        url = make_url(database_url)
        self.db = psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
        ours = {
            "PYTHONPATH": str(ROOT),
            "REFUNDS_DATABASE_URL": self.database_url,
            "REFUNDS_REDIS_URL": self.redis_url,
            "REFUNDS_LOG_LEVEL": "warning",
        }
        return kept | ours | more

    def refunds(self, *words: str, stdin: str = "") -> str:
        command = [sys.executable, "-m", "worker.cli", *words]
        return subprocess.run(command, input=stdin, env=self.environ(), check=True, capture_output=True, text=True).stdout

    @contextmanager
    def processes(self, **more: str) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Intake, a worker with two task processes, and the schedule."""
        celery = [sys.executable, "-m", "celery", "--quiet", "-A", "worker"]
        commands = [
            [sys.executable, "-m", "worker.cli", "intake"],
            [*celery, "worker", "--concurrency", "2", "--without-mingle", "--without-gossip"],
            [*celery, "beat"],
        ]
        log = (self.folder / "processes.log").open("ab")
        started = [
            subprocess.Popen(c, env=self.environ(**more), cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
            for c in commands
        ]
        try:
            yield started
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)

    def prepare(self, tag: str, jobs: int) -> list[str]:
        """Accounts, lots and submitted jobs in the books; returns the failures that are to be sent."""
        records = []
        for n in range(-(-jobs // JOBS_AN_ACCOUNT)):
            account = f"acc_{tag}_{n}"
            records.append({"record": "account", "id": account, "email": f"{account}@example.org", "status": "active"})
            records.append(
                {"record": "purchase", "id": f"ord_{tag}_{n}", "account_id": account, "kind": "credit_pack", "billing": "first",
                 "amount": 900, "currency": "USD", "credits": 1000, "paid_at": "2026-03-01T09:00:00Z"}
            )  # fmt: skip
        for n in range(jobs):
            records.append(
                {"record": "layer_job", "id": f"{tag}_{n}", "account_id": f"acc_{tag}_{n // JOBS_AN_ACCOUNT}", "credits": 5,
                 "paid_with": "credits", "status": "running", "layers_expected": 6, "submitted_at": "2026-03-02T10:00:00Z"}
            )  # fmt: skip
        self.refunds("import", "-", stdin="".join(json.dumps(record) + "\n" for record in records))
        return [self.failure(tag, n) for n in range(jobs)]

    @staticmethod
    def failure(tag: str, n: int) -> str:
        return event_document(
            "layer_job.failed",
            {"job_id": f"{tag}_{n}", "account_id": f"acc_{tag}_{n // JOBS_AN_ACCOUNT}", "attempt": 1,
             "failure": {"code": "model_error", "stage": "segment"}, "output": {"layers_expected": 6, "layers_delivered": 0}},
            id=f"evt-{tag}-{n}", source="/image-pipeline", time=datetime.now(UTC), subject=f"{tag}_{n}",
        )  # fmt: skip

    def refunded(self, tag: str) -> int:
        found = self.db.execute(
            "select count(*) from cases where state = 'refunded' and job_id like %s", (f"{tag}\\_%",)
        ).fetchone()
        return int(found[0]) if found else 0

    def drain(self, tag: str, jobs: int, batch: int, progress: Progress) -> float:
        """Events per second from a full stream to refunded cases, the processes warm."""
        warm = self.prepare(f"{tag}w", 20)
        documents = self.prepare(tag, jobs)
        with self.processes(REFUNDS_BATCH=str(batch)) as started:
            self.send(warm)
            self.wait(f"{tag}w", 20, None)
            began = time.monotonic()
            self.send(documents)
            self.wait(tag, jobs, progress)
            seconds = time.monotonic() - began
            self.memory = {name: rss(process.pid) for name, process in zip(("intake", "worker"), started, strict=False)}
        return jobs / seconds

    def send(self, documents: list[str]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for document in documents:
            pipeline.xadd(STREAM, {"event": document})
        pipeline.execute()

    def wait(self, tag: str, jobs: int, progress: Progress | None) -> None:
        task = progress.add_task(f"draining {tag}", total=jobs) if progress else None
        while (done := self.refunded(tag)) < jobs:
            if progress and task is not None:
                progress.update(task, completed=done)
            time.sleep(0.05)

    def latency(self, tag: str, events: int, progress: Progress) -> list[float]:
        """Milliseconds from XADD to the moment another session sees the case refunded, one event at a time."""
        documents = self.prepare(tag, events)
        task = progress.add_task("idle latency", total=events)
        took = []
        with self.processes():
            for n, document in enumerate(documents):
                began = time.perf_counter()
                self.redis.xadd(STREAM, {"event": document})
                seen = "select 1 from cases where kind = 'job' and subject = %s and state = 'refunded'"
                while self.db.execute(seen, (f"{tag}_{n}",), prepare=True).fetchone() is None:
                    time.sleep(0.0005)
                took.append(1000 * (time.perf_counter() - began))
                progress.advance(task)
        return took[10:]


def rss(pid: int) -> list[int]:
    """Resident MiB of a process and of its children."""
    pids = [pid]
    for parent in pids:
        for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += [int(child) for child in tasks.read_text().split()]
    lines = [Path(f"/proc/{one}/status").read_text() for one in pids]
    return [int(line.split()[1]) // 1024 for text in lines for line in text.splitlines() if line.startswith("VmRSS")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--latency-events", type=int, default=310)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refunds-bench-") as name, start_postgres(durable=True) as postgres:
        folder = Path(name)
        (folder / "redis").mkdir()
        with start_redis(folder / "redis") as server, Progress(console=out, transient=True) as progress:
            bench = Bench(folder, postgres.url, server.url)
            bench.refunds("db", "upgrade")
            single = bench.drain("single", wanted.events, 1, progress)
            single_memory = bench.memory
            batched = bench.drain("batch", wanted.events * 4, 500, progress)
            took = sorted(bench.latency("idle", wanted.latency_events, progress))
            audit = json.loads(bench.refunds("audit", "--json"))
    table = Table(title="First figures", box=None, title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("drained, one event a task, 2 task processes", f"{single:,.0f} events/s")
    table.add_row("drained, up to 500 events a transaction", f"{batched:,.0f} events/s")
    table.add_row("idle latency, XADD to visible commit, p50", f"{statistics.median(took):.1f} ms")
    table.add_row("idle latency, p99", f"{took[int(len(took) * 0.99) - 1]:.1f} ms")
    for process, sizes in single_memory.items():
        table.add_row(f"resident memory of {process} (and its children)", " + ".join(map(str, sizes)) + " MiB")
    table.add_row("audit", "holds" if audit["ok"] else "BREACHES")
    out.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    out.print(f"[dim]{os.cpu_count()} cores, {server.kind}, {postgres.kind}, the benchmark's own peak {peak} MiB[/]")


if __name__ == "__main__":
    main()
