"""`make mutate ARGS="--conditions --of money"`: leaves out each condition of the statements of a part, one at a time, and names
those that no test misses.

A test that knows one account, one claim and one mail cannot notice a statement that has forgotten whose row it reads or changes.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from worker.screen import progress, say

NUMBER = "CONDITION_LEFT_OUT"
SWITCH = "import os as _os\nimport sqlalchemy as _sql\n_left_out = int(_os.environ.get({name!r}, -1))\n_all = _sql.true()\n"
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Condition:
    """One that a statement makes, by number, with where it stands."""

    number: int
    place: str
    text: str


def switch_in(folder: Path, changed: Sequence[str]) -> list[Condition]:
    """Rewrites these sources under `folder` so that the condition whose number is in the environment holds for every row."""
    found, numbers = list[Condition](), count()
    for file in sorted({file for pattern in changed for file in folder.glob(pattern) if file.suffix == ".py"}):
        source = file.read_bytes()
        text, within = _switched(source, numbers)
        for number, (start, end) in within:
            line = source.count(b"\n", 0, start) + 1
            found.append(Condition(number, f"{file.relative_to(folder)}:{line}", source[start:end].decode()))
        file.write_bytes(text)
    return found


def leave_out(condition: Condition, folder: Path, pytest: Sequence[str], seconds: float) -> bool:
    """True where a test misses the condition, or never ends without it."""
    environ = {**os.environ, NUMBER: str(condition.number), "PYTHONPATH": "."}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", *pytest]
    try:
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=seconds).returncode == 1
    except subprocess.TimeoutExpired:
        return True


def not_missed(conditions: Sequence[Condition], missed: Callable[[Condition], bool], processes: int) -> list[Condition]:
    """Those that no test misses; each is said as soon as it is known."""
    left = list[Condition]()
    with ThreadPoolExecutor(processes) as pool, progress() as bar:
        asked = bar.track(pool.map(missed, conditions), total=len(conditions), description="conditions, each left out")
        for condition, noticed in zip(conditions, asked, strict=True):
            if not noticed:
                left.append(condition)
                say("{place}: [bold]{text}[/]", place=condition.place, text=" ".join(condition.text.split()))
    say("{n} of {m} are missed by a test where they are left out", n=len(conditions) - len(left), m=len(conditions))
    return left


def _switched(source: bytes, numbers: Iterator[int]) -> tuple[bytes, list[tuple[int, Span]]]:
    tree = ast.parse(source)
    lines = [0, *(at + 1 for at, byte in enumerate(source) if byte == ord("\n"))]

    def span(node: ast.expr) -> Span:
        return lines[node.lineno - 1] + node.col_offset, lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    # a function within another is met twice
    spans = dict.fromkeys(map(span, _conditions(tree)))
    within = [(next(numbers), one) for one in spans]
    if not within:
        return source, within
    # the inner before the outer where two begin or end at one place
    begins = [(start, 1, -end, f"(_all if _left_out == {number} else (") for number, (start, end) in within]
    ends = [(end, 0, -start, "))") for _, (start, end) in within]
    text, last = b"", 0
    for at, _, _, more in sorted(begins + ends):
        text, last = text + source[last:at] + more.encode(), at
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    after = imports[-1].end_lineno or 0
    whole = (text + source[last:]).splitlines(keepends=True)
    return b"".join([*whole[:after], SWITCH.format(name=NUMBER).encode(), *whole[after:]]), within


def _conditions(tree: ast.Module) -> Iterator[ast.expr]:
    """What `where` and `and_` are given, itself or by the name of a tuple of the same function."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        named = set[str]()
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _asks(call.func):
                named |= {one.value.id for one in call.args if isinstance(one, ast.Starred) and isinstance(one.value, ast.Name)}
                yield from (one for one in call.args if not isinstance(one, ast.Starred | ast.Name))
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple | ast.List):
                targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
                if targets & named:
                    yield from (one for one in node.value.elts if not isinstance(one, ast.Starred))


def _asks(function: ast.expr) -> bool:
    return (isinstance(function, ast.Attribute) and function.attr == "where") or (
        isinstance(function, ast.Name) and function.id == "and_"
    )
