"""What the doctor looks at: the ground the promise stands on."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import redis
from kombu.exceptions import OperationalError

from worker import disk, traces
from worker.broker import answers, celery_of, shared_names
from worker.cases.chain.chainer import heads_of
from worker.cases.editions import refused
from worker.cases.money.clocks import apart, database_time
from worker.cases.money.restore import Checked
from worker.cli import ground
from worker.clock import SystemClock, moment
from worker.credits.at_creem import AtCreem
from worker.creem.client import CreemRefused
from worker.errors import RefundsError, TryLater, one_line
from worker.intake.interference import ahead, way_out
from worker.intake.stream import takes_no_writes
from worker.intake.upkeep import observers
from worker.notices.mail.postbox import postbox_of
from worker.runtime import Runtime
from worker.settings import Mode, Settings, redacted
from worker.store import schema
from worker.store.engine import SQLITE_WAL_FROM
from worker.store.session import is_pooled, settings_in_force

Finding = dict[str, Any]
LARGEST_ENTRY = 2**20
"""The least that Redis can be set to."""
ANSWER_SECONDS = 1.0
MEMORY_SHARE = 0.8
"""Of what Redis may use; above it the doctor warns."""


def _finding(check: str, ok: bool, finding: str, severity: str = "fault") -> Finding:
    return {"check": check, "ok": ok, "finding": finding, "severity": severity}


def examine(settings: Settings) -> list[Finding]:
    """Every finding, good and bad; a check that fails never stops the next."""
    runtime = Runtime.start(settings)
    findings = [_finding("configuration", True, "every REFUNDS_ variable is known and right")]
    checks: tuple[tuple[str, Callable[[Runtime], Iterator[Finding]]], ...] = (
        ("terms", _terms),
        ("database", _database),
        ("terms in use", _terms_kept),
        ("balances", _balances),
        ("redis", _redis),
        ("producers", _producers),
        ("pipeline", _pipeline),
        ("creem", _creem),
        ("web", _web),
        ("restore", _restore),
        ("chain", _chain),
        ("people", _people),
        ("evidence files", _evidence),
        ("packages", _packages),
        ("traces", _traces),
    )
    for name, check in checks:
        try:
            findings += check(runtime)
        except (RefundsError, redis.RedisError, OSError) as error:
            findings.append(_finding(name, False, one_line(error)))
    runtime.store.close()
    return findings


def _terms(runtime: Runtime) -> Iterator[Finding]:
    names = ", ".join(terms.edition for terms in runtime.editions)
    in_force = runtime.bench.terms_at(runtime.clock.now()).edition
    yield _finding("terms", True, f"editions {names}; {in_force} is in force")


def _terms_kept(runtime: Runtime) -> Iterator[Finding]:
    wrong = runtime.store.read(lambda tx: refused(tx, runtime.editions))
    yield _finding("terms in use", not wrong, "; ".join(wrong) or "their files are those that cases were decided by")


def _database(runtime: Runtime) -> Iterator[Finding]:
    where = redacted(runtime.settings.database_url)
    found = schema.require_current(runtime.store)
    newer = "" if found == schema.head() else ", of a newer release that this one may run beside"
    yield _finding("database", True, f"{where} answers, the schema is at {found}{newer}")
    if runtime.store.dialect == "sqlite":
        wal = sqlite3.sqlite_version_info >= SQLITE_WAL_FROM
        mode = "WAL" if wal else "a rollback journal: below 3.51.3 WAL can corrupt"
        yield _finding("sqlite", True, f"{sqlite3.sqlite_version}, with {mode}; good for one machine, Postgres for production")
        return
    if runtime.store.read(lambda tx: is_pooled(tx.connection)):
        slower = "settings go along with each transaction and no statement is kept prepared, which is safe and slower"
        yield _finding("pooler", True, f"one stands before the server: {slower}")
    wrong = runtime.store.read(lambda tx: apart(database_time(tx), SystemClock().now()))
    suffers = f"{wrong}: what the schedule sends from or to here may be dropped as too old, and logs are dated by it"
    yield _finding("clock", not wrong, suffers if wrong else "agrees with the database's")
    wanted = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
    for name, found in runtime.store.read(lambda tx: settings_in_force(tx.connection, wanted)).items():
        right = wanted[name]
        safe = found == right or (name == "synchronous_commit" and found in {"remote_write", "remote_apply", "local"})
        yield _finding(name, safe, f"{found}" if safe else f"{found}: a commit may be lost at a crash; set {name} = {right}")


def _balances(runtime: Runtime) -> Iterator[Finding]:
    balances = runtime.home
    if isinstance(balances, AtCreem):
        yield _finding("balances", True, f"credits are booked in the account {balances.name!r} of each customer at Creem")
        return
    if balances is None:
        yield _finding(
            "balances",
            True,
            "no REFUNDS_BALANCE_TABLE, no REFUNDS_CREEM_CREDITS: credits live in these books, and every reversal is announced",
        )
        return
    where = " and ".join(str(product) for product in (balances.accounts, balances.entries) if product)
    yield _finding("balances", True, f"credits are booked in {where} too")
    for doubt in runtime.store.read(balances.doubts):
        yield _finding("balances", False, doubt, "warning")


def _redis(runtime: Runtime) -> Iterator[Finding]:
    where = redacted(runtime.settings.redis_url)
    client = runtime.redis
    refused = takes_no_writes(client, runtime.settings.group)
    yield _finding("redis", refused is None, f"{where}: {refused}" if refused else f"{where} answers")
    yield _celery(runtime.settings)
    try:
        info: Any = client.info()
    except redis.ResponseError:
        yield _finding("redis version", False, "INFO is not answered: not a real Redis, nothing survives its end", "warning")
        return
    yield from _why_not(info)
    version = ground.version_of(str(info["redis_version"]))
    yield _finding(
        "redis version",
        version >= (6, 2),
        f"{info['redis_version']}" if version >= (6, 2) else f"{info['redis_version']}: 6.2 is the oldest that works",
    )
    server, number = ("valkey", info["valkey_version"]) if "valkey_version" in info else ("redis", info["redis_version"])
    for flaw in ground.flaws(server, str(number)):
        may = "your distribution may have mended it without a new number"
        yield _finding("redis flaws", False, f"{server} {number}: {flaw}; {may}", "warning")
    aof = bool(info.get("aof_enabled"))
    yield _finding(
        "redis AOF",
        aof,
        "appendonly yes"
        if aof
        else "off: every acknowledged event not yet read is lost when Redis is killed; set appendonly yes",
    )
    policy = str(info.get("maxmemory_policy", "unknown"))
    fine = policy == "noeviction"
    yield _finding(
        "redis eviction", fine, policy if fine else f"{policy}: Redis may throw events away; set maxmemory-policy noeviction"
    )
    yield from _flushed(client)
    yield from _largest_entry(client)
    last_id = ahead(client, runtime.settings.stream)
    told = "none lies in the future" if last_id is None else way_out(runtime.settings.stream, last_id)
    yield _finding("stream ids", last_id is None, told)
    for name, last in observers(client, runtime.settings.stream).items():
        late = runtime.clock.now() - last > timedelta(hours=runtime.settings.stream_retention_hours)
        told = f"{name} has read to {moment(last)}"
        over = (
            f"{told}: what is trimmed it never sees; if it is no more: redis-cli XGROUP DESTROY {runtime.settings.stream} {name}"
        )
        yield _finding("observer", not late, over if late else told, "warning")


def _celery(settings: Settings) -> Finding:
    """Whether Celery comes there too, by its own connection, and whether its processes can be told apart."""
    with celery_of(settings) as app:
        try:
            with app.connection_for_write() as connection:
                connection.default_channel.client.ping()
            there = answers(app, "ping", ANSWER_SECONDS)
        except (OperationalError, redis.RedisError, OSError, TypeError, ValueError) as error:
            return _finding("celery", False, f"Celery cannot use this Redis, and no task runs: {one_line(error)}")
    if shared := shared_names(there):
        why = "`refunds drain` cannot tell them apart, and Flower shows one; start each with its own -n"
        return _finding("celery", False, f"two processes are called {' and '.join(shared)}: {why}", "warning")
    return _finding("celery", True, f"it comes there too; {len(there)} task processes answer")


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
    large = f"{most / 2**20:.0f} MiB: an entry may be as large, and is read and kept whole; set proto-max-bulk-len 1mb"
    yield _finding("redis entries", most <= LARGEST_ENTRY, large if most > LARGEST_ENTRY else f"{most} bytes at most", "warning")


def _flushed(client: redis.Redis) -> Iterator[Finding]:
    when = _configured(client, "appendfsync")
    if when is None:
        return
    lost = "no: a power cut takes along what was acknowledged for half a minute; set appendfsync everysec or always"
    yield _finding("redis appendfsync", when != "no", lost if when == "no" else when, "warning")


def _why_not(info: Any) -> Iterator[Finding]:
    """What keeps Redis from taking writes, or soon will, by what it says of itself."""
    if info.get("role", "master") != "master":
        yield _finding("redis role", False, "a replica, which only reads: name the primary in REFUNDS_REDIS_URL")
    written = {name: info.get(name, "ok") for name in ("aof_last_write_status", "rdb_last_bgsave_status")}
    for name, said in written.items():
        if said != "ok":
            why = f"{name} is {said}: Redis cannot write to its disk and may refuse events; make room there"
            yield _finding("redis disk", False, why)
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and used > MEMORY_SHARE * most:
        why = f"{used / 2**20:.1f} of {most / 2**20:.1f} MiB are used: beyond maxmemory no event is taken in any more; raise it"
        yield _finding("redis memory", False, why, "fault" if used >= most else "warning")


def _producers(runtime: Runtime) -> Iterator[Finding]:
    keys = runtime.producers.keys.values()
    if not keys:
        said = "no REFUNDS_EVENT_SECRETS: whoever can write to the stream is believed; give each producer a Redis user of its own"
        yield _finding("producers", True, said)
        return
    named = ", ".join(f"{key.id} for {key.source}" for key in keys)
    yield _finding("producers", True, f"events are taken only when signed: {named}")


def _pipeline(runtime: Runtime) -> Iterator[Finding]:
    url = runtime.settings.pipeline_url
    if not url:
        yield _finding(
            "pipeline", True, f"no REFUNDS_PIPELINE_URL: re-runs are asked for on the stream {runtime.settings.commands_stream}"
        )
        return
    try:
        httpx.get(url, timeout=5, trust_env=False, follow_redirects=False)
        yield _finding("pipeline", True, f"{redacted(url)} answers")
    except httpx.HTTPError as error:
        why = f"{redacted(url)} does not answer ({one_line(error)}): re-runs wait, and credits come back at their deadline"
        yield _finding("pipeline", False, why, "warning")


def _chain(runtime: Runtime) -> Iterator[Finding]:
    heads = runtime.store.read(heads_of)
    rows = ", ".join(f"{head.name} up to {head.last_id}" for head in heads if head.last_id)
    folder = runtime.settings.journal_dir
    where = f"its heads are kept in {folder}" if folder is not None else "its heads are in the log alone: set REFUNDS_JOURNAL_DIR"
    yield _finding("chain", True, f"{rows or 'nothing yet'}; {where}")


def _people(runtime: Runtime) -> Iterator[Finding]:
    settings, maildir = runtime.settings, runtime.maildir
    if maildir is None:
        yield _finding("mail", True, "no REFUNDS_MAIL_DIR: requests come in by `refunds request add` only")
    else:
        maildir.check()
        yield _finding("mail", True, f"{maildir.folder}: {maildir.waiting()} mails lie there")
        vouched = bool(runtime.mailroom.trusted)
        said = (
            f"senders are vouched for by {settings.mail_hosts}"
            if vouched
            else "no REFUNDS_MAIL_HOSTS: every sender is asked back"
        )
        yield _finding("senders", vouched, said, "warning")
    yield _notices(runtime)
    yield _evidence_folder(settings)
    yield from _backups(runtime)


def _notices(runtime: Runtime) -> Finding:
    settings = runtime.settings
    if settings.notices_url is None or runtime.notifier.mailer is None:
        return _finding("notices", False, "no REFUNDS_NOTICES_URL: customers are told nothing", "warning")
    why = postbox_of(settings.notices_url, timeout=settings.notices_timeout_seconds).trouble(settings.notices_from)
    fine = f"customers are written to from {settings.notices_from}"
    return _finding("notices", why is None, f"{why}: customers are not told until it takes letters" if why else fine, "warning")


def _evidence_folder(settings: Settings) -> Finding:
    folder = settings.evidence_dir
    if folder.exists() and folder.stat().st_mode & 0o077:
        return _finding("evidence", False, f"{folder} can be read by others; chmod 700 {folder}")
    why = disk.refusal(folder)
    # without mails only what `refunds request add` brings is kept there
    severity = "warning" if settings.mail_dir is None else "fault"
    fine = f"{folder} is read by us alone"
    return _finding("evidence", why is None, f"{folder} takes no files: {why}; no mail is taken in" if why else fine, severity)


def _evidence(runtime: Runtime) -> Iterator[Finding]:
    folder, gone = runtime.settings.evidence_dir, runtime.evidence.missing()
    fine = "every file that customers sent and that is to be kept is there"
    wrong = f"{len(gone)} files should lie in {folder} and do not, as {', '.join(gone[:1])}; do all processes use this folder?"
    yield _finding("evidence files", not gone, wrong if gone else fine)


def _backups(runtime: Runtime) -> Iterator[Finding]:
    """What one backup may not hold together: files of customers would stay in it, the journal go back with the database."""
    settings, journal = runtime.settings, runtime.settings.journal_dir
    if journal is None:
        return
    if ground.nested(settings.evidence_dir, journal):
        why = f"{settings.evidence_dir} and the claim journal {journal} lie in one another: a copy of the journal would keep"
        yield _finding("backups", False, f"{why} files of customers; give each a folder of its own", "warning")
    database = runtime.store.file
    if database is not None and ground.nested(journal, database.parent):
        why = f"the claim journal {journal} lies with the database: a backup of both brings both back, and nobody notices"
        yield _finding("backups", False, f"{why} which calls were lost; keep it apart", "warning")


def _packages(_: Runtime) -> Iterator[Finding]:
    found = ", ".join(map(str, ground.planted(ground.packages())))
    fine = "what runs at every start of Python belongs to installed packages"
    wrong = f"{found}: runs at every start of Python and belongs to no installed package; look at it, and remove it"
    yield _finding("packages", not found, wrong if found else fine)


def _traces(_: Runtime) -> Iterator[Finding]:
    to = traces.destination()
    if to is None:
        yield _finding("traces", True, "no OTEL_EXPORTER_OTLP_ENDPOINT: traces are handed on, and no spans are exported")
        return
    why = traces.unmet()
    fine = f"spans of what is done within a trace are exported to {to}"
    yield _finding("traces", why is None, f"no spans are exported to {to}: {why}" if why else fine, "warning")


def _web(runtime: Runtime) -> Iterator[Finding]:
    # a fifth of a second to import, which every other command does without
    from worker.web.serve import check, weak_password

    check(runtime.settings)
    weak, at = weak_password(runtime.settings), f"{runtime.settings.web_host} port {runtime.settings.web_port}"
    yield _finding("web", not weak, weak or f"it may listen on {at}", "warning")


def _creem(runtime: Runtime) -> Iterator[Finding]:
    if runtime.settings.mode is Mode.OBSERVE:
        watching = f", beside the live installation, as {runtime.settings.group}" if runtime.settings.observer else ""
        yield _finding("mode", False, f"observe: cases are decided and nothing is done about them{watching}", "warning")
    # where one process has the key, each has its own secrets alone
    apart = runtime.settings.creem_environment
    if runtime.settings.creem_webhook_secret is None:
        told = "no REFUNDS_CREEM_WEBHOOK_SECRET: every webhook is turned away with 401"
        yield _finding("webhooks", bool(apart), f"{told}, if this is where they come in" if apart else told, "warning")
    creem, address = runtime.creem, runtime.creem_address
    if apart and creem is None:
        yield _finding(
            "creem", True, f"no REFUNDS_CREEM_API_KEY here: what is to be paid ({apart}) waits for the process that has it"
        )
        return
    if creem is None or address is None:
        yield _finding("creem", True, "no REFUNDS_CREEM_API_KEY: credits only, no money is refunded")
        return
    where = f"{address.base_url} ({address.environment.value})"
    try:
        creem.transaction("tran_doctor")
    except TryLater as error:
        yield _finding("creem", False, f"{where}: {error}; money waits, credits do not", "warning")
    except CreemRefused as refusal:
        wrong = "the key is refused" if refusal.key_trouble else "the question is refused"
        yield _finding("creem", False, f"{where}: {wrong}: {refusal}; correct REFUNDS_CREEM_API_KEY")
    else:
        yield _finding("creem", True, f"{where} answers, the key can read")


def _restore(runtime: Runtime) -> Iterator[Finding]:
    """What would happen after the database was set back to a backup."""
    if runtime.creem is None:
        return
    folder, found = runtime.settings.journal_dir, runtime.restorer.check()
    if folder is None:
        why = (
            "no REFUNDS_JOURNAL_DIR: only Redis remembers how far the database had come; after a restore nobody can say which "
            "refunds were sent, and an empty Redis alone stops money until `refunds restore lift`"
        )
        yield _finding("claim journal", False, why, "warning")
    else:
        yield _journal(folder, found)
    away = found.remembered.redis_away
    if away is not None and found.wrong is None:
        yield _finding("restore", False, f"Redis cannot be asked how far the database had come: {away}", "warning")
        return
    remembered = (("Redis", found.remembered.redis), ("journal", found.remembered.journal))
    told = (f"{name} remembers {'nothing' if mark is None else mark}" for name, mark in remembered)
    marks = ", ".join([f"database at mark {found.mark}", *told])
    yield _finding("restore", found.wrong is None, f"{found.wrong}; see `refunds restore check`" if found.wrong else marks)


def _journal(folder: Path, found: Checked) -> Finding:
    why = disk.refusal(folder)
    cannot = f"cannot be written to ({why}): no money leaves until it can"
    if not folder.is_dir():
        fine = f"{folder} is made with the first call"
        return _finding("claim journal", why is None, f"{folder} {cannot}" if why else fine)
    if why is not None:
        return _finding("claim journal", False, f"{folder} {cannot}")
    if folder.stat().st_mode & 0o077:
        return _finding("claim journal", False, f"{folder} can be read by others; chmod 700 {folder}", "warning")
    kept = found.journal
    assert kept is not None, "a folder was named"
    torn = f", {kept.unreadable} lines torn by a crash" if kept.unreadable else ""
    told = f"{folder}: {len(kept)} calls{torn}"
    if found.mark and (kept.begins is None or (found.remembered.journal or 0) < found.mark - 1):
        return _finding(
            "claim journal", False, f"{told}; it knows nothing of the last of {found.mark} marks: was it lost?", "warning"
        )
    return _finding("claim journal", True, told)
