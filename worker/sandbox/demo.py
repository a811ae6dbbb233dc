"""`refunds demo`: the main job on real parts, watched live, summed up, and audited.

A real Redis, real Celery processes, a real database file, and a pipeline double over HTTP. Nothing is staged: the worker knows
neither which story a job belongs to nor how it must end. One term is shortened so that nobody waits an hour for the deadline of a
re-run that is never answered.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.live import Live

from worker.cases.audit.audit import Audit, audit_books, audit_stream
from worker.cases.overview import overview
from worker.clock import SystemClock
from worker.intake.records import read_record
from worker.intake.stream import backlog, entries_read_so_far, open_stream_client
from worker.observe import configure_logging
from worker.runtime import Runtime
from worker.sandbox import summary, summary_money
from worker.sandbox.creem import CreemDouble
from worker.sandbox.creem.deliveries import post_to
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.customers import Correspondence
from worker.sandbox.ending import ended_by_signals
from worker.sandbox.money_stories import MoneyWorld, make_money_world
from worker.sandbox.pipeline import PipelineDouble
from worker.sandbox.servers import free_port, start_redis
from worker.sandbox.traffic import World, make_world
from worker.screen import out, progress, say
from worker.settings import DEFAULT_TERMS, Settings, load_settings
from worker.store import schema

DEADLINE_SECONDS = 12
SENDING_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[2]


def run_demo(*, jobs: int, seed: int, keep: bool) -> int:
    """Runs the demo; returns 0 only if every job ended as its story says and the audit holds. For a process's main thread."""
    with ended_by_signals():
        return _run(jobs=jobs, seed=seed, keep=keep)


def _run(*, jobs: int, seed: int, keep: bool) -> int:
    folder = Path(tempfile.mkdtemp(prefix="refunds-demo-"))
    try:
        good = _perform(folder, jobs=jobs, seed=seed)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if keep:
        say("\nKept in [bold]{folder}[/]: the database, customers' files, the worker's log. For a look around:", folder=folder)
        say("  export REFUNDS_DATABASE_URL=sqlite:///{folder}/refunds.db REFUNDS_TERMS_DIR={folder}/terms", folder=folder)
        say("  export REFUNDS_EVIDENCE_DIR={folder}/evidence PATH={bin}:$PATH", folder=folder, bin=Path(sys.executable).parent)
        say("  refunds cases --state declined    refunds why <job>    refunds account <account>    refunds audit --books-only")
    return 0 if good else 1


def _perform(folder: Path, *, jobs: int, seed: int) -> bool:
    began = time.monotonic()
    redis_folder = folder / "redis"
    redis_folder.mkdir()
    with start_redis(redis_folder) as server:
        ours = _settings(folder, server.url)
        runtime = Runtime.start(load_settings(ours))
        configure_logging(runtime.settings)
        schema.upgrade(runtime.store)
        world = make_world(seed, jobs=jobs, now=runtime.clock.now())
        port = free_port()
        creem = CreemDouble(SystemClock(), seed=seed, deliver=post_to(f"http://127.0.0.1:{port}/webhooks/creem"))
        money = make_money_world(seed, creem, now=runtime.clock.now())
        summary.opening(world, redis=server.kind, deadline=DEADLINE_SECONDS)
        double = PipelineDouble(runtime.redis, runtime.settings.stream, world.plan, runtime.clock)
        with double, CreemServer(creem) as provider:
            theirs = ours | {
                "REFUNDS_PIPELINE_URL": double.url,
                "REFUNDS_CREEM_API_KEY": creem.api_key,
                "REFUNDS_CREEM_BASE_URL": provider.url,
                "REFUNDS_CREEM_WEBHOOK_SECRET": creem.webhook_secret,
                # two stories wait for an answer that never comes
                "REFUNDS_CREEM_TIMEOUT_SECONDS": "3",
                "REFUNDS_WEB_PORT": str(port),
            }
            runtime = Runtime.start(load_settings(theirs))
            mails = Correspondence(folder / "mail", folder / "outbox", money.letters)
            mails.prepare()
            _import(runtime, [*world.import_lines, *money.import_lines])
            with _process(folder, "web", theirs), _process(folder, "worker", theirs, "--concurrency", "2"):
                settled = _watch(runtime, world, money, double, mails)
        whole = summary.told(runtime.store, world, seconds=time.monotonic() - began)
        whole &= summary_money.told(runtime.store, money, creem)
        mails.show()
        audit = _audit(runtime)
    runtime.store.close()
    if not settled:
        say(
            "[red]Not everything had settled after {n} s.[/] The worker's last words:\n{log}",
            n=PATIENCE_SECONDS,
            log=_tail(folder),
        )
    return settled and whole and audit.ok


