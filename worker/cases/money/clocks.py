"""The time a process goes by beside the database's: by one that jumped, limits of an hour and a day mean nothing (T1).

Whoever finds them apart arms no call; credits go on. Processes ask the database for the time (`SharedClock`), so they are apart
only where its clock was set between two questions.
"""

from datetime import datetime, timedelta

from sqlalchemy import text

from worker.store.bulk import Tx

MOST_APART = timedelta(minutes=2)


def database_time(tx: Tx) -> datetime | None:
    """The database's time at this moment; None where it has no clock but ours."""
    return tx.value(text("select clock_timestamp()")) if tx.postgres else None


def apart(there: datetime | None, here: datetime, whose: str = "the database's") -> str | None:
    """In words, how far the two clocks are apart; None where they agree well enough, or there is only one."""
    if there is None or abs(there - here) <= MOST_APART:
        return None
    way = "ahead of" if here > there else "behind"
    return f"the clock of this host is {abs(there - here).total_seconds():.0f} s {way} {whose}"
