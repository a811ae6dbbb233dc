"""The Redis Stream seen from outside its consumers: how to open it, how far its group is, what it holds, what it may forget.

Works on Redis 6.2 and later, and on Valkey. Nothing here changes what anybody has read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import Misconfigured, one_line
from worker.intake.entry import UNREAD, told_apart
from worker.intake.heavy import MOST_BYTES, TooHeavy, fewer, weighing

FIRST = "0-0"
GREATEST = (2**64 - 1, 2**64 - 1)
"""No entry can come after it."""
CHUNK = 1_000
COUNT_AT_MOST = 100_000
"""Where the server knows no `lag` the entries are counted, and at most so many: a status must answer in time."""

KEEPS = "noeviction"
"""The one policy of Redis by which nothing is thrown away to make room."""

Chunk = list[tuple[str, bytes | None]]
_ENTRIES: dict[str, Callable[[Any], Iterable[Any]]] = {
    "XRANGE": lambda answer: answer,
    "XREADGROUP": lambda answer: (entry for _, entries in answer or () for entry in entries),
    "XAUTOCLAIM": lambda answer: answer[1],
}
"""Where the entries stand in what Redis answers."""


def open_stream_client(url: str, *, most: int = MOST_BYTES) -> redis.Redis:
    """A client fit for reading streams: answers as bytes, waits longer than any BLOCK, repeats nothing by itself, gives up
    answers of more than so many bytes (`TooHeavy`), and drops no field of an entry that has two of one name.

    With redis-py 8's own ten retries a dead connection took 58 s to be noticed, and one `xadd` wrote two entries
    (celery-lab.md 7): whoever calls decides what is repeated. After these errors the next command has a new connection: one that
    a failover left with a server that only reads would stay there.
    """
    never = Retry(NoBackoff(), 0, (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError))
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=3.0,
        socket_connect_timeout=2.0,
        retry=never,
        decode_responses=False,
        protocol=2,
        parser_class=weighing(most),
    )
    for command, entries in _ENTRIES.items():
        client.set_response_callback(command, _whole(client.response_callbacks[command], entries))
    return client


def _whole(parse: Callable[..., Any], entries: Callable[[Any], Iterable[Any]]) -> Callable[..., Any]:
    """How redis-py reads such an answer, once no field of an entry has the name of another."""

    def read(answer: Any, **options: Any) -> Any:
        for entry in entries(answer):
            if entry is not None and entry[1]:
                entry[1] = told_apart(entry[1])
        return parse(answer, **options)

    return read


def refuse_cluster(client: redis.Redis) -> None:
    """Raises `Misconfigured` where the server is a node of a Redis Cluster: Celery's broker follows no redirection, and its
    tasks would stand still without a word. Of a server that is away, or tells nothing of itself, nothing is known.
    """
    r: Any = client
    try:
        mode = r.info("server").get("redis_mode")
    except redis.RedisError:
        return
    if mode == "cluster":
        raise Misconfigured(
            "REFUNDS_REDIS_URL: a node of a Redis Cluster, which Celery cannot use as its broker; "
            "give refunds a Redis of its own, one for each shard"
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the group is. `undelivered` is None where there are too many to count; `oldest_at` is when by the server's time
    the oldest entry not yet acknowledged was added, None when there is none."""

    undelivered: int | None
    pending: int
    length: int
    oldest_id: str | None
    oldest_at: datetime | None


def takes_no_writes(client: redis.Redis, group: str) -> str | None:
    """Why Redis, which answers, takes no writes, in its own words: a replica, a full disk, full memory; None where it takes them,
    and where whoever asks may not write. Writes nothing itself: only a key that is there would be set, and this one never is.

    Raises `redis.RedisError` when Redis is away.
    """
    r: Any = client
    try:
        r.set(f"{group}:never", b"", xx=True)
    except redis.exceptions.NoPermissionError:
        return None
    except redis.ResponseError as error:
        return f"Redis takes no writes: {one_line(error)}"
    return None


def throws_away(client: redis.Redis) -> str | None:
    """That Redis may throw away what it holds once its memory is full, and what is right; None where it does not, or does not
    say. Raises `redis.RedisError` when Redis is away.
    """
    r: Any = client
    try:
        policy = r.info("memory").get("maxmemory_policy", KEEPS)
    except redis.ResponseError:  # a fake, or an ACL that forbids to ask
        return None
    return evicting(as_text(policy))


def evicting(policy: str) -> str | None:
    """What is wrong with this eviction policy; None where nothing is."""
    return None if policy == KEEPS else f"{policy}: Redis may throw events away; set maxmemory-policy {KEEPS}"


def position(stream_id: str) -> tuple[int, int]:
    """The place of an entry in its stream: milliseconds and sequence. Compare these, never the text."""
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def as_text(value: Any) -> str:
    """An id or name of a reply."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def milliseconds_now(client: redis.Redis) -> int:
    """The time that the server gives to ids."""
    r: Any = client
    seconds, microseconds = r.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def moment_of(milliseconds: int) -> datetime:
    """The time of an id, as `milliseconds_now` and `position` give it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def backlog(client: redis.Redis, stream: str, group: str) -> Backlog:
    """What waits in the stream for the group. Raises `redis.RedisError` when Redis is away."""
    r: Any = client
    length = int(r.xlen(stream))
    state = _state(client, stream, group)
    oldest = _oldest(client, stream, group, state)
    return Backlog(
        undelivered=_undelivered(r, stream, _last(state), length, state),
        pending=int(state["pending"]) if state else 0,
        length=length,
        oldest_id=oldest,
        oldest_at=_waits_since(client, stream, state, oldest),
    )


