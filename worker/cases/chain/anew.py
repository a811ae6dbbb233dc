"""The chain over a book that came from the other engine: its rows are the same, and each engine writes a row in its own way."""

from sqlalchemy import Table, delete, update

from worker.cases.chain.chainer import TELLING
from worker.cases.chain.links import CHAINED, beginning, links_of, rows_of
from worker.store.bulk import Tx
from worker.store.tables import chain_links, leases

CHUNK = 100


def chain_anew(tx: Tx) -> None:
    """Every link holds the same rows as before, by the digests of this engine; the new heads are told with the next turn."""
    for table in CHAINED:
        _again(tx, table)
    tx.connection.execute(delete(leases).where(leases.c.name == TELLING))


def forget_transactions(tx: Tx) -> None:
    """What a link waits for are transactions of the server that it was made on, all of which have ended."""
    tx.connection.execute(update(chain_links).values(horizon=None))


def _again(tx: Tx, table: Table) -> None:
    c, before, number, ends = chain_links.c, beginning(table.name), -1, 0
    while links := links_of(tx, table.name, after=number, most=CHUNK):
        for link in links:
            rows = rows_of(tx, table, ends, link.last_id)
            before = rows.hash_after(before) if number >= 0 else before
            this = c.name == table.name, c.number == link.number
            tx.connection.execute(update(chain_links).where(*this).values(hash=before, digests=rows.packed()))
            number, ends = link.number, link.last_id
