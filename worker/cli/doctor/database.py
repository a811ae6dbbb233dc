"""The database: whether it is there, keeps what is committed, and agrees with us about terms, time and balances."""

import sqlite3
from collections.abc import Iterator

from policy.words import count
from worker.calendars import years_unknown
from worker.cases.editions.editions import JUDGED_BY, judged_by_another, refused
from worker.cases.money.clocks import apart, database_time
from worker.cli.doctor.finding import Finding, finding
from worker.clock import SystemClock, moment
from worker.credits.at_creem import AtCreem
from worker.credits.balances import Balances
from worker.credits.named import quoted
from worker.errors import Misconfigured, TryLater
from worker.runtime import Runtime
from worker.store import guards, inbox, schema
from worker.store.holders import PATIENCE_SECONDS, Holder, Prepared, holders, prepared, unconfirmed
from worker.store.room import take_room
from worker.store.session import is_pooled, settings_in_force
from worker.store.sqlite import WAL_FROM
from worker.urls import redacted

GUARDS_NAMED = 5
"""Most keys and checks that are named; whoever moved only the rows lacks dozens."""
AWAITED = 200
"""Of so many events that are to be handled is asked who has the balance of their accounts in hand."""


def database(runtime: Runtime) -> Iterator[Finding]:
    """Whether it answers with a schema that this release works on, tells our time, and keeps what was committed."""
    where = redacted(runtime.settings.database_url)
    found = schema.require_current(runtime.store)
    newer = "" if found == schema.head() else ", of a newer release that this one may run beside"
    yield finding("database", True, f"{where} answers, the schema is at {found}{newer}")
    if runtime.store.dialect == "sqlite":
        wal = sqlite3.sqlite_version_info >= WAL_FROM
        mode = "WAL" if wal else "a rollback journal: below 3.51.3 WAL can corrupt"
        yield finding("sqlite", True, f"{sqlite3.sqlite_version}, with {mode}; good for one machine, Postgres for production")
        yield from _room(runtime)
        return
    if runtime.store.read(lambda tx: is_pooled(tx.connection)):
        slower = "settings go along with each transaction and no statement is kept prepared, which is safe and slower"
        yield finding("pooler", True, f"one stands before the server: {slower}")
    wrong = runtime.store.read(lambda tx: apart(database_time(tx), SystemClock().now()))
    suffers = f"{wrong}: where it is a day and more nothing is decided, what the schedule sends from or to here may be dropped"
    suffers += " as too old, and logs are dated by it"
    yield finding("clock", not wrong, suffers if wrong else "agrees with the database's")
    wanted = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
    for name, found in runtime.store.read(lambda tx: settings_in_force(tx.connection, wanted)).items():
        right = wanted[name]
        safe = found == right or (name == "synchronous_commit" and found in {"remote_write", "remote_apply", "local"})
        yield finding(name, safe, f"{found}" if safe else f"{found}: a commit may be lost at a crash; set {name} = {right}")
    yield from _guards(runtime)
    yield from _room(runtime)


def _room(runtime: Runtime) -> Iterator[Finding]:
    """Whether the disk takes more, which nothing that is read shows."""
    try:
        runtime.store.rehearse(take_room)
    except TryLater as error:
        yield finding("room", False, f"the database takes nothing more, though it reads: {error.why}; nothing new is decided")
    except Misconfigured:
        pass  # this role may make no tables of its own, and those that are there may have room within
    else:
        yield finding("room", True, "there is room on the database's disk")


def _guards(runtime: Runtime) -> Iterator[Finding]:
    """Whether what is done once can be relied on to be, which a move of the data by other means than a backup may have ended."""
    gone = runtime.store.read(guards.missing)
    named = ", ".join(gone[:GUARDS_NAMED]) + (f" and {len(gone) - GUARDS_NAMED} more" if len(gone) > GUARDS_NAMED else "")
    as_made = "make them again, as an empty database has them after `refunds db upgrade`"
    lacks = (
        f"the database lacks {named}: what is done once may be done twice, or be counted wrong; stop all processes and {as_made}"
    )
    yield finding("keys", not gone, lacks if gone else "every key, check and trigger of the schema is there")
    behind = runtime.store.read(guards.numbers_behind)
    again = f"numbers begin again before the rows that have them, and nothing new is taken in: {'; '.join(behind)}"
    yield finding("numbers", not behind, again if behind else "new rows get numbers that no other has")
    otherwise = runtime.store.read(guards.sorted_otherwise)
    twice = f"{otherwise}. Until then a key may not be found, and what is once there be taken in twice: stop all processes first"
    yield finding("sorting", otherwise is None, twice if otherwise else "text is sorted as it was when the keys were made")


