"""`make reached`: every `except` of the ledger, of money, Creem, intake and re-runs is entered by what a test let go wrong, or is
explained here; and what else no test of these areas enters is shown, line by line.

The tests are those of the areas themselves, on both engines: what others reach in passing proves nothing about it.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from worker.screen import out, say, table

ROOT = Path(__file__).parents[1]
OF = ("worker/credits", "worker/cases/money", "worker/creem", "worker/intake", "worker/reruns")
TESTS = ("credits", "creem", "reruns", "intake", "cases", "money", "restore", "review", "web/test_app.py")
EXPLAINED = {
    "worker/intake/process.py::until_ready": "a process of its own, which is not measured: tests/scenarios",
}
"""By file and function: where else its handler is entered."""


def main() -> int:
    """Runs the tests, prints what none of them entered, and returns 1 where a handler among it is not explained, or one that is
    explained was entered.
    """
    files = measured()
    _show("Entered by no test", missed(files))
    never = handlers(files)
    _show("Handlers in which nothing was ever caught", {name: what for name, what in never.items() if name not in EXPLAINED})
    _show("Explained, and entered", {name: [why] for name, why in EXPLAINED.items() if name not in never})
    say("{n} handlers are entered by no test, {explained} are explained", n=len(never), explained=len(never.keys() & EXPLAINED))
    return int(never.keys() != EXPLAINED.keys())


def measured() -> dict[str, Any]:
    """What coverage says of each file once the tests have run. Raises `CalledProcessError` where one of them fails."""
    with tempfile.TemporaryDirectory(prefix="refunds-reached-") as folder:
        environment = {**os.environ, "COVERAGE_FILE": f"{folder}/data"}
        coverage = (sys.executable, "-m", "coverage")
        run = (*coverage, "run", "--rcfile=/dev/null", "--branch", f"--source={','.join(OF)}", "-m", "pytest")
        tests = (f"tests/{name}" for name in TESTS)
        subprocess.run([*run, "-qq", "-p", "no:cacheprovider", *tests], cwd=ROOT, env=environment, check=True)
        told = Path(folder, "told.json")
        subprocess.run([*coverage, "json", "--rcfile=/dev/null", "-q", "-o", told], cwd=ROOT, env=environment, check=True)
        files: dict[str, Any] = json.loads(told.read_text())["files"]
        return files


def missed(files: Mapping[str, Any]) -> dict[str, list[str]]:
    """Every line and branch that was never taken, by file and function, as it stands there."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file, said in sorted(files.items()):
        lines = (ROOT / file).read_text().splitlines()
        names = _names(file)
        missing = {line: lines[line - 1].strip() for line in said["missing_lines"]}
        missing |= {
            line: f"{lines[line - 1].strip()} -> {'the end' if to < 0 else to}"
            for line, to in said["missing_branches"]
            if line not in missing and abs(to) not in missing
        }
        for line, text in sorted(missing.items()):
            found[f"{file}::{names.get(line, '')}"].append(f"{line}: {text}")
    return dict(found)


def handlers(files: Mapping[str, Any]) -> dict[str, list[str]]:
    """Every `except` whose first line was never reached, by file and function."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file, said in sorted(files.items()):
        missing, names = set(said["missing_lines"]), _names(file)
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ExceptHandler) and node.body[0].lineno in missing:
                caught = "" if node.type is None else ast.unparse(node.type)
                found[f"{file}::{names.get(node.lineno, '')}"].append(f"{node.lineno}: except {caught}")
    return dict(found)


def _names(file: str) -> dict[int, str]:
    """The function or class that each line of the file is in, the innermost."""
    return dict(_lines(ast.parse((ROOT / file).read_text())))


def _lines(tree: ast.AST, within: str = "") -> Iterator[tuple[int, str]]:
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}".lstrip(".")
            yield from ((line, name) for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))
        yield from _lines(node, name)


def _show(title: str, found: Mapping[str, list[str]]) -> None:
    if found:
        shown = table(f"\n{title}", "where", "what")
        for name, what in sorted(found.items()):
            shown.add_row(name, Text("\n".join(what)))
        out.print(shown)


if __name__ == "__main__":
    raise SystemExit(main())
