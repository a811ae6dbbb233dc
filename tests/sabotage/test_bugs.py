"""Every bug still has its place in the code and its tests, and the way they are put in really works."""

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sabotage.__main__ import ROOT, GoneAstray, applied, put_in, red_anyway
from tests.sabotage.bugs import BUGS, Bug

QUICKEST = {
    "saturday_is_a_business_day",
    "permission_outlives_its_time",
    "torn_line_takes_the_next_along",
}


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len(BUGS) >= 30
    assert len({bug.name for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_applies_and_still_reads_as_python(bug: Bug) -> None:
    for file, text in applied(bug.edits, ROOT).items():
        # the others are read by the tests that catch the bug
        if Path(file).suffix == ".py":
            ast.parse(text, str(file))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_tests_that_have_to_turn_red_are_there(bug: Bug) -> None:
    for named in bug.caught_by:
        file, _, test = named.partition("::")
        assert (ROOT / file).exists(), named
        if test:
            assert any(line in (ROOT / file).read_text() for line in (f"def {test}(", f"class {test}:")), named


def test_place_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("a = 1\na = 1\n")
    with pytest.raises(GoneAstray, match="found 2 times"):
        applied((("rule.py", "a = 1", "a = 2"),), tmp_path)


def test_test_that_is_red_without_a_bug_catches_none(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_red():\n    assert 0\n\ndef test_green():\n    assert 1\n")
    named = {"test_it.py::test_red", "test_it.py::test_green"}
    assert red_anyway(named, 1, tmp_path) == {"test_it.py::test_red"}


@pytest.mark.landing
def test_three_of_the_quickest_really_are_caught() -> None:
    quick = [bug for bug in BUGS if bug.name in QUICKEST]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(put_in, quick))
    assert len(found) == 3
    assert {one.bug.name: one.said for one in found if one.by is None or one.by.partition("::")[0] not in one.bug.caught_by} == {}
