"""Every part broken in turn under load, on the real processes: does the right alert fire, does `status` name it, does it heal?"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

import redis

from tests.drill.prometheus import SHORTER, Prometheus
from tests.notices.rude_server import RudeServer, rude_server
from tests.postgres import RunningPostgres
from tests.scenarios.system import System, a_purchase, a_system, an_account, failed, kill_group, submitted
from tests.scenarios.terminal import in_new_interpreter
from tests.servers import eventually, fresh_database
from tests.soak.faults import Kept, Supervisor
from tests.soak.soak import JOBS_AN_ACCOUNT, OURS, PRICE, STREAM, Producer, Told, charged_twice, settings_of
from worker.clock import SystemClock, written
from worker.sandbox.creem import CreemDouble
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.pipeline import PipelineDouble, plan_by_hash
from worker.sandbox.servers import RunningRedis, free_port

JOBS_A_SECOND = 8
ACCOUNTS = 400
CHARGES = 8
"""Charged twice for each exercise with money: more than the calls in a row after which Creem counts as away."""
RERUNS = 0.3
"""The share of failures that the policy has run again."""


@dataclass
class Lesson:
    """What one exercise showed."""

    name: str
    alert: str
    named: str = ""
    """The line in which `refunds status` named the trouble."""
    fired: float = 0.0
    """Seconds from the fault to the alert."""
    healed: float = 0.0
    """Seconds from the mending until no alert fires and `status` has nothing to say."""
    by_hand: str = ""
    """The command that a person had to type, where one had to."""
    wrong: str = ""


@dataclass(frozen=True)
class Exercise:
    """How to break one part and how to put it right; what has to be seen meanwhile."""

    name: str
    alert: str
    named: str
    """What `refunds status` has to say, as a pattern; empty: nothing, since work goes on."""
    damage: Callable[[], None]
    repair: Callable[[], None]
    by_hand: str = ""


@dataclass
class Installation:
    """Everything that runs, and a handle on each part."""

    folder: Path
    system: System
    postgres: RunningPostgres
    cache: RunningRedis
    supervisor: Supervisor
    kept: dict[str, Kept]
    double: CreemDouble
    creem: CreemServer
    pipeline: PipelineDouble
    mail: RudeServer
    prometheus: Prometheus
    flowing: threading.Event
    """Not set: no events come."""
    told: Told = field(default_factory=Told)
    pairs: Iterator[int] = field(default_factory=count)

    def down(self, *names: str) -> Callable[[], None]:
        """Ends these processes and keeps them down."""

        def damage() -> None:
            with self.supervisor.lock:
                for name in names:
                    self.kept[name].wanted = False
                    process = self.kept[name].process
                    assert process is not None
                    kill_group(process)

        return damage

    def up(self, *names: str) -> Callable[[], None]:
        """Lets the supervisor start them again."""

        def repair() -> None:
            for name in names:
                self.kept[name].wanted = True

        return repair

    def charge_twice(self) -> None:
        """Some customers have just been charged twice; the policy sends the second charge back."""
        numbers = [next(self.pairs) for _ in range(CHARGES)]
        self.system.load(list(charged_twice(self.double, numbers, self.told)))

    def status(self) -> str:
        """What an operator reads."""
        said = self.system.refunds("status", expect=None)
        return f"{said.stdout}\n{said.stderr}"

    def at_ease(self) -> bool:
        """No alert fires, and the first line of `status` is the good one."""
        return not self.prometheus.firing() and "Nobody waits beyond the promise." in self.status()


def exercises(at: Installation) -> list[Exercise]:
    """All of them, each leaving everything as it was."""

    def creem_away() -> None:
        at.creem.__exit__(None, None, None)
        at.charge_twice()

    def creem_back() -> None:
        at.creem = CreemServer(at.double, int(at.creem.url.rpartition(":")[2]))
        at.creem.__enter__()

    def pipeline_away() -> None:
        at.pipeline.__exit__(None, None, None)

    def pipeline_back() -> None:
        at.pipeline = a_pipeline(at.cache.url, int(at.pipeline.url.rpartition(":")[2]))
        at.pipeline.__enter__()

    def no_letters() -> None:
        at.mail.troubles = {"CONNECT": "421 not now"}

    def letters_again() -> None:
        at.mail.troubles = {}

    def stop_money() -> None:
        at.system.refunds("money", "stop", "--reason", "drill")
        at.charge_twice()

    def no_money() -> None:
        at.down("money")()
        at.charge_twice()

    def no_schedule() -> None:
        # events that come bring sweeps with them: what nobody looks at is seen when none come
        at.down("beat")()
        at.flowing.clear()

    def schedule_again() -> None:
        at.flowing.set()
        at.up("beat")()

    def rubbish() -> None:
        at.system.emit([b'{"specversion": "1.0", "type": "layer_job.failed"', b"\xff\xfe not even text"])

    def discard() -> None:
        for letter in at.system.json("dead", "list")["items"]:
            at.system.refunds("dead", "discard", str(letter["dead_id"]), "--reason", "drill")

    return [
        Exercise("Redis is killed", "RefundsRedisDown", "Redis is not reachable", at.cache.kill, lambda: _started(at.cache)),
        Exercise(
            "Postgres is killed", "RefundsDatabaseDown", "database is not reachable", at.postgres.kill,
            lambda: _started(at.postgres),
        ),
        Exercise("Creem does not answer", "RefundsCreemAway", "creem breaker.*open until", creem_away, creem_back),
        Exercise(
            "the pipeline does not answer", "RefundsPipelineAway", "pipeline breaker.*open until", pipeline_away, pipeline_back
        ),
        Exercise("the mail server takes no letters", "RefundsNoticesLate", "tried in vain since", no_letters, letters_again),
        Exercise(
            "no worker runs", "RefundsBacklogOld", "stored and not handled since", at.down("worker", "money"),
            at.up("worker", "money"),
        ),
        Exercise("no worker for money runs", "RefundsPaymentsLate", "refunds are due since", no_money, at.up("money")),
        Exercise("no intake runs", "RefundsStreamUnread", "lie on the stream since", at.down("intake"), at.up("intake")),
        Exercise(
            "no schedule runs, and no events come", "RefundsActionsOverdue", "due for the next look", no_schedule,
            schedule_again,
        ),
        Exercise("no web process runs", "RefundsMetricsAbsent", "", at.down("web"), at.up("web")),
        Exercise(
            "a person stops money", "RefundsMoneyStopped", "money breaker.*open until `refunds money release", stop_money,
            lambda: void(at.system.refunds("money", "release", "--reason", "drill")), "refunds money release",
        ),
        Exercise(
            "a producer sends rubbish", "RefundsDeadLetters", "dead letters +[1-9]", rubbish, discard,
            "refunds dead discard",
        ),
    ]  # fmt: skip


def _started(server: RunningPostgres | RunningRedis) -> None:
    server.start()


def void(_: object) -> None:
    """For a command whose output nobody reads."""


def a_pipeline(redis_url: str, port: int = 0) -> PipelineDouble:
    client = redis.Redis.from_url(redis_url)
    return PipelineDouble(client, STREAM, plan_by_hash(1), SystemClock(), port, seed=1)


def go_through(at: Installation, exercise: Exercise, patience: float = 240) -> Lesson:
    """Breaks, watches, mends and watches again."""
    lesson = Lesson(exercise.name, exercise.alert, by_hand=exercise.by_hand)
    began = time.monotonic()
    exercise.damage()
    fired = eventually(lambda: exercise.alert in at.prometheus.firing(), within=patience)
    lesson.fired = time.monotonic() - began
    said = at.status()
    others = at.prometheus.firing() - {exercise.alert}
    exercise.repair()
    began = time.monotonic()
    healed = eventually(at.at_ease, within=patience)
    lesson.healed = time.monotonic() - began
    lesson.named = next((line.strip() for line in said.splitlines() if re.search(exercise.named, line)), "")
    if not fired:
        lesson.wrong = f"{exercise.alert} never fired; {sorted(others)} did; status said:\n{said}"
    elif not lesson.named:
        lesson.wrong = f"status does not say {exercise.named!r}:\n{said}"
    elif not healed:
        lesson.wrong = f"does not heal: {sorted(at.prometheus.firing())}\n{at.status()}"
    return lesson


def load(told: Told, flowing: threading.Event, over: threading.Event) -> Iterator[str]:
    """Failed jobs, while they flow and until it is over."""
    chance = Random(1)
    for number in count():
        flowing.wait()
        if over.is_set():
            return
        job, account = f"job_{number}", f"acc_{number // JOBS_AN_ACCOUNT % ACCOUNTS}"
        told.failing.add(job)
        yield submitted(job, account, PRICE)
        yield failed(job, account, "worker_crashed" if chance.random() < RERUNS else "model_error")


@dataclass
class Drilled:
    """The whole of it."""

    lessons: list[Lesson] = field(default_factory=list)
    events: int = 0
    jobs: int = 0
    charges: int = 0
    rest: float = 0.0
    """Seconds from the last event until everything was at its end."""
    wrong: list[str] = field(default_factory=list)


def drill(folder: Path, servers: tuple[RunningPostgres, RunningRedis], tell: Callable[[str], None], only: str = "") -> Drilled:
    """Goes through every exercise whose name holds `only`; `tell` hears which."""
    postgres, cache = servers
    drilled, over = Drilled(), threading.Event()
    with ExitStack() as stack:
        at = _installed(stack, folder, postgres, cache)
        producer = Producer(cache.url, load(at.told, at.flowing, over), 1 / (2 * JOBS_A_SECOND))
        producer.start()
        tell("warming up")
        if not eventually(lambda: _working(at) and at.at_ease(), within=120):
            drilled.wrong.append(f"never at ease before anything broke: {at.prometheus.firing()}\n{at.status()}")
        for exercise in exercises(at):
            if only.lower() in exercise.name.lower():
                tell(exercise.name)
                lesson = go_through(at, exercise)
                drilled.lessons.append(lesson)
                if lesson.wrong:
                    drilled.wrong.append(f"{lesson.name}: {lesson.wrong}")
        tell("to its end")
        over.set()
        producer.join()
        began = time.monotonic()
        _judge(at, drilled)
        drilled.rest = time.monotonic() - began
        drilled.events, drilled.jobs, drilled.charges = len(producer.sent), len(at.told.failing), len(at.told.orders)
    return drilled


def _working(at: Installation) -> bool:
    said = at.system.json("status", expect=None)
    return bool(said["made_whole"])


def _installed(stack: ExitStack, folder: Path, postgres: RunningPostgres, cache: RunningRedis) -> Installation:
    double = CreemDouble(SystemClock(), switches=OURS)
    url = stack.enter_context(fresh_database(postgres.url))
    creem = CreemServer(double)
    creem.__enter__()
    pipeline = a_pipeline(cache.url)
    pipeline.__enter__()
    mail = stack.enter_context(rude_server({}))
    port = free_port()
    settings = settings_of(folder, creem, double, pipeline)
    settings |= {"REFUNDS_WEB_PORT": str(port), "REFUNDS_READY_BACKLOG_SECONDS": str(120 / SHORTER)}
    settings |= {"REFUNDS_NOTICES_URL": f"smtp://127.0.0.1:{mail.port}", "REFUNDS_NOTICES_GATHER_SECONDS": "0"}
    system = stack.enter_context(a_system(url, cache.url, **settings))
    system.typed = in_new_interpreter
    system.load([an_account(f"acc_{number}") for number in range(ACCOUNTS)])
    system.load([
        a_purchase(f"ord_{number}", f"acc_{number}", 100_000, written(datetime.now(UTC) - timedelta(days=1)))
        for number in range(ACCOUNTS)
    ])  # fmt: skip
    worker = ("celery", "-A", "worker", "worker", "--without-mingle", "--without-gossip")
    kept = {
        "worker": Kept("worker", lambda: system.start(*worker, "--concurrency", "2", "-Q", "assess,remedies,sweep")),
        "money": Kept("money", lambda: system.start(*worker, "--concurrency", "1", "-Q", "money", "-n", "money@%h")),
        "intake": Kept("intake", lambda: system.start("worker.cli", "intake")),
        "beat": Kept("beat", lambda: system.start("celery", "-A", "worker", "beat")),
        "web": Kept("web", lambda: system.start("worker.cli", "web")),
    }
    supervisor = Supervisor(list(kept.values()))
    stack.callback(supervisor.end)
    supervisor.start()
    prometheus = stack.enter_context(Prometheus(folder / "prometheus", f"127.0.0.1:{port}"))
    flowing = threading.Event()
    flowing.set()
    at = Installation(folder, system, postgres, cache, supervisor, kept, double, creem, pipeline, mail, prometheus, flowing)
    stack.callback(lambda: at.pipeline.__exit__(None, None, None))
    stack.callback(lambda: at.creem.__exit__(None, None, None))
    return at


def _judge(at: Installation, drilled: Drilled) -> None:
    """Everything comes to its end by itself, every job and every charge once."""

    def over() -> bool:
        status = at.system.json("status", expect=None)
        quiet = status["backlog"] == 0
        return bool(quiet and not status["effects_due"] and not status["open_cases"])

    if not eventually(over, within=240):
        drilled.wrong.append(f"never comes to rest: {at.system.json('status', expect=None)}")
    audit = json.loads(at.system.refunds("audit", "--json", expect=None).stdout)
    drilled.wrong += [f"audit: {breach}" for breach in audit["breaches"][:5]]
    found = at.system.json("status")
    ends = {state: number for state, number in found["cases"].items() if number}
    whole = ends.get("refunded", 0) + ends.get("delivered", 0)
    # the request of a charge sent back is a case of its own
    if whole != len(at.told.failing) + len(at.told.orders):
        drilled.wrong.append(f"{len(at.told.failing)} jobs failed, {len(at.told.orders)} were charged twice; cases: {ends}")
    for order in at.told.orders:
        if at.double.gone(f"tran_{order}", "refund") != 900:
            drilled.wrong.append(f"{order}: {at.double.gone(f'tran_{order}', 'refund')} of 900 went back")
    if at.double.overpaid():
        drilled.wrong.append(f"paid twice: {at.double.overpaid()}")
