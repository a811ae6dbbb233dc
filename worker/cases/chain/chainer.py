"""Makes the links, over rows that are committed for good and never in the transaction that writes them.

An id is given before its row is committed, so that a lower one may come late. What is linked was therefore seen a while ago, and
every transaction that was open then has ended: nothing at or below the highest id seen can still come. Each link notes what the
next one may hold. Whoever dies between two leaves a chain that is shorter; two at once make each link once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Table, func, select, text

from worker.cases.chain.heads import Head, Heads
from worker.cases.chain.links import CHAINED, Rows, beginning, end_of, last_link, rows_of
from worker.clock import Clock, moment, turns
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.store.leases import take
from worker.store.tables import chain_links, leases

SETTLES = timedelta(minutes=3)
"""Longer than any statement may take: one that has drawn an id and written nothing yet is in nobody's list of transactions."""
PATIENCE = timedelta(hours=1)
"""When a transaction that is still open, of whomever on this server, is complained of."""
MOST_TURNS, TURNS_SECONDS = 1000, 10.0
"""No turn is begun after these: what goes back to customers waits in the same queue."""
TOLD_EVERY = timedelta(days=1)
TELLING = "chain:heads"


@dataclass(frozen=True, slots=True)
class Chainer:
    """The step with its collaborators. Without `heads` the log alone is told."""

    store: Store
    heads: Heads | None
    clock: Clock
    batch: int = 2000
    most: int = 25

    def turns(self, seconds: float = TURNS_SECONDS, timer: Callable[[], float] = time.monotonic) -> int:
        """Takes turns until nothing is due, and begins none after so many seconds; returns how many rows are in the new links."""
        done = 0
        for _ in turns(MOST_TURNS, seconds, timer):
            linked = self.turn()
            if not linked:
                break
            done += linked
        return done

    def turn(self) -> int:
        """Adds the links that are due, a bounded number to each chain, and tells the heads once a day; returns how many rows
        are in the new links.
        """
        done = sum(self._extend(table) for table in CHAINED)
        if self.store.read(self._untold):
            self._tell()
        return done

    def _extend(self, table: Table) -> int:
        done, now = 0, self.clock.now()
        for _ in range(self.most):
            # first a look, which keeps no other writer of SQLite waiting
            if self.store.read(lambda tx: _due(tx, table, now)) is None:
                break
            rows = self.store.write(lambda tx: self._add(tx, table, now))
            if rows is None:
                break
            done += rows
        return done

    def _add(self, tx: Tx, table: Table, now: datetime) -> int | None:
        """Adds the link that is due and returns how many rows are in it; None where none is, or another made it.

        As a writer, each of whose statements sees what is there when it begins: to the one moment that a look keeps to, a table
        that is written anew (`alter table`) is empty, and a link without its rows would have them put in later for ever.
        """
        link = next_link(tx, table, self.batch, now)
        added = link is not None and tx.insert_new(chain_links, [link], chain_links.c.number)
        return int(link["rows"]) if link is not None and added else None

    def _untold(self, tx: Tx) -> bool:
        told = tx.first(select(leases.c.until).where(leases.c.name == TELLING))
        return told is None or told.until <= self.clock.now()

    def _tell(self) -> None:
        now, heads = self.clock.now(), self.store.read(heads_of)
        if self.heads is not None:
            self.heads.add(heads, now)
        for head in heads:
            log.info("chain.head", chain=head.name, number=head.number, last_id=head.last_id, hash=head.hash)
        # last: a death before it tells twice, which is harmless
        self.store.write(lambda tx: take(tx, TELLING, "chain", now, now + TOLD_EVERY))


def heads_of(tx: Tx) -> list[Head]:
    """How far each chain has come."""
    found = [last_link(tx, table.name) for table in CHAINED]
    return [Head(link.name, link.number, link.last_id, link.hash) for link in found if link is not None]


def next_link(tx: Tx, table: Table, batch: int, now: datetime) -> Record | None:
    """The link that is due, of at most `batch` rows; None where none is."""
    due = _due(tx, table, now)
    if due is None:
        return None
    last, seen = due
    if last is None:
        return _link(table, 0, 0, Rows(()), beginning(table.name), now) | seen
    if last.seen_id <= last.last_id:
        # everything that was seen is linked; what came since is noted, and linked once it has settled
        empty = Rows(())
        return _link(table, last.number + 1, last.last_id, empty, empty.hash_after(last.hash), now) | seen
    ends = end_of(tx, table, last.last_id, last.seen_id, batch)
    rows = rows_of(tx, table, last.last_id, ends)
    if ends < last.seen_id:
        seen = {name: getattr(last, name) for name in seen}
    # what was seen may have been taken away since, which the proof finds and the chain survives
    seen["seen_id"] = max(seen["seen_id"], ends)
    return _link(table, last.number + 1, ends, rows, rows.hash_after(last.hash), now) | seen


def _due(tx: Tx, table: Table, now: datetime) -> tuple[Row[Any] | None, dict[str, Any]] | None:
    """The link that the next one follows, and what is seen now; None where none is due."""
    last, newest, (oldest_open, next_xid) = last_link(tx, table.name), _newest(tx, table), _transactions(tx)
    seen: dict[str, Any] = {"seen_id": newest, "seen_at": now, "horizon": next_xid}
    if last is None:
        return None, seen
    if last.seen_id <= last.last_id:
        return (last, seen) if newest > last.last_id else None
    if now < last.seen_at + SETTLES:
        return None
    if _may_come(last, oldest_open, next_xid):
        if now > last.seen_at + PATIENCE:
            log.warning("chain.held_up", chain=table.name, since=moment(last.seen_at), why="a transaction is open since then")
        return None
    return last, seen


def _link(table: Table, number: int, last_id: int, rows: Rows, hash: str, now: datetime) -> dict[str, Any]:
    made = {"name": table.name, "number": number, "last_id": last_id, "rows": len(rows.digests)}
    return made | {"hash": hash, "digests": rows.packed(), "at": now}


def _newest(tx: Tx, table: Table) -> int:
    return int(tx.value(select(func.coalesce(func.max(table.c.id), 0))))


def _transactions(tx: Tx) -> tuple[int | None, int | None]:
    """The oldest transaction that is open and the number that the next one gets; SQLite has one writer at a time."""
    if not tx.postgres:
        return None, None
    asked = "select pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint from pg_current_snapshot() s"
    oldest_open, next_xid = tuple(tx.one(text(asked)))
    return int(oldest_open), int(next_xid)


def _may_come(last: Row[Any], oldest_open: int | None, next_xid: int | None) -> bool:
    if last.horizon is None or oldest_open is None or next_xid is None:
        return False
    # a server that counts lower than it did is another one, with the database put back into it: nothing is open from then
    return bool(oldest_open < last.horizon <= next_xid)
