"""Redis: whether it takes events and keeps them, and whether Celery comes there too."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import redis
from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError

import celeryconfig
from worker.broker import QUEUES, answers, celery_of, shared_names
from worker.cli import ground
from worker.cli.doctor.finding import Finding, finding
from worker.clock import moment
from worker.errors import NoGround, one_line
from worker.intake.interference import ahead, way_out
from worker.intake.neighbours import known_name_of_redis, others
from worker.intake.stream import as_text, evicting, takes_no_writes
from worker.intake.upkeep import kept_for, observers, outstayed
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import feeders
from worker.store.schema import known_name
from worker.urls import redacted

OLDEST = (6, 2)
"""The version of Redis below which this does not work."""
LARGEST_FIELD = 2**20
"""The least that Redis can be set to."""
ANSWER_SECONDS = 1.0
TRIMMED_WITHIN = timedelta(hours=1)
"""An intake does it every minute."""
MEMORY_SHARE = 0.8
"""Of what Redis may use; above it the doctor warns."""
ASK_ELSEWHERE = (
    "a worker's Redis user may, the web process's may not (deploy/redis/users.acl): run `refunds doctor` where a worker runs"
)


def queue(runtime: Runtime) -> Iterator[Finding]:
    """Whether Redis takes what it is sent, keeps it through a crash, and has let go of nothing that an observer has not read."""
    where = redacted(runtime.settings.redis_url)
    client = runtime.redis
    refused = takes_no_writes(client, runtime.settings.group)
    yield finding("redis", refused is None, f"{where}: {refused}" if refused else f"{where} answers")
    yield _celery(runtime.settings)
    foreign = _of_another_kind(client, runtime.settings)
    if foreign is not None:
        yield finding("redis keys", not foreign, "; ".join(foreign) or "what lies under our names is ours by its kind")
    try:
        info: Any = client.info()
    except redis.ResponseError as error:
        unknown = "whether it keeps events through a crash, or throws them away, is not known"
        yield finding("redis version", False, f"INFO is not answered: {one_line(error)}; {unknown}", "warning")
        return
    yield from _why_not(info)
    yield from _version(info)
    yield from _what_it_keeps(info)
    yield from _flushed(client)
    yield from _largest_entry(client)
    if foreign:
        return
    last_id = ahead(client, runtime.settings.stream)
    told = "none lies in the future" if last_id is None else way_out(runtime.settings.stream, last_id)
    yield finding("stream ids", last_id is None, told)
    yield from _observers(runtime)
    yield from _sent(runtime)
    try:
        yield _read_into(runtime)
        yield _fed_by(runtime)
    except NoGround as error:
        yield finding("databases", False, f"which ones the events are read into is not known: {one_line(error)}", "warning")
    except NoPermissionError as error:
        yield finding(
            "databases", False, f"which ones the events are read into is not known: {one_line(error)}; {ASK_ELSEWHERE}", "warning"
        )


def _of_another_kind(client: redis.Redis, settings: Settings) -> list[str] | None:
    """What lies under our names and is not ours, and the way out; None where this Redis user may not look."""
    kinds = _kinds(settings)
    with client.pipeline(transaction=False) as asked:
        for name in kinds:
            asked.type(name)
        try:
            found = dict(zip(kinds, map(as_text, asked.execute()), strict=True))
        except NoPermissionError:
            return None
    return [
        f"{name} is a {kind} and no {kinds[name]}: whatever needs it stands still; find who wrote it, "
        f"then redis-cli RENAME {name} {name}:old, and ours goes on by itself"
        for name, kind in found.items()
        if kind not in {kinds[name], "none"}
    ]


def _kinds(settings: Settings) -> dict[str, str]:
    """Our keys and Celery's, and which kind of value each has."""
    group, stream = settings.group, settings.stream
    return {
        **dict.fromkeys((stream, *settings.sent_streams), "stream"),
        **{f"{group}:{queue}": "list" for queue in QUEUES},
        f"{group}:unacked": "hash",
        f"{group}:unacked_index": "zset",
        f"{group}:unacked_mutex": "string",
        **{f"{group}:_kombu.{bound}.{celeryconfig.task_default_queue}": "set" for bound in ("binding", "binding_permanent")},
        f"{group}:databases": "hash",
        f"{group}:redis": "string",
        f"{group}:gone:{stream}": "string",
        f"{group}:epoch:{stream}": "zset",
    }


