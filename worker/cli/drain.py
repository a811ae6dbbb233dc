"""`refunds drain`: lets the task processes finish what they have and take nothing more, before they are stopped or replaced.

What comes meanwhile stays in Redis and in the inbox: nothing is lost by it, and nothing by not doing it either (a worker that is
killed leaves claims that end by themselves). It only makes a stop quiet.
"""

import time
from typing import Annotated, Any

import redis
import typer
from kombu.exceptions import OperationalError

from worker.cli import output
from worker.cli.output import AsJson, one_clear_line
from worker.errors import TryLater, one_line
from worker.runtime import Runtime
from worker.screen import cell, out, table

ANSWER_SECONDS = 2.0
PAUSE_SECONDS = 0.5


def drain(
    within: Annotated[float, typer.Option(min=0, help="Most seconds to wait for tasks that run.")] = 125.0,
    undo: Annotated[bool, typer.Option("--undo", help="Lets them take tasks again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Lets every task process finish its task and take no other; exit 0 once none runs. Stop the processes then."""
    with one_clear_line():
        _ = Runtime.start(output.settings()).redis
        from worker.app import app

        try:
            found = _undo(app) if undo else _drain(app, within)
        except (redis.RedisError, OperationalError, OSError) as error:
            raise TryLater("Redis", one_line(error)) from error
    if as_json:
        output.document(found)
    else:
        _show(found, undo=undo)
    if found["running"]:
        raise typer.Exit(1)


def _drain(app: Any, within: float) -> dict[str, Any]:
    workers = sorted(_tell(app, "cancel_consumer"))
    until = time.monotonic() + within
    running = _running(app, workers)
    while running and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
        running = _running(app, workers)
    return {"ok": not running, "workers": workers, "running": running}


def _undo(app: Any) -> dict[str, Any]:
    return {"ok": True, "workers": sorted(_tell(app, "add_consumer")), "running": []}


def _tell(app: Any, what: str) -> set[str]:
    """Tells every worker that is there, for each queue; returns those that answered."""
    there = [name for answer in app.control.ping(timeout=ANSWER_SECONDS) for name in answer]
    heard: set[str] = set()
    for queue in app.conf.task_queues if there else ():
        for answer in getattr(app.control, what)(queue.name, destination=there, reply=True, timeout=ANSWER_SECONDS):
            heard |= set(answer)
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
    if not found["workers"]:
        output.say("[yellow]No worker answered[/]: none runs, or Redis is not the one they use.")
    elif undo:
        output.say("{n} workers take tasks again: {names}.", n=len(found["workers"]), names=", ".join(found["workers"]))
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
