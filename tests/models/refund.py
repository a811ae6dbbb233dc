"""The way of a refund to Creem as a model: claim → read → arm → one call → record → prove, by two processes, with a database that
may be set back (failure-modes.md, Appendix A).

Each `without` takes one thing away that the code does; `search` then finds the shortest way to the harm. It is the protocol as
the code has it, which differs from the appendix: a turn is taken before the charge is read, and its number fences whoever
overslept; what Creem answers has seven meanings; a claim that is open is read for ever, and a person is told; journal and Redis
remember what a database that was set back forgot. What only holds money up, such as breakers, limits and disputes, is left out:
to wait is always allowed here, and so is to close a claim of which nothing was sent.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from worker.cases.money import prove, remember
from worker.cases.money.claims import READ, SEND

OPEN, SAID_NO, SENDS = (frozenset(state.value for state in some) for some in (prove.OPEN, prove.SAID_NO, remember.SENDS))


class Row(NamedTuple):
    """A claim, as `payments` holds it."""

    state: str = "claimed"
    step: str = SEND
    attempts: int = 0
    closed: bool = False


@dataclass(frozen=True)
class Read:
    """Somebody read the charge at Creem, which showed it as refunded in full, or did not."""

    shown: bool


@dataclass(frozen=True)
class Call:
    """A call for the refund arrived at Creem."""


class Payer(NamedTuple):
    """One process: what it does, and what it knows that no row does."""

    does: str = "nothing"
    ours: bool = False
    """Its turn has not run out."""
    step: str = ""
    seen: bool = False
    """The charge was shown as refunded when it was read."""
    asked: int = 0
    """How far the witnesses said that the database had come."""
    attempt: int = 0
    answer: str = ""
    in_vain: tuple[int, int] = (0, 0)
    """The first and the last of the calls that it wrote into the journal, one after the other, whose commits were undone."""


class World(NamedTuple):
    """All that is durable, and the two processes."""

    row: Row | None = None
    payers: tuple[Payer, ...] = (Payer(), Payer())
    posts: int = 0
    adrift: int = 0
    """Calls on the wire whose answer nobody waits for."""
    accepted: int = 0
    """Refunds that Creem took on and has not carried out."""
    moved: int = 0
    shown: bool = False
    failed: bool = False
    """Creem told of a refund that came to nothing."""
    lost: bool = False
    """A person said that the bank gave the money back."""
    journal: int = 0
    noted_by: int = 0
    """Who wrote the last line of the journal."""
    redis: int = 0
    stopped: bool = False
    backup: tuple[Row | None, int] | None = None
    restored: bool = False


IDLE = Payer()
MOST_IN_VAIN = 5
"""So many commits in a row are undone, or there would be no end of what can come without anything to be seen."""
READS, CALLS = "reads", ("calls", "calls again")
RECORDED = {
    "succeeded": Row("confirming", READ),
    "pending": Row("in_progress", READ),
    "failed": Row("rejected", READ),
    "low balance": Row("refused", SEND),
    "no": Row("refused", READ),
    "lost": Row("unknown", READ),
    "not sent": Row("claimed", SEND),
}
"""What an answer makes of a claim that waits for it."""
NOTHING_MOVED = ("failed", "low balance", "no")


@dataclass(frozen=True)
class Refund:
    """claim → read → arm → one call → prove, as worker/cases/money does it, at a provider that pays whatever it is asked."""

    witnesses: frozenset[str] = frozenset()
    restores: bool = False
    """The database may be set back once, to any moment before."""
    redis_too: bool = False
    """And Redis with it."""
    slowly: bool = False
    """A restore takes longer than a permission lasts: who was at work is gone."""
    without: str = ""
    payers: int = 2
    calls: int = 2
    """How many may be armed at most."""
    shows_anything: bool = False
    """Creem may show a refund that is not ours, or none."""
    followed: bool = False
    """Ways that really were gone are compared: what Creem does beside its answers is not kept, for all of it may happen."""

    @property
    def start(self) -> World:
        return World(payers=(IDLE,) * self.payers)

    def harm(self, world: World) -> str | None:
        if world.moved > 1:
            return "money moved twice"
        refunded = world.row is not None and world.row.state == "refunded"
        return "done, and no money moved" if refunded and not world.moved and not self.shows_anything else None

    def over(self, world: World) -> bool:
        """Closed, or read again and again with a person told: by day, by hand, never by another call."""
        return world.row is not None and (world.row.closed or world.row.state in OPEN)

    def moves(self, world: World) -> Iterator[tuple[str, World]]:
        if world.row is None:
            yield "the charge is claimed", world._replace(row=Row())
        for who in range(self.payers):
            for name, after in self._process(world, who):
                yield f"{'AB'[who]} {name}", after
            if world.payers[who] != IDLE:
                lost = int(world.payers[who].does == "waits" and not self.followed)
                yield f"{'AB'[who]} dies", _at(world, who, IDLE)._replace(adrift=world.adrift + lost)
        yield from self._creem(world)
        if self.restores and not world.restored:
            if world.backup is None:
                yield "a backup is made", world._replace(backup=(world.row, world.redis))
            else:
                row, redis = world.backup
                kept = redis if self.redis_too else world.redis
                back = world._replace(row=row, redis=kept, backup=None, restored=True)
                if self.slowly:
                    lost = sum(one.does == "waits" for one in world.payers)
                    back = back._replace(payers=self.start.payers, adrift=world.adrift + lost)
                yield "the backup is put back", back
        yield from self._person(world)

    def _process(self, world: World, who: int) -> Iterator[tuple[str, World]]:
        me, row = world.payers[who], world.row
        match me.does:
            case "nothing" if row is not None and not row.closed:
                yield from self._turn(world, who, row)
            case "has a turn":
                asked = self._asked(world) if me.step == SEND else 0
                for seen in (False, True) if self.followed else (world.shown,):
                    yield READS, _at(world, who, me._replace(does="has read", seen=seen, asked=asked))
            case "has read" if me.step == SEND:
                yield from self._arm(world, who, row)
            case "has read":
                yield from self._prove(world, who, row)
            case "is armed":
                yield "calls", self._call(world, who, me.attempt)
                yield "cannot connect", _at(world, who, me._replace(does="knows", answer="not sent"))
            case "called first":  # only without `arm first`
                armed = row is not None and row.state in SENDS
                after = world._replace(row=Row("sending", READ, me.attempt)) if armed else world
                yield "arms", _at(after, who, me._replace(does="waits"))
            case "waits":
                lost = _at(world, who, me._replace(does="knows", answer="lost"))
                yield "hears nothing", lost._replace(adrift=world.adrift + (not self.followed))
            case "knows" if me.answer == "lost" and self.without == "a lost answer is no reason to call":
                yield "calls again", self._call(world, who, me.attempt)
            case "knows":
                yield f"records: {me.answer}", _at(world._replace(row=_recorded(row, me)), who, _idle(me))

    def _turn(self, world: World, who: int, row: Row) -> Iterator[tuple[str, World]]:
        if not world.restored:  # set back, the numbers of turns come again: then the fence is worth nothing
            world = world._replace(payers=tuple(one._replace(ours=False) for one in world.payers))
        if row.state != "sending":
            yield "takes a turn", _at(world, who, Payer("has a turn", True, row.step, in_vain=world.payers[who].in_vain))
        elif self.without == "found armed is unknown":
            yield "calls again", self._call(world, who, row.attempts)
        else:
            yield "finds a call without an answer", world._replace(row=row._replace(state="unknown"))

    def _asked(self, world: World) -> int:
        redis, journal = (name in self.witnesses for name in ("redis", "journal"))
        return max(world.redis if redis else 0, world.journal - 1 if journal else 0)

    def _arm(self, world: World, who: int, row: Row | None) -> Iterator[tuple[str, World]]:
        me, guarded = world.payers[who], self.without != "arms only what stands as it was"
        gone = _at(world, who, _idle(me))
        if row is None or (guarded and (not me.ours or row.closed or row.state not in SENDS)):
            yield "is too late", gone
            return
        set_back = self.witnesses and (world.stopped or me.asked > row.attempts)
        if set_back and self.without != "a stop is heeded":
            yield "finds the database set back", gone._replace(stopped=True)
            return
        recorded = row.attempts
        if world.journal > row.attempts >= me.in_vain[0] - 1 and (me.in_vain[1], who) == (world.journal, world.noted_by):
            # nothing left of these: they are on record from here on, whatever comes of this turn
            row = row._replace(attempts=world.journal)
            yield "is put off", gone._replace(row=row)
        if "journal" in self.witnesses and world.journal > row.attempts:
            yield "reads of a call in the journal", gone._replace(row=_remembered(row, world.journal))
            return
        for ends in ("mismatch", "not_needed"):
            yield "closes what is not as approved", gone._replace(row=Row(ends, READ, row.attempts, True))
        if me.seen:
            yield "closes what went back already", gone._replace(row=Row("not_needed", READ, row.attempts, True))
        elif row.attempts < self.calls:
            attempt = row.attempts + 1
            noted = world.journal if self.without == "journal first" else max(world.journal, attempt)
            undone = world._replace(journal=noted, noted_by=who) if "journal" in self.witnesses else world
            armed = undone._replace(row=Row("sending", READ, attempt))
            if self.without == "arm first":
                called = self._call(world, who, attempt)
                yield "calls", _at(called, who, called.payers[who]._replace(does="called first"))
            else:
                kept = (attempt, attempt) if self.without == "what begins was not in vain" else (0, 0)
                yield "arms", _at(armed, who, Payer("is armed", attempt=attempt, in_vain=kept))
                if "journal" in self.witnesses:
                    yield "dies between journal and commit", _at(undone, who, IDLE)
                    if attempt - recorded > MOST_IN_VAIN:
                        return
                    # nothing left, and it knows: it arms another, now or in a later turn
                    first = me.in_vain[0] if me.in_vain[1] == attempt - 1 > 0 else attempt
                    yield "is undone between journal and commit", _at(undone, who, me._replace(in_vain=(first, attempt)))

    def _call(self, world: World, who: int, attempt: int) -> World:
        told = max(world.redis, attempt) if "redis" in self.witnesses else 0
        noted = max(world.journal, attempt) if self.without == "journal first" else world.journal
        posts = world.posts + (not self.followed)
        waits = Payer("waits", attempt=attempt, in_vain=world.payers[who].in_vain)
        return _at(world, who, waits)._replace(posts=posts, redis=told, journal=noted)

    def _prove(self, world: World, who: int, row: Row | None) -> Iterator[tuple[str, World]]:
        me, gone = world.payers[who], _at(world, who, _idle(world.payers[who]))
        if row is None or not me.ours or row.closed or row.state not in OPEN | SAID_NO:
            yield "is too late", gone
            return
        if row.state == "unknown" and self.without == "paid proves nothing":
            yield "calls again", self._call(world, who, row.attempts)
            return
        for name, ends in self._proofs(world, me, row):
            yield name, gone._replace(row=Row(ends, READ, row.attempts, True))
        yield "proves nothing", gone

    def _proofs(self, world: World, me: Payer, row: Row) -> Iterator[tuple[str, str]]:
        """What the read, and all that was told, prove of the claim: how it ends."""
        if me.seen:
            yield "proves it", "not_needed" if row.state == "refused" else "refunded"
            return
        in_vain = "refused" if row.state == "refused" else "rejected"
        if row.state in SAID_NO:
            yield "proves that no money moved", in_vain
        if self.followed or world.lost:
            yield "ends it, for the bank has given it back", in_vain
        if row.state == "in_progress" and (self.followed or world.failed):
            yield "proves that it came to nothing", in_vain

    def _creem(self, world: World) -> Iterator[tuple[str, World]]:
        for who in range(self.payers):
            me = world.payers[who]
            if me.does == "waits":
                heard = {answer: _at(world, who, me._replace(does="knows", answer=answer)) for answer in RECORDED}
                if self.followed:
                    yield from ((f"Creem says {answer}", after) for answer, after in heard.items())
                    continue
                yield "Creem pays", heard["succeeded"]._replace(moved=world.moved + 1)
                yield "Creem pays and says that it failed", heard["failed"]._replace(moved=world.moved + 1)
                yield "Creem accepts", heard["pending"]._replace(accepted=world.accepted + 1)
                for answer in NOTHING_MOVED:
                    yield f"Creem says {answer}", heard[answer]
        if world.adrift:
            less = world._replace(adrift=world.adrift - 1)
            yield "a call is lost", less
            yield "Creem pays late", less._replace(moved=world.moved + 1)
            yield "Creem accepts late", less._replace(accepted=world.accepted + 1)
        if world.accepted:
            less = world._replace(accepted=world.accepted - 1)
            yield "Creem carries it out", less._replace(moved=world.moved + 1)
            yield "Creem tells that it failed", less._replace(failed=True)
        if self.shows_anything and not world.lost:
            yield "a person says that the bank gave it back", world._replace(lost=True)
        if self.shows_anything or (world.moved and not world.shown):
            yield "Creem shows it", world._replace(shown=not world.shown)

    def _person(self, world: World) -> Iterator[tuple[str, World]]:
        row = world.row
        unsent = row is not None and not row.closed and row.step == SEND
        if row is not None and unsent and not world.stopped:
            yield "a person takes it back", world._replace(row=Row("not_needed", READ, row.attempts, True))
        if world.restored and "journal" in self.witnesses and world.journal > (row.attempts if row is not None else 0):
            yield "a person recovers", world._replace(row=_remembered(row or Row(), world.journal))
        if world.stopped:
            yield "a person recovers and lifts", self._lifted(world)

    def _lifted(self, world: World) -> World:
        row = world.row
        if "journal" in self.witnesses:
            if world.journal > (row.attempts if row is not None else 0):
                row = _remembered(row or Row(), world.journal)
        elif row is not None and not row.closed and row.step == SEND:
            row = Row("unknown", READ, row.attempts + 1)
        return world._replace(row=row, stopped=False, redis=row.attempts if row is not None else 0)

    # what can be seen of it from outside: reads, calls, and what a commit makes of the claim

    def told(self, world: World, name: str, after: World) -> Hashable | None:
        if name.endswith(READS):
            return Read(next(payer.seen for payer, was in zip(after.payers, world.payers, strict=True) if payer != was))
        if name.endswith(CALLS):
            return Call()
        return after.row if after.row != world.row else None

    def strangers(self, told: Hashable) -> bool:
        return isinstance(told, Read)

    def set_back(self, world: World, row: Row | None) -> World:
        return world._replace(row=row, restored=True, payers=self.start.payers)


def _at(world: World, who: int, payer: Payer) -> World:
    return world._replace(payers=(*world.payers[:who], payer, *world.payers[who + 1 :]))


def _idle(payer: Payer) -> Payer:
    """The process, its turn over, with what it knows of calls that never left."""
    return Payer(in_vain=payer.in_vain)


def _recorded(row: Row | None, payer: Payer) -> Row | None:
    waits = row is not None and row.attempts == payer.attempt and row.state in {"sending", "unknown"}
    if row is None or not waits or (row.state == "unknown" and payer.answer == "not sent"):
        return row
    return RECORDED[payer.answer]._replace(attempts=row.attempts)


def _remembered(row: Row, attempts: int) -> Row:
    if row.state == "refunded" or (row.state in OPEN | SAID_NO and row.step == READ and not row.closed):
        return row._replace(attempts=attempts)
    return Row("unknown", READ, attempts)
