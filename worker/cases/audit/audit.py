"""The audit: proves the books from the rows themselves, and names every row that does not fit. It only reads.

Each check is one query that finds breaches; an empty answer is the proof. The same audit judges tests, demo and production.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from sqlalchemy import Select, Table, func, select

from worker.cases.audit import checks, money, records, times
from worker.cases.audit.checks import CHECKS
from worker.cases.audit.documents import DOCUMENT_CHECKS
from worker.cases.audit.money import MONEY_CHECKS
from worker.cases.audit.people import PEOPLE_CHECKS
from worker.cases.audit.records import RECORD_CHECKS
from worker.cases.audit.times import TIME_CHECKS
from worker.cases.audit.words import after, before
from worker.credits.at_creem import AtCreem
from worker.credits.balances import Balances
from worker.intake.stream import Chunk
from worker.intake.wire import read_event
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.inbox import NO_TIME
from worker.store.tables import (
    case_history,
    cases,
    charges,
    dead_letters,
    disputes,
    effects,
    evidence,
    inbox,
    layer_jobs,
    notices,
    payment_attempts,
    payments,
    postings,
    proposals,
    purchases,
    requests,
)
from worker.strict import Malformed

NAMED = 100
"""Most rows named for one check; the count says how many there are."""
STATEMENT_SECONDS = 3600.0
"""How long one check may take: it passes over whole tables, and holds no lock that anybody waits for."""

SPANS = (NO_TIME, checks.GRACE, money.OVERDUE, records.OVERDUE, times.WEEK)
"""How far back the checks look from their moment."""
AHEAD = (times.WEEK, times.YEAR, 2 * times.YEAR)
"""And how far ahead."""
ALL_CHECKS = (*CHECKS, *MONEY_CHECKS, *PEOPLE_CHECKS, *RECORD_CHECKS, *DOCUMENT_CHECKS, *TIME_CHECKS)

COUNTED = (
    postings,
    purchases,
    layer_jobs,
    cases,
    case_history,
    effects,
    inbox,
    dead_letters,
    payments,
    payment_attempts,
    charges,
    disputes,
    requests,
    evidence,
    proposals,
    notices,
)


@dataclass(slots=True)
class Audit:
    """The result: what was counted, and every breach as {check, row, problem}."""

    checked: dict[str, int] = field(default_factory=dict)
    breaches: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.breaches

    @property
    def counted(self) -> str:
        """What was looked at, in words."""
        return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.checked.items() if count) or "nothing yet"

    def document(self) -> dict[str, Any]:
        """For `--json` (contract.md, "Audit")."""
        return {"ok": self.ok, "checked": self.checked, "breaches": self.breaches}

    def breach(self, check: str, row: str, problem: str) -> None:
        """One more thing that is wrong."""
        self.breaches.append({"check": check, "row": row, "problem": problem})


def audit_books(
    tx: Tx,
    now: datetime,
    progress: Callable[[str, int, int], None] = lambda check, done, total: None,
    *,
    stopped_for: timedelta = timedelta(0),
) -> Audit:
    """Every check that the database alone can answer; `progress` hears which is next, how many are done, and of how many. What
    fell due while nobody was to be at work, for that long, is not late.
    """
    tx.limit("statement_timeout", STATEMENT_SECONDS)
    tx.plan_for_all_rows()
    audit = Audit()
    asked, at, total = _checks(), moments(now, stopped_for), len(COUNTED) + len(_checks())
    for done, table in enumerate(COUNTED):
        progress(f"counting {table.name}", done, total)
        audit.checked[table.name] = int(tx.value(_number(table)))
    for done, (name, query) in enumerate(asked, len(COUNTED)):
        progress(name, done, total)
        for row in tx.all(query, **at):
            audit.breach(name, str(row.row), str(row.problem))
    progress("done", total, total)
    audit.checked["checks"] = len(asked)
    return audit


def moments(now: datetime, stopped_for: timedelta = timedelta(0)) -> dict[str, datetime]:
    """What the checks are asked with at this moment."""
    late = {before(span).key: now - stopped_for - span for span in SPANS if span != times.WEEK}
    return late | {before(times.WEEK).key: now - times.WEEK} | {after(span).key: now + span for span in AHEAD}


def audit_home(tx: Tx, audit: Audit, home: Balances | AtCreem) -> None:
    """Where customers see their credits, the entries are what the postings say."""
    tx.limit("statement_timeout", STATEMENT_SECONDS)
    for row, problem in home.breaches(tx, NAMED):
        audit.breach("balances_follow_postings", row, problem)
    audit.checked["checks"] += 1


def audit_stream(
    store: Store,
    audit: Audit,
    chunks: Iterable[Chunk],
    received_at: datetime,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """No event lost between stream and cases: every acknowledged entry has an inbox row or a dead letter. Each chunk is compared
    with the database as it stands once the chunk was read; `progress` hears how many entries were.
    """
    done = 0
    for chunk in chunks:
        buried = store.read(partial(_buried, entries=[entry for entry, _ in chunk]))
        events: dict[str, tuple[str, str]] = {}
        for entry, raw in chunk:
            if entry in buried:
                continue
            try:
                event = read_event(raw or b"", received_at)
                events[entry] = (event.source, event.id)
            except Malformed as fault:
                audit.breach("no_event_lost", entry, f"the entry cannot be read ({fault.reason}) and has no dead letter")
        known = store.read(partial(_taken_in, identities=set(events.values())))
        for entry, (source, name) in events.items():
            if (source, name) not in known:
                audit.breach("no_event_lost", entry, f"event {name} of {source} was acknowledged and is not in the inbox")
        done += len(chunk)
        progress(done)
    audit.checked["stream_entries"] = done


def _buried(tx: Tx, entries: Collection[str]) -> set[str]:
    """Those of the entries that have a dead letter."""
    keys = [f"stream:{entry}" for entry in entries]
    rows = tx.all(select(dead_letters.c.key).where(tx.among(dead_letters.c.key, keys)))
    return {row.key.removeprefix("stream:") for row in rows}


def _taken_in(tx: Tx, identities: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the events that have a row, as (source, id)."""
    # asked by both columns: an id alone would have Postgres read the whole inbox, for every thousand entries
    sources, ids = {source for source, _ in identities}, {event_id for _, event_id in identities}
    both = tx.among(inbox.c.source, sources), tx.among(inbox.c.event_id, ids)
    return {(row.source, row.event_id) for row in tx.all(select(inbox.c.source, inbox.c.event_id).where(*both))}


@cache
def _number(table: Table) -> Select[Any]:
    return select(func.count()).select_from(table)


@cache
def _checks() -> tuple[tuple[str, Select[Any]], ...]:
    """Every check as one statement, built once: that takes longer than asking it of a small book."""
    return tuple((name, _named(query())) for name, query in ALL_CHECKS)


def _named(query: Select[Any]) -> Select[Any]:
    # planned for all rows: a plain limit has Postgres hope for the first breach, and walk indexes through a book that has none
    found = query.cte("found").prefix_with("materialized", dialect="postgresql")
    return select(found.c.row, found.c.problem).limit(NAMED)
