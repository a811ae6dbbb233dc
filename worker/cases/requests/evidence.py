"""Files shared by customers: every look recorded, deleted in time, a receipt left (policy.md, "Evidence retention").

A deletion is three steps, each safe to repeat: the row says that the file is to go, the file goes, the row says that it has gone.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Row, and_, case, func, or_, select, update

from policy.lifecycle import CaseState
from worker.cases.book.bench import Bench
from worker.cases.book.book import NOBODY
from worker.cases.requests.files import Files
from worker.cases.requests.identify import OF_MAIL
from worker.cases.requests.mark import LOOKED_UP
from worker.clock import ROUND_SECONDS, Clock, written
from worker.errors import Refused, TryLater
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.store.statements import one_of
from worker.store.tables import cases, evidence, evidence_looks, installation, payments, requests

ROUND = 200
ORPHAN_AFTER = timedelta(hours=1)
"""A file without a row that is older than this was left by a crash: rows come within seconds of their file."""
LOOK_EVERY = timedelta(hours=1)
"""The whole folder is looked through for them so often: each file in it costs a look at it, and a part of a question."""
MOST_LEFTOVERS = LOOKED_UP
"""Once a turn has deleted so many of them, it leaves the others to the next."""
_LAST_LOOK = "evidence_looked_through_at"
BEFORE_THE_LAST_DAY = timedelta(days=1)
"""What is left for a sweep that is late; of two days or one that may be kept, half."""
CLAIMED_AT = select(func.max(payments.c.created_at)).where(payments.c.case_id == cases.c.case_id).scalar_subquery()
STANDING = one_of(evidence.c.state, ("kept", "deleting"))
"""The condition that a file was not deleted, as the index of these has it."""
KEPT = and_(STANDING, evidence.c.state == "kept")
ON_ITS_WAY = cases.c.state.in_([CaseState.REFUNDING.value, CaseState.UNKNOWN.value])
DECIDED_AT = case((ON_ITS_WAY, CLAIMED_AT), else_=cases.c.closed_at)
"""When the case was decided, if it is: its money may be on its way long after."""
MAIL = func.coalesce(requests.c.named[OF_MAIL].as_string(), requests.c.key)
"""What all the requests that one mail made have in common."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What one sweep did: files deleted on time, leftovers removed."""

    deleted: int
    orphans: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """The files with their receipts."""

    store: Store
    files: Files
    bench: Bench
    clock: Clock
    timer: Callable[[], float] = time.monotonic

    def look(self, evidence_id: str, *, by: str, reason: str) -> tuple[Row[Any], bytes]:
        """The receipt and the bytes, the look on record before anything is shown. Raises `Refused` where the file is gone."""
        now = self.clock.now()

        def note(tx: Tx) -> Row[Any]:
            row = tx.first(select(evidence).where(evidence.c.evidence_id == evidence_id))
            if row is None:
                raise Refused(f"{evidence_id}: no file of that name")
            if row.state != "kept":
                raise Refused(f"{evidence_id} is {row.state}; its receipt is all that is left")
            tx.insert(evidence_looks, [{"evidence_id": evidence_id, "at": now, "by": by, "reason": reason}])
            return row

        row = self.store.write(note)
        return row, self.files.read(row.stored)

    def sweep(self) -> Removed:
        """Whatever is due to be deleted is gone, and within two hours what a crash left behind. Bounded: some files a turn, and
        the whole folder is looked through once an hour.

        Raises `TryLater` where a file cannot be deleted, once all the others are.
        """
        now = self.clock.now()
        due = self.store.write(lambda tx: self._tombstones(tx, now))
        gone, kept = self._deleted({row.stored for row in due})
        self.store.write(lambda tx: _end(tx, [row for row in due if row.stored in gone], now))
        orphans, left = self._orphans(now)
        if kept or left:
            raise (kept or left)[0]
        return Removed(len(gone), orphans)

    def _deleted(self, names: set[str]) -> tuple[set[str], list[TryLater]]:
        """The files that are gone now, and why others are not: one that cannot be deleted keeps none of them."""
        if not names:
            return set(), []
        try:
            self.files.mark.require_ours()
            kept = self.files.delete(names)
        except TryLater as error:
            kept = dict.fromkeys(names, error)
        why = list(kept.values())
        if why:
            log.error("evidence.not_deleted", files=len(why), error=why[0].why)
        return names - kept.keys(), why

    def missing(self) -> list[str]:
        """The files that should be there and are not, by id: of the 2,000 that came last. Nothing is marked, for a folder that is
        away comes back.
        """
        newest = select(evidence).where(KEPT).order_by(evidence.c.received_at.desc()).limit(LOOKED_UP)
        return [row.evidence_id for row in self.store.read(lambda tx: tx.all(newest)) if not self.files.has(row.stored)]

    def _tombstones(self, tx: Tx, now: datetime) -> Sequence[Row[Any]]:
        """The files that are to go, which their rows say from here on."""
        terms = self.bench.terms_at(now)
        hours = timedelta(hours=terms.evidence_hours_after_decision)
        longest = timedelta(days=terms.evidence_days_max)
        _shorten(tx, hours)
        _lengthen(tx, longest, now + hours)
        # half of the time is left for a second look, the other half for a sweep that is late
        decided = and_(now - hours / 2 >= DECIDED_AT, evidence.c.delete_by <= now + hours)
        past = or_(decided, evidence.c.received_at <= now - self._longest(now))
        due = or_(and_(evidence.c.state == "kept", past), evidence.c.state == "deleting")
        joined = select(evidence).join(cases, cases.c.case_id == evidence.c.case_id)
        rows = tx.all(joined.where(STANDING, due).order_by(evidence.c.delete_by).limit(ROUND))
        ids = [row.evidence_id for row in rows]
        if ids:
            going = update(evidence).where(tx.among(evidence.c.evidence_id, ids), evidence.c.state == "kept")
            tx.connection.execute(going.values(state="deleting"))
        return rows

    def _longest(self, now: datetime) -> timedelta:
        most = timedelta(days=self.bench.terms_at(now).evidence_days_max)
        return most - min(BEFORE_THE_LAST_DAY, most / 2)

    def _orphans(self, now: datetime) -> tuple[int, list[TryLater]]:
        mark, count, left = self.files.mark, 0, list[TryLater]()
        if not mark.is_ours():
            return 0, []
        half = whole = now - ORPHAN_AFTER
        if mark.books_are_behind() and mark.kept_up_at() > now - self._longest(now):
            # of what came after the state that they were set back to only the files are left, or the rows are in other books
            whole = now - self._longest(now)
        else:
            mark.keep_up()
        # taken before: a look that is too much for a process ends one an hour, and not one a turn
        if not self.store.write(lambda tx: _take_the_look(tx, now)):
            return 0, []
        names, began = self.files.older_than(whole, half), self.timer()
        while self.timer() - began < ROUND_SECONDS and (found := list(islice(names, LOOKED_UP))):
            gone, kept = self._deleted(self._without_a_row(found))
            for name in gone:
                log.warning("evidence.orphan_deleted", file=name)
            count += len(gone)
            left += kept
            if count >= MOST_LEFTOVERS:
                self.store.write(lambda tx: _look_again(tx, now))
                break
        return count, left

    def _without_a_row(self, names: Sequence[str]) -> set[str]:
        # one that was away when it was to go, and came back with its folder, has a row that says it has gone
        wanted = select(evidence.c.stored).where(evidence.c.state != "deleted")
        # by a writer's look, for what a reader sees of a table that is written anew meanwhile (`alter table`) is no row at all
        rows = self.store.write(lambda tx: tx.all(wanted.where(tx.among(evidence.c.stored, names))))
        return set(names) - {row.stored for row in rows}