def _version(info: Any) -> Iterator[Finding]:
    version = str(info["redis_version"])
    works = ground.version_of(version) >= OLDEST
    yield finding("redis version", works, version if works else f"{version}: 6.2 is the oldest that works")
    server, number = ("valkey", str(info["valkey_version"])) if "valkey_version" in info else ("redis", version)
    for flaw in ground.flaws(server, number):
        may = "your distribution may have mended it without a new number"
        yield finding("redis flaws", False, f"{server} {number}: {flaw}; {may}", "warning")


def _what_it_keeps(info: Any) -> Iterator[Finding]:
    appends, policy = bool(info.get("aof_enabled")), str(info.get("maxmemory_policy", "unknown"))
    off = "off: every acknowledged event not yet read is lost when Redis is killed; set appendonly yes"
    yield finding("redis AOF", appends, "appendonly yes" if appends else off)
    evicts = evicting(policy)
    yield finding("redis eviction", evicts is None, evicts or policy)


def _observers(runtime: Runtime) -> Iterator[Finding]:
    stream, patience = runtime.settings.stream, timedelta(hours=runtime.settings.stream_retention_hours)
    for name, last in observers(runtime.redis, stream).items():
        late = runtime.clock.now() - last > patience
        told = f"{name} has read to {moment(last)}"
        over = f"{told}: what is trimmed it never sees; if it is no more: redis-cli XGROUP DESTROY {stream} {name}"
        yield finding("observer", not late, over if late else told, "warning")


def _sent(runtime: Runtime) -> Iterator[Finding]:
    """For whom commands and outcomes are kept in Redis's memory beyond their time."""
    retention = timedelta(hours=runtime.settings.sent_retention_hours)
    for stream in runtime.settings.sent_streams:
        kept = kept_for(runtime.redis, stream, retention)
        for name, since in kept.items():
            told = f"{stream} keeps everything since {moment(since)}, which {name} has not acknowledged"
            yield finding("sent", False, f"{told}; if it is no more: redis-cli XGROUP DESTROY {stream} {name}", "warning")
        if not kept and (late := outstayed(runtime.redis, stream, retention)) > TRIMMED_WITHIN:
            hours = f"{late.total_seconds() / 3600:.0f} hours"
            yield finding("sent", False, f"{stream} was not trimmed for {hours}: is `refunds intake` running?", "warning")


def _read_into(runtime: Runtime) -> Finding:
    settings = runtime.settings
    ours = runtime.store.read(known_name)
    beside = [
        f"{one.database} (by {one.by}, {ago.total_seconds():.0f} s ago)"
        for one, ago in others(runtime.redis, settings.group, ours)
    ]
    if not beside:
        return finding("databases", True, f"the events of {settings.group} are read into no database but this one")
    this = f"this one ({redacted(settings.database_url)}{f', {ours}' if ours else ''})"
    why = f"the events of {settings.group} are read into {', '.join(beside)}, and {this} is another: each misses what others take"
    right = (
        "name another database number in REFUNDS_REDIS_URL for one of them, then run `refunds reconcile` where the other stays"
    )
    return finding("databases", False, f"{why}; {right}")


