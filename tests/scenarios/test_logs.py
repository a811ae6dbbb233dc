"""What the operating guide says of logs, tried on those of real processes: one filter answers what happened to a job."""

import base64
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
import redis as redis_py

from tests.scenarios.system import ROOT, System, a_purchase, an_account, descendants, failed, submitted
from tests.servers import ON_POSTGRES, eventually
from worker.sandbox.servers import free_port

pytestmark = [pytest.mark.landing, ON_POSTGRES]
GUIDE = (ROOT / "docs/operating.md").read_text()
DOCKER_CUTS_AT = 16 * 1024
TO_WHOEVER_STOPPED_IT = "worker: Warm shutdown (MainProcess)"
TYPED = r"""jq -Rc 'fromjson? | select(tostring | test("\\bjob_42\\b"))' worker.log"""


def records(system: System) -> list[dict[str, Any]]:
    """Every log record of every process, as `fromjson?` gives them; what is no object is left out."""
    found = []
    for path in sorted(system.folder.glob("*.log")):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                found.append(record)
    return found


def bare(path: Path) -> list[str]:
    """Lines of a process that are no records, once it logs: before that stand Celery's words to whoever runs it as root."""
    lines = path.read_text().splitlines()
    begun = next((number for number, line in enumerate(lines) if line.startswith('{"')), 0)
    return [line for line in lines[begun:] if line and not isinstance(as_json(line), dict)]


def as_json(line: str) -> Any:
    """What the line says; None where it is no JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def kind(value: Any) -> str | None:
    """How a collector keeps a value under its name: a list like what is in it, nothing like anything."""
    if isinstance(value, list):
        return next((kind(one) for one in value if one is not None), None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return None if value is None else type(value).__name__


def about(job: str, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the guide's filter leaves for one job."""
    return [record for record in told if re.search(rf"\b{job}\b", json.dumps(record))]


def test_one_filter_says_what_became_of_a_job_handled_alone_and_of_one_drained(system: System) -> None:
    assert TYPED in GUIDE
    many = [f"job_{number}" for number in range(100, 160)]
    system.load([an_account(), a_purchase(credits=1000)])
    system.worker(1)
    system.emit([submitted("job_42"), failed("job_42", code="internal_error")])
    system.comes_to("refunded", "job_42")
    system.emit([document for job in many for document in (submitted(job), failed(job, code="internal_error"))])
    system.settles(cases=1 + len(many))
    told = records(system)
    if shutil.which("jq"):
        typed = [*shlex.split(TYPED)[:-1], *(str(path) for path in sorted(system.folder.glob("*.log")))]
        said_by_jq = subprocess.run(typed, capture_output=True, text=True, timeout=30, check=True)
        assert [json.loads(line) for line in said_by_jq.stdout.splitlines()] == about("job_42", told)
    case = str((system.case("job_42") or {})["case_id"])
    moves = [record for record in about("job_42", told) if record["event"] == "case.moved"]
    assert [(move["case_id"], move["job_id"], move["state"], move["credits"]) for move in moves] == [
        (case, "job_42", "refunded", 5)
    ]
    assert {"task", "task_id", "timestamp", "level"} <= set(moves[0])
    drained = [record for record in told if record["event"] == "cases.moved"]
    assert drained, system.logs()
    for job in many:
        said = [one for one in about(job, told) if one["event"] in {"case.moved", "cases.moved"}]
        assert len(said) == 1, (job, said)
        assert "refunded" in json.dumps(said)


