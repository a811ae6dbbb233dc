"""Stream entries become inbox rows or dead letters, durably, before anybody acknowledges them."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from worker.clock import Clock
from worker.intake.entry import Entry
from worker.intake.signature import Producers
from worker.intake.wire import Event
from worker.store import inbox
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.strict import Malformed

_KEPT = "surrogateescape"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One new inbox row."""

    inbox_id: int
    event_id: str
    job_id: str | None
    event: Event | None = None
    """What it says, where that was read just now."""
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What entries say, by identity, and a letter for each that says nothing."""

    events: dict[tuple[str, str], tuple[Entry, Event]]
    letters: list[Record]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where entries are taken in, whatever their number in one transaction."""

    store: Store
    clock: Clock
    producers: Producers = field(default_factory=Producers)

    def accept(self, entries: Sequence[Entry]) -> list[Accepted]:
        """Makes every entry durable, as an inbox row or as a dead letter with its reason and its original bytes; returns
        the new rows.
        """
        reading = self.read(entries)
        return self.store.write(lambda tx: self._commit(tx, reading))

    def take_in(self, tx: Tx, reading: Reading, left: Set[str]) -> list[Accepted]:
        """Makes every entry durable within the transaction of a caller who handles the new rows in it: they stand as handled,
        but not those of accounts that are `left` for later.
        """
        return self._commit(tx, reading, handled=True, left=left)

    def read(self, entries: Sequence[Entry]) -> Reading:
        """What the entries say, each event once."""
        now = self.clock.now()
        events: dict[tuple[str, str], tuple[Entry, Event]] = {}
        letters: list[Record] = []
        for entry in entries:
            try:
                event = self.producers.read(entry, now)
                first = events.setdefault((event.source, event.id), (entry, event))
                if not _same(first[1].raw, event.raw):
                    raise _conflict(event, first[1].sha256)
            except Malformed as fault:
                letters.append(self._letter(entry, fault))
        return Reading(events, letters)

    def _commit(self, tx: Tx, reading: Reading, *, handled: bool = False, left: Set[str] = frozenset()) -> list[Accepted]:
        now, events = self.clock.now(), reading.events
        rows = [
            row_of(event, entry.stream_id, now, handled=handled and event.account_id not in left)
            for entry, event in events.values()
        ]
        ids = inbox.insert(tx, rows)
        stood = inbox.same_identity(tx, [identity for identity in events if identity not in ids])
        letters = list(reading.letters)
        for identity, row in stood.items():
            entry, event = events[identity]
            if row.sha256 != event.sha256 and not _same(row.raw, event.raw):
                # the first stays; a second, different document under its name is never taken for a repeat
                letters.append(self._letter(entry, _conflict(event, row.sha256)))
        inbox.bury(tx, letters)
        new = ((row_id, events[identity][1]) for identity, row_id in ids.items())
        return [Accepted(row_id, event.id, event.job_id, event, now) for row_id, event in new]

    def _letter(self, entry: Entry, fault: Malformed) -> Record:
        raw = entry.raw if entry.raw is not None else _as_they_came(entry.fields)
        now = self.clock.now()
        return inbox.new_letter(
            key=f"stream:{entry.stream_id}", reason=fault.reason, detail=fault.detail, raw=raw, received_at=now, now=now
        )


def _as_they_came(fields: Mapping[bytes, bytes]) -> bytes:
    """The fields of an entry that has no event, as a JSON object: bytes that are not UTF-8 are lone surrogates, from which they
    can be had again.
    """
    return json.dumps({name.decode(errors=_KEPT): value.decode(errors=_KEPT) for name, value in fields.items()}).encode()


def row_of(event: Event, stream_id: str, now: datetime, *, handled: bool = False) -> Record:
    """The inbox row of an event that came in as this stream entry."""
    return inbox.new_row(
        source=event.source,
        event_id=event.id,
        type=event.type,
        account_id=event.account_id,
        job_id=event.job_id,
        raw=event.raw,
        sha256=event.sha256,
        stream_id=stream_id,
        occurred_at=event.time,
        received_at=now,
        handled=handled,
    )


def _same(one: str, other: str) -> bool:
    # key order and white space are the producer's business, not another content
    return one == other or bool(json.loads(one) == json.loads(other))


def _conflict(event: Event, sha256: str) -> Malformed:
    return Malformed(
        "conflicting_content",
        f"event {event.id} of {event.source} is already known with other content "
        f"(first {sha256[:12]}, this {event.sha256[:12]}); the first stays. A new fact needs a new id",
    )
