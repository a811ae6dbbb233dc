"""The record of decisions can be found by subject and by number."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAPER = (ROOT / "docs/decisions.md").read_text()
LISTED = dict(re.findall(r"^- \[(.+?)\]\(#[^)]+\): ([\d, ]+)$", PAPER, re.MULTILINE))
SUBJECTS = {
    subject: [int(number) for number in re.findall(r"^### (\d+)\. ", text, re.MULTILINE)]
    for subject, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAPER, re.MULTILINE | re.DOTALL)
}
MADE = {number for numbers in SUBJECTS.values() for number in numbers}


def test_each_decision_stands_under_one_subject_which_lists_it() -> None:
    assert {subject: [int(number) for number in listed.split(",")] for subject, listed in LISTED.items()} == SUBJECTS
    assert len(MADE) == sum(len(numbers) for numbers in SUBJECTS.values())


def test_decision_that_the_code_names_was_made() -> None:
    code = [path.read_text() for folder in ("worker", "policy", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    named = {int(number) for text in code for number in re.findall(r"\bdecision (\d+)\b", text)}
    assert named
    assert named <= MADE
