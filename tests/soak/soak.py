"""Real Redis, Postgres, Celery workers, intake and schedule under load, and faults committed on all of them; then the count."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import redis

from bench.meter import memory_mib
from tests.postgres import RunningPostgres
from tests.requests.world import OUR_HOST, PNG, a_mail
from tests.scenarios.system import ROOT, System, a_purchase, a_system, an_account, failed, submitted, succeeded
from tests.scenarios.terminal import in_new_interpreter
from tests.servers import conninfo, eventually, fresh_database
from tests.soak import raw
from tests.soak.clocks import Clocks, clocks_in
from tests.soak.disk import LeftOut, SmallDisk, small_disk
from tests.soak.faults import Faults, Kept, Supervisor
from worker.clock import SystemClock, written
from worker.sandbox.creem import CreemDouble, SecondRefund, Switches
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.pipeline import PipelineDouble, plan_by_hash
from worker.sandbox.servers import RunningRedis
from worker.settings import DEFAULT_TERMS

STREAM = "layer-jobs:events"
JOBS_AN_ACCOUNT = 25
PRICE = 5
AGAIN_SECONDS = 120.0
"""What producers send again after Redis was emptied."""
OURS = Switches(second_refund=SecondRefund.PAYS_AGAIN, second_while_pending=SecondRefund.PAYS_AGAIN)
"""Creem pays whatever it is asked to pay."""


@dataclass
class Wanted:
    """How much."""

    events: int
    faults: int
    seconds: float
    """How long the faults are spread over."""
    charges: int = 20
    mails: int = 10
    raw: bool = True
    reruns: float = 0.07
    """The share of jobs whose failure is one that is run again; a re-run that is never heard of costs a minute at the end."""
    seed: int = 1


@dataclass
class Found:
    """What came of it."""

    events: int = 0
    jobs: int = 0
    seconds: float = 0.0
    healed_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    starts: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, MiB of the processes that were spared."""
    raw_sent: int = 0
    raw_lost: int = 0
    raw_twice: int = 0
    left_out: list[str] = field(default_factory=list)
    """Faults that this machine does not let us commit, and why."""
    wrong: list[str] = field(default_factory=list)

    @property
    def growth_percent(self) -> float | None:
        """How much the spared processes grew from the first quarter to the last."""
        quarter = len(self.memory) // 4
        if quarter < 4:
            return None
        first, last = ([mib for _, mib in part] for part in (self.memory[quarter : 2 * quarter], self.memory[-quarter:]))
        return 100 * (sorted(last)[len(last) // 2] / sorted(first)[len(first) // 2] - 1)


class Producer(threading.Thread):
    """The image pipeline: sends what happened, again and again until Redis took it."""

    def __init__(self, url: str, documents: Iterator[str], pause: float) -> None:
        super().__init__(name="producer", daemon=True)
        self.sent: list[tuple[float, str]] = []
        self._client = redis.Redis.from_url(url, retry=None, socket_timeout=2)
        self._documents, self._pause = documents, pause
        self.lock = threading.Lock()

    def run(self) -> None:
        for document in self._documents:
            self.send(document)
            time.sleep(self._pause)

    def send(self, document: str) -> None:
        """Returns once Redis has it; where an answer was lost it has it twice."""
        while True:
            try:
                with self.lock:
                    self._client.xadd(STREAM, {"event": document})
                self.sent.append((time.monotonic(), document))
                return
            except redis.RedisError:
                time.sleep(0.1)

    def again(self) -> None:
        """Sends once more what was sent of late."""
        since = time.monotonic() - AGAIN_SECONDS
        for document in [document for at, document in list(self.sent) if at >= since]:
            self.send(document)


class Customers:
    """Those who write mails with files, one after another and then again."""

    def __init__(self, maildir: Path, accounts: int) -> None:
        self.maildir, self.accounts, self.mails = maildir, accounts, 0

    def write(self) -> None:
        """One more mail lies there."""
        number, self.mails = self.mails, self.mails + 1
        who = number % self.accounts
        mail = a_mail(
            f"Order ord_{who}, please.",
            sender=f"acc_{who}@example.org",
            message_id=f"<soak-{number}@x>",
            files={"a.png": PNG + number.to_bytes(2, "big")},
        )
        beside = self.maildir / "tmp" / f"mail-{number}"
        beside.write_bytes(mail)
        beside.rename(self.maildir / "new" / beside.name)


@dataclass
class Told:
    """What was told to the system, by job."""

    failing: set[str] = field(default_factory=set)
    well: set[str] = field(default_factory=set)
    raw: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)


def terms_in(folder: Path) -> Path:
    """The published terms, where a re-run has a minute and one account may fail often."""
    (folder / "terms").mkdir()
    for file in DEFAULT_TERMS.glob("*.toml"):
        text = file.read_text().replace("rerun_deadline_minutes = 60", "rerun_deadline_minutes = 1")
        text = text.replace("auto_reversals_per_account_per_day = 20", "auto_reversals_per_account_per_day = 1000")
        (folder / "terms" / file.name).write_text(text)
    return folder / "terms"


def documents(told: Told, wanted: Wanted, chance: random.Random, raw_send: Callable[[str], None]) -> Iterator[str]:
    """Every event, in the order in which it is sent."""
    sent = number = 0
    while sent < wanted.events:
        job, account = f"job_{number}", f"acc_{number // JOBS_AN_ACCOUNT}"
        number += 1
        yield submitted(job, account, PRICE)
        draw = chance.random()
        if draw < 0.05:
            told.well.add(job)
            second = succeeded(job, account)
        else:
            told.failing.add(job)
            second = failed(job, account, "worker_crashed" if draw < 0.05 + wanted.reruns else "model_error")
            told.raw.append(job)
            raw_send(job)
        yield second
        sent += 2
        if chance.random() < 0.02:
            sent += 1
            yield second


def soak(
    wanted: Wanted, folder: Path, servers: tuple[RunningPostgres, RunningRedis], tell: Callable[[int, int, str], None]
) -> Found:
    """Runs it. `tell` hears events sent, faults committed, and the last fault."""
    postgres, cache = servers
    found, chance, told = Found(), random.Random(wanted.seed), Told()
    double = CreemDouble(SystemClock(), switches=OURS)
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database(postgres.url))
        creem = stack.enter_context(CreemServer(double))
        client = redis.Redis.from_url(cache.url)
        pipeline = stack.enter_context(PipelineDouble(client, STREAM, plan_by_hash(wanted.seed), SystemClock(), seed=wanted.seed))
        disk = _disk(stack, folder, found)
        system = stack.enter_context(a_system(url, cache.url, **settings_of(folder, creem, double, pipeline)))
        system.typed = in_new_interpreter
        accounts = wanted.events // 2 // JOBS_AN_ACCOUNT + 1
        system.load(list(_history(accounts)) + list(charged_twice(double, range(wanted.charges), told)))
        processes = _processes(system, url, wanted.raw, _clocks(folder, found))
        supervisor = Supervisor(processes)
        stack.callback(supervisor.end)
        supervisor.start()
        raw_send = _raw_sender(cache.url, wanted.raw)
        pause = max(0.0, wanted.seconds / wanted.events - 0.0004)
        producer = Producer(cache.url, documents(told, wanted, chance, raw_send), pause)
        customers = Customers(folder / "mail", accounts)
        faults = Faults(
            chance=random.Random(wanted.seed + 1),
            processes=processes,
            redis=cache,
            postgres=postgres,
            dsn=conninfo(postgres.url),
            evidence=evidence_in(folder),
            emptied=producer.again,
            mailed=customers.write,
            disk=disk,
        )
        began = time.monotonic()
        producer.start()
        _commit_faults(wanted, faults, producer, customers, processes, found, began, tell)
        producer.join()
        while faults.done.total() < wanted.faults:
            tell(len(producer.sent), faults.done.total(), faults.commit())
        faults.set_clock_right()
        found.seconds = time.monotonic() - began
        _heal(system, told, found, wanted)
        found.faults, found.kills, found.starts = faults.done, faults.kills, sum(process.starts for process in processes)
        found.events, found.jobs = len(producer.sent), len(told.failing) + len(told.well)
        _judge(system, url, told, double, found)
        _judge_mails(system, url, customers, found, folder)
        if wanted.raw:
            _judge_raw(url, cache.url, told, found)
    return found


