"""Operators of the console: who may sign in."""

import sys
from typing import Annotated

import typer

from policy.words import count
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.errors import Refused
from worker.operators.operators import Operators
from worker.operators.passwords import LONGEST

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name somebody signs in with, such as ana or ana@example.org.")]


def _operators() -> Operators:
    return output.runtime().operators


def add(
    name: Name,
    reason: output.Reason = "added",
    as_json: AsJson = False,
) -> None:
    """Lets somebody sign in. The password is asked for, or read from stdin where that is no terminal; a disabled name is
    enabled again, with the new password.
    """
    with one_clear_line():
        operators = _operators()
        operators.add(name, _password(), by=output.actor(output.settings()), reason=reason)
    if as_json:
        return output.document({"name": name, "added": True})
    output.say("{name} may sign in.", name=name)


def listing(as_json: AsJson = False) -> None:
    """Who may sign in, and who no longer may."""
    with one_clear_line():
        items = _operators().listing()
    if as_json:
        return output.page(items, None)
    if not items:
        return output.say("No operators. Add the first with `refunds operator add NAME`.")
    table = output.table("Operators", "name", "state", "added (UTC)", "by")
    for item in items:
        state = cell(f"disabled {item['disabled_at'][:19]}Z", "yellow") if item["disabled_at"] else cell("active", "green")
        table.add_row(cell(item["name"]), state, cell(item["added_at"][:19]), cell(item["added_by"]))
    out.print(table)


def disable(
    name: Name, reason: output.Reason, dry_run: output.DryRun = False, yes: output.Yes = False, as_json: AsJson = False
) -> None:
    """Ends every session of a name, which can no longer sign in."""
    with one_clear_line():
        operators, by = _operators(), output.actor(output.settings())
        would_end = operators.plan_disable(name, by=by, reason=reason)
        if dry_run:
            return _show_plan(name, would_end, as_json)
        ask(f"Let {name} sign in no more, and end {count(would_end, 'session')}?", yes=yes)
        ended = operators.disable(name, by=by, reason=reason)
    if as_json:
        return output.document({"name": name, "disabled": True, "sessions_ended": ended})
    output.say("{name} may sign in no more; {n} sessions ended.", name=name, n=ended)


def _show_plan(name: str, would_end: int, as_json: bool) -> None:
    if as_json:
        return output.document({"dry_run": True, "name": name, "would_be": "disabled", "sessions": would_end})
    output.say("{name} would sign in no more; {sessions} would end.", name=name, sessions=count(would_end, "session"))
    output.nothing_changed()


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    given = sys.stdin.readline(LONGEST + 2)
    if not given:
        raise Refused("no password on stdin")
    return given.rstrip("\r\n")
