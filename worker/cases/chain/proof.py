"""The proof of the chain: every link follows from its rows and the link before, and the heads kept outside are among them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Table, select

from worker.cases.audit.audit import NAMED, STATEMENT_SECONDS, Audit
from worker.cases.chain.heads import Kept
from worker.cases.chain.links import CHAINED, Rows, beginning, differing, links_of, rows_of
from worker.clock import moment
from worker.store.bulk import Tx
from worker.store.tables import chain_links

CHECK = "nothing_altered"
CHUNK = 100


def audit_chain(
    tx: Tx, audit: Audit, kept: Sequence[Kept], progress: Callable[[str, int, int], None] = lambda check, done, total: None
) -> None:
    """No chained row was changed, put in or taken away, and nothing that was told outside is missing or another."""
    tx.limit("statement_timeout", STATEMENT_SECONDS)
    audit.checked |= {"chain_links": 0, "chained_rows": 0, "chain_heads": len(kept)}
    for done, table in enumerate(CHAINED):
        progress(f"chain of {table.name}", done, len(CHAINED))
        _prove(tx, audit, table)
    for each, problem in strangers(tx, kept)[:NAMED]:
        audit.breach(CHECK, f"{each.head.name} link {each.head.number}", problem)


def strangers(tx: Tx, kept: Sequence[Kept]) -> list[tuple[Kept, str]]:
    """The heads kept outside that are not in the database, and in words how."""
    c, heads = chain_links.c, [each.head for each in kept]
    named = tx.among(c.name, {head.name for head in heads}), tx.among(c.number, {head.number for head in heads})
    rows = tx.all(select(c.name, c.number, c.hash).where(*named))
    hashes = {(row.name, row.number): row.hash for row in rows}
    return [(each, why) for each in kept if (why := _stranger(each, hashes)) is not None]


def _stranger(kept: Kept, hashes: Mapping[tuple[str, int], str]) -> str | None:
    head = kept.head
    found = hashes.get((head.name, head.number))
    if found is None:
        return f"ended the chain at {kept.at}, with rows up to {head.last_id}, and is missing: was the database set back?"
    if found != head.hash:
        became = f"was {head.hash[:12]} at {kept.at}, with rows up to {head.last_id}, and is {found[:12]}"
        return f"{became}: the chain was made anew, or the database set back"
    return None


def _prove(tx: Tx, audit: Audit, table: Table) -> None:
    before, number, ends, named = beginning(table.name), -1, 0, 0
    while links := links_of(tx, table.name, after=number, most=CHUNK):
        for link in links:
            rows = rows_of(tx, table, ends, link.last_id)
            problem = _fault(link, rows, before, number)
            if problem is not None and named < NAMED:
                audit.breach(CHECK, f"{table.name} link {link.number}", problem)
                named += 1
            audit.checked["chain_links"] += 1
            audit.checked["chained_rows"] += len(rows.digests)
            before, number, ends = link.hash, link.number, link.last_id


def _fault(link: Row[Any], rows: Rows, before: str, number: int) -> str | None:
    if link.number != number + 1:
        return f"follows link {number}: those between are gone"
    if link.hash == (rows.hash_after(before) if number >= 0 else before):
        return None
    since = f"after it was chained at {moment(link.at)}"
    found = differing(bytes(link.digests), rows)
    return f"{found} {since}" if found is not None else f"does not follow from link {number}: the chain was altered {since}"
