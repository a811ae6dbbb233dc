"""A second calculator of business time and windows, written another way: it looks every day up from UTC and shares no code.

A calendar day's first instant is found by search over UTC instants, never from a wall-clock time; business time is counted
quarter of an hour by quarter of an hour (no zone here changes its clocks at another mark).
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)


@cache
def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The first instant whose date in the zone is `day` or later, by bisection: dates never run backwards."""
    middle = datetime(day.year, day.month, day.day, tzinfo=UTC)
    low, high = middle - timedelta(hours=30), middle + timedelta(hours=30)
    while high - low > timedelta.resolution:
        half = low + (high - low) // 2
        low, high = (low, half) if half.astimezone(zone).date() >= day else (half, high)
    return high


def is_business(day: date, zone: ZoneInfo, holidays: frozenset[date]) -> bool:
    """True for a weekday, no holiday, of some length."""
    there = first_instant(day, zone) < first_instant(day + timedelta(days=1), zone)
    return day.isoweekday() <= 5 and day not in holidays and there


def business_days_from(day: date, zone: ZoneInfo, holidays: frozenset[date], count: int) -> list[date]:
    """The next so many business days after a day."""
    ahead = (day + timedelta(days=n) for n in range(1, 400))
    return [there for there in ahead if is_business(there, zone, holidays)][:count]


def business_quarters(start: datetime, end: datetime, zone: ZoneInfo, holidays: frozenset[date]) -> int:
    """Quarters of an hour of business time between two instants on the quarter."""
    quarters = (start + n * QUARTER for n in range(max(0, (end - start) // QUARTER)))
    return sum(is_business(quarter.astimezone(zone).date(), zone, holidays) for quarter in quarters)
