"""What a stream needs now and then: forgetting what is long done, and consumers that are no more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from worker.intake.stream import as_text, groups, milliseconds_now, position
from worker.settings import is_observer

FORGET_CONSUMER_AFTER_MS = 3_600_000


def trim(client: redis.Redis, stream: str, retention: timedelta) -> int:
    """Forgets entries older than `retention` that every group has acknowledged; returns how many.

    By MINID and never by MAXLEN: a length says nothing about what has been read, and trimming drops unread and pending
    entries without a word (failure-modes.md 1c). Any group that has read nothing keeps everything, but for observers: nobody
    waits for them, and one that is away for longer than `retention` misses what was trimmed.
    """
    r: Any = client
    # the server's clock, since the ids carry its time
    bounds = [(milliseconds_now(client) - int(retention.total_seconds() * 1000), 0)]
    for state in groups(client, stream):
        if is_observer(as_text(state["name"])):
            continue
        bounds.append(position(as_text(state["last-delivered-id"])))
        if int(state["pending"]):
            oldest = r.xpending(stream, as_text(state["name"]))["min"]
            bounds += [position(as_text(oldest))] if oldest is not None else []
    milliseconds, sequence = min(bounds)
    return int(r.xtrim(stream, minid=f"{milliseconds}-{sequence}", approximate=True)) if milliseconds > 0 else 0


def observers(client: redis.Redis, stream: str) -> dict[str, datetime]:
    """The observers of the stream, and when what each was given last had been added: now at the latest."""
    now = milliseconds_now(client)
    found = {as_text(state["name"]): as_text(state["last-delivered-id"]) for state in groups(client, stream)}
    given = {name: min(position(last)[0], now) / 1000 for name, last in found.items() if is_observer(name)}
    return {name: datetime.fromtimestamp(at, UTC) for name, at in given.items()}


def forget_idle_consumers(client: redis.Redis, stream: str, group: str, *, but: str) -> dict[str, int]:
    """Removes consumers of our group that said nothing for an hour and hold nothing; returns those that held entries after all.

    A consumer is never removed with pending entries: they would go with it (failure-modes.md 1c, watermill-redisstream#24). A
    live one speaks every second, so only a process frozen for an hour could take entries between our look and our word.
    """
    r: Any = client
    dropped = {}
    for consumer in r.xinfo_consumers(stream, group):
        name = as_text(consumer["name"])
        if name != but and not consumer["pending"] and consumer["idle"] > FORGET_CONSUMER_AFTER_MS:
            held = int(r.xgroup_delconsumer(stream, group, name))
            if held:
                dropped[name] = held
    return dropped