def _take_the_look(tx: Tx, now: datetime) -> bool:
    """True where the whole folder is to be looked through now, which is then nobody else's for an hour."""
    said, last = {"value": written(now)}, installation.c.value
    # one in the future was taken by a clock that was wrong
    due = or_(last <= written(now - LOOK_EVERY), last > written(now))
    first = {"name": _LAST_LOOK, **said}
    return tx.insert_or_change(installation, first, said, by=installation.c.name, where=due) is not None


def _look_again(tx: Tx, now: datetime) -> None:
    """The next turn goes on: the look was ended with leftovers still there."""
    ours = update(installation).where(installation.c.name == _LAST_LOOK)
    tx.connection.execute(ours.values(value=written(now - LOOK_EVERY)))


def _shorten(tx: Tx, hours: timedelta) -> None:
    """Files whose case is decided go along to what is left of their mail. Where nothing is, they are kept for so long after that,
    and no longer for as long as any may be.
    """
    decided = (
        select(evidence, MAIL.label("mail"), cases.c.account_id, DECIDED_AT.label("decided_at"))
        .join(cases, cases.c.case_id == evidence.c.case_id)
        .join(requests, requests.c.request_id == evidence.c.request_id)
        .where(KEPT, DECIDED_AT.is_not(None))
    )
    # those that were given their time already come last, and take no place from others
    over = tx.all(decided.order_by(evidence.c.delete_by.desc()).limit(ROUND))
    to = _left(tx, over)
    along = [{"evidence_id": row.evidence_id, "was": row.case_id, **to[row.mail]} for row in over if row.mail in to]
    tx.update(evidence, along, by=["evidence_id"], expect={"case_id": "was"})
    sooner = [
        {"evidence_id": row.evidence_id, "delete_by": row.decided_at + hours}
        for row in over
        if row.mail not in to and row.delete_by > row.decided_at + hours
    ]
    tx.update(evidence, sooner, by=["evidence_id"])


