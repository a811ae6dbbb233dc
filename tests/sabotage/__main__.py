"""`make sabotage`: puts each bug into a copy of the tree and shows which test caught it, and how fast.

Exits 1 where a bug lives, where it took longer than a minute to be caught, where its place in the code is gone, or where the test
that caught it is red without the bug too.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.sabotage.bugs import BUGS, Bug
from worker.screen import cell, out, progress, say, table

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "policy",
    "tests",
    "worker",
    "bench",
    "deploy",
    "celeryconfig.py",
    "pyproject.toml",
    "docker-compose.yml",
    "Makefile",
    "Dockerfile",
)
SECONDS = 60.0
"""What the tests of one bug may take until one of them is red."""


class GoneAstray(ValueError):
    """The text that a bug changes is not there exactly once."""


@dataclass(frozen=True)
class Caught:
    """What became of one bug."""

    bug: Bug
    by: str | None
    seconds: float
    said: str = ""


def applied(edits: tuple[tuple[str, str, str], ...], root: Path) -> dict[Path, str]:
    """The files with the bug in them. Raises `GoneAstray`."""
    texts: dict[Path, str] = {}
    for name, old, new in edits:
        file = root / name
        text = texts.get(file) or file.read_text()
        if text.count(old) != 1:
            raise GoneAstray(f"{name}: found {text.count(old)} times and not once:\n{old}")
        texts[file] = text.replace(old, new)
    return texts


def put_in(bug: Bug) -> Caught:
    """The first test that turns red with the bug in a copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="refunds-sabotage-") as name:
        copy = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, copy / part)
        for file, text in applied(bug.edits, copy).items():
            file.write_text(text)
        return _first_red(bug, copy)


def _first_red(bug: Bug, copy: Path) -> Caught:
    began = time.monotonic()
    try:
        done = _pytest(copy, ["-x", *bug.caught_by], SECONDS * 3)
    except subprocess.TimeoutExpired:
        return Caught(bug, None, time.monotonic() - began, "no test was red in time")
    red = _red(done)
    if done.returncode == 1 and red:
        return Caught(bug, red[0], time.monotonic() - began)
    return Caught(bug, None, time.monotonic() - began, done.stdout[-1500:] + done.stderr[-500:])


def red_anyway(tests: set[str], processes: int, tree: Path = ROOT) -> set[str]:
    """Those of these tests that are red on the tree as it is: that one of them was red with a bug shows nothing."""
    return set(_red(_pytest(tree, ["-n", str(processes), *sorted(tests)], None))) if tests else set()


def _pytest(tree: Path, arguments: list[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
    quiet = ("-m", "", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, *arguments],
        cwd=tree,
        env=environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def _red(done: subprocess.CompletedProcess[str]) -> list[str]:
    said = (line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return [line.split(" ", 1)[1].split(" - ")[0] for line in said]


def main() -> int:
    """Puts the bugs in, shows the table, and returns 1 where one lives or lived for too long."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="*", help="names of bugs")
    options.add_argument("--processes", type=int, default=2)
    chosen = options.parse_args()
    unknown = set(chosen.only or ()) - {bug.name for bug in BUGS}
    if unknown:
        options.error(f"no bug of the name {', '.join(sorted(unknown))}")
    bugs = [bug for bug in BUGS if not chosen.only or bug.name in chosen.only]
    with ThreadPoolExecutor(chosen.processes) as pool, progress() as bar:
        found = []
        for one in bar.track(pool.map(put_in, bugs), total=len(bugs), description="putting bugs in"):
            found.append(one)
            # as they come: a run that is cut short has said what it knew
            say("[dim]{name}: {by}, {seconds} s[/]", name=one.bug.name, by=one.by or "NOBODY", seconds=f"{one.seconds:.0f}")
    shown = table("Bugs put in on purpose", "bug", "its harm", "caught by", "seconds")
    for one in found:
        caught = cell(one.by, "green") if one.by else cell("nobody", "red")
        shown.add_row(cell(one.bug.name), cell(one.bug.harm), caught, cell(f"{one.seconds:.0f}"))
    out.print(shown)
    say("[dim]the tests that caught them, once more without any bug[/]")
    wrong = red_anyway({one.by for one in found if one.by}, chosen.processes)
    alive = [one for one in found if one.by is None]
    slow = [one for one in found if one.by is not None and one.seconds > SECONDS]
    for one in alive:
        say("[red]{name}[/] lives: {said}", name=one.bug.name, said=one.said)
    for one in slow:
        say("[red]{name}[/] took {seconds} s, more than a minute", name=one.bug.name, seconds=f"{one.seconds:.0f}")
    for name in sorted(wrong):
        say("[red]{name}[/] is red without a bug too: that it was red with one shows nothing", name=name)
    say("{caught} of {n} caught", caught=len(found) - len(alive), n=len(found))
    return 1 if alive or slow or wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
