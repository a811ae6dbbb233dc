"""The register of threats and failure modes: no row is lost, and what a row names is there."""

import ast
import tomllib
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
REGISTER: dict[str, dict[str, Any]] = tomllib.loads((TESTS / "threats/register.toml").read_text())
SERIES: dict[str, int] = REGISTER.pop("rows")


@cache
def named_in(file: str) -> frozenset[str]:
    """The tests of a file, without running it."""
    path = TESTS / file
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def faults(row: dict[str, Any]) -> list[str]:
    """What is wrong with a row."""
    missing = [f"no module {name}" for name in row.get("by", []) if not is_there(name)]
    for node in row.get("proved", []):
        file, _, name = node.partition("::")
        if name not in named_in(file):
            missing.append(f"no test {node}")
    if not row.get("by"):
        missing.append("names no mechanism")
    if not row.get("proved") and not row.get("open"):
        missing.append("is neither proved nor open")
    if not str(row.get("open", "issue: x. y")).startswith("issue: ") or ". " not in row.get("open", "issue: x. y"):
        missing.append("is open without an issue and a reason")
    return missing + [f"has a field {name}" for name in row.keys() - {"what", "by", "proved", "open"}]


def is_there(module: str) -> bool:
    """Whether the module or package is part of the project."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        return False
    return found is not None and Path(found.origin or "/").is_relative_to(ROOT)


@pytest.mark.parametrize("name", sorted(REGISTER))
def test_row_names_what_is_there(name: str) -> None:
    assert faults(REGISTER[name]) == []


def test_no_row_is_lost() -> None:
    assert list(REGISTER) == [f"{series}{number}" for series, count in SERIES.items() for number in range(1, count + 1)]
    assert set(SERIES) == {"TM", "CP", "D", "R", "A", "T", "S", "P", "V", "O", "K", "X", "H", "Q"}
    assert sum(SERIES.values()) == 199
    assert Counter(row["what"] for row in REGISTER.values()).most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"by": ["worker.no_such_module"]}, "no module worker.no_such_module"),
        ({"by": ["json"]}, "no module json"),
        ({"by": []}, "names no mechanism"),
        (
            {"proved": ["threats/test_register.py::test_that_was_removed"]},
            "no test threats/test_register.py::test_that_was_removed",
        ),
        ({"proved": ["no/such_file.py::test_x"]}, "no test no/such_file.py::test_x"),
        ({"proved": []}, "is neither proved nor open"),
        ({"open": "later"}, "is open without an issue and a reason"),
        ({"prooved": []}, "has a field prooved"),
    ],
)
def test_row_that_names_what_is_not_there_is_found(change: dict[str, Any], said: str) -> None:
    assert faults({"what": "x", "by": ["worker.tasks"], "proved": ["threats/test_register.py::test_no_row_is_lost"]}) == []
    assert faults(
        {"what": "x", "by": ["worker.tasks"], "proved": ["threats/test_register.py::test_no_row_is_lost"]} | change
    ) == [said]
