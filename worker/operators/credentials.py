"""Is that the password? Asked at sign-in and again before money moves, with waits that grow while it is not."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from sqlalchemy import Row, delete, select, update

from worker.clock import Clock, growing
from worker.errors import TryLater
from worker.operators.operators import SHARED, Operators
from worker.operators.passwords import AT_ONCE, PATIENCE, hashed, matches, unmatched
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import sign_ins

LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)
_tries = threading.BoundedSemaphore(AT_ONCE)
"""Each has a connection while its password is looked at: a flood of them must leave others some."""


class TooSoon(Exception):
    """Somebody has to wait before the next try; nothing was checked."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Credentials:
    """Names and their passwords. A name nobody has costs the same time, and gets the same answer, as a wrong password."""

    store: Store
    clock: Clock
    operators: Operators
    shared: str | None = field(repr=False)
    """The hash of the shared password, None where none is set."""
    nobody: str
    """A hash that no password matches."""

    @classmethod
    def of(cls, store: Store, clock: Clock, operators: Operators, password: str | None) -> "Credentials":
        """Credentials with this shared password."""
        return cls(store, clock, operators, None if password is None else hashed(password), unmatched())

    def hold(self, name: str, password: str, address: str) -> bool:
        """True when the password is the name's; that clears the count of failures, and anything else adds to it.

        Tries of a name or of an address are looked at one after another: many at once gain nothing, and a right one that is sent
        twice, as by a double click, waits for itself and not as after a wrong one. Raises `TooSoon` while either has to wait.
        """
        kept = self.shared if name == SHARED else self.operators.password_hash(name)
        keys = sorted({_name_key(name), _address_key(address)})
        if not _tries.acquire(timeout=PATIENCE):
            raise TryLater("sign-in", "too many passwords are being checked")
        try:
            return self.store.write(lambda tx: self._looked_at(tx, keys, password, kept))
        finally:
            _tries.release()

    def _looked_at(self, tx: Tx, keys: list[str], password: str, kept: str | None) -> bool:
        now = self.clock.now()
        tx.connection.execute(delete(sign_ins).where(sign_ins.c.wait_until < now - FORGOTTEN_AFTER))
        rows: Sequence[Row[Any]] = ()
        # whoever was waited for may have cleared them
        while len(rows) < len(keys):
            tx.insert_absent(sign_ins, [{"name": key, "failures": 0, "wait_until": None} for key in keys])
            rows = tx.all(select(sign_ins).where(sign_ins.c.name.in_(keys)).order_by(sign_ins.c.name).with_for_update())
        waits = [row.wait_until for row in rows if row.wait_until is not None and row.wait_until > now]
        if waits:
            raise TooSoon(_seconds(max(waits), now))
        right = matches(password, kept or self.nobody) and kept is not None
        if right:
            tx.connection.execute(delete(sign_ins).where(sign_ins.c.name.in_(keys)))
            return True
        for row in rows:
            failures = row.failures + 1
            until = now + growing(failures, LONGEST_WAIT)
            tx.connection.execute(update(sign_ins).where(sign_ins.c.name == row.name).values(failures=failures, wait_until=until))
        return False


def _seconds(until: datetime, now: datetime) -> int:
    return max(1, -int(-(until - now).total_seconds() // 1))


def _name_key(name: str) -> str:
    # hashed: people type passwords into the wrong field
    return f"name:{sha256(name.encode()).hexdigest()}"


def _address_key(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return f"address:{address[:64]}"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        # one customer of a provider holds a whole /64
        return f"address:{ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"
