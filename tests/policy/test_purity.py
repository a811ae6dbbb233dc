"""The policy stands on the standard library alone, and looks at no clock, network or process."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import policy

ROOT = Path(policy.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
READS_FILES = {"terms_file.py"}
WORLDLY = {
    "asyncio",
    "http",
    "io",
    "logging",
    "os",
    "random",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}


def imported(path: Path) -> Iterator[str]:
    """The top-level names of what a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where a name comes from"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_policy_imports_the_standard_library_only(path: Path) -> None:
    assert set(imported(path)) <= sys.stdlib_module_names | {"policy"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_policy_reaches_for_nothing_outside(path: Path) -> None:
    allowed = {"pathlib"} if path.name in READS_FILES else set()
    assert not set(imported(path)) & (WORLDLY | {"pathlib"}) - allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_policy_reads_no_clock(path: Path) -> None:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    called = {function.attr for function in calls if isinstance(function, ast.Attribute)}
    assert not called & {"now", "utcnow", "today"}
