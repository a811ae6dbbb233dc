"""`refunds db move`: the book into another database."""

from typing import Annotated

import typer

from policy.words import count
from worker.cases.move import Moved
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.output import AsJson, one_clear_line
from worker.runtime import Runtime
from worker.screen import progress

To = Annotated[str, typer.Option("--to", metavar="URL", help="The empty database, upgraded by this release.")]


def run(to: To, reason: output.Reason, dry_run: output.DryRun = False, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """Moves the book into another database, of either engine, proves it there, and closes this one for good."""
    with one_clear_line():
        runtime = Runtime.start(output.settings())
        mover, by = runtime.mover(to), output.actor(runtime.settings)
        if not dry_run:
            ask("Move the book, and close the database that it is in?", yes=yes)
        with progress() as bar:
            task = bar.add_task("looking at both", total=None)

            def heard(what: str, done: int, total: int) -> None:
                bar.update(task, description=what.replace("_", " "), completed=done, total=total)

            moved = (mover.rehearse if dry_run else mover.move)(by=by, reason=reason, heard=heard)
    if as_json:
        output.document(({"dry_run": True} if dry_run else {}) | moved.document())
    else:
        _show(moved, runtime, dry_run=dry_run)


def _show(moved: Moved, runtime: Runtime, *, dry_run: bool) -> None:
    rows = count(sum(moved.rows.values()), "row") if moved.rows else "what an earlier move had copied"
    if dry_run:
        output.say("It would move: {rows}, and the audit holds there.", rows=rows)
        return output.nothing_changed()
    output.say("[green bold]Moved.[/] {rows}, read back and audited there; this database is closed.", rows=rows)
    if moved.heads_forgiven:
        output.say(
            "{heads} of the chain outside told of the old one, and are forgiven.", heads=count(moved.heads_forgiven, "head")
        )
    elif moved.chained_anew and runtime.heads is None:
        output.say('Where the claim journal lies: [bold]refunds restore chain --reason "…"[/], for the heads that it keeps.')
    output.say("Next: REFUNDS_DATABASE_URL of every process, then [bold]refunds doctor[/].")
