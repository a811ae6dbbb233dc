"""A book moves house: from one database into another, of either engine, as one whole.

At no moment can both be written to. Behind the lock of the old one everything is copied, read back and audited in one
transaction of the new one, which commits closed; then the old one is closed for good; then the new one is opened. Whoever dies
between two of these leaves at most one book that is open, and the same command goes on from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select

from worker.cases.audit.audit import Audit, audit_books
from worker.cases.chain.anew import chain_anew, forget_transactions
from worker.cases.chain.chainer import heads_of
from worker.cases.chain.heads import Head, Heads, Kept
from worker.cases.chain.proof import audit_chain
from worker.cases.chain.restored import Forgiver
from worker.cases.money import epoch
from worker.clock import Clock, moment, new_id
from worker.errors import Misconfigured, NoGround, Refused, TryLater
from worker.observe import log
from worker.store.actions import acted
from worker.store.bulk import Tx
from worker.store.closed import Closed, close, closed, open_again
from worker.store.copying import Told, copy, hold_still, used
from worker.store.engine import Store
from worker.store.room import take_room
from worker.store.schema import require_whole
from worker.store.tables import installation
from worker.urls import redacted

MOVED_BY = "moved_by"
"""By which move a book came into its database, as the installation says."""
NAMED = 3
STOPPED = timedelta(days=366)
"""Nobody asks how long ago the processes were stopped."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did. `rows` are those of each table, none where an earlier one, that was broken off, had copied them."""

    move: str
    rows: Mapping[str, int]
    chained_anew: bool
    heads_forgiven: int = 0
    """Heads of the chain outside that told of the old database's."""

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        forgiven = {"chained_anew": self.chained_anew, "heads_forgiven": self.heads_forgiven}
        return {"ok": True, "move": self.move, "rows": dict(self.rows), **forgiven}


@dataclass(frozen=True, slots=True)
class Mover:
    """The move with its collaborators. `heads`: where those of the chain are kept outside, if they are."""

    source: Store
    target: Store
    heads: Heads | None
    witnesses: epoch.Witnesses
    group: str
    clock: Clock

    def move(self, *, by: str, reason: str, heard: Told) -> Moved:
        """The book is kept in the target from now on. Raises `Misconfigured` or `Refused` where it is not, and says what is."""
        begun = self._begun()
        rows: Mapping[str, int] = {}
        move = begun.move if begun else new_id("move", self.clock.now())
        if begun is None:
            self._require_closable()
            rows = self.source.write(partial(self._leave, move=move, by=by, reason=reason, heard=heard))
        with self._of_the_target():
            self.target.write(partial(_settle, move=move))
        self._tell()
        forgiven = self._forgive(by, f"{reason} (the book moved, {move})")
        log.warning("book.moved", move=move, rows=sum(rows.values()), into=redacted(self.target.url), by=by)
        return Moved(move, rows, self._crosses, forgiven)

    def rehearse(self, *, by: str, reason: str, heard: Told) -> Moved:
        """What `move` would do, or why it would not: all of it is done and undone."""
        begun = self._begun()
        if begun is not None:
            return Moved(begun.move, {}, self._crosses)
        self._require_closable()
        move = new_id("move", self.clock.now())
        leave = partial(self._leave, move=move, by=by, reason=reason, heard=heard, keep=False)
        return Moved(move, self.source.rehearse(leave), self._crosses)

    @property
    def _crosses(self) -> bool:
        return self.source.dialect != self.target.dialect

    def _begun(self) -> Closed | None:
        """The move that closed the source and has yet to open the target; None where none did."""
        require_whole(self.source, self.group)
        left = self.source.read(closed)
        with self._of_the_target():
            require_whole(self.target)
            arrived, holds, by = self.target.read(lambda tx: (closed(tx), used(tx), _moved_by(tx)))
        if left is None:
            _require_empty(arrived, holds, by)
        elif by != left.move:
            raise Refused(left.why)
        elif arrived is None:
            raise Refused(f"moved already: {left.why}")
        return left

    def _require_closable(self) -> None:
        """Raises what would be in the way of the closing, before the copy is committed: whose database has to be made anew where
        nothing can be closed behind it.
        """
        self.source.rehearse(_try_closing)
        with self._of_the_target():
            self.target.rehearse(_try_closing)

    def _leave(self, source: Tx, *, move: str, by: str, reason: str, heard: Told, keep: bool = True) -> Mapping[str, int]:
        """The copy is committed, and this transaction closes what it was made of."""
        hold_still(source)
        if (left := closed(source)) is not None:
            raise Refused(left.why)
        now = self.clock.now()
        _require_clean(source, now, self.heads.standing() if self.heads else [], heard)
        arrive = partial(self._arrive, source=source, move=move, by=by, reason=reason, now=now, heard=heard)
        try:
            with self._of_the_target():
                rows = self.target.write(arrive) if keep else self.target.rehearse(arrive)
        except Exception as error:
            if source.connection.invalidated:
                # raised within the target's transaction, and no fault of the target
                raise TryLater(
                    redacted(self.source.url), "it ended our session while it was copied; nothing was moved"
                ) from error
            raise
        into = redacted(self.target.url)
        acted(source, "db.move", move, by=by, reason=f"{reason} (into {into})", now=now)
        close(source, move, f"the book was moved on {moment(now)} into {into}: name that in REFUNDS_DATABASE_URL")
        return rows

    def _arrive(
        self, target: Tx, *, source: Tx, move: str, by: str, reason: str, now: datetime, heard: Told
    ) -> Mapping[str, int]:
        hold_still(target)
        _require_empty(closed(target), used(target), _moved_by(target))
        copied = copy(source, target, heard)
        left = heads_of(source)
        forget_transactions(target)
        if self._crosses:
            chain_anew(target)
        _require_clean(target, now, [], heard, "the copy")
        if epoch.mark_of(target):
            # a copy of the old file stands lower than what the witnesses will remember, and pays nothing
            epoch.rise(target, now)
        came = {"name": MOVED_BY, "value": move}
        target.insert_or_change(installation, came, came, by=installation.c.name)
        why = f"{reason} (from {redacted(self.source.url)}; {_heads_in_words(left, heads_of(target))})"
        acted(target, "db.move", move, by=by, reason=why, now=now)
        close(target, move, f"the book of {redacted(self.source.url)} is on its way into this database: {_GO_ON}")
        return {name: each.rows for name, each in copied.items()}

    def _tell(self) -> None:
        """Who remembers how far the book had come hears of the move, as far as they can be reached from here; else those who pay
        tell them.
        """
        mark = self.target.read(epoch.mark_of)
        if not mark:
            return
        try:
            if self.witnesses.journal is not None:
                self.witnesses.journal.add(mark, self.clock.now())
        except TryLater as error:
            log.warning("epoch.journal_away", error=str(error))
        self.witnesses.tell(mark)

    def _forgive(self, by: str, reason: str) -> int:
        """Of the heads outside those of the old chain are no longer asked about; none where one was strange there already."""
        if Forgiver(self.source, self.heads, self.clock).strange():
            return 0
        forgiver = Forgiver(self.target, self.heads, self.clock)
        return forgiver.forgive(by=by, reason=reason) if forgiver.strange() else 0

    @contextmanager
    def _of_the_target(self) -> Iterator[None]:
        try:
            yield
        except NoGround as error:
            raise Misconfigured(f"{redacted(self.target.url)}: {error}") from error