def _fed_by(runtime: Runtime) -> Finding:
    settings = runtime.settings
    ours, now = known_name_of_redis(runtime.redis, settings.group), runtime.clock.now()
    beside = [
        f"{one.redis} (by {one.by}, {(now - one.last).total_seconds():.0f} s ago)"
        for one in runtime.store.read(lambda tx: feeders.others(tx, ours, now))
    ]
    if not beside:
        return finding("feeders", True, "the events of this database come from no Redis but this one")
    this = f"this one ({redacted(settings.redis_url)}{f', {ours}' if ours else ''})"
    why = f"the events of this database come from {', '.join(beside)}, and {this} is another: re-runs are asked for and outcomes"
    never = "announced on either, and those who read the other never hear of them"
    return finding("feeders", False, f"{why} {never}; name another database in REFUNDS_DATABASE_URL for one of the installations")


def _celery(settings: Settings) -> Finding:
    """Whether Celery comes there too, by its own connection, whether its processes can be told apart, and whether somebody takes
    from every queue.
    """
    with celery_of(settings) as app:
        try:
            with app.connection_for_write() as connection:
                connection.default_channel.client.ping()
            there = answers(app, "active_queues", ANSWER_SECONDS)
        except NoPermissionError as error:
            return finding("celery", False, f"this Redis user may not ask the task processes: {one_line(error)}; {ASK_ELSEWHERE}")
        except (OperationalError, redis.RedisError, OSError, TypeError, ValueError) as error:
            return finding("celery", False, f"Celery cannot use this Redis, and no task runs: {one_line(error)}")
    if shared := shared_names(there):
        why = "`refunds drain` cannot tell them apart, and Flower shows one; start each with its own -n"
        return finding("celery", False, f"two processes are called {' and '.join(shared)}: {why}", "warning")
    if not there:
        return finding("celery", False, "it comes there too, and no task process answers: nothing is decided or paid", "warning")
    taken = {queue["name"] for _, queues in there for queue in queues}
    if left := [queue for queue in QUEUES if queue not in taken]:
        why = f"{len(there)} task processes answer, and none takes from {', '.join(left)}: what is sent there waits"
        return finding("celery", False, why, "warning")
    return finding("celery", True, f"it comes there too; {len(there)} task processes answer")


def _configured(client: redis.Redis, name: str) -> str | None:
    try:
        told: Any = client.config_get(name)
        return str(told[name])
    except (redis.ResponseError, KeyError):  # who runs it for others mostly does not say
        return None


def _largest_entry(client: redis.Redis) -> Iterator[Finding]:
    told = _configured(client, "proto-max-bulk-len")
    if told is None:
        return
    most = int(told)
    fine = most <= LARGEST_FIELD
    told = (
        f"{most} bytes at most in one field" if fine else f"one field may be {most / 2**20:.0f} MiB; set proto-max-bulk-len 1mb"
    )
    yield finding("redis entries", fine, told, "warning")


def _flushed(client: redis.Redis) -> Iterator[Finding]:
    when = _configured(client, "appendfsync")
    if when is None:
        return
    lost = "no: a power cut takes along what was acknowledged for half a minute; set appendfsync everysec or always"
    yield finding("redis appendfsync", when != "no", lost if when == "no" else when, "warning")


def _why_not(info: Any) -> Iterator[Finding]:
    """What keeps Redis from taking writes, or soon will, by what it says of itself."""
    if info.get("role", "master") != "master":
        yield finding("redis role", False, "a replica, which only reads: name the primary in REFUNDS_REDIS_URL")
    written = {name: info.get(name, "ok") for name in ("aof_last_write_status", "rdb_last_bgsave_status")}
    for name, said in written.items():
        if said != "ok":
            why = f"{name} is {said}: Redis cannot write to its disk and may refuse events; make room there"
            yield finding("redis disk", False, why)
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and used > MEMORY_SHARE * most:
        why = f"{used / 2**20:.1f} of {most / 2**20:.1f} MiB are used: beyond maxmemory no event is taken in any more; raise it"
        yield finding("redis memory", False, why, "fault" if used >= most else "warning")
