"""After a restore: look, put back what only the journal knows, let money go on."""

from typing import Annotated, Any

import typer

from policy.words import count, money
from worker.cases.money.restore import QUARANTINE, Checked, Recovered
from worker.cases.move import reopen as reopen_closed
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.money import read_again
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.runtime import Runtime

BooksOnly = Annotated[bool, typer.Option("--books-only", help="Leave out the stream.")]


def check(as_json: AsJson = False) -> None:
    """Compares the database with what Redis and the claim journal remember; exits 1 where it knows less, or nobody can say."""
    with one_clear_line():
        found = output.runtime().restorer.check()
    if as_json:
        output.document(found.document())
    else:
        _show(found)
    if found.wrong is not None:
        raise typer.Exit(1)


def recover(reason: output.Reason, books_only: BooksOnly = False, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """Reads the stream again from its beginning and puts every call that only the journal knows back on its claim, as unknown."""
    with one_clear_line():
        runtime = output.judging()
        found = runtime.restorer.check()
        if not as_json:
            _show(found)
        ask(f"Put back {len(found.missing)} calls?", yes=yes)
        again = 0 if books_only else sum(1 for _ in read_again(runtime))
        done = runtime.restorer.recover(by=output.actor(runtime.settings), reason=reason, events=again)
    if as_json:
        output.document(done.document())
    else:
        _recovered(done, stopped=found.wrong is not None)
    if not done.ok:
        raise typer.Exit(1)


def reopen(reason: output.Reason, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """Opens a database that `refunds db move` closed, where the other one is gone for good; money stops until it is lifted."""
    with one_clear_line():
        runtime = Runtime.start(output.settings())
        ask("Is the book in the other database gone for good? Both would decide the same cases.", yes=yes)
        by, now = output.actor(runtime.settings), runtime.clock.now()
        why = reopen_closed(runtime.store, runtime.settings.group, by=by, reason=reason, now=now)
    if as_json:
        return output.document({"ok": True, "was": why})
    output.say("Opened again ({why}). Money is stopped. Next: [bold]refunds restore check[/]", why=why)


def lift(reason: output.Reason, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """Lets money go on after a restore; refused while the journal knows calls that the database does not."""
    with one_clear_line():
        runtime = output.runtime()
        found = runtime.restorer.check()
        if found.stopped is not None:
            if not as_json:
                _stopped(found)
            ask("Let money go on?", yes=yes)
        done = runtime.restorer.lift(by=output.actor(runtime.settings), reason=reason)
    if as_json:
        output.document(done)
    else:
        output.say("Lifted at mark {mark}; money goes on from {money_from}. {claims_only_read} claims are only read.", **done)


def _stopped(found: Checked) -> None:
    output.say("Money is stopped: {why}", why=found.stopped)
    if not found.whole:
        hours = round(QUARANTINE.total_seconds() / 3600)
        output.say(
            "[yellow]No journal tells what was sent.[/] Claims that came unsent out of the backup will only be read, and "
            "money stays still for {hours} h longer. Look at the refunds in Creem's dashboard before you go on.",
            hours=hours,
        )


def _show(found: Checked) -> None:
    document = found.document()
    marks = document["marks"]
    for name in ("database", "redis", "journal"):
        away = document["redis_error"] if name == "redis" else None
        said = away or ("remembers nothing" if marks[name] is None else f"mark {marks[name]}")
        if name == "journal" and found.journal is None:
            said = "no REFUNDS_JOURNAL_DIR"
        output.line(name, said, "yellow" if away else "")
    if found.journal is not None and found.journal.unreadable:
        output.line("torn lines", f"{found.journal.unreadable}, of calls that were never sent", "dim")
    if document["missing"]:
        columns = ("transaction_id", "attempt", "armed_at", "amount", "purchase_id", "case_id")
        table = output.table("\nKnown to the journal alone", *(column.replace("_", " ") for column in columns))
        for item in document["missing"]:
            shown = item | {"amount": money(item["amount"], item["currency"])}
            table.add_row(*(cell(shown[column]) for column in columns))
        out.print(table)
    if found.wrong is None:
        return output.say("[green bold]The database knows what its witnesses remember.[/]")
    output.say("[red bold]{wrong}[/]", wrong=found.wrong)
    if found.wrong == found.unasked:
        return output.say(
            "Money waits until one answers. Next: [bold]refunds doctor[/], then [bold]refunds restore check[/] again"
        )
    step = "restore recover" if found.missing or found.stopped is None else "restore lift"
    output.say('Next: [bold]refunds {step} --reason "…"[/]', step=step)


def _recovered(done: Recovered, *, stopped: bool) -> None:
    rows: list[tuple[dict[str, Any], str]] = [(item, "yellow") for item in done.remembered] + [
        (item, "red") for item in done.left
    ]
    if rows:
        table = output.table("\nCalls", "transaction", "amount", "what was done")
        for item, style in rows:
            said = item["done"] or f"left: import the history of {item['purchase_id']} again, then recover once more"
            table.add_row(cell(item["transaction_id"]), cell(money(item["amount"], item["currency"])), cell(said, style))
        out.print(table)
    sums = {"n": len(done.remembered), "left": len(done.left), "events": done.events}
    output.say("\n{n} calls put back as unknown, {left} left, {events} events read from the stream again.", **sums)
    if done.unasked is not None:
        return output.say("[red bold]{why}[/]. Recover once more when one answers.", why=done.unasked)
    if not done.left:
        read = "They are read at Creem from now on. " if done.remembered else ""
        lift = ', then [bold]refunds restore lift --reason "…"[/]' if stopped else ""
        output.say(f"{read}Next: [bold]refunds reconcile[/]{lift}.")


def chain(reason: output.Reason, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """After a restore: the audit stops asking about chain heads that the backup did not hold. This stays on record."""
    with one_clear_line():
        runtime = output.runtime()
        strange = runtime.forgiver.strange()
        if not as_json:
            for kept, why in strange:
                output.line(f"{kept.head.name} link {kept.head.number}", why, "yellow")
        if strange:
            ask(f"Lost with a restore: {count(len(strange), 'head')}?", yes=yes)
        done = runtime.forgiver.forgive(by=output.actor(runtime.settings), reason=reason)
    if as_json:
        return output.document({"forgiven": done})
    output.say("{heads} lost with the restore: the audit no longer asks.", heads=count(done, "head"))
