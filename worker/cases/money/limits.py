"""What stops money: the provider's breaker, refund calls that come to nothing, trouble with the key, an empty balance, more money
than the terms allow, a claim journal that takes no lines, a database that was set back.

All of them are rows, shared by every worker. None of them touches credits. The volume breaker counts in the very transaction
that arms a call, and only a person closes it.
"""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import and_, func, or_, select, update

from policy import Terms
from worker.cases.money.claims import SEND
from worker.clock import written
from worker.creem.answers import MOVED_NOTHING, Answer, CallOutcome
from worker.errors import Refused
from worker.observe import log
from worker.store.actions import acted
from worker.store.breakers import BREAK_AFTER, CREEM, closed_to, ensure, pause_after, standing, unheard
from worker.store.bulk import Tx
from worker.store.tables import breakers, payment_attempts, payments

KEY, BALANCE, MONEY = "creem_key", "creem_balance", "money"
CALLS = "creem_calls"
"""Stands open while calls for a refund come to nothing though Creem may be read."""
JOURNAL = "journal"
"""Stands open while no call can be put down in the claim journal; the next one that is closes it."""
KEY_TROUBLE = timedelta(minutes=10)
"""How long nobody calls with a key that was refused."""
RESTORE = "restore"
"""Stands open where the database was set back; `refunds restore lift` closes it."""
LONGEST_BREAK = timedelta(minutes=10)
LONGEST_REST = timedelta(hours=1)
"""Longer than reads are left off: a call that came to nothing spends the one claim on its charge."""
TOO_MANY = 429
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_LAST_CALLS = 20
"""More than it takes until the rest between two calls grows no more."""
AND = "; and "
"""Between the reasons for which one breaker stands open."""
_NOT_RELEASED = {
    CREEM: "that ends by itself",
    CALLS: "that ends by itself",
    KEY: "nobody has to release that: correct REFUNDS_CREEM_API_KEY and restart",
    BALANCE: "nobody has to release that: top up at Creem, or wait for the payout",
    JOURNAL: "nobody has to release that: mend the disk of the claim journal",
    RESTORE: "`refunds restore lift` ends that",
}
"""What else holds money, and what ends it."""


def away(tx: Tx, why: str, now: datetime, *, asked: float | None = None) -> None:
    """One more call of Creem that came to nothing; `asked`: for how many seconds Creem wants nobody to call."""
    unheard(tx, CREEM, why, now, LONGEST_BREAK, asked=asked)


def call_in_vain(tx: Tx, answer: Answer, now: datetime) -> None:
    """One more call for a refund of which nobody knows what came, recorded already. It is never made again, and may be a person's
    in the end: after some in a row, or from the first where Creem says that they are too many, none leaves for a while, twice as
    long with each, and none before Creem wants to be called.
    """
    a, in_vain = payment_attempts.c, {CallOutcome.UNKNOWN.value, CallOutcome.THROTTLED.value}
    last = tx.all(select(a.outcome).where(a.outcome.is_not(None)).order_by(a.armed_at.desc()).limit(_LAST_CALLS))
    in_a_row = len(list(takewhile(lambda row: row.outcome in in_vain, last)))
    first = 1 if answer.http_status == TOO_MANY else BREAK_AFTER
    pause = pause_after(in_a_row, LONGEST_REST, answer.retry_after, first=first)
    if pause:
        why = f"of {in_a_row} refund calls in a row nobody knows what came, at last {answer.detail}"
        open_until(tx, CALLS, now + pause, why)


def open_until(
    tx: Tx, name: str, until: datetime, why: str, *, needs_person: bool = False, transaction_id: str | None = None
) -> None:
    """Opens a breaker, or keeps it open longer. One that needs a person stays open whatever else happens, and what another
    person or alarm stops it for meanwhile is kept beside what it was opened for.
    """
    ensure(tx, name)
    stands = tx.one(select(breakers).where(breakers.c.name == name).with_for_update())
    values: dict[str, Any] = {"last_error": why, "failures": stands.failures + 1}
    if stands.needs_person:
        if needs_person and why not in str(stands.last_error).split(AND):
            values["last_error"] = f"{stands.last_error}{AND}{why}"
            tx.connection.execute(update(breakers).where(breakers.c.name == name).values(values))
    elif stands.open_until is None or stands.open_until < until:
        values |= {"open_until": until, "needs_person": needs_person, "transaction_id": transaction_id}
        tx.connection.execute(update(breakers).where(breakers.c.name == name).values(values))
    log.error("money.stopped", breaker=name, until=until.isoformat(), why=why)


