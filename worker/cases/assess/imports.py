"""Product history taken in (contract.md, "Import records").

A record becomes an inbox row like any event and is handled by the same step, so a failed job in the history gets its case and its
credits by the same rules. A row's identity is its content: importing a file twice changes nothing, importing a newer export
brings what is new, and what was refused is refused again for as long as its dead letter is open. Purchases and jobs never
change back; an account may, so the row of one that the books no longer show as the file says is handled once more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Row, Select, select

from policy.facts import AccountStatus
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import Assessor
from worker.cases.book.news import IMPORT_SOURCE
from worker.clock import Clock
from worker.intake.records import AccountRecord, JobRecord, PurchaseRecord
from worker.store import inbox as inbox_rows
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import accounts, dead_letters, inbox

Known = AccountRecord | PurchaseRecord | JobRecord


@dataclass(frozen=True, slots=True)
class Imported:
    """What one import did: records by kind that the books have now, how many of these were known already, what the step made of
    the others, what stands in the dead letters instead, each with what is wrong with it, and the accounts that the file calls
    active and that stay suspended, because two people suspended them here.
    """

    records: dict[str, int]
    repeated: int
    assessed: Assessed
    refused: list[tuple[str, str]]
    stay_suspended: list[str]


@dataclass(frozen=True, slots=True)
class Importer:
    """The import step with its collaborators."""

    store: Store
    assessor: Assessor
    clock: Clock

    def take(self, records: Iterable[Known], progress: Callable[[int], None]) -> Imported:
        """Makes every record durable, handles them all, and returns what came of it; `progress` hears how many more are done.

        The records are gone through twice and are never held, however many they are; what going through them raises the first
        time changes nothing.
        """
        last = {record.id: place for place, record in enumerate(records) if isinstance(record, AccountRecord)}
        kinds: Counter[str] = Counter()
        repeated, done = 0, Assessed()
        refused = dict[str, tuple[str, str]]()
        stay: list[str] = []
        for begin, chunk in _chunks(records, self.assessor.batch):
            changed = self._store(chunk)
            self._handle(changed.values(), done)
            # after what the same file says of it before its last line
            final = [a for place, a in enumerate(chunk, begin) if isinstance(a, AccountRecord) and last[a.id] == place]
            again = self._told_again(final)
            self._handle(again.values(), done)
            changed |= again
            stay += self._stay_suspended(final)
            letters = self._letters(chunk)
            taken = [record for record in chunk if _identity(record) not in letters]
            kinds.update(_kind(record) for record in taken)
            repeated += len(taken) - len(changed.keys() & {_identity(record) for record in taken})
            refused |= letters
            progress(len(chunk))
        return Imported(dict(kinds), repeated, done, list(refused.values()), stay)

    def _store(self, chunk: Sequence[Known]) -> dict[str, int]:
        """Adds what is new; returns the ids of the added rows by identity."""
        now = self.clock.now()
        rows = {
            _identity(record): inbox_rows.new_row(
                source=IMPORT_SOURCE,
                event_id=_identity(record),
                type=f"import.{_kind(record)}",
                account_id=record.id if isinstance(record, AccountRecord) else record.account_id,
                job_id=record.id if isinstance(record, JobRecord) else None,
                raw=record.raw,
                sha256=record.sha256,
                received_at=now,
            )
            for record in chunk
        }
        added = self.store.write(lambda tx: inbox_rows.insert(tx, list(rows.values())))
        return {identity: id for (_, identity), id in added.items()}

    def _handle(self, ids: Iterable[int], done: Assessed) -> None:
        left = sorted(ids)
        while left:
            turn = self.assessor.assess(left)
            done += turn
            left = self._unhandled(left)
            if not turn.busy:
                break  # another process holds them and will handle them

    def _unhandled(self, ids: Sequence[int]) -> list[int]:
        left = self.store.read(
            lambda tx: tx.all(select(inbox.c.id).where(tx.among(inbox.c.id, ids), inbox.c.state == "new").order_by(inbox.c.id))
        )
        return [row.id for row in left]

    def _told_again(self, said: Sequence[AccountRecord]) -> dict[str, int]:
        """Makes the handled rows of accounts that the books show otherwise due once more; returns their ids by identity."""
        if not said:
            return {}
        now = self.clock.now()

        def put_back(tx: Tx) -> dict[str, int]:
            books = {
                row.account_id: row
                for row in tx.all(select(accounts).where(tx.among(accounts.c.account_id, [record.id for record in said])))
            }
            differ = [_identity(record) for record in said if record.id in books and not _shows(books[record.id], record)]
            if not differ:
                return {}
            rows = {row.id: row.event_id for row in tx.all(_rows_of(tx, differ))}
            return {rows[id]: id for id in inbox_rows.tell_again(tx, list(rows), now)}

        return self.store.write(put_back)

    def _stay_suspended(self, said: Sequence[AccountRecord]) -> list[str]:
        """Which of these accounts are called active and stay as people here left them."""
        active = [record.id for record in said if record.status is AccountStatus.ACTIVE]
        if not active:
            return []
        a = accounts.c
        here = select(a.account_id).where(a.suspended_here, a.status == AccountStatus.SUSPENDED.value).order_by(a.account_id)
        return [row.account_id for row in self.store.read(lambda tx: tx.all(here.where(tx.among(a.account_id, active))))]

    def _letters(self, chunk: Sequence[Known]) -> dict[str, tuple[str, str]]:
        """The open dead letters of these records, whenever they were imported: key and problem by identity."""
        keys = {_identity(record): record.key for record in chunk}

        def ask(tx: Tx) -> dict[str, tuple[str, str]]:
            dead = {row.id: row.event_id for row in tx.all(_rows_of(tx, keys).where(inbox.c.state == "dead"))}
            if not dead:
                return {}
            names = [inbox_rows.letter_key(id) for id in dead]
            letters = tx.all(
                select(dead_letters.c.inbox_id, dead_letters.c.detail)
                .where(tx.among(dead_letters.c.key, names), dead_letters.c.state == "open")
                .order_by(dead_letters.c.inbox_id)
            )
            return {dead[row.inbox_id]: (keys[dead[row.inbox_id]], row.detail) for row in letters}

        return self.store.read(ask)


def _identity(record: Known) -> str:
    return f"{record.key}:{record.sha256}"


def _kind(record: Known) -> str:
    return record.key.partition(":")[0]


def _rows_of(tx: Tx, identities: Iterable[str]) -> Select[Any]:
    return select(inbox.c.id, inbox.c.event_id).where(inbox.c.source == IMPORT_SOURCE, tx.among(inbox.c.event_id, identities))


def _shows(account: Row[Any], said: AccountRecord) -> bool:
    """True where taking the record in would change nothing."""
    stays = account.suspended_here and said.status is AccountStatus.ACTIVE
    return bool(account.known and account.email == said.email and (stays or account.status == said.status.value))


def _chunks(records: Iterable[Known], size: int) -> Iterator[tuple[int, list[Known]]]:
    """So many records at a time, each time with how many came before."""
    left, begin = iter(records), 0
    while chunk := list(islice(left, size)):
        yield begin, chunk
        begin += len(chunk)
