"""The Celery application. Tasks are hints made flesh: each may be lost, doubled or late without harm (design.md, rule 1)."""

import gc
import os
import re
import signal
import sys
import time
from functools import partial

import click
from celery import Celery, current_task, signals
from celery.schedules import schedule

import celeryconfig
from worker import traces
from worker.broker import celery_of
from worker.clock import Every, SteadyClock, SystemClock
from worker.errors import Misconfigured, OutOfTime, one_line
from worker.intake.stream import open_stream_client, refuse_cluster
from worker.listening import LOOPBACK, on_loopback, taking
from worker.observe import configure_logging, log
from worker.outlet import patient
from worker.runtime import Runtime, unfit, without_terms
from worker.settings import PLACEHOLDER, Mode, load_settings
from worker.task_events import TellLater

SWEEP, PAY, RECONCILE = "refunds.sweep", "refunds.pay", "refunds.reconcile"
REQUESTS, NOTIFY, BOOK, CHAIN = "refunds.requests", "refunds.notify", "refunds.book", "refunds.chain"
CHAIN_SECONDS = 60.0
_ENDS = Every(10.0)
"""How often a task can be ended: once until its hard limit."""
_SIGN_IN = re.compile(rf"[^:]+:(?!.*{PLACEHOLDER}).+")
"""What Flower takes as a name with its password, and nobody can know."""


# by itself it listens everywhere
os.environ.setdefault("FLOWER_ADDRESS", LOOPBACK)
# the columns that Flower's task list leaves out by itself are those that say job, case and outcome
os.environ.setdefault("FLOWER_TASKS_COLUMNS", "name,state,kwargs,result,received,runtime,worker,uuid")
# a worker that was killed says no goodbye: without this its last word to Prometheus, "online", stands for ever
os.environ.setdefault("FLOWER_PURGE_OFFLINE_WORKERS", "60")


def _make() -> Celery:
    settings = load_settings(fit=unfit, late=without_terms)
    # wrong terms are said once, now, and not by every task
    first = Runtime.start(settings)
    _ = first.bench
    made = celery_of(settings)
    made.set_current()
    made.conf.include = ["worker.tasks"]
    # by the host's clock a schedule whose clock was an hour ahead, and is set right, would send nothing for that hour
    every = partial(schedule, nowfun=SteadyClock(SystemClock()).now, app=made)
    made.conf.beat_schedule = {
        "sweep": {"task": SWEEP, "schedule": every(settings.sweep_seconds), "options": {"expires": 30}},
        "requests": {"task": REQUESTS, "schedule": every(settings.people_seconds), "options": {"expires": 30}},
        "notify": {"task": NOTIFY, "schedule": every(settings.people_seconds), "options": {"expires": 30}},
        "chain": {"task": CHAIN, "schedule": every(CHAIN_SECONDS), "options": {"expires": 60}},
        "reconcile": {"task": RECONCILE, "schedule": every(settings.reconcile_seconds), "options": {"expires": 600}},
    }
    if first.environment is not None:
        made.conf.beat_schedule["pay"] = {"task": PAY, "schedule": every(settings.sweep_seconds), "options": {"expires": 30}}
    if settings.creem_credits is not None:
        made.conf.beat_schedule["book"] = {"task": BOOK, "schedule": every(settings.sweep_seconds), "options": {"expires": 30}}
    made.conf.worker_concurrency = settings.concurrency
    made.steps["consumer"].add(TellLater)
    return made


def _speak_patiently() -> None:
    """Celery's processes say some things past our log: who they are, with what they start, that they end."""
    command = click.get_current_context(silent=True)
    if command is not None and command.invoked_subcommand in {"worker", "beat", "flower"}:
        sys.stdout = sys.__stdout__ = patient(sys.stdout)  # type: ignore[misc,assignment]
        sys.stderr = sys.__stderr__ = patient(sys.stderr)  # type: ignore[misc,assignment]


def _refuse_what_flower_cannot_read() -> None:
    """Flower reads its settings before it imports the tasks, and ends in a traceback that names none of them."""
    # `celery` has loaded it by now as one of its commands, where it is installed
    if "flower" not in sys.argv or "flower.options" not in sys.modules:
        return
    from tornado.options import options

    words = sys.argv[sys.argv.index("flower") + 1 :]
    told = [word.partition("=")[::2] for word in words if word.startswith("--") and "=" in word]
    faults = list[str]()
    for given, value in [*told, *((name, value) for name, value in os.environ.items() if name.startswith("FLOWER_"))]:
        name = given.removeprefix("FLOWER_").lower().lstrip("-")
        kind = type(options[name]) if name in options else str
        try:
            if kind in {int, float}:
                kind(value)
        except ValueError:
            faults.append(f"{given}: expected a number, not {value!r}")
    if faults:
        raise Misconfigured(*faults)


try:
    _speak_patiently()
    _refuse_what_flower_cannot_read()
    app = _make()
except Misconfigured as error:
    # `celery -A worker …` shows this line instead of a traceback
    raise SystemExit("\n".join(f"refunds: {fault}" for fault in error.faults)) from None

_runtime: Runtime | None = None


def runtime() -> Runtime:
    """This process's runtime, made on first use: nothing with a socket exists before the pool forks."""
    global _runtime
    if _runtime is None:
        _end_in_our_words()
        _runtime = Runtime.start(load_settings()).deciding()
    return _runtime


