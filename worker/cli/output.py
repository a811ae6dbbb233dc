"""How commands speak: tables for people, one JSON document for scripts, one clear line for what went wrong."""

import getpass
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from worker.errors import Misconfigured, Refused, TryLater
from worker.observe import configure_logging
from worker.runtime import Runtime
from worker.settings import Settings, load_settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")]
After = Annotated[str | None, typer.Option(help="Continue after this id (`next` of the page before).")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

STATE_STYLE = {
    "refunded": "green",
    "delivered": "green",
    "external": "green",
    "nothing_owed": "dim",
    "declined": "yellow",
    "review": "magenta",
    "waiting": "cyan",
    "rerunning": "blue",
    "refunding": "blue",
    "unknown": "red",
}


def settings() -> Settings:
    """The settings, with logging set up after them."""
    loaded = load_settings()
    configure_logging(loaded)
    return loaded


def runtime() -> Runtime:
    """A runtime whose database is there and has this release's schema."""
    return Runtime.start(settings()).ready()


def actor(loaded: Settings) -> str:
    """Who is at the keyboard."""
    if loaded.actor:
        return loaded.actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unnamed"


def document(value: Any) -> None:
    """Prints one JSON document and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def page(items: Sequence[Any], following: str | None) -> None:
    """Prints a list as the contract says."""
    document({"items": list(items), "next": following})


def stop(message: str, code: int) -> NoReturn:
    """One clear line, and out."""
    err.print(Text(f"refunds: {clean(message)}"), soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def one_clear_line() -> Iterator[None]:
    """Turns what we raise on purpose into a line and the contract's exit code; a defect keeps its traceback."""
    try:
        yield
    except Misconfigured as error:
        for fault in error.faults:
            err.print(Text(f"refunds: {clean(fault)}"), soft_wrap=True)
        raise typer.Exit(2) from None
    except TryLater as error:
        stop(str(error), 2)
    except Refused as error:
        stop(str(error), 1)


def clean(text: object) -> str:
    """Text from outside, fit for a terminal: no escape sequence, no line of its own making."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def cell(value: object, style: str = "") -> Text:
    """A table cell that never interprets its content."""
    return Text("-" if value is None else clean(value), style=style)


def state(value: str) -> Text:
    """A state in its colour."""
    return Text(value, style=STATE_STYLE.get(value, ""))


def table(title: str, *columns: str, caption: str | None = None) -> Table:
    """A table in the house style."""
    made = Table(title=title, title_justify="left", title_style="bold", caption=caption, caption_justify="left", box=None)
    made.pad_edge = False
    for name in columns:
        made.add_column(name, header_style="dim", overflow="fold")
    return made


def line(label: str, value: object, style: str = "") -> None:
    """One labelled line."""
    out.print(Text(f"{label:<20}", style="dim") + cell(value, style), soft_wrap=True)


def say(markup: str, **values: object) -> None:
    """A sentence with markup of ours and values of others."""
    out.print(markup.format(**{name: escape(clean(value)) for name, value in values.items()}), soft_wrap=True)


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in one unit."""
    if at is None:
        return "-"
    seconds = (now - at).total_seconds()
    word = "ago" if seconds >= 0 else "from now"
    seconds = abs(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} {word}"
    return f"{seconds:.0f} s {word}"


def ask(question: str, *, yes: bool) -> None:
    """Goes on only with consent; without a terminal `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        stop(f"{question} Nobody is here to answer: repeat with --yes", 2)
    if not typer.confirm(question, err=True):
        stop("left as it is", 1)


Command = Callable[..., None]
