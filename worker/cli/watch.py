"""Is anybody waiting, and do the books hold?"""

from datetime import datetime, timedelta
from typing import Annotated, Any

import redis
import typer
from rich.progress import Progress

from worker.cases.audit import Audit, audit_books, audit_home, audit_stream
from worker.cases.money import epoch, limits
from worker.cases.overview import overview
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.clock import moment
from worker.errors import TryLater, one_line
from worker.intake.consumer import backlog, entries_read_so_far
from worker.intake.process import GROUP
from worker.runtime import Runtime
from worker.screen import progress

_ENDS = {limits.MONEY: "money release", limits.RESTORE: "restore lift"}
"""The command that closes a breaker which needs a person."""


def status(as_json: AsJson = False) -> None:
    """Backlog, cases by state, oldest unhandled event, overdue promises, unknown outcomes."""
    with one_clear_line():
        runtime = output.runtime()
        found = runtime.store.read(lambda tx: overview(tx, runtime.clock.now()))
        found["deadlines"] = runtime.reviewer.deadlines(limit=10)
        found["epoch"] = _epoch(runtime)
    found["stream"] = _stream(runtime)
    patience = timedelta(seconds=runtime.settings.ready_backlog_seconds)
    if as_json:
        return output.document(found)
    _headline(found, runtime.clock.now() - patience)
    stream = found["stream"]
    where = (
        stream["error"]
        if stream["error"]
        else f"{stream['undelivered']} not yet read, {stream['pending']} read and not yet stored"
    )
    output.line("stream", where, "red" if stream["error"] else "")
    since = f", oldest since {found['oldest_unhandled_at']}" if found["oldest_unhandled_at"] else ""
    output.line("inbox", f"{found['backlog']} unhandled{since}; {found['waiting_events']} waiting for their job")
    effects = ", ".join(f"{v['count']} {k} since {v['oldest_at']}" for k, v in found["effects_due"].items())
    output.line("to be done", effects or "nothing")
    letters = ", ".join(f"{count} {reason}" for reason, count in found["dead_letters"].items())
    output.line("dead letters", letters or "none", "yellow" if letters else "")
    for name, breaker in found["breakers"].items():
        until = (
            f"until `refunds {_ENDS.get(name, 'money release')}`" if breaker["needs_person"] else f"until {breaker['open_until']}"
        )
        output.line(f"{name} breaker", f"open {until}: {breaker['last_error']}", "red")
    if found["epoch"]["wrong"] and "restore" not in found["breakers"]:
        output.line("set back?", f"{found['epoch']['wrong']}; `refunds restore check` says more", "red")
    _money(found)
    _people(found)
    table = output.table("\nCases", "state", "cases")
    for state, count in found["cases"].items():
        if count:
            table.add_row(output.state(state), cell(count))
    out.print(table if table.row_count else cell("No cases yet.", "dim"))


def _epoch(runtime: Runtime) -> dict[str, Any]:
    """How far the database has come beside what its witnesses remember; money is at stake only where there is a key."""
    try:
        remembered = runtime.witnesses.ask()
    except TryLater as error:
        return {"database": None, "redis": None, "journal": None, "wrong": str(error)}
    mark = runtime.store.read(epoch.mark_of)
    wrong = epoch.behind(mark, remembered) if runtime.creem is not None else None
    return {"database": mark, "redis": remembered.redis, "journal": remembered.journal, "wrong": wrong}


def _money(found: dict[str, Any]) -> None:
    claims = found["payments"]
    if claims["by_state"] or found["disputed_charges"]:
        states = ", ".join(f"{count} {state}" for state, count in sorted(claims["by_state"].items()))
        sums = f"{claims['refunded_minor_units']} minor units back, {claims['waiting_minor_units']} under way"
        output.line("money", f"{states or 'no claims'}; {sums}; {found['disputed_charges']} charges disputed")
    if claims["unproved"]:
        output.line("not proved", f"{claims['unproved']} since {claims['oldest_unproved_at']}; only read until proved", "red")


