"""Old cases under other terms: what would have been decided, without any effect.

Both sides are asked of the policy with the facts kept on the case, so a person's decision in between changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import methodcaller
from typing import Any

from sqlalchemy import func, select

from policy import Editions, Terms
from policy.decision import Decision
from policy.lifecycle import CaseKind
from worker.cases.book.decided import ask_again
from worker.store.engine import Store
from worker.store.tables import cases

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """One case that the other terms decide differently."""

    case_id: str
    kind: CaseKind
    subject: str
    account_id: str
    before: Decision
    after: Decision

    @property
    def credits(self) -> int:
        """Credits owed more; less where negative."""
        return self.after.credits - self.before.credits

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "case_id": self.case_id,
            "kind": self.kind.value,
            "subject": self.subject,
            "account_id": self.account_id,
            "clause": self.before.clause.value,
            "before": _said(self.before),
            "after": _said(self.after),
        }


@dataclass(slots=True)
class Replay:
    """The sum of it. Money is in minor units by currency: what would be owed more, or less where negative."""

    terms: str
    digest: str
    since: datetime | None
    asked: int = 0
    changed: int = 0
    undecided: int = 0
    """Cases without a decision of the policy so far: they wait for facts."""
    credits: int = 0
    money: Counter[str] = field(default_factory=Counter)
    by_clause: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    """By clause, outcome before and outcome after: cases, credits and money of what changes."""
    examples: list[Change] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Counts one case that changes."""
        self.changed += 1
        self.credits += change.credits
        moves = Counter({change.after.currency: change.after.amount})
        moves.subtract({change.before.currency: change.before.amount})
        # a decision that owes no money names no currency
        del moves[""]
        self.money.update(moves)
        key = (change.before.clause.value, change.before.outcome.value, change.after.outcome.value)
        row = self.by_clause.setdefault(key, {"cases": 0, "credits": 0, "money": Counter()})
        row["cases"] += 1
        row["credits"] += change.credits
        row["money"].update(moves)

    @property
    def moved_credits(self) -> int:
        """Credits that go one way or the other: what some get and others lose does not cancel out."""
        return sum(abs(row["credits"]) for row in self.by_clause.values())

    @property
    def moved_minor_units(self) -> int:
        """Money that goes one way or the other, in minor units, currencies added."""
        return sum(abs(amount) for row in self.by_clause.values() for amount in row["money"].values())

    def rows(self) -> list[dict[str, Any]]:
        """What changes, most cases first."""
        found = [
            {"clause": clause, "before": before, "after": after, **row, "money": _sums(row["money"])}
            for (clause, before, after), row in self.by_clause.items()
        ]
        return sorted(found, key=lambda row: (-row["cases"], row["clause"], row["before"], row["after"]))

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "terms": self.terms,
            "digest": self.digest,
            "since": self.since.isoformat() if self.since else None,
            "cases": self.asked,
            "undecided": self.undecided,
            "changed": self.changed,
            "credits": self.credits,
            "money": _sums(self.money),
            "by_clause": self.rows(),
            "items": [change.document() for change in self.examples],
        }


def replay(
    store: Store,
    editions: Editions,
    other: Terms,
    *,
    since: datetime | None = None,
    examples: int = 20,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Replay:
    """Asks the policy about every case opened since then, under the terms it was decided by and under `other`.

    `on_progress` is told the number of cases after each page. Raises `UnknownEdition` for a case whose terms are not here.
    """
    found = Replay(other.edition, other.digest, since)
    for page in _pages(store, since):
        for row in page:
            if row.facts is None:
                found.undecided += 1
                continue
            found.asked += 1
            kind = CaseKind(row.kind)
            before, after = ask_again(kind, row.facts, editions.by_name(row.terms)), ask_again(kind, row.facts, other)
            if _owed(before) == _owed(after):
                continue
            change = Change(row.case_id, kind, row.subject, row.account_id, before, after)
            found.add(change)
            if len(found.examples) < examples:
                found.examples.append(change)
        on_progress(len(page))
    return found


def count_cases(store: Store, since: datetime | None) -> int:
    """How many cases `replay` will go through."""
    counted = select(func.count()).select_from(cases)
    if since is not None:
        counted = counted.where(cases.c.opened_at >= since)
    return int(store.read(lambda tx: tx.value(counted)))


def _pages(store: Store, since: datetime | None) -> Iterator[Any]:
    columns = (cases.c.case_id, cases.c.kind, cases.c.subject, cases.c.account_id, cases.c.terms, cases.c.facts)
    last = ""
    while True:
        wanted = select(*columns).where(cases.c.case_id > last).order_by(cases.c.case_id).limit(PAGE)
        if since is not None:
            wanted = wanted.where(cases.c.opened_at >= since)
        page = store.read(methodcaller("all", wanted))
        if not page:
            return
        yield page
        last = page[-1].case_id


def _owed(decision: Decision) -> tuple[object, ...]:
    return decision.outcome, decision.credits, decision.amount, decision.currency


def _said(decision: Decision) -> dict[str, Any]:
    return {
        "outcome": decision.outcome.value,
        "rule": decision.rule,
        "clause": decision.clause.value,
        "reason": decision.reason,
        "credits": decision.credits,
        "amount": decision.amount,
        "currency": decision.currency or None,
    }


def _sums(money: Counter[str]) -> dict[str, int]:
    return {currency: amount for currency, amount in sorted(money.items()) if amount}
