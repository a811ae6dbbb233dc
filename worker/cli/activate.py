"""`refunds policy activate`: a new edition of the terms takes effect, once what it moves has been seen."""

from dataclasses import asdict
from typing import Annotated

import typer

from policy.terms import UnknownEdition
from worker.cases.editions.editions import JUDGED_BY, Activation, activate
from worker.cases.editions.replay import Replay
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.output import AsJson, Reason, one_clear_line
from worker.cli.replay import asked_again, show
from worker.errors import Misconfigured
from worker.store.bulk import Tx


def run(
    edition: Annotated[str, typer.Argument(help="The edition, as 2026-12-01, whose file is in the terms folder.")],
    reason: Reason,
    dry_run: output.DryRun = False,
    yes: output.Yes = False,
    as_json: AsJson = False,
) -> None:
    """Lets a new edition take effect where the one before requires that; a second person has to agree if it moves much."""
    with one_clear_line():
        runtime = output.runtime()
        now = runtime.clock.now()
        try:
            terms = runtime.editions.by_name(edition)
        except UnknownEdition as error:
            raise Misconfigured(str(error)) from error
        found = asked_again(runtime, terms, now - JUDGED_BY, examples=20)
        by = output.actor(runtime.settings)

        def word(tx: Tx) -> Activation:
            return activate(tx, runtime.editions, found, by=by, reason=reason, now=now)

        plan = runtime.store.rehearse(word)
        if not as_json:
            show(found)
        if not dry_run:
            ask(
                f"Put edition {edition} to a second person?" if plan.state == "proposed" else f"Activate edition {edition}?",
                yes=yes,
            )
            done = runtime.store.write(word)
    if dry_run:
        return _show_plan(plan, found, as_json)
    if as_json:
        return output.document(asdict(done) | {"replay": found.document()})
    if done.state == "proposed":
        output.say(
            "\n[yellow]Edition {edition} waits for a second person[/], who types the same. Until then nothing is decided by it.",
            edition=edition,
        )
    else:
        output.say("\n[green]Edition {edition} is activated.[/] Processes decide by it from their next start.", edition=edition)


def _show_plan(plan: Activation, found: Replay, as_json: bool) -> None:
    if as_json:
        fields = asdict(plan)
        would_be = fields.pop("state")
        return output.document({"dry_run": True, "would_be": would_be, **fields, "replay": found.document()})
    then = "be put to a second person" if plan.state == "proposed" else "be activated"
    output.say("\nEdition {edition} would {then}.", edition=plan.edition, then=then)
    output.nothing_changed()
