"""Business calendars: which days are holidays, where an edition of the terms says it is."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from policy import Terms
from policy.calendar import Calendar
from worker.errors import Misconfigured


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

    @lru_cache(maxsize=4096)
    def is_holiday(day: date) -> bool:
        return day in days

    return Calendar(ZoneInfo(str(terms.zone)), is_holiday)
