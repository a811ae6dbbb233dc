"""`refunds status`: is anybody waiting?"""

from datetime import datetime, timedelta
from typing import Annotated, Any

import redis
import typer

from policy.words import count, money
from worker.cases.money import epoch, limits
from worker.cases.overview import overview
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.clock import moment
from worker.errors import Misconfigured, TryLater, one_line
from worker.intake.stream import backlog, takes_no_writes, throws_away
from worker.runtime import Runtime
from worker.store.breakers import CREEM

_ENDS = {limits.MONEY: "money release", limits.RESTORE: "restore lift"}
"""The command that closes a breaker which needs a person."""

UNTAKEN = 20
"""More messages than this in one queue are said; the alert that nobody takes any begins there too."""


def run(
    as_json: AsJson = False,
    deadlines: Annotated[
        bool, typer.Option("--deadlines", help="The ten promises that end first, ours and Creem's own.")
    ] = False,
) -> None:
    """Is anybody waiting? Backlog, work to do, dead letters, people, money, cases by state; and what to type next."""
    with one_clear_line():
        runtime = output.runtime()
        environment = runtime.environment.value if runtime.environment else None
        found = runtime.store.read(lambda tx: overview(tx, runtime.clock.now(), environment))
        wrong = _judged(runtime, found)
        found["epoch"] = _epoch(runtime)
        found["stream"] = _stream(runtime)
        found["mails"] = _mails(runtime)
        found |= _unhandled(found)
        if as_json:
            output.document(found)
        elif not deadlines:
            _whole(runtime, found)
        elif wrong is None:
            _deadlines(found["deadlines"])
        if wrong is not None:
            # everything else is told: whoever is called at night types this first
            raise wrong


def _judged(runtime: Runtime, found: dict[str, Any]) -> Misconfigured | None:
    """Adds what only the terms can tell; where they cannot be read, says so, adds nothing, and returns why."""
    wrong = None
    found |= {"faults": [], "deadlines": [], "approved": []}
    try:
        found |= {"deadlines": runtime.reviewer.deadlines(limit=10), "approved": runtime.reviewer.approved()}
    except Misconfigured as error:
        wrong, found["faults"] = error, list(error.faults)
    return wrong


def _whole(runtime: Runtime, found: dict[str, Any]) -> None:
    patience = timedelta(seconds=runtime.settings.ready_backlog_seconds)
    _headline(found, runtime.clock.now() - patience)
    _work(found)
    _stopped(found)
    _people(found)
    _money(found)
    states = ", ".join(f"{number} {state}" for state, number in found["cases"].items() if number)
    output.line("cases", states or "none yet")


def _work(found: dict[str, Any]) -> None:
    """What the worker has before it."""
    stream = found["stream"]
    for wrong in filter(None, (stream["error"], stream["evicts"])):
        output.line("stream", wrong, "red")
    stored = found["stored"]
    since = f", oldest since {stored['oldest_at']}" if stored["oldest_at"] else ""
    unread = (
        "" if stream["length"] is None else f"{stream['undelivered']} not yet read, {stream['pending']} read and not yet stored; "
    )
    output.line("events", f"{unread}{stored['events']} stored and unhandled{since}; {found['waiting_events']} wait for their job")
    tasks = [f"{number} in {queue}" for queue, number in (stream["queued"] or {}).items() if number > UNTAKEN]
    if tasks:
        said = f"{', '.join(tasks)} wait; where that only grows, no worker takes from there: `refunds doctor`"
        output.line("tasks", said, "yellow")
    due = found["effects_due"]
    failing = any(one["failing"] for one in due.values())
    output.line("to be done", "; ".join(_due(kind, one) for kind, one in due.items()) or "nothing", "yellow" if failing else "")
    letters = ", ".join(f"{number} {reason}" for reason, number in found["dead_letters"].items())
    output.line("dead letters", f"{letters}: `refunds dead list --by-reason`" if letters else "none", "yellow" if letters else "")


def _due(kind: str, one: dict[str, Any]) -> str:
    failed = f", {one['failing']} tried in vain: {one['last_error']}" if one["failing"] else ""
    return f"{one['count']} {kind} since {one['oldest_at']}{failed}"