def waits_since(client: redis.Redis, stream: str, group: str) -> datetime | None:
    """`Backlog.oldest_at` without counting anything. Raises `redis.RedisError` when Redis is away."""
    state = _state(client, stream, group)
    return _waits_since(client, stream, state, _oldest(client, stream, group, state))


def read_up_to(client: redis.Redis, stream: str, group: str) -> tuple[str, bool]:
    """The last entry that the group was given, and whether more wait. Raises `redis.RedisError` when Redis is away."""
    last = _last(_state(client, stream, group))
    return last, bool(_after(client, stream, last, 1))


def unacknowledged(client: redis.Redis, stream: str) -> dict[str, str]:
    """The oldest entry that each group was not yet given or has not acknowledged; groups that have them all are left out."""
    states = {as_text(state["name"]): state for state in groups(client, stream)}
    found = {name: _oldest(client, stream, name, state) for name, state in states.items()}
    return {name: oldest for name, oldest in found.items() if oldest is not None}


def first_added(client: redis.Redis, stream: str) -> datetime | None:
    """When the oldest entry that is still in the stream was added; None where there is none."""
    first = _after(client, stream, FIRST, 1)
    return moment_of(position(as_text(first[0][0]))[0]) if first else None


def _waits_since(client: redis.Redis, stream: str, state: Any, oldest: str | None) -> datetime | None:
    if oldest is None:
        return None
    r: Any = client
    now, added = milliseconds_now(client), position(oldest)[0]
    if added <= now or not state:
        return moment_of(min(added, now))
    # the id was chosen, or another server's clock gave it: what waits was not there when somebody of the group last read
    held = r.xpending_range(stream, state["name"], min=oldest, max=oldest, count=1)
    silent = [item["time_since_delivered"] for item in held] or [one["idle"] for one in r.xinfo_consumers(stream, state["name"])]
    return moment_of(now - min(map(int, silent), default=0))


def _state(client: redis.Redis, stream: str, group: str) -> Any:
    return next((found for found in groups(client, stream) if as_text(found["name"]) == group), None)


def _last(state: Any) -> str:
    return as_text(state["last-delivered-id"]) if state else FIRST


def _oldest(client: redis.Redis, stream: str, group: str, state: Any) -> str | None:
    r: Any = client
    # the group may acknowledge its last entry between the two questions
    oldest = r.xpending(stream, group)["min"] if state and int(state["pending"]) else None
    waiting = [as_text(oldest)] if oldest is not None else []
    waiting += [as_text(entry_id) for entry_id, _ in _after(r, stream, _last(state), 1)]
    return min(waiting, key=position, default=None)


def _undelivered(r: Any, stream: str, last: str, length: int, state: Any) -> int | None:
    if position(last) == (0, 0):
        return length
    counted, after = 0, last
    while counted < COUNT_AT_MOST:
        page = _after(r, stream, after, CHUNK)
        if not page:
            return counted
        counted += len(page)
        after = as_text(page[-1][0])
        # The server's own figure (Redis 7) only for what would be long to count: after a trim it may count entries that are
        # gone, 80 where 50 were left (failure-modes.md 1c), and then it can exceed the length.
        lag = state.get("lag")
        if counted >= CHUNK and lag is not None and counted <= int(lag) <= length:
            return int(lag)
    return None


def _after(r: Any, stream: str, entry_id: str, count: int, last: str = "+") -> list[Any]:
    """Up to so many entries that come after this one: fewer where they are heavy, and none at the end alone."""
    if position(entry_id) >= GREATEST:
        return []
    while True:
        try:
            return list(r.xrange(stream, min=f"({entry_id}", max=last, count=count))
        except TooHeavy as heavy:
            if count == 1:
                if heavy.first_id is None:
                    raise
                return [(heavy.first_id, UNREAD)]
            count = fewer(count)


def groups(client: redis.Redis, stream: str) -> list[Any]:
    """The consumer groups of the stream; none where there is no stream."""
    r: Any = client
    try:
        return list(r.xinfo_groups(stream))
    except redis.ResponseError as error:
        if is_no_stream(error):
            return []
        raise


def is_no_stream(error: redis.ResponseError) -> bool:
    """True where the server said that there is no such stream."""
    return "no such key" in str(error).lower()


def entries_read_so_far(client: redis.Redis, stream: str, group: str) -> Iterator[Chunk]:
    """Every entry still in the stream that the group was given and has acknowledged, as (id, document), oldest first, in chunks.

    For the audit: each of these must stand in the inbox or in the dead letters. The document is None where the entry has
    no field `event`.
    """
    r: Any = client
    state = _state(client, stream, group)
    if state is None:
        return
    last, after = _last(state), FIRST
    while page := _after(r, stream, after, CHUNK, last):
        # asked after the page was read: an entry acknowledged in between is left out or rightly in, never wrongly in
        first, after = as_text(page[0][0]), as_text(page[-1][0])
        held = r.xpending_range(stream, group, min=first, max=after, count=CHUNK)
        pending = {as_text(item["message_id"]) for item in held}
        chunk = [(as_text(i), fields.get(b"event", fields.get("event"))) for i, fields in page]
        yield [(entry_id, raw) for entry_id, raw in chunk if entry_id not in pending]