def evidence_in(folder: Path) -> Path:
    """The files of customers, on what may be a disk of their own."""
    return folder / "disk" / "evidence"


def _disk(stack: ExitStack, folder: Path, found: Found) -> SmallDisk | None:
    try:
        return stack.enter_context(small_disk(evidence_in(folder).parent))
    except LeftOut as why:
        found.left_out.append(f"no full disk: {why}")
        return None


def _clocks(folder: Path, found: Found) -> Clocks | None:
    try:
        return clocks_in(folder / "clocks")
    except LeftOut as why:
        found.left_out.append(f"no clock is set: {why}")
        return None


def settings_of(folder: Path, creem: CreemServer, double: CreemDouble, pipeline: PipelineDouble) -> dict[str, str]:
    """The environment of an installation whose mails, files and journal lie in `folder`, all patience short."""
    for name in ("new", "cur", "tmp"):
        (folder / "mail" / name).mkdir(parents=True)
    evidence_in(folder).mkdir(parents=True)
    return {
        "REFUNDS_PIPELINE_URL": pipeline.url,
        "REFUNDS_CREEM_API_KEY": double.api_key,
        "REFUNDS_CREEM_BASE_URL": creem.url,
        "REFUNDS_CREEM_TIMEOUT_SECONDS": "5",
        "REFUNDS_JOURNAL_DIR": str(folder / "journal"),
        "REFUNDS_TERMS_DIR": str(terms_in(folder)),
        "REFUNDS_PEOPLE_SECONDS": "1",
        "REFUNDS_MAIL_DIR": str(folder / "mail"),
        "REFUNDS_MAIL_HOSTS": OUR_HOST,
        "REFUNDS_EVIDENCE_DIR": str(evidence_in(folder)),
        "REFUNDS_LOG_LEVEL": "warning",
        "REFUNDS_SWEEP_SECONDS": "1",
        "REFUNDS_CLAIM_SECONDS": "2",
    }


