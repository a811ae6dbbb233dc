"""Business days and windows, against examples worked out by hand and against a second calculator."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.calendar import Calendar, start_of_day, window_closes, within_window
from tests.policy import second_calendar as second

TICK = timedelta(microseconds=1)
NAMES = (
    "Etc/GMT+12",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Europe/Berlin",
    "Africa/Cairo",
    "America/Havana",
    "Australia/Lord_Howe",
)
ZONES = st.sampled_from([ZoneInfo(name) for name in NAMES])
# around the changes of clocks of these zones, and around the day that Apia skipped
SEASONS = (date(2011, 12, 26), date(2023, 4, 25), date(2025, 10, 22), date(2026, 3, 4), date(2026, 3, 27), date(2026, 10, 30))
MOMENTS = st.builds(
    lambda day, minutes: datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=15 * minutes),
    st.sampled_from(SEASONS),
    st.integers(0, 10 * 96),
)
HOLIDAYS = st.sets(
    st.builds(lambda day, days: day + timedelta(days=days), st.sampled_from(SEASONS), st.integers(0, 10)), max_size=8
).map(frozenset)


def calendar(zone: ZoneInfo, holidays: frozenset[date] = frozenset()) -> Calendar:
    """A calendar with these holidays."""
    return Calendar(zone, holidays.__contains__)


def at(text: str, zone: str) -> datetime:
    """A time on the clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# March 2, 2026 is a Monday; New York goes from 02:00 to 03:00 on Sunday, March 8, Berlin on Sunday, March 29
DEADLINES = """
zone             | start            | days | holidays              | deadline
America/New_York | 2026-03-02T10:15 | 3    |                       | 2026-03-05T10:15
America/New_York | 2026-03-02T00:00 | 3    |                       | 2026-03-05T00:00
America/New_York | 2026-03-06T10:15 | 3    |                       | 2026-03-11T10:15
America/New_York | 2026-03-07T10:15 | 3    |                       | 2026-03-12T00:00
America/New_York | 2026-03-08T23:59 | 3    |                       | 2026-03-12T00:00
America/New_York | 2026-03-07T10:15 | 5    |                       | 2026-03-14T00:00
America/New_York | 2026-03-02T10:15 | 3    | 2026-03-03            | 2026-03-06T10:15
America/New_York | 2026-03-02T10:15 | 3    | 2026-03-02            | 2026-03-06T00:00
America/New_York | 2026-03-02T10:15 | 1    | 2026-03-03 2026-03-04 | 2026-03-05T10:15
Europe/Berlin    | 2026-03-27T02:30 | 1    |                       | 2026-03-30T02:30
Asia/Kolkata     | 2026-03-02T23:59 | 3    |                       | 2026-03-05T23:59
Etc/GMT+12       | 2026-03-02T10:15 | 3    |                       | 2026-03-05T10:15
Pacific/Apia     | 2011-12-29T10:15 | 1    |                       | 2012-01-02T10:15
Africa/Cairo     | 2023-04-27T00:30 | 1    |                       | 2023-04-28T01:30
"""


