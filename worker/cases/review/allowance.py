"""What one person gives alone within a day: beyond the terms' limit a second one has to agree, however small the slices.

Counted is what was approved, whatever came of it, and once where the same claim is approved anew. What two people agreed to
counts for neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select

from policy import Terms
from policy.words import count, money
from worker.cases.review.choices import Choice
from worker.store.bulk import Tx
from worker.store.tables import approvals, leases

A_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a person approved alone in the last 24 hours, beside what the terms in force leave to one person."""

    person: str
    credits: int
    minor_units: int
    currencies: tuple[str, ...]
    terms: Terms

    def checked(self, choice: Choice, before: int = 0) -> Choice:
        """The choice, needing a second person and saying why where it would go beyond what this one may give; `before` are the
        minor units of it that are counted already.
        """
        more = max(0, choice.minor_units - before)
        if choice.needs_second or not self._beyond(choice, more):
            return choice
        gives = money(more, choice.currency or "") if more else count(choice.credits, "credit")
        return replace(choice, needs_second=True, second_because=f"{self.said}; this would be {gives} more")

    @property
    def said(self) -> str:
        """In words: `ann: 340.00 of 500.00 USD and 20 of 1000 credits approved alone in 24 hours`."""
        limit = self.terms.approval_second_person_above_minor_units_per_day
        currency = " + ".join(self.currencies)
        of_money = f"{money(self.minor_units, currency).removesuffix(currency).rstrip()} of {money(limit, currency)}"
        of_credits = f"{self.credits} of {self.terms.approval_second_person_above_credits_per_day} credits"
        return f"{self.person}: {of_money} and {of_credits} approved alone in 24 hours"

    def document(self) -> dict[str, Any]:
        """For `--json` and the console; money of all currencies added."""
        return {
            "person": self.person,
            "credits": self.credits,
            "most_credits": self.terms.approval_second_person_above_credits_per_day,
            "minor_units": self.minor_units,
            "most_minor_units": self.terms.approval_second_person_above_minor_units_per_day,
            "currencies": list(self.currencies),
            "said": self.said,
        }

    def _beyond(self, choice: Choice, more: int) -> bool:
        most_credits = self.terms.approval_second_person_above_credits_per_day
        most_money = self.terms.approval_second_person_above_minor_units_per_day
        too_many = choice.credits > 0 and self.credits + choice.credits > most_credits
        return too_many or (more > 0 and self.minor_units + more > most_money)


def allowance_of(tx: Tx, person: str, terms: Terms, now: datetime) -> Allowance:
    """What this person has approved alone so far."""
    found = _allowances(tx, terms, now, [person])
    return found[0] if found else Allowance(person, 0, 0, (), terms)


def allowances(tx: Tx, terms: Terms, now: datetime) -> list[Allowance]:
    """Everybody who approved something alone in the last 24 hours, most money first."""
    return sorted(_allowances(tx, terms, now), key=lambda each: (-each.minor_units, -each.credits, each.person))


def queue_up(tx: Tx, person: str, now: datetime) -> None:
    """Two decisions of one person at once come one after the other from here on, so that the later one sees the earlier."""
    name = f"approver:{person}"
    tx.insert_absent(leases, [{"name": name, "holder": person, "until": now}])
    # the sum is read by a later statement: one that waited for this lock would not see what was committed meanwhile
    tx.all(select(leases.c.name).where(leases.c.name == name).with_for_update())


def given_before(tx: Tx, person: str, claim: Row[Any] | None, now: datetime) -> int:
    """What this person approved alone of the very money of an open claim, which is approved anew, in the last 24 hours."""
    if claim is None:
        return 0
    a = approvals.c
    same = (a.case_id == claim.case_id, a.by == person, a.at >= claim.created_at, a.at > now - A_DAY)
    return int(tx.value(select(func.coalesce(func.sum(a.minor_units), 0)).where(*same)))


def note(tx: Tx, case_id: str, person: str, choice: Choice, now: datetime, before: int = 0) -> None:
    """What this person gives alone stands in the books, but for the minor units that are counted already; nothing where nothing
    is given.
    """
    more = max(0, choice.minor_units - before)
    if not more and not choice.credits:
        return
    given = {"credits": choice.credits, "minor_units": more, "currency": choice.currency}
    tx.insert(approvals, [{"case_id": case_id, "at": now, "by": person, "choice": choice.act.value} | given])


def _allowances(tx: Tx, terms: Terms, now: datetime, people: Sequence[str] | None = None) -> list[Allowance]:
    a = approvals.c
    chosen = select(a.by, a.currency, func.sum(a.credits).label("credits"), func.sum(a.minor_units).label("minor_units"))
    chosen = chosen.where(a.at > now - A_DAY).group_by(a.by, a.currency)
    rows = tx.all(chosen.where(tx.among(a.by, people)) if people is not None else chosen)
    return [_added(person, [row for row in rows if row.by == person], terms) for person in sorted({row.by for row in rows})]


def _added(person: str, rows: Sequence[Any], terms: Terms) -> Allowance:
    currencies = tuple(sorted(row.currency for row in rows if row.minor_units))
    return Allowance(person, sum(int(row.credits) for row in rows), sum(int(row.minor_units) for row in rows), currencies, terms)
