"""How far the database has come, and who outside it remembers: a database set back to a backup knows less than its witnesses.

A counter in the database rises with every call that is armed, and now and then by itself. Redis and the claim journal remember
how high it was. Where the database stands lower than either, or has a history and no witness knows of it, money stops until a
person lifts the stop (failure-modes.md, K1, K2, O2, O5). Credits go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis as redis_py
from sqlalchemy import select, update

from worker.cases.money import limits
from worker.cases.money.journal import Armed, Journal, Key
from worker.clock import Clock, Every
from worker.errors import TryLater, one_line
from worker.observe import log
from worker.store.breakers import closed_to
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import epochs

MONEY = "money"
RISES_EVERY = timedelta(minutes=10)
"""Without any call armed: a restore that lost no call still lost disputes, decisions and events."""
LOOK_SECONDS = 30.0
STOPPED, UNASKED = timedelta(hours=1), timedelta(minutes=5)
"""When a claim asks again; the lift of a stop wakes it at once."""
MEMBER = "mark"
# what every turn at the claims asks, built once
_STANDS = select(epochs.c.mark).where(epochs.c.name == MONEY)
_RISEN = select(epochs.c.mark, epochs.c.risen_at).where(epochs.c.name == MONEY, epochs.c.mark > 0)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the witnesses remember, asked before the database is."""

    stood: int
    """How high the database stood before they were asked: of what it rose since, as others pay, they need not know."""
    redis: int | None = None
    redis_away: str | None = None
    """Why Redis could not be asked."""
    journal: int | None = None

    @property
    def highest(self) -> int | None:
        """The highest mark that any of them remembers; None where none does."""
        return max((mark for mark in (self.redis, self.journal) if mark is not None), default=None)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who remembers outside the database. Without any of them nothing is checked: tests of other things run so."""

    journal: Journal | None = None
    redis: redis_py.Redis | None = None
    name: str = "refunds:epoch"
    """The key in Redis."""

    @property
    def any(self) -> bool:
        """True where there is anybody to ask."""
        return self.journal is not None or self.redis is not None

    def ask(self, store: Store) -> Remembered:
        """What they remember now. Raises `TryLater` where the journal cannot be read."""
        return self._asked(store, _all_read)

    def show(self, store: Store) -> Remembered:
        """The same for who only shows it: of the journal the ends of its files are read, and nothing is kept in memory."""
        return self._asked(store, Journal.glance)

    def _asked(self, store: Store, mark_in: Callable[[Journal], int | None]) -> Remembered:
        stood, mark, away = store.read(mark_of), None, None
        if self.redis is not None:
            try:
                score: Any = self.redis.zscore(self.name, MEMBER)
                mark = None if score is None else int(score)
            except (redis_py.RedisError, OSError) as error:
                away = one_line(error)
        return Remembered(stood, mark, away, None if self.journal is None else mark_in(self.journal))

    def tell(self, mark: int) -> str | None:
        """Lets Redis remember a mark that is committed; why it could not, else None. A lower mark never replaces a higher."""
        if self.redis is None:
            return None
        try:
            self.redis.zadd(self.name, {MEMBER: mark}, gt=True)
            return None
        except (redis_py.RedisError, OSError) as error:
            return one_line(error)

    def calls(self, key: Key) -> Sequence[Armed]:
        """The calls that the journal knows for a charge, first to last, those of this moment included."""
        if self.journal is None:
            return ()
        self.journal.look()
        return self.journal.calls(key)

    def begins_call(self, key: Key) -> None:
        """The call for this charge that was armed last may leave from here on."""
        if self.journal is not None:
            self.journal.begins_call(key)

    def not_begun(self, key: Key) -> Sequence[Armed]:
        """The calls for this charge that this process armed and never sent, as far as a journal has them."""
        return () if self.journal is None else self.journal.not_begun(key)


def _all_read(journal: Journal) -> int | None:
    journal.look()
    return journal.reached


def mark_of(tx: Tx) -> int:
    """How high the database has risen; 0 where no call was ever armed."""
    row = tx.first(_STANDS)
    return int(row.mark) if row else 0


def rise(tx: Tx, now: datetime, *, above: int = 0) -> int:
    """The next mark, also above that one; everybody else who wants to rise waits for this transaction."""
    tx.insert_absent(epochs, [{"name": MONEY, "mark": 0, "risen_at": now}])
    stands = tx.one(_STANDS.with_for_update())
    mark = max(int(stands.mark), above) + 1
    tx.connection.execute(update(epochs).where(epochs.c.name == MONEY).values(mark=mark, risen_at=now))
    return mark


def behind(mark: int, remembered: Remembered) -> str | None:
    """In words, how the database at this mark knows less than the witnesses, or has a history that none of them bears out; None
    where all is well or nobody can be asked (`unasked`).
    """
    highest = remembered.highest
    if highest is not None and highest > mark:
        who = "the claim journal" if highest == remembered.journal else "Redis"
        return f"the database stands at mark {mark}, {who} remembers {highest}: it was set back, and calls may have been lost"
    if vouched(remembered) or remembered.redis_away is not None:
        return None
    knows = "no witness remembers it" if highest is None else f"the witnesses remember no more than {highest}"
    return f"the database stood at mark {remembered.stood} and {knows}: database and witnesses may have been set back together"


def unasked(remembered: Remembered) -> str | None:
    """In words, that nobody can say whether the database was set back, and why; None where somebody can."""
    if remembered.redis_away is None or vouched(remembered):
        return None
    return f"no witness can be asked whether the database was set back: {remembered.redis_away}"


def vouched(remembered: Remembered) -> bool:
    """True where a witness remembers how far the database had come, or it had no history that could be lost.

    One less will do: a process may die between the commit and telling, and the journal is written before the commit.
    """
    return not remembered.stood or (remembered.highest is not None and remembered.highest >= remembered.stood - 1)


def held_back(tx: Tx, remembered: Remembered, now: datetime) -> tuple[str, datetime] | None:
    """Why no call may be armed as far as the epoch goes, and when to ask again; None where it may.

    What is found wrong stops money for everybody.
    """
    stopped = closed_to(tx, [limits.RESTORE], now)
    if stopped is not None:
        return stopped[0], min(stopped[1], now + STOPPED)
    mark = mark_of(tx)
    why = behind(mark, remembered)
    if why is not None:
        stop(tx, why, now)
        return why, now + STOPPED
    nobody = unasked(remembered)
    return None if nobody is None else (nobody, now + UNASKED)


def stop(tx: Tx, why: str, now: datetime) -> None:
    """Money stops for everybody until a person lifts it, as after a restore."""
    limits.open_until(tx, limits.RESTORE, limits.FOR_EVER, f"{why}; see `refunds restore check`", needs_person=True)
    tx.insert_absent(epochs, [{"name": MONEY, "mark": 0, "risen_at": now}])
    tx.connection.execute(update(epochs).where(epochs.c.name == MONEY).values(stopped_at=now))


class Watch:
    """Looks, when a process begins to pay and now and then, whether the database was set back, and lets the mark rise once a
    witness remembers where it stands.
    """

    def __init__(self, store: Store, witnesses: Witnesses, clock: Clock) -> None:
        self._store, self._witnesses, self._clock = store, witnesses, clock
        self._due = Every(LOOK_SECONDS)

    def look(self) -> None:
        """At most every half minute. A database in which no call was ever armed has nothing to be set back from."""
        if not self._due.due():
            return
        now = self._clock.now()
        try:
            remembered = self._witnesses.ask(self._store)
        except TryLater as error:
            # what waits for a proof goes on being read; nothing is armed meanwhile
            log.warning("epoch.journal_away", error=str(error))
            return
        mark = self._store.write(lambda tx: self._rise(tx, remembered, now))
        if mark is None:
            return
        journal = self._witnesses.journal
        try:
            if journal is not None:
                journal.add(mark, now)
        except TryLater as error:
            # no call is armed without it: this is only the mark, which Redis may remember meanwhile
            log.warning("epoch.journal_away", error=str(error))
        self._witnesses.tell(mark)

    @staticmethod
    def _rise(tx: Tx, remembered: Remembered, now: datetime) -> int | None:
        if held_back(tx, remembered, now) is not None:
            return None
        row = tx.first(_RISEN)
        if row is None:
            return None
        mark = int(row.mark)
        if (remembered.highest or 0) < mark:
            # nobody could be told of it, or whoever raised it died: one more, and it would seem that the witnesses were set back
            return mark
        return rise(tx, now) if row.risen_at <= now - RISES_EVERY else None
