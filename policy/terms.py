"""The terms: every number of the policy, in dated editions. Rules name a field; none holds a number of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from policy.calendar import start_of_day


class FaultClass(StrEnum):
    """Whose fault a failure code stands for (policy.md, "How a failure code is read")."""

    SERVER = "server"
    CAPACITY = "capacity"
    TIMEOUT = "timeout"
    OUTPUT = "output"
    INPUT = "input"
    SAFETY = "safety"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def of_the_system(self) -> bool:
        """True for the classes that are a server-side error or a fault of the system: those the page promises credits for."""
        return self in _OF_THE_SYSTEM


_OF_THE_SYSTEM = frozenset({FaultClass.SERVER, FaultClass.CAPACITY, FaultClass.TIMEOUT, FaultClass.OUTPUT})


class TermsError(ValueError):
    """Terms files are wrong. Each of `faults` is one line: file, key, what is there, what was expected."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class UnknownEdition(LookupError):
    """A case names an edition of the terms that is not here."""


@dataclass(frozen=True, slots=True)
class Terms:
    """One edition of the terms, validated. `digest` is the SHA-256 of the file it was read from."""

    edition: str
    zone: ZoneInfo
    holiday_calendar: str
    """Country whose public holidays are no business days, with its subdivision after a hyphen where one is meant."""
    promise_business_days: int
    promise_warn_percent: tuple[int, ...]
    request_window_days: int
    rerun_deadline_minutes: float
    wait_for_facts_hours: float
    auto_reversals_per_account_per_day: int
    outage_failure_percent: int
    """Share of failed jobs in the whole service at or over which the limit on one account's reversals is lifted."""
    doubt_credits_per_day: int
    duplicate_window_hours: int
    duplicate_auto_minutes: int
    pass_jobs_min: int
    pass_downloads_min: int
    evidence_hours_after_decision: int
    evidence_days_max: int
    approval_second_person_above_minor_units: int
    money_per_hour_minor_units: int
    """More sent back than this within an hour, all currencies added, stops money until a person releases it."""
    money_per_day_minor_units: int
    unproved_payment_hours: int
    """How long the outcome of a payment may stay unproved before a person is asked."""
    refused_payment_days: int
    """How long a refund that Creem refuses for lack of balance is tried again, once a day."""
    rerunnable_codes: tuple[str, ...]
    faults: Mapping[FaultClass, tuple[str, ...]] = field(hash=False)
    digest: str
    automatic_window_days: int | None = None
    """None where the automatic reversal is not bound by a window."""
    approval_second_person_above_credits_per_day: int = 1000
    """One person alone may let this many credits come back within 24 hours; beyond it a second one is needed."""
    approval_second_person_above_minor_units_per_day: int = 50_000
    """One person alone may let this much money go back within 24 hours, all currencies added; beyond it a second one is needed.

    Both limits hold for editions that do not name them.
    """
    content_codes: tuple[str, ...] = ("bad_output",)
    """Codes beside those of class `output` that tell of what is in the layers, which no count of them denies."""
    waiting_stages: tuple[str, ...] = ("queue", "queued", "waiting", "pending")
    """Stages, as the pipeline writes them, at which a job has not started: one cancelled there is a person's."""
    activation_second_person_above_credits: int | None = None
    """The next edition needs a second person where it moves more credits than this over the cases of a month."""
    activation_second_person_above_minor_units: int | None = None
    """The next edition needs a second person where it moves more money than this over the cases of a month, all currencies added.

    None for both: an edition takes effect by its file alone.
    """

    @property
    def activated_by_people(self) -> bool:
        """True where the next edition takes effect only once somebody has activated it."""
        return (self.activation_second_person_above_credits, self.activation_second_person_above_minor_units) != (None, None)

    @property
    def starts_at(self) -> datetime:
        """The first instant of the edition's date, in the edition's own zone."""
        return start_of_day(date.fromisoformat(self.edition), self.zone)

    def fault_of(self, code: str) -> FaultClass:
        """The class a failure code is listed under; `UNKNOWN` for one that is listed nowhere."""
        return next((fault for fault, codes in self.faults.items() if code in codes), FaultClass.UNKNOWN)

    def rerunnable(self, code: str) -> bool:
        """True when one re-run is to be tried before credits are given back for this code."""
        return code in self.rerunnable_codes

    def about_content(self, code: str) -> bool:
        """True when the code says what is wrong with the output, however many layers there are."""
        return self.fault_of(code) is FaultClass.OUTPUT or code in self.content_codes


@dataclass(frozen=True, slots=True)
class Editions:
    """Every edition of the terms, oldest first; there is at least one."""

    all: tuple[Terms, ...]

    def __iter__(self) -> Iterator[Terms]:
        return iter(self.all)

    def at(self, instant: datetime) -> Terms:
        """The edition in force at an instant (policy.md, "A new edition of the policy"). Before the first one, the first."""
        utc = instant.astimezone(UTC)
        return next((terms for terms in reversed(self.all) if terms.starts_at <= utc), self.all[0])

    def before(self, terms: Terms) -> Terms | None:
        """The edition that this one takes the place of; None for the first."""
        earlier = [other for other in self.all if other.edition < terms.edition]
        return earlier[-1] if earlier else None

    def judging(self, edition: str | None, since: datetime) -> Terms:
        """The edition a case was judged by; where it names none that is here, the one in force when the case began."""
        return next((terms for terms in self.all if terms.edition == edition), self.at(since))

    def by_name(self, edition: str) -> Terms:
        """The edition a case was judged by. Raises `UnknownEdition` naming those there are."""
        for terms in self.all:
            if terms.edition == edition:
                return terms
        there = ", ".join(terms.edition for terms in self.all)
        raise UnknownEdition(f"no edition {edition} of the terms is here; there are {there}")
