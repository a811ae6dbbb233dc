"""`refunds drain`: lets the task processes finish what they have and take nothing more, before they are stopped or replaced.

What comes meanwhile stays in Redis and in the inbox: nothing is lost by it, and nothing by not doing it either (a worker that is
killed leaves claims that end by themselves). It only makes a stop quiet.

`--undo` gives each process the queues that it had, and no other: `money` is taken only where the claim journal lies.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import redis
import typer
from kombu.exceptions import OperationalError

from worker.broker import answers, shared_names
from worker.cli import output
from worker.cli.output import AsJson, one_clear_line
from worker.errors import Refused, TryLater, one_line
from worker.runtime import Runtime
from worker.screen import cell, out, table

ANSWER_SECONDS = 2.0
PAUSE_SECONDS = 0.5
REMEMBERED = timedelta(days=7)
"""How long it is known what a drained process had; one that stands longer has to be started again."""


def drain(
    within: Annotated[float, typer.Option(min=0, help="How many seconds to wait for running tasks.")] = 125.0,
    undo: Annotated[bool, typer.Option("--undo", help="Lets them take tasks again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Has every task process finish its task and take no more; exits 0 once none is running. Then stop the processes."""
    with one_clear_line():
        runtime = Runtime.start(output.settings())
        memory = Memory(runtime.redis, runtime.settings.group)
        from worker.app import app

        try:
            found = _undo(app, memory) if undo else _drain(app, memory, within)
        except (redis.RedisError, OperationalError, OSError) as error:
            raise TryLater("Redis", one_line(error)) from error
    if as_json:
        output.document(found)
    else:
        _show(found, undo=undo)
    if not found["ok"]:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Memory:
    """The queues that each process had when it was drained. What is remembered of a process is nothing to the next one of its
    name, which may have been started for other queues.
    """

    client: redis.Redis
    group: str

    def keep(self, worker: str, queues: Sequence[str]) -> None:
        """From now on, for `REMEMBERED`."""
        self.client.set(self._key(worker), json.dumps(queues), ex=REMEMBERED)

    def queues(self, worker: str, up_seconds: int) -> list[str] | None:
        """What a process that runs for so long had; None where nothing is remembered of it."""
        r: Any = self.client
        kept, left = r.get(self._key(worker)), r.ttl(self._key(worker))
        # both by whole seconds; no process is drained, replaced and answers again within one
        if kept is None or up_seconds + 1 < REMEMBERED.total_seconds() - left:
            return None
        return list(json.loads(kept))

    def forget(self, worker: str) -> None:
        """They have been given back."""
        self.client.delete(self._key(worker))

    def _key(self, worker: str) -> str:
        return f"{self.group}:drained:{worker}"


def _drain(app: Any, memory: Memory, within: float) -> dict[str, Any]:
    up, queues = _there(app)
    for worker, has in queues.items():
        # told before it is cancelled, and not told again by who comes upon a process that is drained, or half drained, already
        if has and memory.queues(worker, up[worker]) is None:
            memory.keep(worker, has)
    workers = sorted(_tell(app, "cancel_consumer", queues))
    until = time.monotonic() + within
    running = _running(app, workers)
    while running and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
        running = _running(app, workers)
    return {"ok": not running, "workers": workers, "running": running}


def _undo(app: Any, memory: Memory) -> dict[str, Any]:
    up, queues = _there(app)
    known = {worker: memory.queues(worker, up[worker]) for worker in queues}
    drained = {worker: had for worker, had in known.items() if had is not None}
    told = _tell(app, "add_consumer", drained)
    for worker in told:
        memory.forget(worker)
    # of whom nothing is remembered is left alone: started since, it takes what it was started for
    taking = told | {worker for worker, has in queues.items() if has and worker not in drained}
    idle = sorted(set(queues) - taking)
    return {"ok": not idle, "workers": sorted(taking), "running": [], "idle": idle}


def _there(app: Any) -> tuple[dict[str, int], dict[str, list[str]]]:
    """The processes that are there: for how many seconds each runs, and which queues it takes from. Raises `Refused` where two
    have one name: one of them would be taken for both, and given the queues of the other.
    """
    stats = answers(app, "stats", ANSWER_SECONDS)
    if shared := shared_names(stats):
        raise Refused(f"two processes are called {' and '.join(shared)}; start each with its own -n. No queue was touched")
    if not stats:
        return {}, {}
    up = {worker: int(said["uptime"]) for worker, said in stats}
    active = answers(app, "active_queues", ANSWER_SECONDS, destination=list(up))
    return up, {worker: [queue["name"] for queue in queues] for worker, queues in active}


def _tell(app: Any, what: str, wanted: Mapping[str, Sequence[str]]) -> set[str]:
    """Tells each of these processes, for each of its queues; returns those that answered every time."""
    heard = set(wanted)
    for queue in sorted({queue for queues in wanted.values() for queue in queues}):
        theirs = [worker for worker, queues in wanted.items() if queue in queues]
        answers = getattr(app.control, what)(queue, destination=theirs, reply=True, timeout=ANSWER_SECONDS)
        heard -= set(theirs) - {worker for answer in answers for worker in answer}
    return heard


def _running(app: Any, workers: list[str]) -> list[dict[str, Any]]:
    """What runs, and what a worker took and has not begun."""
    if not workers:
        return []
    look = app.control.inspect(destination=workers, timeout=ANSWER_SECONDS)
    found = [look.active() or {}, look.reserved() or {}]
    return [
        {"worker": worker, "task": task["name"], "task_id": task["id"], "of": task["kwargs"]}
        for answers in found
        for worker, tasks in sorted(answers.items())
        for task in tasks
    ]


def _show(found: dict[str, Any], *, undo: bool) -> None:
    if not found["workers"] and not found.get("idle"):
        output.say("[yellow]No worker answered[/]: none runs, or Redis is not the one they use.")
    elif undo:
        _undone(found["workers"], found["idle"])
    elif found["running"]:
        shown = table("Still running", "worker", "task", "of")
        for task in found["running"]:
            shown.add_row(cell(task["worker"]), cell(task["task"]), cell(str(task["of"])))
        out.print(shown)
        output.say("[red]Not drained yet.[/] A task is ended after 90 s at the latest; run it again.")
    else:
        names = ", ".join(found["workers"])
        output.say(
            "[green bold]Drained[/]: {names}. Stop them now; events wait in the inbox. `--undo` takes it back.", names=names
        )


def _undone(taking: list[str], idle: list[str]) -> None:
    if taking:
        output.say("Taking tasks again: {names}.", names=", ".join(taking))
    if idle:
        said = (
            "[red]Not taking tasks[/]: {names}. Run `refunds drain --undo` again; a worker whose queues are no longer remembered "
            "must be restarted."
        )
        output.say(said, names=", ".join(idle))
