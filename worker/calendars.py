"""Business calendars: which days are holidays, where an edition of the terms says it is."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from threading import Lock
from zoneinfo import ZoneInfo

from policy import Terms
from policy.calendar import Calendar
from worker.errors import Misconfigured

AHEAD = timedelta(days=60)
"""So long before the days of a year are needed they have to be known: a promise may run into it."""


def calendar_of(terms: Terms) -> Calendar:
    """The business calendar of an edition: its zone, and the public holidays of the country it names."""
    # a large package, for those who ask for a day of business
    import holidays

    country, _, subdivision = terms.holiday_calendar.partition("-")
    try:
        days = holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError as error:
        raise Misconfigured(
            f"terms {terms.edition}: holiday_calendar: {terms.holiday_calendar!r} is no calendar we have; "
            "expected a country like US or a subdivision like US-CA"
        ) from error

    asked = Lock()

    @lru_cache(maxsize=4096)
    def is_holiday(day: date) -> bool:
        # it says that it has a year before it has the days of it: another thread would be told that there are none, for good
        with asked:
            return day in days

    return Calendar(ZoneInfo(str(terms.zone)), is_holiday)


def years_unknown(calendar: Calendar, now: datetime) -> list[int]:
    """This year and the one that comes within `AHEAD`, as far as the calendar has no holiday of them. For countries that announce
    theirs year by year it ends soon after its own release, without a word.
    """
    years = sorted({now.year, (now + AHEAD).year})
    return [year for year in years if not any(map(calendar.is_holiday, _days_of(year)))]


def _days_of(year: int) -> Iterator[date]:
    first = date(year, 1, 1)
    return (first + timedelta(days=number) for number in range(365))