def _stopped(found: dict[str, Any]) -> None:
    """Every breaker that is open, and what closes it."""
    for name, breaker in found["breakers"].items():
        by_hand = f'until `refunds {_ENDS.get(name, "money release")} --reason "…"`'
        until = by_hand if breaker["needs_person"] else f"until {breaker['open_until']}"
        output.line(f"{name} breaker", f"open {until}: {breaker['last_error']}", "red")
    if found["epoch"]["wrong"] and "restore" not in found["breakers"]:
        output.line("set back?", f"{found['epoch']['wrong']}; `refunds restore check` says more", "red")


def _epoch(runtime: Runtime) -> dict[str, Any]:
    """How far the database has come beside what its witnesses remember; money is at stake only where there is a key."""
    try:
        remembered = runtime.witnesses.show(runtime.store)
    except TryLater as error:
        return {"database": None, "redis": None, "journal": None, "wrong": str(error)}
    mark = runtime.store.read(epoch.mark_of)
    wrong = epoch.behind(mark, remembered) or epoch.unasked(remembered) if runtime.creem is not None else None
    return {"database": mark, "redis": remembered.redis, "journal": remembered.journal, "wrong": wrong}


def _people(found: dict[str, Any]) -> None:
    """Who waits for a person, what may not have reached somebody, and which promise ends first."""
    review, told, late, deadlines = found["review"], found["notices"], found["notices_late"], found["deadlines"]
    if review["waiting"]:
        second = f", {review['proposals']} for a second one" if review["proposals"] else ""
        waiting = f"{review['waiting']} wait, the oldest since {review['oldest_at']}{second}"
        output.line("for a person", f"{waiting}: `refunds review list`", "yellow")
    if found["approved"]:
        output.line("approved", "; ".join(each["said"] for each in found["approved"]))
    if late["count"]:
        told_in_vain = f"{count(late['count'], 'letter')} tried in vain since {late['oldest_at']}: {late['last_error']}"
        output.line("notices", f"{told_in_vain}; after a week they are dropped", "yellow")
    if found["mails"]["error"]:
        output.line("mails", found["mails"]["error"], "yellow")
    if told["unknown"] or told["refused"]:
        output.line("notices", f"{told['unknown']} may not have arrived, {told['refused']} were refused", "yellow")
    if deadlines:
        first = deadlines[0]
        gone = f"{first['at'][:16]}Z {first['case_id']} ({first['state']}), {first['percent']} % gone by"
        output.line("first deadline", f"{gone}: `refunds status --deadlines`", _urgency(first["percent"]))


def _money(found: dict[str, Any]) -> None:
    claims = found["payments"]
    if claims["by_state"] or found["disputed_charges"]:
        states = ", ".join(f"{number} {state}" for state, number in sorted(claims["by_state"].items()))
        sums = f"{money(claims['refunded_minor_units'])} back, {money(claims['waiting_minor_units'])} under way"
        unproved = f"{claims['unproved']} not proved since {claims['oldest_unproved_at']}, only read until they are; "
        said = f"{states or 'no claims'}; {sums}; {count(found['disputed_charges'], 'charge')} disputed"
        output.line("money", (unproved if claims["unproved"] else "") + said, "red" if claims["unproved"] else "")


def _deadlines(found: list[dict[str, Any]]) -> None:
    if not found:
        return output.say("No promise is running.")
    table = output.table("Deadlines, earliest first", "when (UTC)", "case", "state", "what", "gone by")
    for item in found:
        row = (item["at"][:16], item["case_id"], item["state"], item["what"], f"{item['percent']} %")
        table.add_row(*(cell(value, _urgency(item["percent"])) for value in row))
    out.print(table)


def _urgency(percent: int) -> str:
    return "red" if percent >= 100 else ("yellow" if percent >= 50 else "")


