"""The keys of a terms file: what each may hold, and how that is said to whoever wrote something else."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeGuard

from policy.codes import LONGEST, failure_code
from policy.terms import FaultClass


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name, what is expected in words, and whether a value is that."""

    name: str
    right: str
    accepts: Callable[[object], bool]
    optional: bool = False


def is_date(value: object) -> TypeGuard[str]:
    """True for a day written like 2025-12-03."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_codes(value: object) -> TypeGuard[list[str]]:
    """True for a list of failure codes as they are kept of events: one that no event could bring would decide nothing."""
    return isinstance(value, list) and all(isinstance(code, str) and code and failure_code(code) == code for code in value)


def _is_whole(value: object, low: int, high: int) -> bool:
    # True and False are whole numbers to Python, not to whoever reads the file
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_positive(value: object, high: int) -> bool:
    # not-a-number compares as neither; infinity is over every limit
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= high


def _is_percents(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(_is_whole(percent, 1, 99) for percent in value)
        and value == sorted(set(value))
    )


def _is_country(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", value) is not None


def _whole(name: str, low: int, high: int, *, optional: bool = False) -> Key:
    return Key(name, f"a whole number from {low} to {high}", lambda value: _is_whole(value, low, high), optional)


def _positive(name: str, high: int) -> Key:
    return Key(name, f"a number over 0 and at most {high}", lambda value: _is_positive(value, high))


def _codes(name: str, *, optional: bool = False) -> Key:
    right = f"a list of failure codes in quotes, each of 1 to {LONGEST} characters without blanks around it"
    return Key(name, right, is_codes, optional)


A_YEAR = 366
MILLION = 1_000_000

KEYS: tuple[Key, ...] = (
    Key("edition", "the date of the policy page in quotes, like '2025-12-03'", is_date),
    Key("zone", "the name of a time zone in quotes, like 'Etc/GMT+12'", lambda value: isinstance(value, str)),
    Key("holiday_calendar", "a country code in quotes, like 'US', or a part of a country, like 'US-CA'", _is_country),
    _whole("promise_business_days", 1, A_YEAR),
    Key("promise_warn_percent", "a list of different whole numbers from 1 to 99 in rising order, like [50, 80]", _is_percents),
    _whole("request_window_days", 0, 10 * A_YEAR),
    _whole("automatic_window_days", 0, 10 * A_YEAR, optional=True),
    _positive("rerun_deadline_minutes", A_YEAR * 24 * 60),
    _positive("wait_for_facts_hours", A_YEAR * 24),
    _whole("auto_reversals_per_account_per_day", 0, MILLION),
    _whole("outage_failure_percent", 1, 100),
    _whole("doubt_credits_per_day", 0, 1000 * MILLION),
    _whole("duplicate_window_hours", 1, A_YEAR * 24),
    _whole("duplicate_auto_minutes", 0, A_YEAR * 24 * 60),
    _whole("pass_jobs_min", 1, MILLION),
    _whole("pass_downloads_min", 0, MILLION),
    _whole("evidence_hours_after_decision", 0, A_YEAR * 24),
    _whole("evidence_days_max", 1, A_YEAR),
    _whole("approval_second_person_above_minor_units", 0, 1000 * MILLION),
    _whole("approval_second_person_above_credits_per_day", 0, 1000 * MILLION, optional=True),
    _whole("approval_second_person_above_minor_units_per_day", 0, 1000 * MILLION, optional=True),
    _whole("activation_second_person_above_credits", 0, 1000 * MILLION, optional=True),
    _whole("activation_second_person_above_minor_units", 0, 1000 * MILLION, optional=True),
    _whole("money_per_hour_minor_units", 0, 1000 * MILLION),
    _whole("money_per_day_minor_units", 0, 1000 * MILLION),
    _whole("unproved_payment_hours", 1, A_YEAR * 24),
    _whole("refused_payment_days", 0, A_YEAR),
    _codes("rerunnable_codes"),
    _codes("content_codes", optional=True),
    Key("waiting_stages", "a list of stages of the pipeline in quotes", is_codes, optional=True),
    Key("faults", "a table [faults] with the failure codes of each class", lambda value: isinstance(value, dict)),
)
"""Every key of a terms file."""

CLASSES: dict[FaultClass, Key] = {fault: _codes(f"faults.{fault}") for fault in FaultClass if fault is not FaultClass.UNKNOWN}
"""The keys of the table [faults]. Class unknown has none: it is every code listed nowhere."""