def _people(found: dict[str, Any]) -> None:
    review, told = found["review"], found["notices"]
    if review["waiting"]:
        oldest = f", the oldest since {review['oldest_at']}"
        output.line("for a person", f"{review['waiting']} wait{oldest}; {review['proposals']} for a second person")
    if told["unknown"] or told["refused"]:
        output.line("notices", f"{told['unknown']} may not have arrived, {told['refused']} were refused", "yellow")
    if found["deadlines"]:
        table = output.table("\nDeadlines, earliest first", "when", "case", "state", "what", "gone by")
        for item in found["deadlines"]:
            style = "red" if item["percent"] >= 100 else ("yellow" if item["percent"] >= 50 else "")
            row = (item["at"][:16], item["case_id"], item["state"], item["what"], f"{item['percent']} %")
            table.add_row(*(cell(value, style) for value in row))
        out.print(table)


def _headline(found: dict[str, Any], patience_ends: datetime) -> None:
    troubles = []
    unread, unhandled = found["stream"]["oldest_at"], found["oldest_unhandled_at"]
    if unread and datetime.fromisoformat(unread) < patience_ends:
        troubles.append(f"events lie on the stream since {unread}: is `refunds intake` running?")
    if unhandled and datetime.fromisoformat(unhandled) < patience_ends:
        troubles.append(f"events are stored and not handled since {unhandled}: is a worker running?")
    if found["overdue_promises"]:
        troubles.append(f"{found['overdue_promises']} promises overdue since {found['oldest_overdue_at']}")
    if found["unknown_outcomes"]:
        troubles.append(f"{found['unknown_outcomes']} payments not proved")
    if found["overdue_actions"]:
        troubles.append(f"{found['overdue_actions']} cases due for their next look: is a worker running?")
    if troubles:
        output.say("[red bold]{troubles}[/]", troubles="; ".join(troubles))
    else:
        output.say(
            "[green bold]Nobody waits beyond the promise.[/] {whole} made whole, {credits} credits back, {open} open.",
            whole=found["made_whole"],
            credits=found["credits_reversed"],
            open=found["open_cases"],
        )


def _stream(runtime: Runtime) -> dict[str, Any]:
    name = runtime.settings.stream
    try:
        found = backlog(runtime.redis, name, GROUP)
    except (redis.RedisError, OSError) as error:
        return {
            "name": name,
            "error": f"Redis is not reachable: {one_line(error)}",
            "undelivered": None,
            "pending": None,
            "length": None,
            "oldest_at": None,
        }
    counted = {"undelivered": found.undelivered, "pending": found.pending, "length": found.length}
    return {"name": name, "error": None, **counted, "oldest_at": moment(found.oldest_at)}


def audit(
    as_json: AsJson = False,
    books_only: Annotated[bool, typer.Option("--books-only", help="Leave out the stream; the database alone.")] = False,
) -> None:
    """Proves the books; exits 1 on any breach and names the rows."""
    with one_clear_line():
        runtime = output.runtime()
        with progress() as bar:
            result = _audit(runtime, bar, books_only=books_only)
    if as_json:
        output.document(result.document())
    else:
        _show(result)
    if not result.ok:
        raise typer.Exit(1)


def _audit(runtime: Runtime, bar: Progress, *, books_only: bool) -> Audit:
    now = runtime.clock.now()
    task = bar.add_task("auditing the books", total=None)

    def show(check: str, done: int, total: int) -> None:
        bar.update(task, description=check.replace("_", " "), completed=done, total=total)

    result = runtime.store.read(lambda tx: audit_books(tx, now, show))
    home = runtime.home
    if home is not None:
        bar.update(task, description="balances follow postings", completed=0, total=None)
        runtime.store.read(lambda tx: audit_home(tx, result, home))
    if books_only:
        return result
    bar.update(task, description="no event lost", completed=0, total=None)
    try:
        # the stream first and whole, then the database: what was acknowledged then must be in the books now
        entries = list(entries_read_so_far(runtime.redis, runtime.settings.stream, GROUP))
    except (redis.RedisError, OSError) as error:
        why = (
            f"the stream cannot be read, so that no event was lost is not proved ({one_line(error)}); --books-only leaves it out"
        )
        result.breach("no_event_lost", runtime.settings.stream, why)
        return result
    runtime.store.read(lambda tx: audit_stream(tx, result, entries, now))
    return result


def _show(result: Audit) -> None:
    if result.ok:
        return output.say("[green bold]The books hold.[/] Checked: {counted}.", counted=result.counted)
    table = output.table(f"{len(result.breaches)} breaches", "check", "row", "problem")
    for breach in result.breaches:
        table.add_row(cell(breach["check"], "red"), cell(breach["row"]), cell(breach["problem"]))
    out.print(table)
    output.say("[dim]Checked: {counted}.[/]", counted=result.counted)