def _history(accounts: int) -> Iterator[dict[str, Any]]:
    paid = written(datetime.now(UTC) - timedelta(days=1))
    for number in range(accounts):
        yield an_account(f"acc_{number}")
        yield a_purchase(f"ord_{number}", f"acc_{number}", 1000, paid)


def charged_twice(double: CreemDouble, numbers: Iterable[int], told: Told) -> Iterator[dict[str, Any]]:
    """Customers who have just paid twice: what the product knows of it, and Creem."""
    at = datetime.now(UTC) - timedelta(minutes=30)
    for number in numbers:
        yield an_account(f"twice_{number}")
        for which in range(2):
            order, paid = f"twice_{number}_{which}", at + which * timedelta(minutes=5)
            purchase = a_purchase(order, f"twice_{number}", 10, written(paid))
            known = {"customer_id": purchase["customer_id"], "product_id": purchase["product_id"], "order_id": order}
            double.pay(f"tran_{order}", amount=900, paid_at=paid, **known)
            yield purchase
        told.orders.append(f"twice_{number}_1")


def _processes(system: System, url: str, with_raw: bool, clocks: Clocks | None) -> list[Kept]:
    worker = ("celery", "-A", "worker", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip")

    def ours(kind: str, *words: str, spared: bool = False) -> Kept:
        clock = clocks.make(f"{kind}-spared" if spared else kind) if clocks is not None else None
        environ = clock.environ if clock is not None else {}
        return Kept(kind, lambda: system.start(*words, **environ), spared=spared, clock=clock)

    found = [
        ours("worker", *worker, "-n", "spared@%h", spared=True),
        ours("intake", "worker.cli", "intake", spared=True),
        ours("worker", *worker, "-n", "other@%h"),
        ours("intake", "worker.cli", "intake"),
        ours("beat", "celery", "-A", "worker", "beat"),
    ]
    if with_raw:
        raw.prepare(conninfo(url))
        environment = {**system.environ, "SOAK_DSN": conninfo(url)}
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tests.soak.raw",
            "worker",
            "--concurrency",
            "1",
            "-Q",
            raw.QUEUE,
            "-n",
            "raw@%h",
        ]

        def start() -> subprocess.Popen[bytes]:
            with (system.folder / "raw.log").open("ab") as log:
                return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

        found.append(Kept("raw Celery", start))
    return found


def _raw_sender(url: str, wanted: bool) -> Callable[[str], None]:
    if not wanted:
        return lambda job: None
    os.environ["REFUNDS_REDIS_URL"] = url
    from celery import Celery

    app = Celery("sender", broker=url)
    app.conf.update(task_default_queue=raw.QUEUE)

    def send(job: str) -> None:
        while True:
            try:
                app.send_task("soak.give_back", args=[job], ignore_result=True, retry=False)
                return
            except Exception:
                time.sleep(0.1)

    return send


