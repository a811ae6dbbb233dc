"""Every bug still has its place in the code and its tests, and the way they are put in really works."""

import ast
from pathlib import Path

import pytest

from tests.sabotage.__main__ import ROOT, GoneAstray, applied, put_in
from tests.sabotage.bugs import BUGS, Bug


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len(BUGS) >= 30
    assert len({bug.name for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_applies_and_still_reads_as_python(bug: Bug) -> None:
    for file, text in applied(bug.edits, ROOT).items():
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


@pytest.mark.slow
def test_one_of_them_really_is_caught() -> None:
    [bug] = [bug for bug in BUGS if bug.name == "velocity_not_looked_at"]
    caught = put_in(bug)
    assert caught.by is not None, caught.said
    assert caught.by.startswith("tests/policy/")