def _left(tx: Tx, over: Sequence[Row[Any]]) -> dict[str, Record]:
    """Of the mails of these files the oldest request that is not decided, each with its case."""
    # only what is an account's is put beside anything
    accounts = {row.account_id for row in over} - {NOBODY}
    if not accounts:
        return {}
    wanted = select(MAIL.label("mail"), requests.c.request_id, requests.c.case_id).join(
        cases, cases.c.case_id == requests.c.case_id
    )
    theirs = tx.among(cases.c.account_id, accounts), tx.among(MAIL, {row.mail for row in over}), DECIDED_AT.is_(None)
    # locked, for a mail may be put to another case meanwhile
    rows = tx.all(wanted.where(*theirs).order_by(requests.c.request_id).with_for_update(of=requests))
    return {row.mail: {"request_id": row.request_id, "case_id": row.case_id} for row in reversed(rows)}


def _lengthen(tx: Tx, longest: timedelta, until: datetime) -> None:
    """Files whose case was decided, and is not any more, are kept as long again as those of any open one."""
    soon = select(evidence.c.evidence_id, evidence.c.received_at).join(cases, cases.c.case_id == evidence.c.case_id)
    open_again = KEPT, evidence.c.delete_by <= until, DECIDED_AT.is_(None)
    rows = tx.all(soon.where(*open_again).order_by(evidence.c.delete_by).limit(ROUND))
    later = [{"evidence_id": row.evidence_id, "delete_by": row.received_at + longest} for row in rows]
    tx.update(evidence, later, by=["evidence_id"])


def _end(tx: Tx, gone: Sequence[Row[Any]], now: datetime) -> None:
    records = [{"evidence_id": r.evidence_id, "was": "deleting", "state": "deleted", "deleted_at": now} for r in gone]
    tx.update(evidence, records, by=["evidence_id"], expect={"state": "was"})
