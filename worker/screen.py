"""What people see on a terminal: tables, labelled lines, sentences. Text from outside is never interpreted."""

import os
import sys

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 140
"""Columns where there is no terminal to ask; `COLUMNS` overrides."""

out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)

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
    for number, name in enumerate(columns):
        # what a row is named by stays whole, to be copied; the rest gives way to a narrow terminal
        made.add_column(name, header_style="dim", overflow="fold", no_wrap=number == 0)
    return made


def line(label: str, value: object, style: str = "") -> None:
    """One labelled line."""
    out.print(Text(f"{label:<20}", style="dim") + cell(value, style), soft_wrap=True)


def say(markup: str, **values: object) -> None:
    """A sentence with markup of ours and values of others."""
    out.print(markup.format(**{name: escape(clean(value)) for name, value in values.items()}), soft_wrap=True)


def progress() -> Progress:
    """A progress bar for long work, on a terminal; nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