def locks(runtime: Runtime) -> Iterator[Finding]:
    """Who holds what our processes need, and what commits wait for. It asks none of our tables, for those may be what is held."""
    waiting = runtime.store.read(unconfirmed)
    if waiting is not None:
        wait = "waits" if waiting.sessions == 1 else "wait"
        since = f"{count(waiting.sessions, 'session')} committed and {wait} for a standby since {moment(waiting.since)}"
        away = f"`synchronous_standby_names` is {waiting.standbys!r}, and nobody by that name answers: nothing goes on"
        out = "bring it back, or take it out of that setting and reload; nothing is lost"
        yield finding("commits", False, f"{since}: {away}; {out}")
    found = [*map(_in_the_way, runtime.store.read(holders)), *map(_never_ended, runtime.store.read(prepared))]
    for each in found:
        yield finding("locks", False, each, "warning")
    if not found:
        yield finding("locks", True, "no session of the database stands in the way of ours")


def _in_the_way(one: Holder) -> str:
    who = ", ".join(filter(None, [f"role {one.role}" if one.role else None, one.application]))
    since = f"open since {moment(one.since)}" if one.since else "open, since when this role may not see"
    last = f", {one.state}, its last statement begins `{one.began}`" if one.began else ""
    in_the_way = _held_up(one)
    in_the_way += f"; it waits itself for {', '.join(f'session {pid}' for pid in one.behind)}" if one.behind else ""
    end = f"select pg_terminate_backend({one.pid})"
    return f"session {one.pid} ({who}) has a transaction {since}{last}{in_the_way}. What needs those is left for later: `{end}`"


def _held_up(by: Holder | Prepared) -> str:
    holds = f"; it holds rows of {', '.join(by.tables)}" if by.tables else ""
    return holds + (f"; {by.waiting} of ours wait for it at this moment" if by.waiting else "")


def _never_ended(one: Prepared) -> str:
    gid = one.gid.replace("'", "''")
    end = f"`commit prepared '{gid}'` or `rollback prepared '{gid}'`, as whoever prepared it would"
    left = f"role {one.role} prepared the transaction '{gid}' at {moment(one.since)} and did not end it"
    return f"{left}{_held_up(one)}. What needs those is left for later, also after a restart of the database: {end}"


def terms_kept(runtime: Runtime) -> Iterator[Finding]:
    """Whether the files of the terms are those that cases were decided by."""
    wrong = runtime.store.read(lambda tx: refused(tx, runtime.editions))
    yield finding("terms in use", not wrong, "; ".join(wrong) or "their files are those that cases were decided by")
    since = runtime.clock.now() - JUDGED_BY
    others = [] if wrong else runtime.store.read(lambda tx: judged_by_another(tx, runtime.editions, since))
    if others:
        why = "its file came after its date, or a process runs that was not started again since"
        shown = "`refunds policy replay --terms EDITION --since DATE` shows what it would have decided"
        yield finding("terms in force", False, f"{'; '.join(others)}: {why}; {shown}", "warning")


def holidays_known(runtime: Runtime) -> Iterator[Finding]:
    """Whether the calendar of the terms in force has the days that are promised by soon."""
    now = runtime.clock.now()
    terms, calendar = runtime.bench.at(now)
    unknown = ", ".join(map(str, years_unknown(calendar, now)))
    if unknown:
        why = (
            f"holiday_calendar {terms.holiday_calendar} has no holiday of {unknown}: every weekday there counts as a business day"
        )
        said = f"{why}, and promises are called broken too soon; install a newer `holidays`"
        yield finding("calendar", False, said, "warning")
        return
    yield finding("calendar", True, f"public holidays of {terms.holiday_calendar} are known for as far as promises run")


def balances(runtime: Runtime) -> Iterator[Finding]:
    """Where credits are booked, and what is doubtful about that."""
    balances = runtime.home
    if isinstance(balances, AtCreem):
        yield finding("balances", True, f"credits are booked in the account {balances.name!r} of each customer at Creem")
        return
    if balances is None:
        yield finding(
            "balances",
            True,
            "no REFUNDS_BALANCE_TABLE, no REFUNDS_CREEM_CREDITS: credits live in these books, and every reversal is announced",
        )
        return
    where = " and ".join(str(product) for product in (balances.accounts, balances.entries) if product)
    booked = "are booked" if balances.acts else "will be booked, when the mode is no longer observe,"
    yield finding("balances", True, f"credits {booked} in {where} too")
    for doubt in runtime.store.read(balances.doubts):
        yield finding("balances", False, doubt, "warning")
    yield from _in_the_products_hands(runtime, balances)


def _in_the_products_hands(runtime: Runtime, balances: Balances) -> Iterator[Finding]:
    """Whose events wait because a transaction of the product's has their balance, which nobody of ours waits for."""
    held = sorted(runtime.store.rehearse(lambda tx: balances.held(tx, inbox.unhandled_accounts(tx, AWAITED))))
    if not held:
        return
    named = balances.accounts.named
    sessions = runtime.store.read(lambda tx: holders(tx, PATIENCE_SECONDS, [quoted(named)]))
    said = f"{count(len(held), 'account')} with events to handle, {held[0]} for one, cannot be booked in {named} now"
    for one in sessions:
        if named.name in one.tables:
            yield finding("balances", False, f"{said}: {_in_the_way(one)}", "warning")