def _commit_faults(
    wanted: Wanted, faults: Faults, producer: Producer, customers: Customers, processes: list[Kept], found: Found, began: float,
    tell: Callable[[int, int, str], None],
) -> None:  # fmt: skip
    mails = 0
    last = "-"
    while producer.is_alive():
        gone = time.monotonic() - began
        if mails < wanted.mails and gone > (mails + 1) * wanted.seconds / (wanted.mails + 2):
            customers.write()
            mails += 1
        if faults.done.total() < wanted.faults and gone > (faults.done.total() + 1) * wanted.seconds / (wanted.faults + 1):
            try:
                last = faults.commit()
            except (psycopg.Error, redis.RedisError) as error:
                last = f"not committed: {type(error).__name__}"
        spared = [process.process.pid for process in processes if process.spared and process.process is not None]
        found.memory.append((gone, memory_mib(spared)["pss"]))
        tell(len(producer.sent), faults.done.total(), last)
        time.sleep(0.05)


def _heal(system: System, told: Told, found: Found, wanted: Wanted) -> None:
    """Faults are over: everything has to come to its end by itself."""
    began = time.monotonic()

    def over() -> bool:
        said = system.refunds("status", "--json", expect=None)
        if not said.stdout:
            return False
        status = json.loads(said.stdout)
        quiet = status["backlog"] == 0
        open_jobs = status["open_cases"] - status["cases"].get("review", 0)
        return bool(quiet and not status["effects_due"] and open_jobs <= 0)

    if not eventually(over, within=240):
        found.wrong.append(f"never comes to rest: {system.json('status', expect=None)}")
    found.healed_seconds = time.monotonic() - began


def _judge(system: System, url: str, told: Told, double: CreemDouble, found: Found) -> None:
    audit = json.loads(system.refunds("audit", "--json", expect=None).stdout)
    found.wrong += [f"audit: {breach}" for breach in audit["breaches"][:5]]
    with psycopg.connect(conninfo(url)) as db:
        ends: dict[str, str] = dict(db.execute("select subject, state from cases where kind = 'job'").fetchall())
        back: dict[str, int] = dict(
            db.execute("select job_id, sum(credits)::int from postings where kind = 'reversal' group by job_id").fetchall()
        )
    found.ends.update(ends.values())
    for job in told.failing:
        state = ends.get(job)
        right = PRICE if state == "refunded" else 0
        if state not in {"refunded", "delivered"} or back.get(job, 0) != right:
            found.wrong.append(f"{job} is {state}, {back.get(job, 0)} credits came back")
    found.wrong += [f"{job} did not fail and has a case" for job in told.well & ends.keys()]
    for order in told.orders:
        gone = double.gone(f"tran_{order}", "refund")
        if gone != 900:
            found.wrong.append(f"{order}: {gone} of 900 went back")
    found.ends["charges sent back once"] = sum(double.gone(f"tran_{order}", "refund") == 900 for order in told.orders)
    if double.overpaid():
        found.wrong.append(f"paid twice: {double.overpaid()}")
    found.wrong[20:] = []


def _judge_mails(system: System, url: str, customers: Customers, found: Found, folder: Path) -> None:
    """Every mail is with a case, and its files as they were sent."""
    with psycopg.connect(conninfo(url)) as db:
        taken = db.execute("select count(*)::int from requests").fetchall()[0][0]
        kept = db.execute("select evidence_id, stored, sha256 from evidence where state = 'kept'").fetchall()
    waiting = len(list((folder / "mail" / "new").iterdir()))
    if taken != customers.mails or waiting:
        found.wrong.append(f"{customers.mails} mails, {taken} taken, {waiting} still lie there")
    if len(kept) != 2 * taken:
        found.wrong.append(f"{taken} mails with a file each, {len(kept)} files kept")
    for evidence_id, stored, expected in kept:
        file = evidence_in(folder) / stored
        if not file.exists() or sha256(file.read_bytes()).hexdigest() != expected:
            found.wrong.append(f"the file of {evidence_id} is not what was sent")
    found.ends["mails taken, with their files"] = taken
    full = os.strerror(errno.ENOSPC)
    turned_away = sum(log.read_text(errors="replace").count(full) for log in system.folder.glob("*.log"))
    found.ends["turns at the mails that met a full disk"] = turned_away


def _judge_raw(url: str, redis_url: str, told: Told, found: Found) -> None:
    """Waits until the raw worker has nothing more in its queue, and counts."""
    client = redis.Redis.from_url(redis_url)
    eventually(lambda: not client.llen(raw.QUEUE), within=60)
    # what it took and holds is finished within seconds, or never
    eventually(lambda: False, within=5)
    with psycopg.connect(conninfo(url)) as db:
        booked: dict[str, int] = dict(db.execute("select job_id, count(*)::int from raw_reversals group by job_id").fetchall())
    found.raw_sent = len(told.raw)
    found.raw_lost = sum(job not in booked for job in told.raw)
    found.raw_twice = sum(times > 1 for times in booked.values())