@pytest.mark.parametrize("row", DEADLINES.strip().splitlines()[1:])
def test_business_deadline_is_what_the_table_says(row: str) -> None:
    zone, start, days, holidays, deadline = (cell.strip() for cell in row.split("|"))
    closed = frozenset(date.fromisoformat(day) for day in holidays.split())
    found = calendar(ZoneInfo(zone), closed).business_deadline(at(start, zone), int(days))
    assert found == at(deadline, zone).astimezone(UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("days", [0, -1])
def test_business_deadline_is_at_least_a_day_away(days: int) -> None:
    with pytest.raises(ValueError, match="at least 1 business day"):
        calendar(ZoneInfo("Asia/Kolkata")).business_deadline(at("2026-03-02T10:15", "Asia/Kolkata"), days)


@given(ZONES, MOMENTS, st.integers(1, 6), HOLIDAYS)
def test_business_deadline_agrees_with_a_second_calculator(
    zone: ZoneInfo, start: datetime, days: int, holidays: frozenset[date]
) -> None:
    deadline = calendar(zone, holidays).business_deadline(start, days)
    today = start.astimezone(zone).date()
    last = second.business_days_from(today, zone, holidays, days)[-1]
    if second.is_business(today, zone, holidays):
        begins, ends = second.first_instant(last, zone), second.first_instant(last + timedelta(days=1), zone)
        assert begins <= deadline < ends
        moved = (deadline.astimezone(zone).replace(tzinfo=None) - start.astimezone(zone).replace(tzinfo=None)) % timedelta(days=1)
        skipped = timedelta(days=1) - (ends - begins)
        assert moved in {timedelta(0), skipped}
    else:
        assert deadline == second.first_instant(last + timedelta(days=1), zone)


@given(ZONES, MOMENTS, st.integers(0, 200), st.integers(0, 500), HOLIDAYS)
def test_business_fraction_agrees_with_a_second_calculator(
    zone: ZoneInfo, start: datetime, elapsed: int, length: int, holidays: frozenset[date]
) -> None:
    deadline, now = start + length * second.QUARTER, start + elapsed * second.QUARTER
    found = calendar(zone, holidays).business_fraction(start, deadline, now)
    whole = second.business_quarters(start, deadline, zone, holidays)
    gone = second.business_quarters(start, now, zone, holidays)
    if now >= deadline:
        assert found == 1
    else:
        assert found == (Fraction(gone, whole) if whole else 0)


@given(ZONES, MOMENTS, st.integers(1, 4), st.integers(1, 100), HOLIDAYS)
def test_instant_at_fraction_is_the_first_at_which_it_is_reached(
    zone: ZoneInfo, start: datetime, days: int, percent: int, holidays: frozenset[date]
) -> None:
    book = calendar(zone, holidays)
    deadline = book.business_deadline(start, days)
    reached = book.instant_at_fraction(start, deadline, percent)
    assert start < reached <= deadline
    assert book.business_fraction(start, deadline, reached) >= Fraction(percent, 100)
    assert book.business_fraction(start, deadline, reached - TICK) < Fraction(percent, 100)


def test_instant_at_fraction_leaves_out_the_weekend() -> None:
    book, zone = calendar(ZoneInfo("Europe/Berlin")), "Europe/Berlin"
    friday, tuesday = at("2026-03-06T12:00", zone), at("2026-03-10T12:00", zone)
    assert book.instant_at_fraction(friday, tuesday, 50) == at("2026-03-09T12:00", zone).astimezone(UTC)
    assert book.instant_at_fraction(friday, tuesday, 80) == at("2026-03-10T02:24", zone).astimezone(UTC)


def test_instant_at_fraction_without_business_time_is_the_deadline() -> None:
    book = calendar(ZoneInfo("Asia/Kolkata"))
    saturday, sunday = at("2026-03-07T10:00", "Asia/Kolkata"), at("2026-03-08T10:00", "Asia/Kolkata")
    assert book.instant_at_fraction(saturday, sunday, 50) == sunday
    assert book.business_fraction(saturday, sunday, saturday) == 0
    assert book.business_fraction(saturday, sunday, sunday) == 1


def test_business_fraction_is_nothing_before_the_start() -> None:
    book, zone = calendar(ZoneInfo("Asia/Kolkata")), "Asia/Kolkata"
    start, deadline = at("2026-03-03T10:00", zone), at("2026-03-05T10:00", zone)
    assert book.business_fraction(start, deadline, at("2026-03-02T10:00", zone)) == 0


# the purchase's day is day 0; the window closes with the first instant of day 8
WINDOWS = """
zone             | purchased        | days | closes
Etc/GMT+12       | 2026-03-02T00:00 | 7    | 2026-03-10T00:00
Etc/GMT+12       | 2026-03-02T23:59 | 7    | 2026-03-10T00:00
America/New_York | 2026-03-02T09:00 | 7    | 2026-03-10T00:00
Europe/Berlin    | 2026-03-25T09:00 | 7    | 2026-04-02T00:00
Asia/Kolkata     | 2026-03-02T09:00 | 0    | 2026-03-03T00:00
Pacific/Apia     | 2011-12-28T09:00 | 1    | 2011-12-31T00:00
Africa/Cairo     | 2023-04-20T09:00 | 7    | 2023-04-28T01:00
America/Havana   | 2025-10-25T09:00 | 7    | 2025-11-02T00:00
"""


@pytest.mark.parametrize("row", WINDOWS.strip().splitlines()[1:])
def test_window_closes_when_the_table_says(row: str) -> None:
    name, purchased, days, closes = (cell.strip() for cell in row.split("|"))
    zone = ZoneInfo(name)
    bought, end = at(purchased, name), at(closes, name).astimezone(UTC)
    assert window_closes(bought, int(days), zone) == end
    assert window_closes(bought, int(days), zone).tzinfo is UTC
    assert within_window(bought, end - TICK, int(days), zone)
    assert not within_window(bought, end, int(days), zone)


@given(ZONES, MOMENTS, st.integers(0, 10))
def test_window_closes_as_a_second_calculator_says(zone: ZoneInfo, bought: datetime, days: int) -> None:
    day_after = bought.astimezone(zone).date() + timedelta(days=days + 1)
    assert window_closes(bought, days, zone) == second.first_instant(day_after, zone)


@given(MOMENTS, st.integers(0, 10), ZONES)
def test_window_in_the_last_zone_on_earth_is_open_wherever_the_customer_still_counts(
    bought: datetime, days: int, zone: ZoneInfo
) -> None:
    last = ZoneInfo("Etc/GMT+12")
    same_date = bought.astimezone(zone).date() == bought.astimezone(last).date()
    if same_date:
        assert window_closes(bought, days, zone) <= window_closes(bought, days, last)


@given(ZONES, MOMENTS)
def test_start_of_day_is_its_first_instant(zone: ZoneInfo, moment: datetime) -> None:
    day = moment.astimezone(zone).date()
    begins = start_of_day(day, zone)
    assert begins == second.first_instant(day, zone)
    assert begins.astimezone(zone).date() == day
    assert (begins - TICK).astimezone(zone).date() < day
