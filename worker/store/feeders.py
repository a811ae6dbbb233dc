"""Which Redis the events of this database come from. Where it is two, what is sent by one those who read the other never hear.

Every intake marks its Redis here once a minute, as it marks its database there. A mark is a lease that stands in nobody's way.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select

from worker.store.bulk import Tx
from worker.store.tables import leases

PRESENT = timedelta(minutes=3)
"""So long after its last mark events are taken to come from there: its intake may have missed a turn or two."""
FORGET_AFTER = timedelta(days=1)
_NAMED = "fed_by:"


class Feeder(NamedTuple):
    """A Redis that events come from: since when without a break and until when, and who marked it last."""

    redis: str
    since: datetime
    last: datetime
    by: str


def mark(tx: Tx, redis: str, by: str, now: datetime) -> None:
    """Says that `by` takes in what comes from this Redis now, and forgets those that nothing has come from for a day."""
    ours = _known(tx).get(redis)
    since = ours.since if ours is not None and ours.last > now - PRESENT else now
    marked = {"holder": f"{since.isoformat()} {by}", "until": now + PRESENT}
    tx.insert_or_change(leases, {"name": _NAMED + redis, **marked}, marked, by=leases.c.name)
    tx.connection.execute(
        delete(leases).where(leases.c.name.startswith(_NAMED, autoescape=True), leases.c.until < now - FORGET_AFTER)
    )


def others(tx: Tx, redis: str | None, now: datetime) -> list[Feeder]:
    """Where events come from beside this Redis. One that was last marked before this one's time began was exchanged for it."""
    known = _known(tx)
    ours = known.pop(redis, None) if redis is not None else None
    begun = ours.since if ours is not None and ours.last > now - PRESENT else now - PRESENT
    return [one for one in known.values() if one.last > max(begun, now - PRESENT)]


def _known(tx: Tx) -> dict[str, Feeder]:
    marked = select(leases).where(leases.c.name.startswith(_NAMED, autoescape=True)).order_by(leases.c.name)
    found = {}
    for row in tx.all(marked):
        since, _, by = row.holder.partition(" ")
        redis = row.name.removeprefix(_NAMED)
        found[redis] = Feeder(redis, datetime.fromisoformat(since), row.until - PRESENT, by)
    return found
