"""`make bench`: the same work by everybody, in turns, on one Postgres and one Redis.

Ratios within one run are what counts; another run, or another machine, has other figures.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import books, kills, measure, profiling, report
from bench.contestants import ALL, OURS, Contestant
from bench.report import Found
from bench.servers import OLD, Servers, servers
from worker.screen import err, out


def main() -> None:
    """Reads what is asked, and does it."""
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--events", type=int, default=30_000, help="backlog a round of the fastest; slower ones get a share (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of everybody (%(default)s)")
    parser.add_argument("--latency-events", type=int, default=60, help="paced events a round (%(default)s)")
    parser.add_argument(
        "--old", type=int, default=200_000, help="old cases in the tables of the last contestant; 0: without it (%(default)s)"
    )
    parser.add_argument(
        "--hot", type=int, default=10_000, help="failed jobs of one account, others measured beside; 0: without (%(default)s)"
    )
    parser.add_argument("--only", default="", help="some of: " + ", ".join(one.name for one in ALL))
    parser.add_argument(
        "--kills",
        type=int,
        default=0,
        help="only: so many processes of everybody killed while a backlog is drained (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="when and whom --kills kills (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="only: where the time goes, into bench/PROFILE.md")
    parser.add_argument("--draw", action="store_true", help="only: the picture from bench/results.json")
    parser.add_argument("--dry", action="store_true", help="leaves bench/results.json and the picture as they are")
    asked = parser.parse_args()
    if asked.draw:
        return report.draw()
    names = set(filter(None, asked.only.split(",")))
    if unknown := names - {one.name for one in ALL}:
        parser.error(f"--only: unknown: {', '.join(sorted(unknown))}")
    taken = [one for one in ALL if (not names or one.name in names) and (asked.old or not one.old)]
    with tempfile.TemporaryDirectory(prefix="refunds-bench-") as name:
        # Postgres may run as another user, who must get to its folder
        Path(name).chmod(0o755)
        with servers(Path(name)) as at, _progress() as progress:
            if asked.profile:
                return profiling.write(at, asked.events)
            if asked.kills:
                return _kills(at, [one for one in taken if not one.old], asked, progress)
            facts = report.machine(at)
            if (os.getloadavg()[0] / (os.cpu_count() or 1)) > 0.5:
                err.print(f"[yellow]the machine is busy (load {os.getloadavg()[0]:.1f}): ratios may be off[/]")
            found = _rounds(at, taken, asked, progress)
            crowds = _crowds(at, asked.hot, progress) if asked.hot and OURS in taken else {}
    report.show(found, crowds, facts)
    if not asked.dry:
        report.write(found, crowds, facts, vars(asked))
        with suppress(ModuleNotFoundError):
            report.draw()
        out.print(f"[dim]written: {report.RESULTS.name}, {report.PICTURE.name}[/]")


def _rounds(at: Servers, taken: list[Contestant], asked: argparse.Namespace, progress: Progress) -> dict[str, Found]:
    if any(one.old for one in taken):
        with at.fresh(OLD).connect() as db:
            told = progress.add_task(f"{asked.old:,} old cases", total=asked.old)
            books.fill_old(db, asked.old, lambda n: progress.advance(told, n))
    found = {one.name: Found(one) for one in taken}
    turns = progress.add_task("rounds", total=asked.rounds * len(taken))
    for turn in range(asked.rounds):
        for one in taken:
            events = max(100, int(asked.events * one.share))
            with _task(progress, f"{turn + 1}: {one.title}, backlog", events) as tell:
                found[one.name].drains.append(measure.drain(at, one, f"r{turn}", events, tell))
            if asked.latency_events:
                with _task(progress, f"{turn + 1}: {one.title}, one at a time", asked.latency_events) as tell:
                    found[one.name].latencies += measure.latency(at, one, f"l{turn}", asked.latency_events, tell)
            progress.advance(turns)
            rate = found[one.name].drains[-1].rate
            progress.console.print(f"[dim]round {turn + 1}[/] {one.title:<28} {rate:>10,.0f} events/s")
    return found


def _kills(at: Servers, taken: list[Contestant], asked: argparse.Namespace, progress: Progress) -> None:
    survived = {}
    for one in taken:
        with _task(progress, f"{one.title}, under kills", asked.kills) as tell:
            survived[one.name] = kills.survive(at, one, max(100, int(asked.events * one.share)), asked.kills, asked.seed, tell)
        progress.console.print(f"[dim]killed[/] {one.title:<28} {survived[one.name].undone:>10,} undone")
    facts = report.machine(at)
    kills.show({one.title: survived[one.name] for one in taken}, report.caption(facts))
    if not asked.dry:
        kills.write(survived, facts, vars(asked))


def _crowds(at: Servers, hot: int, progress: Progress) -> dict[str, list[float]]:
    crowds = {}
    for accounts, name in (
        (1, f"{hot:,} failures of one account"),
        (max(1, hot // 10), f"{hot:,} failures of {hot // 10:,} accounts"),
    ):
        task = progress.add_task(f"others beside {name}", total=None)
        crowds[name] = measure.beside(at, OURS, hot, accounts)
        progress.remove_task(task)
    return crowds


class _task:
    """A line of the progress display for as long as it lasts; told how many are done."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self.progress, self.what, self.total = progress, what, total

    def __enter__(self) -> Callable[[int], None]:
        self.task = self.progress.add_task(self.what, total=self.total)
        return lambda done: self.progress.update(self.task, completed=done)

    def __exit__(self, *_: object) -> None:
        self.progress.remove_task(self.task)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # drawn seldom: the display is on the machine that is measured
    return Progress(*columns, console=err, transient=True, refresh_per_second=2)


if __name__ == "__main__":
    main()
