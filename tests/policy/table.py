"""Decision tables as text. A row is one job; its cells say, in the words below, what is different from an ordinary one.

Reports, split by `;` in any order, each `<attempt> <what>`:
    ok            succeeded, no figures          ok:6/6        succeeded with figures, delivered/expected
    <code>        failed with that code          <code>:4/6    failed with figures
    <code>@load   failed at that stage
    short:4/6     incomplete, no code            short:4/6!1   one of the four corrupted
    short         incomplete, no figures         short=<code>  incomplete with a code
    short:4       of how many layers nobody said
Facts, split by `;`: `field=value` of JobFacts, or `rerun=<attempt> <state> <minutes left>`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from policy import AccountStatus, JobFacts, Output, PaidWith, Report, RerunState
from tests.policy.build import NOW, a_job, a_rerun, failed, incomplete, succeeded


@dataclass(frozen=True)
class Row:
    """One row: the facts it describes, and the decision it claims."""

    text: str
    facts: JobFacts
    outcome: str
    rule: str
    credits: int


def rows(text: str) -> Iterator[Row]:
    """The rows of a table of reports, facts, outcome, rule and credits owed; the heading and blank lines are skipped."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines[1:]:
        reports, facts, outcome, rule, credits = (cell.strip() for cell in line.split("|"))
        yield Row(line.strip(), _facts(reports, facts), outcome, rule, int(credits))


def _facts(reports: str, changes: str) -> JobFacts:
    told = tuple(_report(cell.strip()) for cell in reports.split(";") if cell.strip())
    return a_job(*told, **dict(_change(cell.strip()) for cell in changes.split(";") if cell.strip()))


def _report(cell: str) -> Report:
    attempt, what = cell.split(" ", 1)
    word, _, figures = what.partition(":")
    output = _output(figures) if figures else None
    if word == "ok":
        return succeeded(int(attempt), output=output)
    if word.startswith("short"):
        return incomplete(output, int(attempt), code=word.removeprefix("short").removeprefix("="))
    code, _, stage = word.partition("@")
    return failed("" if code == "no-code" else code, int(attempt), output=output, stage=stage)


def _output(figures: str) -> Output:
    layers, _, corrupted = figures.partition("!")
    delivered, _, expected = layers.partition("/")
    return Output(int(delivered), int(expected) if expected else None, int(corrupted or 0))


def _change(cell: str) -> tuple[str, Any]:
    name, value = cell.split("=")
    if name == "rerun":
        attempt, state, minutes = value.split()
        return name, a_rerun(int(attempt), RerunState(state), minutes_left=float(minutes))
    if name == "input_expires_at":
        return name, NOW + timedelta(minutes=float(value))
    return name, _VALUES.get(value) if value in _VALUES else int(value)


_VALUES: dict[str, Any] = {"yes": True, "no": False, "none": None} | {
    str(word): word for words in (PaidWith, AccountStatus) for word in words
}
