"""What is chained, and how: rows of the tables that are only ever added to, in order of id, some thousand in a link.

A link's hash takes in that of the link before, so that no row can be changed, put between or taken away without every later link
changing with it. The digests of its rows prove nothing; they name the row.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, Text, cast, func, select

from worker.store.bulk import Tx
from worker.store.columns import Instant
from worker.store.tables import actions, approvals, case_history, chain_links, evidence_looks, inbox, postings

CHAINED: dict[Table, tuple[str, ...]] = {
    postings: ("id", "key", "kind", "source", "destination", "credits", "purchase_id", "job_id", "case_id", "at"),
    case_history: ("id", "case_id", "at", "event", "by", "detail"),
    actions: ("id", "at", "by", "action", "subject", "reason"),
    approvals: ("id", "case_id", "at", "by", "choice", "credits", "minor_units", "currency"),
    evidence_looks: ("id", "evidence_id", "at", "by", "reason"),
    # the text by its hash, which the audit holds against it
    inbox: ("id", "source", "event_id", "type", "account_id", "job_id", "sha256"),
}
"""The tables with the columns that are hashed, in this order. One that comes later is not among them: old links stay right.
Of the inbox those that say what came in; how far it is handled changes.
"""
_ENTRY = struct.Struct(">q8s")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as a link holds them: by id, each with its digest."""

    digests: tuple[tuple[int, bytes], ...]

    def hash_after(self, before: str) -> str:
        """The hash of a link with these rows that follows one with the hash `before`."""
        whole = sha256(bytes.fromhex(before))
        for row_id, digest in self.digests:
            whole.update(row_id.to_bytes(8, "big") + digest)
        return whole.hexdigest()

    def packed(self) -> bytes:
        """The ids with the beginnings of their digests."""
        return b"".join(_ENTRY.pack(row_id, digest[:8]) for row_id, digest in self.digests)


def beginning(name: str) -> str:
    """The hash that the first link of a chain follows."""
    return sha256(name.encode()).hexdigest()


def rows_of(tx: Tx, table: Table, after: int, last: int) -> Rows:
    """The rows with ids above `after` up to `last`."""
    chosen = select(table.c.id, _digest(tx, table).label("digest")).where(table.c.id > after, table.c.id <= last)
    return Rows(tuple((int(row.id), bytes(row.digest)) for row in tx.all(chosen.order_by(table.c.id))))


def end_of(tx: Tx, table: Table, after: int, last: int, most: int) -> int:
    """The id up to which there are at most so many rows above `after`; `last` where there are fewer."""
    # by ids alone: with the digests in it a plan may make those of all rows first
    reached = select(table.c.id).where(table.c.id > after, table.c.id <= last).order_by(table.c.id).offset(most - 1).limit(1)
    found = tx.first(reached)
    return last if found is None else int(found.id)


def links_of(tx: Tx, name: str, *, after: int, most: int) -> Sequence[Row[Any]]:
    """The links of a chain with numbers above `after`, at most so many."""
    c = chain_links.c
    return tx.all(select(chain_links).where(c.name == name, c.number > after).order_by(c.number).limit(most))


def last_link(tx: Tx, name: str) -> Row[Any] | None:
    """The link that a chain ends with."""
    c = chain_links.c
    return tx.first(select(chain_links).where(c.name == name).order_by(c.number.desc()).limit(1))


def differing(packed: bytes, rows: Rows) -> str | None:
    """In words, the first row that is not what a link with these digests was made of; None where none is."""
    was, stands = dict(_ENTRY.iter_unpack(packed)), {row_id: digest[:8] for row_id, digest in rows.digests}
    for row_id in sorted(was.keys() | stands.keys()):
        if row_id not in stands:
            return f"row {row_id} is gone"
        if row_id not in was:
            return f"row {row_id} was put in"
        if was[row_id] != stands[row_id]:
            return f"row {row_id} was changed"
    return None


def _digest(tx: Tx, table: Table) -> ColumnElement[bytes]:
    """SHA-256 over the row as a JSON array, made where the row is: a third of the time that Python takes."""
    columns: list[ColumnElement[Any]] = [table.c[name] for name in CHAINED[table]]
    if not tx.postgres:
        return func.sha256(func.json_array(*columns))
    # times as they are in UTC, whatever zone a session was given
    columns = [func.timezone("UTC", column) if isinstance(column.type, Instant) else column for column in columns]
    return func.sha256(func.convert_to(cast(func.jsonb_build_array(*columns), Text), "UTF8"))
