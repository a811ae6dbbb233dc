"""`refunds compare`: what this installation decided otherwise than the live one beside it."""

from typing import Annotated

import typer

from worker.cases.editions.beside import Compared, compare_with
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.cli.replay import instant
from worker.errors import Misconfigured, one_line
from worker.urls import redacted


def run(
    other: Annotated[str, typer.Option("--with", metavar="URL", help="The database of the live installation; it is only read.")],
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only what failed since this date (UTC), such as 2026-03-01.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, max=100_000, help="How many cases of each difference to name.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Compares the decisions of two installations that read the same events; exits 1 where they differ."""
    with one_clear_line():
        begins = instant(since)
        ours = output.runtime().store
        try:
            found = compare_with(other, ours, begins, examples=examples)
        except ValueError as error:
            raise Misconfigured(f"--with {redacted(other)}: {one_line(error)}") from error
    if as_json:
        output.document(found.document())
    else:
        _show(found)
    if not found.same:
        raise typer.Exit(1)


def _show(found: Compared) -> None:
    sums = {"alike": found.alike, "theirs": found.only_theirs, "ours": found.only_ours}
    if found.same:
        return output.say("[green bold]The same in all {alike}.[/] Only there: {theirs}, only here: {ours}.", **sums)
    table = output.table("Decided otherwise", "there", "here", "cases", "credits", "for example")
    for row in found.document()["differences"]:
        credits = f"{row['credits']:+d}" if row["credits"] else None
        named = ", ".join(row["examples"])
        table.add_row(*(cell(one) for one in (row["theirs"], row["ours"], row["cases"], credits, named)))
    out.print(table)
    output.say("{alike} alike; only there: {theirs}, only here: {ours}.", **sums)
