"""Where the time of ours goes while a backlog is drained: samples of the processes, statements as Postgres counts them."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench import books, measure
from bench.contestants import OURS
from bench.meter import cpu_seconds, tree
from bench.report import caption, machine
from bench.servers import ROOT, Servers
from worker.screen import out

PROFILE = ROOT / "bench" / "PROFILE.md"
# the first of these that a stack passes through, from the top of the call down, is where its time is counted
PARTS = {
    "worker/cases/book/load.py": "read: lock and load facts",
    "worker/cases/book/locks.py": "read: lock and load facts",
    "worker/cases/assess/surroundings.py": "read: lock and load facts",
    "worker/cases/book/write.py": "write: cases, history, postings, effects",
    "worker/cases/assess/judge.py": "judge: policy, facts, documents",
    "worker/cases/assess/fold.py": "fold: apply the news to the jobs",
    "worker/credits/ledger.py": "credits",
    "worker/cases/book/news.py": "read the event again from the inbox",
    "worker/store/inbox.py": "inbox rows: claim, insert, settle",
    "worker/intake/": "intake: read the stream, validate",
    "worker/cases/assess/assess.py": "assess, the rest",
    "worker/cases/assess/assessor.py": "assess, the rest",
    "worker/cases/": "announce and sweeps",
    "celery/": "Celery",
    "kombu/": "Celery",
}

# the last of a stack in a process that stands still
WAITS = ("wait", "poll", "select", "fetch_many", "_gssapi", "Service.start")


def write(at: Servers, events: int) -> None:
    """Profiles one drain of ours and writes the tables."""
    postgres = at.postgres
    postgres.command += ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "track_io_timing=on"]
    postgres.restart()
    facts = machine(at)
    with measure.started(at, OURS, "p") as run, tempfile.TemporaryDirectory(prefix="refunds-bench-") as name:
        run.db.execute("create extension if not exists pg_stat_statements")
        laid = books.lay(run.db, "p", events)
        measure.settle(run)
        measure.send_held(run, laid)
        run.db.execute("select pg_stat_statements_reset()")
        cpu, server = cpu_seconds(run.processes.roots), cpu_seconds([postgres.pid])
        run.processes.release()
        watched = [pid for root in run.processes.roots for pid in tree(root)]
        samplers = [_sample(pid, Path(name) / f"{pid}.txt") for pid in watched]
        seconds = measure.wait(run.db, "p", events, run.processes, measure.STALL_SECONDS)
        spent, spent_server = cpu_seconds(run.processes.roots) - cpu, cpu_seconds([postgres.pid]) - server
        for sampler in samplers:
            # asked to end, it writes what it has
            sampler.send_signal(2)
        for sampler in samplers:
            sampler.wait(60)
        samples = [path.read_text(errors="replace") for path in Path(name).glob("*.txt")]
        statements = run.db.execute(
            "select regexp_replace(left(query, 110), '\\s+', ' ', 'g'), calls, total_exec_time, rows from pg_stat_statements"
            " where query not like '%%pg_stat_statements%%' and query not like 'select count(*) from cases%%'"
            " order by total_exec_time desc limit 14",
            (),
        ).fetchall()
    PROFILE.write_text(_document(facts, events, seconds, spent, spent_server, parts(samples), statements))
    out.print(PROFILE.read_text(), markup=False)


def _sample(pid: int, into: Path) -> subprocess.Popen[bytes]:
    spy = Path(sys.executable).with_name("py-spy")
    command = [
        str(spy),
        "record",
        "--pid",
        str(pid),
        "--format",
        "raw",
        "--output",
        str(into),
        "--rate",
        "100",
        "--duration",
        "3600",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def parts(samples: list[str]) -> Counter[str]:
    """Samples by part of the work; a stack that waits for Postgres is counted where it was asked from, one that waits for
    nothing of this work not at all.
    """
    counted: Counter[str] = Counter()
    for line in "\n".join(samples).splitlines():
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue
        where = next((part for path, part in PARTS.items() if path in stack), "elsewhere")
        waits = any(word in stack.rpartition(";")[2] for word in WAITS)
        if waits and "psycopg" not in stack:
            continue  # nothing to do: a process between two tasks, the schedule between two ticks
        counted[where + (", waiting for Postgres" if waits else "")] += int(count)
    return counted


def _document(
    facts: dict[str, Any], events: int, seconds: float, spent: float, server: float, counted: Counter[str], statements: list[Any]
) -> str:
    total = sum(counted.values()) or 1
    lines = [
        "# Where the time goes",
        "",
        f'`make bench ARGS="--profile --events {events}"`: {events:,} events drained in {seconds:.1f} s by two task processes '
        "and intake, "
        f"sampled 100 times a second. {caption(facts)}.",
        "",
        f"Python used {1000 * spent / events:.2f} s of CPU for 1,000 events, Postgres {1000 * server / events:.2f} s. "
        f"Together they kept {(spent + server) / seconds:.1f} of {facts['cores']} cores busy: "
        f"{_bound(spent, server, seconds, facts)}.",
        "",
        "| part of the Python processes (samples while they run) | share |",
        "|---|---:|",
        *[f"| {part} | {100 * n / total:.0f} % |" for part, n in counted.most_common() if n * 200 > total],
        "",
        "| statement in Postgres | calls | ms in all | rows |",
        "|---|---:|---:|---:|",
        *[f"| `{str(query).replace('|', '/')}` | {calls:,} | {ms:,.0f} | {rows:,} |" for query, calls, ms, rows in statements],
        "",
    ]
    return "\n".join(lines)


def _bound(spent: float, server: float, seconds: float, facts: dict[str, Any]) -> str:
    if facts["load_before"] > 0.5 * facts["cores"]:
        return f"nothing can be said of what bounds it, other work was on the machine (load {facts['load_before']:.1f})"
    if (spent + server) / seconds < 0.7 * facts["cores"]:
        return "bound by waiting (disk, locks, round trips), not by the processor"
    return "bound by the processor, " + ("most of it in Python" if spent > server else "most of it in Postgres")