def admit(tx: Tx, transaction_id: str, amount: int, terms: Terms, now: datetime) -> str | None:
    """None where `amount` of this charge may be armed now; else why not, and the breaker stands open until a person closes it.

    Locks the breaker's row, so two that arm at once are counted one after the other. What was armed counts, unless it is known
    that nothing of it moved money. The one charge that a person saw when they released it goes, however large it is, for as long
    after that as the limit looks back.
    """
    ensure(tx, MONEY)
    stands = tx.one(select(breakers).where(breakers.c.name == MONEY).with_for_update())
    if stands.open_until is not None and stands.open_until > now:
        return str(stands.last_error)
    released = stands.open_until or datetime.min.replace(tzinfo=UTC)
    for name, span, limit in (
        ("hour", HOUR, terms.money_per_hour_minor_units),
        ("day", DAY, terms.money_per_day_minor_units),
    ):
        # what went before a person released it does not count again
        sent = _armed(tx, max(now - span, released))
        shown = stands.transaction_id == transaction_id and released > now - span
        if sent + amount > limit and not shown:
            why = f"{sent + amount} minor units within one {name} are more than the terms' {limit}, {transaction_id} among them"
            open_until(tx, MONEY, FOR_EVER, why, needs_person=True, transaction_id=transaction_id)
            return why
    return None


def stop(tx: Tx, *, by: str, reason: str, now: datetime) -> None:
    """A person stops all money until a person releases it."""
    open_until(tx, MONEY, FOR_EVER, f"stopped by {by}: {reason}", needs_person=True)
    acted(tx, "money.stop", MONEY, by=by, reason=reason, now=now)


def release(tx: Tx, *, by: str, reason: str, now: datetime, shown: str | None = None) -> None:
    """A person lets money go on; what was sent before counts no more towards the limits. Raises `Refused` where nothing stops
    it, and where it is not, or not only, `shown` that does: whoever releases it has to know of all.
    """
    tx.all(select(breakers.c.name).where(breakers.c.name == MONEY).with_for_update())
    stopped = closed_to(tx, [MONEY], now)
    if stopped is None:
        raise Refused("; ".join(["money is not stopped; there is nothing to release", *_held_otherwise(tx, now)]))
    if shown not in {None, stopped[0]}:
        raise Refused(f"money was stopped again meanwhile, so nothing was released: {stopped[0]}")
    values = {"open_until": now, "needs_person": False, "failures": 0, "last_error": f"released by {by}: {reason}"}
    tx.connection.execute(update(breakers).where(breakers.c.name == MONEY).values(values))
    acted(tx, "money.release", MONEY, by=by, reason=reason, now=now)
    go_on(tx, now)


def _held_otherwise(tx: Tx, now: datetime) -> list[str]:
    """What holds money all the same, with what ends it."""
    told = []
    for row in standing(tx, now):
        if row.name in _NOT_RELEASED:
            until = "" if row.needs_person else f" until {written(row.open_until)}"
            told.append(f"{row.name} holds it{until} ({row.last_error}): {_NOT_RELEASED[row.name]}")
    return told


def go_on(tx: Tx, now: datetime) -> None:
    """What waits for money to go on need not wait longer."""
    waits = and_(payments.c.next_step == SEND, payments.c.due_at > now, payments.c.refusals == 0)
    tx.connection.execute(update(payments).where(waits).values(due_at=now))


def _armed(tx: Tx, since: datetime) -> int:
    a, p = payment_attempts.c, payments.c
    summed = select(func.coalesce(func.sum(func.coalesce(p.charged, p.amount)), 0)).join(payments, p.payment_id == a.payment_id)
    counted = summed.where(a.armed_at > since, or_(a.outcome.is_(None), a.outcome.not_in(MOVED_NOTHING)))
    return int(tx.value(counted))
