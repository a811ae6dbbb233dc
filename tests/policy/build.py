"""Builders with honest defaults: a job of five credits, paid, failed once, an hour ago."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from policy import JobFacts, Output, Report, ReportKind, Rerun, RerunState, Terms, load_terms

SHIPPED = Path(__file__).resolve().parents[2] / "policy" / "terms" / "2025-12-03.toml"
TERMS = load_terms(SHIPPED)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)


def terms(**changes: Any) -> Terms:
    """The shipped terms with these changes."""
    return replace(TERMS, **changes)


def failed(
    code: str = "internal_error", attempt: int = 1, *, at: datetime = EARLIER, output: Output | None = None, stage: str = ""
) -> Report:
    """The pipeline says that an attempt failed."""
    return Report(attempt, ReportKind.FAILED, at, code, stage, output)


def incomplete(output: Output | None = None, attempt: int = 1, *, code: str = "", at: datetime = EARLIER) -> Report:
    """The pipeline says that an attempt ended with incomplete output."""
    return Report(attempt, ReportKind.INCOMPLETE, at, code, output=output)


def succeeded(attempt: int = 1, *, at: datetime = EARLIER, output: Output | None = None) -> Report:
    """The pipeline says that an attempt succeeded."""
    return Report(attempt, ReportKind.SUCCEEDED, at, output=output)


def a_rerun(attempt: int = 2, state: RerunState = RerunState.ASKED, *, minutes_left: float = 30) -> Rerun:
    """The one re-run of a job, asked for and with time left."""
    return Rerun(attempt, state, NOW + timedelta(minutes=minutes_left))


def a_job(*reports: Report, credits: int = 5, **changes: Any) -> JobFacts:
    """A job of known account that took its price from the ledger, of which this was reported."""
    facts = JobFacts(
        now=NOW,
        job_id="job_42",
        account_id="acc_7",
        reports=reports,
        price=credits,
        debit=credits,
        layers_expected=6,
        submitted_at=EARLIER,
    )
    return replace(facts, **changes)


def a_failed_job(code: str = "internal_error", credits: int = 5, **changes: Any) -> JobFacts:
    """A job whose only attempt failed with this code and delivered nothing."""
    return a_job(failed(code), credits=credits, **changes)