def reopen(store: Store, group: str, *, by: str, reason: str, now: datetime) -> str:
    """A database that a move closed is open again, for where the other one is gone for good; returns why it was closed. Money
    stops, as after a restore. Raises `Refused` where it is open.
    """
    require_whole(store, group)

    def again(tx: Tx) -> str:
        left = closed(tx)
        if left is None:
            raise Refused("no move closed this database; there is nothing to reopen")
        open_again(tx)
        epoch.stop(tx, f"the database was closed by {left.move} and opened again by {by}", now)
        acted(tx, "restore.reopen", left.move, by=by, reason=reason, now=now)
        return left.why

    why = store.write(again)
    log.warning("book.reopened", why=why, by=by)
    return why


_GO_ON = "run `refunds db move` again with REFUNDS_DATABASE_URL as it was"


def _try_closing(tx: Tx) -> None:
    """In a transaction of its own: whoever takes room in a file of SQLite keeps its readers out until that ends."""
    # to lock tables takes fewer rights than to close them
    hold_still(tx)
    close(tx, "", "")
    if not tx.postgres:
        # a file grows with the commit alone
        take_room(tx)


def _settle(target: Tx, move: str) -> None:
    """The book is open here, once."""
    arrived = closed(target)
    if arrived is not None and arrived.move == move:
        open_again(target)


def _require_empty(arrived: Closed | None, holds: Sequence[str], by: str | None) -> None:
    if arrived is not None and by != arrived.move:
        raise Refused(f"the target is closed, for a book left it by {arrived.move}: a book moves into an empty one, name another")
    if arrived is not None:
        raise Refused(
            "the target holds a copy of a move that was broken off before anything was closed: make that database anew, "
            "`refunds db upgrade` it, and move again"
        )
    if holds:
        more = f" and {len(holds) - NAMED} more" if len(holds) > NAMED else ""
        raise Refused(f"the target is in use, with rows in {', '.join(holds[:NAMED])}{more}: a book moves into an empty one")


def _require_clean(tx: Tx, now: datetime, kept: Sequence[Kept], heard: Told, what: str = "the book") -> None:
    # processes are stopped for a move, and what fell due since is the first that those of the new database do
    audit: Audit = audit_books(tx, now, heard, stopped_for=STOPPED)
    audit_chain(tx, audit, kept, heard)
    if not audit.ok:
        named = "; ".join(f"{each['check']}, {each['row']}: {each['problem']}" for each in audit.breaches[:NAMED])
        raise Refused(f"{what} does not hold, and nothing was moved: {named} (`refunds audit`, {len(audit.breaches)} in all)")


def _moved_by(tx: Tx) -> str | None:
    row = tx.first(select(installation.c.value).where(installation.c.name == MOVED_BY))
    return None if row is None else str(row.value)


def _heads_in_words(left: Sequence[Head], found: Sequence[Head]) -> str:
    """How each chain ended there and ends here, so that who holds a head of the old one finds it in the new."""
    here = {head.name: head for head in found}
    told = (f"{head.name} {head.number} {head.hash[:12]} is {here[head.name].hash[:12]}" for head in left)
    return "chains: " + (", ".join(told) or "none")
