"""What people see on a terminal: tables, labelled lines, sentences. Text from outside is never interpreted."""

import os
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from policy.lifecycle import CaseState

PIPED_WIDTH = 140
"""Columns where there is no terminal to ask; `COLUMNS` overrides."""
NOTHING = "-"
ROOM, BETWEEN, INDENT = 40, 2, 4
"""Columns that a sentence needs beside its row, that lie between two cells, and by which what is below its row is set in."""

out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)

STATE_STYLE: dict[str, str] = {
    CaseState.REFUNDED: "green",
    CaseState.DELIVERED: "green",
    CaseState.EXTERNAL: "green",
    CaseState.NOTHING_OWED: "dim",
    CaseState.DECLINED: "yellow",
    CaseState.REVIEW: "magenta",
    CaseState.WAITING: "cyan",
    CaseState.RERUNNING: "blue",
    CaseState.REFUNDING: "blue",
    CaseState.UNKNOWN: "red",
}


def clean(text: object) -> str:
    """Text from outside, fit for a terminal: no escape sequence, no line of its own making."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def cell(value: object, style: str = "") -> Text:
    """A table cell that never interprets its content."""
    return Text(NOTHING if value is None else clean(value), style=style)


def flat(value: object, text: Callable[[str], str] = str) -> str:
    """A fact or detail on one line; `text` is how its texts are written."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {flat(part, text)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(flat(part, text) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return text(value)
    return NOTHING if value is None else str(value)


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


def sentences(title: str, *columns: str) -> Table:
    """A table of which the first column is a sentence: it gives way to what it is told with, however narrow the terminal."""
    made = table(title, *columns)
    for number, column in enumerate(made.columns):
        column.no_wrap = number != 0
    return made


def listed(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Text]], *, sentence: str, below: Sequence[str], on: Console = out
) -> None:
    """A list of which one column is a `sentence`. Where too little is left for it beside the rest, which stays whole, it stands
    below its row, and the columns `below` before it.
    """
    widths = [max([len(name), *(row[at].cell_len for row in rows)]) for at, name in enumerate(columns)]
    long = columns.index(sentence)
    left = on.width - sum(width + BETWEEN for at, width in enumerate(widths) if at != long)
    if left >= min(ROOM, widths[long]):
        made = table(title, *columns)
        for at, column in enumerate(made.columns):
            column.no_wrap = at != long
        for row in rows:
            made.add_row(*row)
        return on.print(made)
    beside = [at for at, name in enumerate(columns) if name not in {sentence, *below}]

    def head(row: Sequence[Text]) -> Text:
        return Text(" " * BETWEEN).join(row[at] + " " * (widths[at] - row[at].cell_len) for at in beside)

    on.print(Text(title, "bold"))
    on.print(head([Text(name, "dim") for name in columns]), soft_wrap=True)
    for row in rows:
        on.print(head(row), soft_wrap=True)
        told = [Text(f"{name} ", "dim") + row[columns.index(name)] for name in below if row[columns.index(name)].plain != NOTHING]
        on.print(Padding(Text("; ").join([*told, row[long]] if row[long].plain else told), (0, 0, 0, INDENT)))


def line(label: str, value: object, style: str = "") -> None:
    """One labelled line."""
    out.print(Text(f"{label:<19} ", style="dim") + cell(value, style), soft_wrap=True)


def say(markup: str, **values: object) -> None:
    """A sentence with markup of ours and values of others."""
    out.print(markup.format(**{name: escape(clean(value)) for name, value in values.items()}), soft_wrap=True)


def progress() -> Progress:
    """A progress bar for long work, on a terminal; nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