def test_collector_that_reads_records_can_keep_every_line_of_every_process(system: System) -> None:
    """A line that is no record, and one that has a number where others of its name have words, is in no index afterwards."""
    port = free_port()
    system.extra = {**system.extra, "REFUNDS_WEB_PORT": str(free_port())}
    system.load([an_account(), a_purchase(credits=1000)])
    celery = ("worker.cli.celery", "--quiet", "-A", "worker")
    worker = system.start(*celery, "worker", "--concurrency", "1", "--without-gossip")
    others = [system.start(*words) for words in (("worker.cli", "intake"), ("worker.cli", "web"))]
    others.append(system.start(*celery, "beat", "--schedule", str(system.folder / "beat")))
    others.append(system.start(*celery, "flower", "--address=127.0.0.1", f"--port={port}", "--read-only"))
    system.emit([submitted("job_42"), failed("job_42", code="internal_error")])
    system.comes_to("refunded", "job_42")
    many = [f"job_{'of_a_long_name' * 6}_{number}" for number in range(100, 260)]
    system.emit([document for job in many for document in (submitted(job), failed(job, code="internal_error"))])
    system.settles(cases=1 + len(many))
    assert eventually(lambda: answers(port, "healthcheck"), within=60), system.logs()
    # as the system does where memory ends
    [child] = descendants(worker.pid)
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: "signal 9" in system.logs(), within=60), system.logs()
    for process in (*others, worker):
        process.terminate()
    assert all(process.wait(60) is not None for process in (*others, worker))
    said = {path.name: bare(path) for path in sorted(system.folder.glob("*.log"))}
    assert {name: lines for name, lines in said.items() if lines} in ({}, {"worker.cli.celery-0.log": [TO_WHOEVER_STOPPED_IT]})
    longest = max(len(line) for path in system.folder.glob("*.log") for line in path.read_bytes().splitlines())
    assert longest < DOCKER_CUTS_AT
    told = records(system)
    assert {"intake.accepted", "intake.handed_on", "cases.moved", "web.listening"} <= {record["event"] for record in told}
    kinds: dict[str, set[str]] = {}
    for record in told:
        assert {"event", "level", "timestamp"} <= record.keys()
        for name, value in record.items():
            kinds.setdefault(name, set()).update(filter(None, [kind(value)]))
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_task_that_took_several_names_none_of_them_and_each_line_its_own_job(system: System) -> None:
    jobs = [f"job_{number}" for number in range(1, 6)]
    system.load([an_account(), a_purchase(credits=1000)])
    system.emit([document for job in jobs for document in (submitted(job), failed(job))])
    assert system.start("tests.scenarios.one_task").wait(60) == 0, system.logs()
    moved = [record for record in records(system) if record["event"] == "case.moved"]
    assert sorted(record["job_id"] for record in moved) == jobs
    for job in jobs:
        assert [record["job_id"] for record in about(job, moved)] == [job]
    with redis_py.Redis.from_url(system.redis_url) as client:
        [sent] = [json.loads(message) for message in client.lrange("refunds:assess", 0, -1)]
    assert sent["headers"]["kwargsrepr"].startswith("{'events': 10, 'inbox': [")
    _, ids, _ = json.loads(base64.b64decode(sent["body"]))
    assert ids.keys() == {"inbox"}, "a job that is none would stand in every line of the task"


def test_log_that_cannot_be_written_stops_nobody(system: System, nowhere: IO[bytes]) -> None:
    port = free_port()
    system.extra = {**system.extra, "REFUNDS_WEB_PORT": str(port)}
    system.load([an_account(), a_purchase(credits=100)])
    # what is left in a buffer is what a process trips over
    environ = {name: value for name, value in system.environ.items() if name != "PYTHONUNBUFFERED"}
    for process in ("worker", "web"):
        command = [sys.executable, "-m", "worker.cli", process]
        system.processes.append(
            subprocess.Popen(command, env=environ, cwd=system.folder, stdout=nowhere, stderr=nowhere, start_new_session=True)
        )
    system.emit([submitted("job_42"), failed("job_42", code="internal_error")])
    system.comes_to("refunded", "job_42")
    assert eventually(lambda: answers(port), within=30)
    assert [process.poll() for process in system.processes] == [None, None]


def answers(port: int, at: str = "healthz") -> bool:
    """Whether the web process is there, or Flower at its `healthcheck`."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/{at}", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