def _end_in_our_words() -> None:
    """From now on a task that reaches its soft limit is ended by an error that every step knows: Celery's own looks like a defect
    of the very claim, or part of reconcile, that was then in hand.
    """
    # set by a process of the pool for itself, after what it calls at its start; it keeps what we put there
    from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler

    if signal.getsignal(SIG_SOFT_TIMEOUT) is soft_timeout_sighandler:
        signal.signal(SIG_SOFT_TIMEOUT, _end_the_task)
        _end_between_tasks()


def _end_the_task(*_: object) -> None:
    # it may be told twice, and when the task has just ended
    if current_task and _ENDS.due():
        raise OutOfTime


def _end_between_tasks() -> None:
    """From now on this process of the pool, told to end, first ends the task in hand, and begins no other. Its parent tells it
    when there is nothing more to do; whoever tells both at once, as systemd tells all of a service, or a terminal that is closed,
    would else break off a call whose outcome then nobody knows.
    """
    ends, told = signal.getsignal(signal.SIGTERM), list[float]()

    def end(*_: object) -> None:
        told.append(time.monotonic())
        if current_task and told[-1] - told[0] < celeryconfig.task_time_limit:
            signal.alarm(1)
        elif callable(ends):
            ends(signal.SIGTERM, None)

    def begin_no_other(**_: object) -> None:
        # where one waits behind the other, no alarm may fall between two; this one goes back into its queue
        if told and callable(ends):
            ends(signal.SIGTERM, None)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, end)
    signals.task_prerun.connect(begin_no_other, weak=False)


@signals.worker_init.connect
def _refuse_what_no_worker_can_use(**_: object) -> None:
    try:
        with open_stream_client(load_settings().redis_url) as client:
            refuse_cluster(client)
    except Misconfigured as error:
        raise SystemExit(f"refunds: {error}") from None


@signals.worker_init.connect
def _refuse_a_maildir_that_is_none(**_: object) -> None:
    """Whoever takes no mails (intake, schedule, web, Flower) is told of the folder like everybody, and need not have it."""
    maildir = Runtime.start(load_settings()).maildir
    if maildir is None:
        return
    try:
        maildir.check()
    except TimeoutError:
        pass  # one that does not answer is away, and holds up none of the other work
    except (Misconfigured, OSError) as error:
        raise SystemExit(f"refunds: {one_line(error)}") from None


@signals.worker_init.connect
def _say_what_it_holds_back(**_: object) -> None:
    settings = load_settings()
    configure_logging(settings)
    if settings.mode is Mode.OBSERVE:
        log.warning("worker.observes", why="REFUNDS_MODE=observe: it decides and records; no credits and no money are sent back")
    elif settings.mode is Mode.CREDITS_ONLY:
        log.warning("worker.credits_only", why="REFUNDS_MODE=credits_only: no money is sent back")
    elif settings.creem_api_key is None and settings.creem_environment is not None:
        log.warning(
            "worker.pays_nothing", why="no REFUNDS_CREEM_API_KEY here: what is to be paid waits for the process that has it"
        )
    elif settings.creem_api_key is None:
        log.warning("worker.credits_only", why="no REFUNDS_CREEM_API_KEY: no money is sent back")


@signals.import_modules.connect
def _keep_flower_from_strangers(**_: object) -> None:
    """Flower imports the tasks when it has read its options and does not listen yet."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "flower":
        return
    from tornado.options import options

    guarded = options.auth or (options.basic_auth and all(map(_SIGN_IN.fullmatch, options.basic_auth)))
    if not (options.unix_socket or on_loopback(options.address) or guarded):
        where = options.address or "every address"
        right = f"set FLOWER_BASIC_AUTH to a name:password of your own, or listen on {LOOPBACK}"
        raise SystemExit(f"refunds: FLOWER_ADDRESS: {where} can be reached from outside; {right}")
    _refuse_what_flower_would_trip_over(command.params["tornado_argv"])
    # it asks nobody how to log, as Celery's other commands do
    _log_our_way()


def _refuse_what_flower_would_trip_over(words: tuple[str, ...]) -> None:
    from tornado.netutil import bind_sockets
    from tornado.options import options

    # what it does not know it passes over, and one letter is between `--read-only` and a Flower that stops workers
    unknown = [word for word in words if word.startswith("--") and word.lstrip("-").partition("=")[0] not in options]
    if unknown:
        raise SystemExit(f"refunds: {unknown[0]}: no option of Flower's; see `celery -A worker flower --help`")
    if options.unix_socket:
        return
    # the system would take the remainder of 65536 for it, and nobody would look there
    if not 0 <= options.port < 2**16:
        raise SystemExit(f"refunds: FLOWER_PORT: expected a port up to 65535, not {options.port}")
    try:
        with taking(options.address, options.port, host_named="FLOWER_ADDRESS", port_named="FLOWER_PORT"):
            for one in bind_sockets(options.port, address=options.address):
                one.close()
    except Misconfigured as error:
        raise SystemExit(f"refunds: {error}") from None


@signals.worker_process_init.connect
def _forget_the_parents(**_: object) -> None:
    global _runtime
    # what the parent imported stays: looking through it again and again took a tenth of a busy process
    gc.freeze()
    # a batch makes tens of thousands of objects that go with it: to look for circles among them every 700 took nearly a tenth
    gc.set_threshold(20_000)
    if _runtime is not None:
        _runtime.store.forget_connections()
        _runtime = None


@signals.worker_process_shutdown.connect
def _tell_what_is_held(**_: object) -> None:
    # a child of the pool ends without Python's own farewell
    traces.close()


@signals.setup_logging.connect
def _log_our_way(**_: object) -> None:
    configure_logging(load_settings())