def _settings(folder: Path, redis_url: str) -> dict[str, str]:
    terms = folder / "terms"
    terms.mkdir()
    for file in DEFAULT_TERMS.glob("*.toml"):
        shortened = f"rerun_deadline_minutes = {DEADLINE_SECONDS / 60:.4f}"
        (terms / file.name).write_text(file.read_text().replace("rerun_deadline_minutes = 60", shortened))
    return {
        "REFUNDS_DATABASE_URL": f"sqlite:///{folder / 'refunds.db'}",
        "REFUNDS_REDIS_URL": redis_url,
        "REFUNDS_TERMS_DIR": str(terms),
        "REFUNDS_SWEEP_SECONDS": "1",
        "REFUNDS_LOG_LEVEL": "warning",
        "REFUNDS_ACTOR": "demo",
        "REFUNDS_PEOPLE_SECONDS": "1",
        "REFUNDS_MAIL_DIR": str(folder / "mail"),
        "REFUNDS_EVIDENCE_DIR": str(folder / "evidence"),
        "REFUNDS_NOTICES_URL": f"file://{folder / 'outbox'}",
        "REFUNDS_NOTICES_GATHER_SECONDS": "1",
    }


def _import(runtime: Runtime, lines: list[str]) -> None:
    records = [read_record(line.encode()) for line in lines]
    with progress() as bar:
        task = bar.add_task("importing the product's history", total=len(records))
        runtime.importer.take(records, lambda n: bar.advance(task, n))


@contextmanager
def _process(folder: Path, name: str, ours: dict[str, str], *words: str) -> Iterator[None]:
    """`refunds worker` or `refunds web` as an operator would start it, its log in the folder; ended in order."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
    path = os.pathsep.join(filter(None, [str(ROOT), theirs.get("PYTHONPATH", "")]))
    environ = theirs | ours | {"REFUNDS_LOG_LEVEL": "info", "PYTHONPATH": path}
    command = [sys.executable, "-m", "worker.cli", name, *words]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _watch(runtime: Runtime, world: World, money: MoneyWorld, double: PipelineDouble, mails: Correspondence) -> bool:
    """Sends the events at an even pace, shows what becomes of them, then sends the late ones; True when all has settled."""
    sender = Sender(runtime.settings, world)
    for act in money.later:
        act()
    mails.write_all()
    deadline = time.monotonic() + SENDING_SECONDS + PATIENCE_SECONDS
    with Live(console=out, refresh_per_second=8, transient=True) as live:
        while time.monotonic() < deadline:
            found = _figures(runtime)
            mails.turn(runtime.reviewer)
            live.update(summary.live(found, sent=sender.sent, total=sender.total, reruns=len(double.requests)))
            paid = summary_money.as_told(summary_money.endings(runtime.store), money)
            if sender.done and double.pending == 0 and _settled(found) and paid and not sender.late():
                return True
            sender.rest.wait(0.25)
    return False


def _figures(runtime: Runtime) -> dict[str, Any]:
    found = runtime.store.read(lambda tx: overview(tx, runtime.clock.now()))
    stream = backlog(runtime.redis, runtime.settings.stream, runtime.settings.group)
    return found | {"stream": (stream.undelivered or 0) + stream.pending}


def _settled(found: dict[str, Any]) -> bool:
    busy = found["cases"]["waiting"] + found["cases"]["rerunning"] + found["cases"]["refunding"]
    return not (found["stream"] or found["backlog"] or found["effects_due"] or busy)


class Sender:
    """Puts the world's events on the stream from a thread of its own, as the pipeline would: whether or not anybody reads."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.sent, self.done, self.rest = 0, False, threading.Event()
        self.total = len(world.events) + len(world.late)
        self._settings, self._late = settings, list(world.late)
        threading.Thread(target=self._send, args=(world.events, SENDING_SECONDS), name="sender", daemon=True).start()

    def late(self) -> bool:
        """Sends what is said only after everything settled; False when there is nothing of it left."""
        late, self._late = self._late, []
        if late:
            self.done = False
            threading.Thread(target=self._send, args=(late, 0.5), name="late-sender", daemon=True).start()
        return bool(late)

    def _send(self, documents: list[str], seconds: float) -> None:
        client = open_stream_client(self._settings.redis_url)
        pause = seconds / max(1, len(documents))
        for document in documents:
            client.xadd(self._settings.stream, {"event": document})
            self.sent += 1
            self.rest.wait(pause)
        client.close()
        self.done = True


def _audit(runtime: Runtime) -> Audit:
    now = runtime.clock.now()
    result = runtime.store.read(lambda tx: audit_books(tx, now))
    entries = entries_read_so_far(runtime.redis, runtime.settings.stream, runtime.settings.group)
    audit_stream(runtime.store, result, entries, now)
    summary.audited(result)
    return result


def _tail(folder: Path) -> str:
    return "\n".join((folder / "worker.log").read_text(errors="replace").splitlines()[-15:])
