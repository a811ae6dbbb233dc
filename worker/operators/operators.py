"""The people who may sign in, each under a name of their own."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from worker.clock import Clock, moment
from worker.errors import Refused
from worker.operators.passwords import check_strength, hashed
from worker.store.actions import acted
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import operators, sessions

LOCAL, SHARED = "local", "console"
"""Who acts where no sign-in is asked for, and who signs in with REFUNDS_CONSOLE_PASSWORD."""
RESERVED = frozenset({LOCAL, SHARED, "worker", "policy", "creem", "system"})
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Operators:
    """The operators' rows. What changes them is on record in `actions`."""

    store: Store
    clock: Clock

    def add(self, name: str, password: str, *, by: str, reason: str = "added") -> None:
        """Lets somebody sign in from now on; a disabled name comes back with the new password. Raises `Refused`."""
        if not NAME.fullmatch(name):
            raise Refused(f"{name}: a name has 1 to 64 of a-z 0-9 . _ @ - and begins and ends with a letter or digit")
        if name in RESERVED:
            raise Refused(f"{name} is a name of ours; choose another")
        check_strength(password)
        kept, now = hashed(password), self.clock.now()

        def write(tx: Tx) -> None:
            row = {"name": name, "password_hash": kept, "added_at": now, "added_by": by, "disabled_at": None}
            if not tx.insert_new(operators, [row], operators.c.name):
                again = (operators.c.name == name, operators.c.disabled_at.is_not(None))
                if tx.connection.execute(update(operators).where(*again).values(row)).rowcount != 1:
                    raise Refused(f"{name} is an operator already; to give a new password, disable the name and add it again")
            acted(tx, "operator.add", name, by=by, reason=reason, now=now)

        self.store.write(write)

    def disable(self, name: str, *, by: str, reason: str) -> int:
        """Ends every session of the name and lets it sign in no more; returns how many sessions ended. Raises `Refused`."""
        return self.store.write(lambda tx: self._disable(tx, name, by, reason))

    def plan_disable(self, name: str, *, by: str, reason: str) -> int:
        """How many sessions `disable` would end now, which it leaves as they are. Raises `Refused` where it would."""
        return self.store.rehearse(lambda tx: self._disable(tx, name, by, reason))

    def _disable(self, tx: Tx, name: str, by: str, reason: str) -> int:
        now, active = self.clock.now(), (operators.c.name == name, operators.c.disabled_at.is_(None))
        if tx.connection.execute(update(operators).where(*active).values(disabled_at=now)).rowcount != 1:
            raise Refused(f"{name}: no active operator of that name")
        ended = tx.connection.execute(delete(sessions).where(sessions.c.operator == name)).rowcount
        acted(tx, "operator.disable", name, by=by, reason=reason, now=now)
        return ended

    def listing(self) -> list[dict[str, Any]]:
        """Every operator, by name; never a hash."""
        rows = self.store.read(lambda tx: tx.all(select(operators).order_by(operators.c.name)))
        return [
            {
                "name": row.name,
                "added_at": moment(row.added_at),
                "added_by": row.added_by,
                "disabled_at": moment(row.disabled_at),
            }
            for row in rows
        ]

    def password_hash(self, name: str) -> str | None:
        """The hash of an active operator; None for everybody else."""
        wanted = select(operators.c.password_hash).where(operators.c.name == name, operators.c.disabled_at.is_(None))
        row = self.store.read(lambda tx: tx.first(wanted))
        return str(row.password_hash) if row else None


def nobody_yet(tx: Tx) -> bool:
    """True while no operator was ever added; a disabled one does not open the door again."""
    return not tx.value(select(func.count()).select_from(operators))