def _headline(found: dict[str, Any], patience_ends: datetime) -> None:
    if found["faults"]:
        for fault in found["faults"]:
            output.say("[red bold]{fault}[/]", fault=fault)
        output.say("[red]No new process can start until this is fixed; running ones continue. Deadlines are not shown.[/]")
    troubles = ["no events come in and no tasks go out: see the stream"] if found["stream"]["error"] else []
    unread, unhandled = found["stream"]["oldest_at"], found["stored"]["oldest_at"]
    if unread and datetime.fromisoformat(unread) < patience_ends:
        troubles.append(f"events lie on the stream since {unread}: is `refunds intake` running?")
    if unhandled and datetime.fromisoformat(unhandled) < patience_ends:
        troubles.append(f"events are stored and not handled since {unhandled}: is a worker running?")
    due = found["payments"]["next_due_at"]
    if due and datetime.fromisoformat(due) < patience_ends and CREEM not in found["breakers"]:
        troubles.append(f"refunds are due since {due}: is a worker with the queue money running?")
    mails = found["mails"]
    if mails["late"]:
        lie = f"{count(mails['waiting'], 'mail')} not taken in since {mails['oldest_at']}"
        troubles.append(f"{lie}: `refunds doctor` says whether mails can be")
    for whose, number in found["payments"]["elsewhere"].items():
        troubles.append(f"{count(number, 'refund')} claimed with Creem's {whose} key, which this process has not: see the doctor")
    if found["overdue_promises"]:
        troubles.append(f"{count(found['overdue_promises'], 'promise')} overdue since {found['oldest_overdue_at']}")
    if found["unknown_outcomes"]:
        troubles.append(f"{count(found['unknown_outcomes'], 'payment')} not proved")
    if found["overdue_actions"]:
        troubles.append(f"{count(found['overdue_actions'], 'case')} due for the next look: is a worker running?")
    if troubles:
        output.say("[red bold]{troubles}[/]", troubles="; ".join(troubles))
    elif not found["faults"]:
        output.say(
            "[green bold]Nobody waits beyond the promise.[/] {whole} made whole, {credits} credits back, {open} open.",
            whole=found["made_whole"],
            credits=found["credits_reversed"],
            open=found["open_cases"],
        )


def _unhandled(found: dict[str, Any]) -> dict[str, Any]:
    """Events that came and are not handled, on the stream or `stored` in the inbox, and since when; how many is not known while
    Redis does not say. An event that is stored and not yet acknowledged counts twice for that moment.
    """
    stream, stored = found["stream"], {"events": found["backlog"], "oldest_at": found["oldest_unhandled_at"]}
    known = stream["undelivered"] is not None
    since = [at for at in (stored["oldest_at"], stream["oldest_at"]) if at is not None]
    return {
        "backlog": stored["events"] + stream["undelivered"] + stream["pending"] if known else None,
        "oldest_unhandled_at": min(since, key=datetime.fromisoformat, default=None),
        "stored": stored,
    }


def _stream(runtime: Runtime) -> dict[str, Any]:
    # a third of a second to import, which the other commands do without
    from worker.broker import queued

    name, group = runtime.settings.stream, runtime.settings.group
    try:
        refused = takes_no_writes(runtime.redis, group)
        found, waiting = backlog(runtime.redis, name, group), queued(runtime.redis, group)
        evicts = throws_away(runtime.redis)
    except (redis.RedisError, OSError) as error:
        return {
            "name": name,
            "error": f"Redis {'refuses' if isinstance(error, redis.ResponseError) else 'is not reachable'}: {one_line(error)}",
            "undelivered": None,
            "pending": None,
            "length": None,
            "oldest_at": None,
            "queued": None,
            "evicts": None,
        }
    counted = {"undelivered": found.undelivered, "pending": found.pending, "length": found.length}
    more = {"oldest_at": moment(found.oldest_at), "queued": waiting, "evicts": evicts}
    return {"name": name, "error": refused, **counted, **more}


def _mails(runtime: Runtime) -> dict[str, Any]:
    """What lies in the Maildir, as far as it can be read from here. Late is what has lain for longer than a turn and the patience
    with what is stored.
    """
    found: dict[str, Any] = {"waiting": 0, "oldest_at": None, "late": False, "error": None}
    if runtime.maildir is None:
        return found
    try:
        runtime.maildir.check()
        waiting, since = runtime.maildir.waiting()
    except (Misconfigured, OSError) as error:
        return found | {"error": f"cannot be read from here: {one_line(error)}"}
    patience = timedelta(seconds=runtime.settings.ready_backlog_seconds + runtime.settings.people_seconds)
    late = since is not None and since < runtime.clock.now() - patience
    return found | {"waiting": waiting, "oldest_at": moment(since), "late": late}
