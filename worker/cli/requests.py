"""Requests by mail: one taken by hand, and the files that came with them."""

import os
from pathlib import Path
from typing import Annotated

import typer

from worker.cases.requests.maildir import read_mail_file
from worker.cli import output
from worker.cli.output import AsJson, one_clear_line
from worker.errors import Misconfigured, Refused


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE.eml", help="One mail as it was received.")], as_json: AsJson = False
) -> None:
    """Takes one mail as a request; taking it twice changes nothing."""
    with one_clear_line():
        runtime = output.judging()
        try:
            raw = read_mail_file(file)
        except OSError as error:
            raise Misconfigured(f"{file}: {error.strerror or 'cannot be read'}") from error
        taken = runtime.mailroom.take(raw, origin="file")
    if as_json:
        return output.document(
            {
                "request_id": taken.request_id,
                "outcome": taken.outcome.value,
                "case_id": taken.case_id,
                "state": taken.state,
                "account_id": taken.account_id,
                "reason": taken.reason,
            }
        )
    said = {"opened": "opened", "attached": "put to", "known": "has this mail already"}[taken.outcome.value]
    output.say(
        "[bold]{case}[/] {said}; it is {state}: {reason}", case=taken.case_id, said=said, state=taken.state, reason=taken.reason
    )


def evidence(
    name: Annotated[str, typer.Argument(metavar="FILE", help="A file's id (`refunds review show`).")],
    reason: output.Reason,
    to: Annotated[Path, typer.Option("--to", help="Where to put it; it is never opened here.")],
) -> None:
    """Fetches one file that a customer sent; the look goes on record."""
    with one_clear_line():
        runtime = output.runtime()
        if to.exists() or to.is_symlink():
            raise Refused(f"{to} is there already")
        receipt, content = runtime.evidence.look(name, by=output.actor(runtime.settings), reason=reason)
        try:
            with open(to, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(content)
        except FileExistsError as error:  # since then
            raise Refused(f"{to} is there already") from error
        except OSError as error:
            raise Refused(f"{to}: {error.strerror or 'cannot be written'}") from error
    output.say(
        "{name}, {kind}, {n} bytes, is at {to}. Delete it when you are done.",
        name=receipt.name,
        kind=receipt.kind,
        n=len(content),
        to=to,
    )
