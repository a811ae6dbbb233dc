"""What the demo shows: what is about to happen, a live picture while it happens, and a summary that a newcomer understands."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import func, select

from worker.cases.audit.audit import Audit
from worker.sandbox.stories import STORIES
from worker.sandbox.traffic import World
from worker.screen import STATE_STYLE, cell, out, say, sentences
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, dead_letters, inbox

JOBS_TOLD = ("story", "jobs", "ended", "credits\nback", "made\nwhole in", "as\npromised")
MADE_WHOLE = {"refunded", "delivered"}
IN_WORDS = {
    "refunded": "got their credits back",
    "delivered": "got their layers from a re-run",
    "nothing_owed": "had lost no credits",
    "declined": "were declined: not a server-side error",
    "refunding": "have money on its way",
    "unknown": "have a payment to be proved",
    "review": "wait for a person",
    "external": "were refunded by another hand",
    "waiting": "wait for facts",
    "rerunning": "wait for their re-run",
}


def opening(world: World, *, redis: str, deadline: int) -> None:
    """Says what is about to happen."""
    say("[bold]Layer Refunds[/]: a failed layer job makes its customer whole, by itself, exactly once.\n")
    say(
        "{jobs} layer jobs of {stories} kinds, {events} events through a real stream ({redis}), two Celery processes, "
        "a pipeline and Creem over HTTP.",
        jobs=len(world.expected),
        stories=len(STORIES),
        events=len(world.events) + len(world.late),
        redis=redis,
    )
    noise = ", ".join(f"{count} {what}" for what, count in world.noise.items() if count)
    say("Among them: {noise}.", noise=noise)
    say("[dim]Terms as published, but a re-run nobody answers is given up after {n} s, not an hour.[/]\n", n=deadline)


def live(found: Mapping[str, Any], *, sent: int, total: int, reruns: int) -> RenderableType:
    """The picture of this moment: how far the events are, and where the cases stand."""
    head = Table.grid(padding=(0, 2))
    head.add_row("events sent", ProgressBar(total=total, completed=sent, width=40), f"{sent} of {total}")
    head.add_row("still on the way", Text(str(found["stream"] + found["backlog"])), f"re-runs asked for: {reruns}")
    states = Table(box=None, pad_edge=False)
    states.add_column("case", header_style="dim", min_width=14)
    states.add_column("", min_width=42)
    states.add_column("jobs", header_style="dim", justify="right")
    most = max(found["cases"].values(), default=0) or 1
    for state, count in found["cases"].items():
        if state in IN_WORDS:
            bar = "█" * (40 * count // most) or ("▏" if count else "")
            states.add_row(Text(state, STATE_STYLE[state]), Text(bar, STATE_STYLE[state]), str(count))
    credits = Text(f"{found['credits_reversed']} credits back so far", "bold")
    return Group(head, Text(), states, Text(), credits)


@dataclass(slots=True)
class _Row:
    jobs: int = 0
    right: int = 0
    credits: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def told(store: Store, world: World, *, seconds: float) -> bool:
    """Prints who was made whole, how, how fast, and why not; True when every job ended as its story says."""
    ended = store.read(_endings)
    letters = store.read(lambda tx: int(tx.value(select(func.count()).select_from(dead_letters))))
    rows: dict[str, _Row] = defaultdict(_Row)
    totals, speeds, wrong = Counter[str](), list[float](), list[str]()
    for job_id, expected in world.expected.items():
        state, credits, took = ended.get(job_id, (None, 0, None))
        row = rows[expected.story]
        row.jobs += 1
        row.credits += credits
        row.ends[state or "no case"] += 1
        totals[state or "no case"] += 1
        if took is not None and state in MADE_WHOLE:
            row.seconds.append(took)
            speeds.append(took)
        if expected.holds(state, credits):
            row.right += 1
        else:
            wrong.append(f"{job_id} ({expected.story}) ended {state or 'without a case'} with {credits} credits")
    if letters != world.dead_letters:
        wrong.append(f"{letters} dead letters, {world.dead_letters} expected")
    out.print(_stories(rows))
    _totals(totals, speeds, sum(row.credits for row in rows.values()), letters, seconds)
    for line in wrong[:20]:
        say("[red]wrong[/] {line}", line=line)
    return not wrong


def _stories(rows: Mapping[str, _Row]) -> Table:
    shown = sentences("What happened to the jobs", *JOBS_TOLD)
    for column in (1, 3, 4):
        shown.columns[column].justify = "right"
    for story in STORIES:
        row = rows[story.name]
        ends = Text(", ").join(Text(state, STATE_STYLE.get(state, "dim")) for state in row.ends)
        speed = f"{median(row.seconds):.1f} s" if row.seconds else "-"
        kept = cell("all", "green") if row.right == row.jobs else cell(f"{row.right} of {row.jobs}", "red")
        shown.add_row(cell(story.line.rstrip(".")), cell(row.jobs), ends, cell(row.credits or "-"), cell(speed), kept)
    return shown


def _totals(totals: Counter[str], speeds: list[float], credits: int, letters: int, seconds: float) -> None:
    say("")
    for state, words in IN_WORDS.items():
        if totals[state]:
            say(f"  [bold {STATE_STYLE[state]}]{{count}}[/]  {words}", count=f"{totals[state]:>4}")
    say("  [dim]{count}[/]  needed nothing: their layers arrived", count=f"{totals['no case']:>4}")
    if speeds:
        ordered = sorted(speeds)
        say(
            "\n{credits} credits went back. From the failure's arrival to made whole: half within {p50} s, 95 % within {p95} s.",
            credits=credits,
            p50=f"{median(ordered):.1f}",
            p95=f"{ordered[int(len(ordered) * 0.95)]:.1f}",
        )
    say(
        "{letters} documents could not be used and are kept as dead letters with their reason. All in {s} s.",
        letters=letters,
        s=f"{seconds:.0f}",
    )


def _endings(tx: Tx) -> dict[str, tuple[str | None, int, float | None]]:
    """By job: state of its case, credits given back, seconds from the failure's arrival to the end."""
    failures = ("layer_job.failed", "layer_job.incomplete", "layer_job.succeeded")
    arrived: dict[str, datetime] = {
        row.job_id: row.at
        for row in tx.all(
            select(inbox.c.job_id, func.min(inbox.c.received_at).label("at"))
            .where(inbox.c.type.in_(failures), inbox.c.job_id.is_not(None))
            .group_by(inbox.c.job_id)
        )
    }
    found: dict[str, tuple[str | None, int, float | None]] = {}
    for row in tx.all(select(cases.c.job_id, cases.c.state, cases.c.credits_reversed, cases.c.opened_at, cases.c.closed_at)):
        # a failure that came with the imported history was there when its case was opened
        at = arrived.get(row.job_id, row.opened_at)
        took = (row.closed_at - at).total_seconds() if row.closed_at is not None else None
        found[row.job_id] = (row.state, row.credits_reversed, took)
    return found


def audited(result: Audit) -> None:
    """Prints what the audit found."""
    if result.ok:
        return say(
            "\n[green bold]The audit holds.[/] Every credit is where the books say, once. [dim]Checked: {counted}.[/]",
            counted=result.counted,
        )
    for breach in result.breaches[:20]:
        say("[red]breach[/] {check}: {row} {problem}", **breach)
