"""How commands speak: tables for people, one JSON document for scripts, one clear line for what went wrong."""

import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from worker.clock import LETTERS
from worker.errors import Misconfigured, Refused, TryLater, one_line
from worker.observe import configure_logging, log
from worker.runtime import Runtime, unfit, without_terms
from worker.screen import cell, clean, err, line, listed, out, say, state, table
from worker.settings import Fit, Settings, is_utf8, load_settings

__all__ = ["cell", "clean", "err", "line", "listed", "out", "say", "state", "table"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / "worker", ROOT / "policy"
EITHER = (
    "rows were changed by hand, which `refunds audit` names, or this is a defect (REFUNDS_LOG_LEVEL=debug shows the way to it)"
)
CONTINUE = "Start after this id (`next` of the previous page)."


def _after(prefix: str) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(f"{prefix}_[{LETTERS}]{{26}}", value):
            stop(f"--after: expected an id like {prefix}_01J…, which is `next` of the page before; not {value!r}", 2)
        return value

    return check


def _said(reason: str) -> str:
    if not any(character.isprintable() and not character.isspace() for character in reason):
        stop("--reason: expected why, in words; it stays on record, and this one is empty", 2)
    if not is_utf8(reason):
        stop(f"--reason: expected words in UTF-8, not {os.fsencode(reason)!r}", 2)
    return reason.strip()


Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most this many rows.")]
AfterCase = Annotated[str | None, typer.Option("--after", help=CONTINUE, callback=_after("case"))]
AfterLetter = Annotated[str | None, typer.Option("--after", help=CONTINUE, callback=_after("dead"))]
Reason = Annotated[str, typer.Option(help="Why, for the record.", callback=_said)]
CustomerReason = Annotated[
    str, typer.Option("--reason", help="Told to the customer in these words, and kept on record.", callback=_said)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def settings(*, process: bool = False, fit: Fit = lambda _: ()) -> Settings:
    """The settings, with logging set up after them: a command that somebody waits for at a terminal answers, and logs only what
    is wrong unless it is told what to log. `fit` says what is wrong for this command alone.
    """
    loaded = load_settings(fit=lambda values: (*unfit(values), *fit(values)), late=without_terms)
    answers = not process and sys.stderr.isatty() and "log_level" not in loaded.model_fields_set
    configure_logging(loaded.model_copy(update={"log_level": "warning"}) if answers else loaded)
    return loaded


def runtime() -> Runtime:
    """A runtime whose database is there and has this release's schema."""
    return Runtime.start(settings()).ready()


def judging() -> Runtime:
    """The same for a command by which cases are decided: its terms are those that the processes decide by, or it is refused."""
    return Runtime.start(settings()).judging()


def actor(loaded: Settings) -> str:
    """Who is at the keyboard."""
    if loaded.actor:
        return loaded.actor
    try:
        return os.fsencode(getpass.getuser()).decode(errors="backslashreplace")
    except (KeyError, OSError):
        return "unnamed"


def document(value: Any) -> None:
    """Prints one JSON document and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def page(items: Sequence[Any], following: str | None, *, dry_run: bool = False) -> None:
    """Prints a list as the contract says; of a dry run it says that it is one."""
    document(({"dry_run": True} if dry_run else {}) | {"items": list(items), "next": following})


def more(following: str | None) -> None:
    """The last line of a list: how to see what comes after it, where anything does."""
    if following is not None:
        say("[dim]more: --after {after}[/]", after=following)


def nothing_changed() -> None:
    """The last line of a dry run."""
    say("[dim]Nothing was changed.[/]")


def say_wrong(message: str) -> None:
    """One clear line on stderr."""
    err.print(Text(f"refunds: {clean(message)}"), soft_wrap=True)


class Stopped(typer.Exit):
    """The end of a command that did not do what was asked, and why, as it was said on stderr."""

    def __init__(self, code: int, told: Sequence[str]) -> None:
        super().__init__(code)
        self.told = told


def stop(message: str, code: int) -> NoReturn:
    """One clear line, and out."""
    _stop([message], code)


def _stop(told: Sequence[str], code: int) -> NoReturn:
    for message in told:
        say_wrong(message)
    raise Stopped(code, told) from None


def not_done(told: Sequence[str], code: int) -> None:
    """The document of a command that was refused, for a script that asked for one."""
    document({"ok": False, "exit": code, "faults": list(told)})


@contextmanager
def one_clear_line(*, process: bool = False) -> Iterator[None]:
    """Turns what we raise on purpose into a line and the contract's exit code; what ends a `process` otherwise is in its log."""
    try:
        yield
    except Misconfigured as error:
        _stop(error.faults, 2)
    except TryLater as error:
        stop(str(error), 2)
    except Refused as error:
        stop(str(error), 1)
    except Exception as error:
        if process and not isinstance(error, typer.Exit):
            log.exception("process.ended")
            stop(unexpected(error), 1)
        raise


def unexpected(error: Exception) -> str:
    """What nobody raises on purpose, with the innermost place of ours that it came through."""
    came_by = [(Path(frame.filename), frame.lineno) for frame in extract_tb(error.__traceback__)]
    file, number = [(file, number) for file, number in came_by if any(map(file.is_relative_to, OURS))][-1]
    return f"{type(error).__name__}: {one_line(error)} ({file.relative_to(ROOT)}:{number}): {EITHER}"
