"""What every decision is made with, whatever it is about."""

from dataclasses import dataclass
from datetime import datetime

from policy import Editions, Terms
from policy.calendar import Calendar
from worker.settings import Mode


@dataclass(frozen=True, slots=True)
class Bench:
    """What judging needs besides the facts: the terms, the calendar of their promise, how far we may go."""

    editions: Editions
    calendars: dict[str, Calendar]
    mode: Mode
    told: bool = True
    """Customers are written to. Where nobody is, what is decided by itself leaves no notices."""

    def terms_at(self, failed_at: datetime) -> Terms:
        """The edition a failure is judged by: the one in force when it happened."""
        return self.editions.at(failed_at)

    def at(self, when: datetime) -> tuple[Terms, Calendar]:
        """The edition in force then, with the calendar of its promise."""
        terms = self.editions.at(when)
        return terms, self.calendars[terms.edition]
