"""Which databases one group's events are read into, and what tells their Redis from another. Two databases take each other's
events, and neither misses what never came.

Every intake marks its database in Redis once a minute, by the server's time: hosts differ in theirs.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis

from worker.intake.stream import as_text, milliseconds_now

PRESENT = timedelta(minutes=3)
"""So long after its last mark a database is taken to be read into: its intake may have missed a turn or two."""
FORGET_AFTER = timedelta(days=1)
_MARK = re.compile(r"([0-9]{1,15}) ([0-9]{1,15}) (.+)")


@dataclass(frozen=True, slots=True)
class Reader:
    """A database that is read into: since when without a break and until when, in milliseconds, and who marked it last."""

    database: str
    since: int
    last: int
    by: str

    def was_there(self, now: int, within: timedelta = PRESENT) -> bool:
        """True where it was marked within that time, whichever way the server's clock was set meanwhile."""
        return abs(now - self.last) <= within.total_seconds() * 1000


def mark(client: redis.Redis, group: str, database: str, by: str) -> None:
    """Says that `by` reads into this database now, and forgets those that nobody has read into for a day."""
    r: Any = client
    now = milliseconds_now(client)
    known = _known(client, group)
    ours = known.get(database)
    since = ours.since if ours is not None and ours.was_there(now) else now
    r.hset(_key(group), database, f"{since} {now} {by}")
    if gone := [one.database for one in known.values() if one.database != database and not one.was_there(now, FORGET_AFTER)]:
        r.hdel(_key(group), *gone)


def others(client: redis.Redis, group: str, database: str | None) -> list[tuple[Reader, timedelta]]:
    """The other databases that are read into beside this one, each with how long ago it was marked.

    One that was last marked before this one's time began is not beside it: it was exchanged for this one.
    """
    now = milliseconds_now(client)
    known = _known(client, group)
    ours = known.pop(database, None) if database is not None else None
    begun = ours.since if ours is not None and ours.was_there(now) else 0
    found = sorted((one for one in known.values() if one.was_there(now) and one.last > begun), key=lambda one: one.database)
    return [(one, timedelta(milliseconds=max(0, now - one.last))) for one in found]


def name_of_redis(client: redis.Redis, group: str) -> str:
    """What this Redis is called by those who read as that group, for as long as it forgets nothing."""
    r: Any = client
    r.set(f"{group}:redis", f"redis_{secrets.token_hex(8)}", nx=True)
    return as_text(r.get(f"{group}:redis"))


def known_name_of_redis(client: redis.Redis, group: str) -> str | None:
    """What it is called; None until an intake has read from it."""
    r: Any = client
    name = r.get(f"{group}:redis")
    return None if name is None else as_text(name)


def _key(group: str) -> str:
    return f"{group}:databases"


def _known(client: redis.Redis, group: str) -> dict[str, Reader]:
    r: Any = client
    marks = {as_text(database): _MARK.fullmatch(as_text(told)) for database, told in r.hgetall(_key(group)).items()}
    return {name: Reader(name, int(told[1]), int(told[2]), told[3]) for name, told in marks.items() if told is not None}
