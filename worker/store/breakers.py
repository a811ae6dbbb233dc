"""What stands between us and a service that nobody hears from, or that a person has to mend: rows, shared by every worker."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, select, update

from worker.clock import growing
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.statements import Among
from worker.store.tables import breakers

CREEM, PIPELINE = "creem", "pipeline"
"""The services that may be away."""
MAIL = "mail"
"""The mail server, which may be there and take no letter."""
BREAK_AFTER = 5
BREAK_FOR = timedelta(seconds=60)
LONGEST_ASKED = timedelta(hours=6)
"""A service that asks for longer is asked again after this: what it says may be a mistake, and money waits for it."""


def unheard(tx: Tx, name: str, why: str, now: datetime, longest: timedelta, *, asked: float | None = None) -> None:
    """One more call that came to nothing; after some in a row nobody calls for a while, twice as long with each, but no longer
    than `longest`. Where the service `asked` that nobody call for so many seconds, nobody does from the first, a while at most.
    """
    counted = in_vain(tx, name, why)
    failures = counted.failures
    pause = pause_after(failures, longest, asked)
    if pause:
        tx.connection.execute(update(breakers).where(breakers.c.name == name).values(open_until=now + pause))
        # orders that were given go on to be tried every few seconds while the pipeline is away: the same pause again is no news
        if counted.open_until is None or counted.open_until <= now or pause > pause_after(failures - 1, longest, None):
            log.warning(f"{name}.breaker_open", failures=failures, seconds=pause.total_seconds(), error=why)


def in_vain(tx: Tx, name: str, why: str) -> Row[Any]:
    """One more in a row that came to nothing, where nobody is kept from trying by it; the row as it was made or changed."""
    first = {"name": name, "failures": 1, "open_until": None, "last_error": why}
    one_more = {"failures": breakers.c.failures + 1, "last_error": why}
    # in one statement: between two of them an answer to another process takes the row away
    counted = tx.insert_or_change(breakers, first, one_more, by=breakers.c.name)
    assert counted is not None, "changed whatever it was"
    return counted


def pause_after(failures: int, longest: timedelta, asked: float | None, *, first: int = BREAK_AFTER) -> timedelta:
    """How long nobody calls after so many calls in a row that came to nothing: from the `first` such on for a while, twice as
    long with each, but no longer than `longest`; and as long as the service `asked`, in seconds, a while at most.
    """
    ours = growing(failures - first, longest, BREAK_FOR) if failures >= first else timedelta()
    return max(ours, timedelta(seconds=min(asked or 0, LONGEST_ASKED.total_seconds())))


def answered(tx: Tx, name: str) -> None:
    """The service is there."""
    tx.connection.execute(delete(breakers).where(breakers.c.name == name))


def not_heard(tx: Tx, name: str) -> tuple[int, str] | None:
    """How many calls in a row came to nothing, and what of the last; None where the last was answered."""
    row = tx.first(select(breakers.c.failures, breakers.c.last_error).where(breakers.c.name == name, breakers.c.failures > 0))
    return (row.failures, str(row.last_error)) if row else None


def standing(tx: Tx, now: datetime) -> Sequence[Row[Any]]:
    """Every breaker that is open at this moment."""
    return tx.all(select(breakers).where(breakers.c.open_until > now).order_by(breakers.c.name))


def closed_to(tx: Tx, names: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
    """The breaker among these that is open the longest, as (why, until); None where all are closed."""
    rows = tx.ask(_open, names=names, now=now)
    return (f"{rows[0].name}: {rows[0].last_error}", rows[0].open_until) if rows else None


def _open(among: Among) -> Select[Any]:
    chosen = select(breakers.c.name, breakers.c.last_error, breakers.c.open_until)
    still = among(breakers.c.name, "names"), breakers.c.open_until > bindparam("now")
    return chosen.where(*still).order_by(breakers.c.open_until.desc())


def ensure(tx: Tx, name: str) -> None:
    """The breaker has a row, to be counted in and locked."""
    tx.insert_absent(breakers, [{"name": name, "failures": 0, "open_until": None, "last_error": None}])
