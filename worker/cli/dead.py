"""Dead letters: look, put back, put aside."""

from typing import Annotated

import typer

from worker.cases.dead import DeadLetters, letter
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out

Name = Annotated[str, typer.Argument(metavar="DEAD", help="A dead letter's id, or where it came from.")]


def _letters() -> DeadLetters:
    runtime = output.runtime()
    return DeadLetters(runtime.store, runtime.clock)


def listing(
    everything: Annotated[bool, typer.Option("--all", help="Also those dealt with.")] = False,
    as_json: AsJson = False,
    limit: output.Limit = 50,
    after: output.After = None,
) -> None:
    """What could not be read or handled, newest first."""
    with one_clear_line():
        items, following = _letters().listing(state=None if everything else "open", limit=limit, after=after)
    if as_json:
        return output.page(items, following)
    if not items:
        return output.say("No dead letters.")
    table = output.table("Dead letters", "id", "reason", "detail", "bytes", "state", "received")
    for item in items:
        row = [item[name] for name in ("dead_id", "reason", "detail", "bytes", "state")]
        table.add_row(*(cell(value) for value in row), cell(item["received_at"][:19]))
    out.print(table)
    if following:
        output.say("[dim]more: --after {after}[/]", after=following)


def show(
    name: Name,
    as_json: AsJson = False,
    raw: Annotated[bool, typer.Option("--raw", help="The original bytes on stdout and nothing else.")] = False,
) -> None:
    """One dead letter with its original bytes, shown safely."""
    with one_clear_line():
        row = _letters().one(name)
    if raw:
        typer.get_binary_stream("stdout").write(bytes(row.raw))
        return
    item = letter(row)
    if as_json:
        return output.document(item)
    for label in ("dead_id", "origin", "reason", "detail", "state", "requeues", "received_at", "bytes", "sha256", "resolution"):
        output.line(label, item[label])
    text = output.clean(item["raw"])
    output.line("document", text if len(text) <= 2000 else f"{text[:2000]}… ({item['bytes']} bytes; --raw gives them all)")


def requeue(name: Name, reason: output.Reason, as_json: AsJson = False) -> None:
    """Puts a letter's document back to be handled like any other; refused while it still cannot be read."""
    with one_clear_line():
        letters = _letters()
        told = letters.requeue(name, by=output.actor(output.settings()), reason=reason)
    if as_json:
        return output.document({"dead_id": name, "state": "requeued", "next": told})
    output.say("{told}.", told=told)


def discard(name: Name, reason: output.Reason, as_json: AsJson = False) -> None:
    """Marks a letter as dealt with; its bytes stay."""
    with one_clear_line():
        _letters().discard(name, by=output.actor(output.settings()), reason=reason)
    if as_json:
        return output.document({"dead_id": name, "state": "discarded"})
    output.say("{name} is put aside; its bytes stay.", name=name)
