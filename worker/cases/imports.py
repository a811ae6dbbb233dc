"""Product history taken in (contract.md, "Import records").

A record becomes an inbox row like any event and is handled by the same step, so a failed job in the history gets its case and its
credits by the same rules. A row's identity is its content: importing a file twice changes nothing, importing a newer export
brings what is new.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from worker.cases.assess import Assessed, Assessor
from worker.cases.news import IMPORT_SOURCE
from worker.clock import Clock
from worker.intake.records import AccountRecord, JobRecord, PurchaseRecord
from worker.store import inbox as inbox_rows
from worker.store.engine import Store
from worker.store.tables import dead_letters, inbox

Known = AccountRecord | PurchaseRecord | JobRecord


@dataclass(frozen=True, slots=True)
class Imported:
    """What one import did: records by kind, how many were known already, what the step made of the new ones."""

    records: dict[str, int]
    repeated: int
    assessed: Assessed
    refused: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Importer:
    """The import step with its collaborators."""

    store: Store
    assessor: Assessor
    clock: Clock

    def take(self, records: Iterable[Known], progress: Callable[[int], None]) -> Imported:
        """Makes every record durable, handles them all, and returns what came of it; `progress` hears how many more are done."""
        kinds: Counter[str] = Counter()
        repeated, done = 0, Assessed()
        ids: list[int] = []
        for chunk in _chunks(records, self.assessor.batch):
            new = self._store(chunk)
            kinds.update(record.key.partition(":")[0] for record in chunk)
            repeated += len(chunk) - len(new)
            ids += new
            while new:
                turn = self.assessor.assess(new)
                done += turn
                new = self._unhandled(new)
                if not turn.busy:
                    break  # another process holds them and will handle them
            progress(len(chunk))
        return Imported(dict(kinds), repeated, done, self._refused(ids))

    def _store(self, chunk: Sequence[Known]) -> list[int]:
        now = self.clock.now()
        rows = {
            (record.key, record.sha256): inbox_rows.new_row(
                source=IMPORT_SOURCE,
                event_id=f"{record.key}:{record.sha256}",
                type=f"import.{record.key.partition(':')[0]}",
                account_id=record.id if isinstance(record, AccountRecord) else record.account_id,
                job_id=record.id if isinstance(record, JobRecord) else None,
                raw=record.raw,
                sha256=record.sha256,
                received_at=now,
            )
            for record in chunk
        }
        return sorted(self.store.write(lambda tx: inbox_rows.insert(tx, list(rows.values()))).values())

    def _unhandled(self, ids: Sequence[int]) -> list[int]:
        left = self.store.read(
            lambda tx: tx.all(select(inbox.c.id).where(tx.among(inbox.c.id, ids), inbox.c.state == "new").order_by(inbox.c.id))
        )
        return [row.id for row in left]

    def _refused(self, ids: Sequence[int]) -> list[tuple[str, str]]:
        if not ids:
            return []
        rows = self.store.read(
            lambda tx: tx.all(
                select(inbox.c.event_id, dead_letters.c.detail)
                .join(dead_letters, dead_letters.c.inbox_id == inbox.c.id)
                .where(tx.among(inbox.c.id, ids), dead_letters.c.state == "open")
                .order_by(inbox.c.id)
            )
        )
        return [(row.event_id.rpartition(":")[0], row.detail) for row in rows]


def _chunks(records: Iterable[Known], size: int) -> Iterable[list[Known]]:
    chunk: list[Known] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
