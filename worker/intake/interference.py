"""What somebody with the right to add entries can do to the stream besides: choose its ids, and trim it by a length.

An id chosen in the future stays: every later one inherits its time. And what a length trims is given to nobody.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis

from worker.intake.heavy import TooHeavy
from worker.intake.stream import FIRST, GREATEST, as_text, is_no_stream, milliseconds_now, position

TOLERANCE = timedelta(minutes=5)
"""Ids may be this far ahead: after a failover another clock goes on."""


def ahead(client: redis.Redis, stream: str) -> str | None:
    """The stream's last id where it lies in the future; None where it does not, and where there is no stream."""
    r: Any = client
    try:
        last = as_text(r.xinfo_stream(stream)["last-generated-id"])
    except TooHeavy as heavy:
        # its first or last entry; the last id comes before them
        last = heavy.first_id or FIRST
    except redis.ResponseError as error:
        if is_no_stream(error):
            return None
        raise
    latest = milliseconds_now(client) + int(TOLERANCE.total_seconds() * 1000)
    return last if position(last)[0] > latest else None


def way_out(stream: str, last: str) -> str:
    """What an id in the future does, and what to do about it."""
    does = "nothing can be added any more" if position(last) == GREATEST else "later ones inherit it and nothing is trimmed"
    return (
        f"the last id of {stream} is {last}: somebody chose it, and {does}; redis-cli RENAME {stream} {stream}:old, and "
        f"producers begin a fresh one; REFUNDS_STREAM={stream}:old refunds intake takes in what is left there"
    )


def report_gone(log: Any, stream: str, entries: int, first: str) -> None:
    """Says that entries left the stream before they were accepted."""
    log.error("intake.entries_gone", stream=stream, entries=entries, first=first, next="run refunds reconcile")


@dataclass
class Unread:
    """Counts entries that left the stream before the group was given them, by the server's counters: Redis 7 and Valkey have
    such, on older ones it finds none. How many were missing at the last look is kept in Redis, for all consumers and those after
    them.
    """

    client: redis.Redis
    stream: str
    group: str

    def gone(self) -> int:
        """How many it is more than at the last look, whoever looked. Raises `redis.RedisError`."""
        r: Any = self.client
        # all at one moment, with one entry instead of all
        state = r.execute_command("XINFO STREAM", self.stream, "FULL", "COUNT", 1, full=True)
        ours: Any = next((found for found in state["groups"] if as_text(found["name"]) == self.group), {})
        added, given = state.get("entries-added"), ours.get("entries-read")
        if added is None or given is None:
            return 0
        last = position(as_text(ours["last-delivered-id"]))
        first = min((position(as_text(entry_id)) for entry_id in state["entries"]), default=None)
        all_read = last >= position(as_text(state["last-generated-id"]))
        if not all_read and first is not None and first <= last:
            return 0  # how many of those that are there were read, nobody has counted
        missing = int(added) - int(given) - (0 if all_read else int(state["length"]))
        known = r.set(f"{self.group}:gone:{self.stream}", missing, get=True)
        if known is None:
            # Redis 7 goes on counting what is gone as not read: where nothing waits, a first look cannot tell old from new
            return 0 if all_read else max(missing, 0)
        return max(missing - int(known), 0)
