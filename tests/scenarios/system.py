"""The software as an operator has it: real processes, a real Redis, a real database, driven only through the contract."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.scenarios.terminal import COLUMNS, Done, in_new_interpreter, in_terminal
from tests.servers import eventually
from worker.intake.wire import event_document
from worker.sandbox.creem import CreemDouble

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class System:
    """One installation: its environment and the processes started in it."""

    folder: Path
    database_url: str
    redis_url: str
    extra: Mapping[str, str] = field(default_factory=dict)
    typed: Callable[[Sequence[str], bytes, Mapping[str, str], Path], Done] = in_new_interpreter
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "REFUNDS_DATABASE_URL": self.database_url,
            "REFUNDS_REDIS_URL": self.redis_url,
            "REFUNDS_SWEEP_SECONDS": "0.5",
            "REFUNDS_CLAIM_SECONDS": "2",
            "REFUNDS_ACTOR": "tester",
            "COLUMNS": COLUMNS,
            **self.extra,
        }

    def refunds(self, *words: str, stdin: str | bytes = "", expect: int | None = 0) -> Done:
        """Runs one command to its end."""
        done = self.typed(words, stdin.encode() if isinstance(stdin, str) else stdin, self.environ, self.folder)
        if expect is not None:
            assert done.returncode == expect, f"refunds {' '.join(words)} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, stdin: str = "", expect: int | None = 0) -> Any:
        """Runs one command with `--json` and reads its document."""
        return json.loads(self.refunds(*words, "--json", stdin=stdin, expect=expect).stdout)

    def one_turn(self) -> None:
        """What processes would do with what is on the stream, until nothing is due."""
        done = in_terminal.one_turn(self.environ, self.folder)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def start(self, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        """Starts a process that stays, its log beside the database; `environ` is its alone."""
        command = [sys.executable, "-m", *words]
        with (self.folder / f"{words[0]}-{len(self.processes)}.log").open("wb") as log:
            ours = {**self.environ, **environ}
            process = subprocess.Popen(command, env=ours, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def worker(self, concurrency: int = 2) -> subprocess.Popen[bytes]:
        """Intake, tasks and schedule in one."""
        return self.start("worker.cli", "worker", "--concurrency", str(concurrency))

    def stop(self) -> None:
        """Ends every process that is still there, politely first."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                kill_group(process)
        self.processes.clear()

    def logs(self) -> str:
        """What the processes said, for a failing test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-6000:]}" for path in sorted(self.folder.glob("*.log"))
        )

    def emit(self, documents: Sequence[str | bytes]) -> None:
        """Puts documents on the stream, as they are."""
        lines = b"".join((d.encode() if isinstance(d, str) else d) + b"\n" for d in documents)
        self.refunds("emit", "-", stdin=lines)

    def load(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Imports product history."""
        self.refunds("import", "-", stdin="".join(json.dumps(record) + "\n" for record in records))

    def case(self, name: str) -> dict[str, Any] | None:
        """The case document, or None while there is none."""
        done = self.refunds("show", name, "--json", expect=None)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def comes_to(self, state: str, job: str = "job_1", *, within: float = 60) -> None:
        """Waits until the case of this job stands there."""
        assert eventually(lambda: (self.case(job) or {}).get("state") == state, within=within), self.logs()

    def states(self) -> dict[str, int]:
        """Cases by state."""
        return {state: count for state, count in self.json("status")["cases"].items() if count}

    def settles(self, *, cases: int, within: float = 150) -> None:
        """Waits until so many cases are final and nothing waits to be done."""

        def settled() -> bool:
            found = self.json("status")
            return (
                found["backlog"] == 0
                and found["open_cases"] == 0
                and sum(found["cases"].values()) == cases
                and not found["effects_due"]
            )

        assert eventually(settled, within=within), f"{self.json('status')}\n{self.logs()}"

    def audit(self) -> dict[str, Any]:
        """The audit, which has to hold."""
        done = self.refunds("audit", "--json", expect=None)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.logs()}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def credits(self, account: str) -> int:
        """What the customer can spend."""
        return int(self.json("account", account)["credits"])


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process we started and for all it started in its session."""
    for child in descendants(process.pid):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.kill()
    process.wait(10)


def descendants(pid: int) -> list[int]:
    """The processes that come from `pid`, by the kernel's own book."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one and child not in found]
    return found[1:]


def runs(pid: int) -> bool:
    """True while this process does anything; one that ended and was asked for by nobody yet has no words any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


@contextmanager
def a_system(database_url: str, redis_url: str, **extra: str) -> Iterator[System]:
    """A fresh installation with its schema; ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="refunds-test-") as folder:
        system = System(Path(folder), database_url, redis_url, extra, in_terminal)
        system.refunds("db", "upgrade")
        try:
            yield system
        finally:
            system.stop()


def an_account(name: str = "acc_1", status: str = "active") -> dict[str, Any]:
    return {"record": "account", "id": name, "email": f"{name}@example.org", "status": status}


def a_purchase(
    name: str = "ord_1", account: str = "acc_1", credits: int = 100, paid_at: str = "2026-03-01T09:00:00Z"
) -> dict[str, Any]:
    return {
        "record": "purchase", "id": name, "account_id": account, "customer_id": f"cust_{account}", "product_id": "prod_pack",
        "kind": "credit_pack", "billing": "first", "transaction_id": f"tran_{name}", "request_id": f"chk-{name}",
        "amount": 900, "currency": "USD", "credits": credits, "paid_at": paid_at,
    }  # fmt: skip


def charge(double: CreemDouble, record: Mapping[str, Any], paid_at: datetime) -> None:
    """The purchase of that record as Creem knows it."""
    double.pay(
        record["transaction_id"],
        customer_id=record["customer_id"],
        product_id=record["product_id"],
        amount=record["amount"],
        order_id=record["id"],
        paid_at=paid_at,
    )


def event(kind: str, job: str, account: str = "acc_1", *, name: str | None = None, **data: Any) -> str:
    """One CloudEvent about a job, with an honest default identity."""
    return event_document(
        f"layer_job.{kind}",
        {"job_id": job, "account_id": account, **data},
        id=name or f"evt-{job}-{kind}-{data.get('attempt', 0)}",
        source="/image-pipeline",
        time=datetime.now(UTC),
        subject=job,
    )


def submitted(job: str, account: str = "acc_1", credits: int = 5, **data: Any) -> str:
    return event("submitted", job, account, **{"credits": credits, "paid_with": "credits", "layers_expected": 6, **data})


def failed(job: str, account: str = "acc_1", code: str = "model_error", attempt: int = 1, **data: Any) -> str:
    output = {"layers_expected": 6, "layers_delivered": 0, "corrupted": 0}
    return event(
        "failed", job, account, **{"attempt": attempt, "failure": {"code": code, "stage": "segment"}, "output": output, **data}
    )


def succeeded(job: str, account: str = "acc_1", attempt: int = 1, delivered: int = 6, **data: Any) -> str:
    output = {"layers_expected": 6, "layers_delivered": delivered, "corrupted": 0}
    return event("succeeded", job, account, **{"attempt": attempt, "output": output, **data})
