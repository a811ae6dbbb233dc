"""Business days and calendar-day windows, in any zone, correct when its clocks change.

Every time that goes in carries a zone; every time that comes out is in UTC. A day begins with its first instant: where the
clocks skip midnight that is later on the dial, and a day the zone skipped altogether has no length and is no business day.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
SATURDAY = 5
TICK = timedelta.resolution


@lru_cache(maxsize=4096)
def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a calendar day in a zone."""
    return _instant(day, time.min, zone)


def window_closes(since: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The first instant after a window of calendar days (policy.md, "7 calendar days").

    Day 0 is the calendar day of `since` in the zone; the window is open until the end of day `days`.
    """
    last_day = since.astimezone(zone).date() + days * ONE_DAY
    return start_of_day(last_day + ONE_DAY, zone)


def within_window(since: datetime, at: datetime, days: int, zone: ZoneInfo) -> bool:
    """True while a window of calendar days that began on the day of `since` is still open at `at`."""
    return at.astimezone(UTC) < window_closes(since, days, zone)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The business days of one zone: Monday to Friday less the holidays (policy.md, "The 3 business days")."""

    zone: ZoneInfo
    is_holiday: Callable[[date], bool]

    def is_business_day(self, day: date) -> bool:
        """True for a weekday that is no holiday and that the zone did not skip."""
        begins, ends = self.edges(day)
        return day.weekday() < SATURDAY and begins < ends and not self.is_holiday(day)

    def business_deadline(self, start: datetime, days: int) -> datetime:
        """The instant by which `days` business days (at least 1) have gone by.

        From within a business day: the same time on the clock, that many business days later. From any other day: counted
        from the next business day's beginning, so the end of the last business day counted. Raises `ValueError` below 1.
        """
        if days < 1:
            raise ValueError(f"a deadline is at least 1 business day away, not {days}")
        local = start.astimezone(self.zone)
        last_day = _business_day_after(self, local.date(), days)
        if self.is_business_day(local.date()):
            return _instant(last_day, local.time(), self.zone)
        return start_of_day(last_day + ONE_DAY, self.zone)

    def business_fraction(self, start: datetime, deadline: datetime, now: datetime) -> Fraction:
        """Share of the business time from start to deadline that has gone by: 0 up to the start, 1 from the deadline on."""
        if now >= deadline:
            return Fraction(1)
        whole = self._business_ticks(start, deadline)
        return Fraction(self._business_ticks(start, now), whole) if whole else Fraction(0)

    def instant_at_fraction(self, start: datetime, deadline: datetime, percent: int) -> datetime:
        """The first instant at which `percent` of the business time from start to deadline has gone by.

        Never after the deadline.
        """
        spans = [(begins, (ends - begins) // TICK) for begins, ends in self._business_spans(start, deadline)]
        ahead = -(-sum(length for _, length in spans) * percent // 100)
        for begins, length in spans:
            if ahead <= length:
                return begins + ahead * TICK
            ahead -= length
        return deadline.astimezone(UTC)

    def edges(self, day: date) -> tuple[datetime, datetime]:
        """The first instant of a day and the first after it."""
        return start_of_day(day, self.zone), start_of_day(day + ONE_DAY, self.zone)

    def _business_ticks(self, start: datetime, end: datetime) -> int:
        return sum((ends - begins) // TICK for begins, ends in self._business_spans(start, end))

    def _business_spans(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        for begins, ends in _business_days(self, start.astimezone(self.zone).date(), end.astimezone(self.zone).date()):
            if begins < end and start < ends:
                yield max(begins, start), min(ends, end)


@lru_cache(maxsize=4096)
def _business_day_after(calendar: Calendar, day: date, days: int) -> date:
    # thousands of failures of one day ask for the same days
    while days:
        day += ONE_DAY
        days -= calendar.is_business_day(day)
    return day


@lru_cache(maxsize=4096)
def _business_days(calendar: Calendar, first: date, last: date) -> tuple[tuple[datetime, datetime], ...]:
    days = (first + n * ONE_DAY for n in range((last - first).days + 1))
    return tuple(calendar.edges(day) for day in days if calendar.is_business_day(day))


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    # of a time the clocks show twice the first is meant; one they skip is read with the offset before the change
    return datetime.combine(day, clock.replace(fold=0), zone).astimezone(UTC)
