"""Sessions: a random token in the browser, only its hash with us.

A session of the shared password is bound to that password: with another one set, the old session is found no more.
"""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import delete, select, update

from worker.clock import Clock
from worker.operators.operators import LOCAL, SHARED, nobody_yet
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import operators, sessions

IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)
SEEN_EVERY = timedelta(seconds=60)
"""How exact the last sight of a session is: a write for each request would be one too many."""


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser: who it acts as, and what its forms have to carry."""

    operator: str
    csrf: str


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions' rows. `password` is the shared password, None where none is set."""

    store: Store
    clock: Clock
    password: str | None = field(repr=False)

    def begin(self, operator: str, *, instead_of: str | None = None) -> tuple[str, Session]:
        """A new session with a token never used before; the browser's old one, if any, ends. Returns token and session."""
        token, now = secrets.token_urlsafe(32), self.clock.now()
        session = Session(operator, secrets.token_urlsafe(32))
        row = {
            "session_hash": self._hash(token, operator),
            "operator": operator,
            "csrf": session.csrf,
            "created_at": now,
            "seen_at": now,
            "expires_at": now + LONGEST,
        }

        def write(tx: Tx) -> None:
            over = (sessions.c.expires_at <= now) | (sessions.c.seen_at <= now - IDLE)
            tx.connection.execute(delete(sessions).where(over))
            if instead_of is not None:
                tx.connection.execute(delete(sessions).where(sessions.c.session_hash.in_(self._hashes(instead_of))))
            tx.insert(sessions, [row])

        self.store.write(write)
        return token, session

    def of(self, token: str, *, open_house: bool) -> Session | None:
        """The session this token belongs to; None once it ended, or its operator may act no more. `open_house`: sessions that
        began without a sign-in count too, while nobody can sign in.
        """
        now = self.clock.now()
        wanted = (sessions.c.session_hash.in_(self._hashes(token)), sessions.c.expires_at > now, sessions.c.seen_at > now - IDLE)

        def look(tx: Tx) -> tuple[Session, bool] | None:
            row = tx.first(select(sessions).where(*wanted))
            if row is None or not self._may_act(tx, row.operator, open_house):
                return None
            return Session(row.operator, row.csrf), now - row.seen_at >= SEEN_EVERY

        found = self.store.read(look)
        if found is None:
            return None
        session, unseen = found
        if unseen:
            self.store.write(lambda tx: tx.connection.execute(update(sessions).where(*wanted).values(seen_at=now)))
        return session

    def end(self, token: str) -> None:
        """The token opens nothing any more."""
        wanted = delete(sessions).where(sessions.c.session_hash.in_(self._hashes(token)))
        self.store.write(lambda tx: tx.connection.execute(wanted))

    def nobody_can_sign_in(self) -> bool:
        """True while nobody can sign in: no shared password, and no operator was ever added."""
        return self.password is None and self.store.read(nobody_yet)

    def _may_act(self, tx: Tx, operator: str, open_house: bool) -> bool:
        if operator == SHARED:
            return self.password is not None
        if operator == LOCAL:
            return open_house and self.password is None and nobody_yet(tx)
        active = select(operators.c.name).where(operators.c.name == operator, operators.c.disabled_at.is_(None))
        return tx.exists(active)

    def _hash(self, token: str, operator: str) -> str:
        bound = f"{token}\0{self.password}" if operator == SHARED else token
        return sha256(bound.encode()).hexdigest()

    def _hashes(self, token: str) -> list[str]:
        return [self._hash(token, "")] + ([self._hash(token, SHARED)] if self.password is not None else [])
