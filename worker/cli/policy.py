"""The terms, for operators."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from policy import Terms, TermsError, load_editions, load_terms
from worker.calendars import calendar_of
from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.errors import Misconfigured
from worker.runtime import Runtime


def show(as_json: AsJson = False) -> None:
    """The terms in force."""
    with one_clear_line():
        runtime = Runtime.start(output.settings())
        terms = runtime.editions.at(runtime.clock.now())
    values = _values(terms)
    if as_json:
        return output.document(values)
    table = output.table(f"Terms of {terms.edition}", "term", "value", caption=f"sha256 {terms.digest[:16]}…")
    for name, value in values.items():
        if name not in {"edition", "digest"}:
            shown = "; ".join(f"{k}: {', '.join(v)}" for k, v in value.items()) if isinstance(value, dict) else value
            table.add_row(cell(name.replace("_", " ")), cell(", ".join(map(str, shown)) if isinstance(shown, list) else shown))
    out.print(table)


def _without_calendar(terms: Terms) -> tuple[str, ...]:
    try:
        calendar_of(terms)
    except Misconfigured as error:
        return error.faults
    return ()


def _values(terms: Terms) -> dict[str, Any]:
    return {field.name: _plain(getattr(terms, field.name)) for field in fields(terms)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(getattr(k, "value", k)): _plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(str(v) for v in value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, int | float | bool | None) else str(value)


def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A terms file; the shipped ones where none is named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Validates terms: every fault at once, with file, key and what was expected."""
    with one_clear_line():
        try:
            if file is None:
                found = list(load_editions(output.settings().terms_dir))
            else:
                if not file.is_file():
                    raise Misconfigured(f"{file}: {'is no file; name one of terms' if file.exists() else 'no such file'}")
                found = [load_terms(file)]
            if faults := [fault for terms in found for fault in _without_calendar(terms)]:
                raise TermsError(*faults)
        except TermsError as error:
            faults = str(error).splitlines()
            if as_json:
                output.document({"ok": False, "faults": faults})
            else:
                for fault in faults:
                    output.say_wrong(fault)
            raise typer.Exit(1) from None
    if as_json:
        return output.document({"ok": True, "editions": [terms.edition for terms in found]})
    for terms in found:
        output.say("[green]ok[/]  terms of {edition}  {digest}", edition=terms.edition, digest=terms.digest[:16])
