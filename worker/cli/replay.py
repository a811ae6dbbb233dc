"""`refunds policy replay`: what other terms would have done to the cases there are."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from policy import Editions, Terms, TermsError, load_terms
from policy.terms import UnknownEdition
from policy.words import money
from worker.cases.editions.replay import Replay, count_cases, replay
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.errors import Misconfigured
from worker.runtime import Runtime
from worker.screen import progress

BAR = 30


def run(
    terms: Annotated[str, typer.Option(metavar="FILE|EDITION", help="The other terms: a file, or the name of an edition.")],
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only cases opened since this date (UTC), such as 2026-03-01.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=1000, help="How many changed cases to name.")] = 20,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also draw it, as a PNG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decides past cases under other terms, without any effect: which would change, by clause, and the credits and money."""
    with one_clear_line():
        if plot is not None:
            _may_plot(plot)
        begins = instant(since)
        runtime = output.runtime()
        found = asked_again(runtime, _terms(terms, runtime.editions), begins, examples=examples)
        if plot is not None:
            from worker.cli.plots import draw_replay

            try:
                draw_replay(found, plot)
            except OSError as error:
                raise Misconfigured(f"--plot {plot}: {error.strerror or 'cannot be written'}") from error
    if as_json:
        return output.document(found.document())
    show(found)
    if plot is not None:
        output.say("picture in {plot}", plot=plot)


def asked_again(runtime: Runtime, other: Terms, since: datetime | None, *, examples: int) -> Replay:
    """What `other` would have decided about the cases opened since then; a bar shows how far it is."""
    with progress() as bar:
        task = bar.add_task(f"asking under {other.edition}", total=count_cases(runtime.store, since))
        advance = partial(bar.advance, task)
        try:
            return replay(runtime.store, runtime.editions, other, since=since, examples=examples, on_progress=advance)
        except UnknownEdition as error:
            raise Misconfigured(str(error)) from error


def show(found: Replay) -> None:
    """The sum of it, what changes by clause, and some of the cases."""
    since = f" since {found.since:%Y-%m-%d}" if found.since else ""
    if not found.asked:
        return output.say("No decided cases{since}.", since=since)
    output.line("asked", f"{found.asked} cases{since}, under terms {found.terms} (sha256 {found.digest[:16]}…)")
    if found.undecided:
        output.line("left out", f"{found.undecided} that wait for facts")
    output.line("changed", f"{found.changed}, {100 * found.changed / found.asked:.1f} %", "yellow" if found.changed else "green")
    output.line("credits", _signed(found.credits))
    output.line("money", _money(found.document()["money"]) or "nothing")
    if not found.changed:
        return
    table = output.table("\nBy clause", "clause", "decided", "would be", "cases", "", "credits", "money")
    most = max(row["cases"] for row in found.rows())
    for row in found.rows():
        length = max(1, round(BAR * row["cases"] / most))
        table.add_row(
            cell(row["clause"]), cell(row["before"]), cell(row["after"]), cell(row["cases"]),
            Text("█" * length, style="cyan"), cell(_signed(row["credits"])), cell(_money(row["money"]) or "-"),
        )  # fmt: skip
    out.print(table)
    if not found.examples:
        return
    named = output.table("\nFor example", "case", "about", "decided", "would be", "because")
    for change in found.examples:
        named.add_row(
            cell(change.case_id), cell(change.subject), cell(change.before.outcome.value),
            cell(change.after.outcome.value), cell(change.after.reason),
        )  # fmt: skip
    out.print(named)


def _signed(credits: int) -> str:
    return f"{credits:+d}" if credits else "no difference"


def _money(sums: dict[str, Any]) -> str:
    return ", ".join(f"{'+' if amount > 0 else ''}{money(amount, currency)}" for currency, amount in sums.items())


def _terms(named: str, editions: Editions) -> Terms:
    file = Path(named)
    try:
        if file.is_file():
            return load_terms(file)
        return editions.by_name(named)
    except TermsError as error:
        raise Misconfigured(str(error)) from error
    except UnknownEdition as error:
        raise Misconfigured(f"--terms {named}: no such file, and {error}") from error


def instant(day: str | None) -> datetime | None:
    """The moment that `--since` names, UTC where it names no zone."""
    if day is None:
        return None
    try:
        at = datetime.fromisoformat(day)
    except ValueError:
        raise Misconfigured(f"--since {day}: not a date; expected one like 2026-03-01 or 2026-03-01T10:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _may_plot(file: Path) -> None:
    if file.suffix.lower() != ".png":
        raise Misconfigured(f"--plot {file}: the picture is a PNG; expected a name like {file.stem}.png")
    if not file.parent.is_dir():
        raise Misconfigured(f"--plot {file}: there is no folder {file.parent}")
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise Misconfigured("--plot needs matplotlib: install layer-refunds[plots]") from None
