"""What was to be seen of claims and of events while processes were at work on them: every commit that changed one, every read
and every call that arrived at Creem, every acknowledgement, in order. All of it has to be a way of the models.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fakeredis
from sqlalchemy import Connection, event

from tests.models import intake, refund
from tests.models.search import Followed, SetBack, follow
from tests.money.between import PassesOn
from worker.creem.answers import Answer
from worker.creem.client import Armed, Creem
from worker.creem.transactions import Transaction
from worker.intake.stream import as_text
from worker.sandbox.creem import CreemDouble
from worker.store.engine import Store

REFUND = refund.Refund(calls=1_000, witnesses=frozenset({"journal", "redis"}), followed=True)
"""Two processes that may overtake each other, with both witnesses, at a provider of which anything may be expected."""
INTAKE = intake.Intake(most=5, followed=True)
"""As `tests.cases.world` has it."""
CLAIMS = "select transaction_id, state, next_step, attempts, closed_at from payments"
EVENTS = "select source, event_id, state, attempts from inbox where stream_id is not null"
CHANGES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) (\w+)\b", re.IGNORECASE)
Ways = dict[Hashable, list[Hashable]]
"""What was seen of each, first to last."""


def strange(model: Followed[Any], ways: Mapping[Hashable, list[Hashable]]) -> Iterator[str]:
    """Each way that is none of the model's, in words."""
    for name, way in ways.items():
        if (shown := follow(model, way)) < len(way):
            yield f"no way of the model: {name} {way[max(0, shown - 3) : shown]}, then {way[shown]}"


@lru_cache(1024)
def changed(statement: str) -> Mapping[str, bool]:
    """The tables whose rows the statement changes, each with whether by taking rows away."""
    found: dict[str, bool] = {}
    for how, table in CHANGES.findall(statement):
        found[table] = found.get(table, False) or how.upper() == "DELETE FROM"
    return found


class Commits:
    """Listens to what commits make of the rows of one table, until it is closed."""

    def __init__(self, store: Store, table: str, ask: str, read: Callable[..., tuple[Hashable, Hashable]]) -> None:
        """`read` makes of what was asked for the name of a row and what is looked at."""
        self.ways: defaultdict[Hashable, list[Hashable]] = defaultdict(list)
        self._engine, self._table, self._ask, self._read = store.engine, table, ask, read
        self._rows: dict[Hashable, Hashable] = {}
        self._touched: dict[Connection, bool] = {}
        """The units of work that touched the table, and whether by taking rows away, as only a restore does."""
        self._heard: dict[str, Callable[..., None]] = {
            "after_cursor_execute": self._execute,
            "commit": self._commit,
            "rollback": self._rollback,
        }
        for name, hears in self._heard.items():
            event.listen(self._engine, name, hears)

    def close(self) -> None:
        """Listens no more."""
        for name, hears in self._heard.items():
            event.remove(self._engine, name, hears)

    def _execute(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        takes_away = changed(statement).get(self._table)
        if takes_away is not None:
            self._touched[connection] = self._touched.get(connection, False) or takes_away

    def _rollback(self, connection: Connection) -> None:
        self._touched.pop(connection, None)

    def _commit(self, connection: Connection) -> None:
        set_back = self._touched.pop(connection, None)
        if set_back is None:
            return
        cursor = connection.connection.cursor()
        cursor.execute(self._ask)
        rows = dict(self._read(*row) for row in cursor.fetchall())
        cursor.close()
        # those that are gone come before those that are new
        for name in self._rows | rows:
            row, was = rows.get(name), self._rows.get(name)
            if set_back:
                self.ways[name].append(SetBack(row))
            elif row is not None and row != was:
                self.ways[name].append(row)
        self._rows = rows


def _claim(of: str, state: str, step: str, attempts: int, closed_at: Any) -> tuple[Hashable, Hashable]:
    return of, refund.Row(state, step, attempts, closed_at is not None)


def _event(source: str, event_id: str, state: str, attempts: int) -> tuple[Hashable, Hashable]:
    return (source, event_id), intake.Row(state, attempts)


class Refunds(Commits):
    """The ways of claims, by transaction."""

    def __init__(self, store: Store, double: CreemDouble) -> None:
        super().__init__(store, "payments", CLAIMS, _claim)
        self._double = double

    def between(self, creem: Creem) -> Creem:
        """The same Creem, listened to."""
        return _HeardCreem(creem, self)

    def read(self, transaction_id: str, seen: Transaction | None) -> None:
        """Somebody read this of the charge."""
        shown = seen is not None and seen.id == transaction_id and seen.refunded_whole
        self.ways[transaction_id].append(refund.Read(shown))

    def called(self) -> None:
        """Somebody called: what arrived of it is kept."""
        for of, way in self.ways.items():
            way += [refund.Call()] * (self._double.posts(str(of)) - way.count(refund.Call()))

    def strange(self) -> Iterator[str]:
        """Each way that is none of the model's, in words."""
        return strange(REFUND, self.ways)


@dataclass
class _HeardCreem(PassesOn):
    ways: Refunds

    def transaction(self, transaction_id: str) -> Transaction | None:
        seen = super().transaction(transaction_id)
        self.ways.read(transaction_id, seen)
        return seen

    def refund(self, armed: Armed) -> Answer:
        try:
            return self.inner.refund(armed)
        finally:
            self.ways.called()


class Events(Commits):
    """The ways of events that came by the stream, by source and id."""

    def __init__(self, store: Store, redis: "HeardRedis") -> None:
        super().__init__(store, "inbox", EVENTS, _event)
        redis.ways = self
        self._entries: dict[str, Hashable] = {}

    def added(self, entry_id: str, document: str) -> None:
        """A producer put this on the stream."""
        try:
            said = json.loads(document)
            self._entries[entry_id] = said["source"], said["id"]
        except (ValueError, KeyError, TypeError):
            return  # a dead letter, which is no row

    def acknowledged(self, entry_id: str) -> None:
        """Nobody gets this entry any more."""
        if entry_id in self._entries:
            self.ways[self._entries[entry_id]].append(intake.Acknowledged())

    def strange(self) -> Iterator[str]:
        """Each way that is none of the model's, in words."""
        return strange(INTAKE, self.ways)


class HeardRedis(fakeredis.FakeRedis):
    """A Redis whose acknowledgements are heard."""

    ways: Events | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        whole: Callable[..., Any] = super().execute_command
        if args[0] != "XACK" or self.ways is None:
            return whole(*args, **options)
        _, stream, group, *ids = args
        held = [one for one in ids if whole("XPENDING", stream, group, one, one, 1, parse_detail=True)]
        reply = whole(*args, **options)
        for one in held:
            self.ways.acknowledged(as_text(one))
        return reply
