"""`python -m tests.fuzz --seconds 60 --target event`: outside bytes, changed by chance, into every parser they reach.

Each target gets the seconds asked for. Ends with a table; exits 1 where something was found, and leaves the bytes in
`tests/fuzz/corpus/<target>/`, where the tests feed them for ever.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.fuzz.kept import keep
from tests.fuzz.parser import MIB, Figures, Parser, fuzz
from tests.fuzz.targets import TARGETS, quiet
from worker.screen import clean, err, out, table

MS = 1000


def run(parser: Parser, seconds: float, seed: int, runs: int) -> Figures:
    """One target for its time, with a bar of the time that is over."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    with TemporaryDirectory(prefix="refunds-fuzz-") as folder, bar:
        task = bar.add_task(parser.name, total=seconds, told="")

        def tell(now: Figures) -> None:
            told = f"{now.runs:,} inputs, {now.per_second:,.0f} a second, slowest {now.slowest * MS:.0f} ms"
            bar.update(task, completed=now.seconds, told=told)

        return fuzz(parser, Path(folder), seed=seed, seconds=seconds, runs=runs, tell=tell)


def show(done: list[Figures]) -> None:
    """The table of all that was run."""
    shown = table("Fuzz", "target", "inputs", "a second", "slowest", "of bytes", "grown", "found")
    for each in done:
        figures = (f"{each.runs:,}", f"{each.per_second:,.0f}", f"{each.slowest * MS:.1f} ms", f"{len(each.slowest_input):,}")
        shown.add_row(each.name, *figures, f"{each.grown // MIB} MiB", clean("; ".join(each.faults)) or "nothing")
    out.print(shown)


def main() -> int:
    """The exit status."""
    asked = _arguments()
    chosen = [parser for parser in TARGETS if asked.target in (None, parser.name)]
    if asked.atheris:
        if importlib.util.find_spec("atheris") is None:
            err.print("atheris is not installed; without --atheris the seeded changes run alone")
            return 2
        from tests.fuzz.guided import guide

        return guide(chosen[0])
    quiet()
    done = []
    for parser in chosen:
        figures = run(parser, asked.seconds, asked.seed, asked.runs)
        done.append(figures)
        if figures.faults:
            found = f"{parser.name}, input {figures.runs:,} of seed {asked.seed}: {'; '.join(figures.faults)}"
            err.print(f"{clean(found)}; kept in {keep(parser.name, figures.found)}", soft_wrap=True, markup=False)
    show(done)
    return 1 if any(each.faults for each in done) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Outside bytes into every parser they reach.")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--runs", type=int, default=10**12, help="at most so many inputs for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=[each.name for each in TARGETS], help="this one alone")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage, where atheris is installed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
