"""Money: compare with Creem, stop it, let it go on."""

from collections.abc import Iterator
from typing import Annotated, Any

import redis
import typer

from policy.words import money
from worker.cases.money import limits
from worker.cases.overview import overview
from worker.cases.reconcile.reconciliation import Reconciliation
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.output import AsJson, cell, one_clear_line
from worker.errors import Unread, one_line
from worker.intake.entry import Entry
from worker.intake.stream import entries_read_so_far
from worker.runtime import Runtime
from worker.screen import progress
from worker.store.breakers import closed_to
from worker.store.bulk import Tx


def reconcile(
    as_json: AsJson = False,
    books_only: Annotated[bool, typer.Option("--books-only", help="Leave out the stream; database and Creem alone.")] = False,
) -> None:
    """Compares with Creem and with the jobs; repairs what is safe, lists the rest."""
    with one_clear_line():
        runtime = output.judging()
        with progress() as bar:
            task = bar.add_task("customers compared with Creem", total=None)
            done = runtime.reconciler.reconcile(
                missing_events=None if books_only else lambda: read_again(runtime),
                seconds=None,
                progress=lambda number, total: bar.update(task, completed=number, total=total),
            )
    if as_json:
        output.document(done.document())
    else:
        _show(runtime, done)
    if not done.ok:
        raise typer.Exit(1)


def read_again(runtime: Runtime) -> Iterator[str]:
    """Takes in what was acknowledged on the stream and is nowhere in our books; yields each entry taken in. Raises `Unread`."""
    from worker.cases.audit.audit import Audit, audit_stream

    now = runtime.clock.now()
    try:
        for chunk in entries_read_so_far(runtime.redis, runtime.settings.stream, runtime.settings.group):
            lost = Audit()
            audit_stream(runtime.store, lost, [chunk], now)
            missing = {breach["row"] for breach in lost.breaches}
            again = [Entry(name, raw, {b"event": raw or b""}) for name, raw in chunk if name in missing]
            if again:
                runtime.desk.accept(again)
                yield from sorted(missing)
    except (redis.RedisError, OSError) as error:
        raise Unread("the stream", f"{one_line(error)}; --books-only leaves it out") from error


def _show(runtime: Runtime, done: Reconciliation) -> None:
    if runtime.creem is None:
        output.say("[yellow]No Creem key is configured:[/] only our own sides were compared.")
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in done.checked.items() if count)
    if done.repaired:
        mended = [(cell(item["check"]), cell(item["row"]), cell(item["done"])) for item in done.repaired]
        output.listed("Mended", ("check", "row", "what was done"), mended, sentence="what was done", below=())
    if done.findings:
        what = "what does not agree, and what to do"
        left = [(cell(f.check, "red"), cell(f.row), cell(f.cents or None), cell(f"{f.problem}; {f.do}")) for f in done.findings]
        output.listed("\nLeft for a person", ("check", "row", "minor units", what), left, sentence=what, below=("minor units",))
    verdict = "[green bold]Both sides agree.[/]" if done.ok else "[red bold]The two sides differ by {unmatched}.[/]"
    output.say(f"\n{verdict} Compared: {{counted}}.", unmatched=money(done.unmatched), counted=counted or "nothing")


def stop(reason: output.Reason, dry_run: output.DryRun = False, as_json: AsJson = False) -> None:
    """Stops all money until it is released; credits go on. A brake: it never asks."""
    with one_clear_line():
        runtime = output.runtime()
        by, now = output.actor(runtime.settings), runtime.clock.now()
        if dry_run:
            return _show_stop(runtime, as_json)
        runtime.store.write(lambda tx: limits.stop(tx, by=by, reason=reason, now=now))
    _said({"money": "stopped", "by": by}, 'No money leaves until `refunds money release --reason "…"`. Credits go on.', as_json)


def _show_stop(runtime: Runtime, as_json: bool) -> None:
    stopped, claims = _stopped(runtime), runtime.store.read(lambda tx: overview(tx, runtime.clock.now()))["payments"]
    waiting = claims["waiting_minor_units"]
    already = f"Money is stopped already: {stopped}. " if stopped is not None else ""
    sentence = f"{already}{money(waiting)} under way would wait, credits would go on. Nothing was changed."
    document = {"dry_run": True, "would_be": "stopped", "stopped": stopped, "waiting_minor_units": waiting}
    _said(document, sentence, as_json)


def release(reason: output.Reason, dry_run: output.DryRun = False, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """Lets money go on after all that stops it now: stops by hand, the terms' limit, alarms. It shows them first."""
    with one_clear_line():
        runtime = output.runtime()
        by, stopped = output.actor(runtime.settings), _stopped(runtime)

        def let_go(tx: Tx) -> None:
            limits.release(tx, by=by, reason=reason, now=runtime.clock.now(), shown=stopped)

        runtime.store.rehearse(let_go)
        if not as_json:
            output.say("Money is stopped: {why}", why=stopped)
        if dry_run:
            return _said({"dry_run": True, "would_be": "released", "stopped": stopped}, "Nothing was changed.", as_json)
        ask("Let money go on?", yes=yes)
        runtime.store.write(let_go)
    _said({"money": "released", "by": by}, "Money goes on; claims that waited are due now.", as_json)


def _stopped(runtime: Runtime) -> str | None:
    """All that money is stopped for, by hand, by the terms' limit or by an alarm; None where it is not."""
    found = runtime.store.read(lambda tx: closed_to(tx, [limits.MONEY], runtime.clock.now()))
    return None if found is None else found[0]


def _said(document: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        output.document(document)
    else:
        output.say("{sentence}", sentence=sentence)
