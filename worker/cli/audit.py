"""`refunds audit`: do the books hold?"""

from typing import Annotated

import redis
import typer
from rich.progress import Progress

from worker.cases.audit.audit import Audit, audit_books, audit_home, audit_stream
from worker.cases.chain.proof import audit_chain
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line
from worker.errors import one_line
from worker.intake.stream import entries_read_so_far
from worker.runtime import Runtime
from worker.screen import progress


def run(
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
    kept = runtime.heads.standing() if runtime.heads is not None else []
    runtime.store.read(lambda tx: audit_chain(tx, result, kept, show))
    if books_only:
        return result
    stream, group = runtime.settings.stream, runtime.settings.group
    try:
        bar.update(task, description="no event lost", completed=0, total=runtime.redis.xlen(stream))
        entries = entries_read_so_far(runtime.redis, stream, group)
        audit_stream(runtime.store, result, entries, now, lambda compared: bar.update(task, completed=compared))
    except (redis.RedisError, OSError) as error:
        why = (
            f"the stream cannot be read, so that no event was lost is not proved ({one_line(error)}); --books-only leaves it out"
        )
        result.breach("no_event_lost", stream, why)
    return result


def _show(result: Audit) -> None:
    if result.ok:
        return output.say("[green bold]The books hold.[/] Checked: {counted}.", counted=result.counted)
    title = f"{len(result.breaches)} breach{'' if len(result.breaches) == 1 else 'es'}"
    rows = [(cell(breach["check"], "red"), cell(breach["row"]), cell(breach["problem"])) for breach in result.breaches]
    output.listed(title, ("check", "row", "problem"), rows, sentence="problem", below=())
    output.say("[dim]Checked: {counted}.[/]", counted=result.counted)
