"""Everything the doctor looks at, in order."""

from collections.abc import Callable, Iterator

import httpx
import redis

from worker import traces
from worker.cases.chain.chainer import heads_of
from worker.cli import ground
from worker.cli.doctor import database, money, people, queue
from worker.cli.doctor.finding import Finding, finding
from worker.errors import RefundsError, one_line
from worker.reruns.http import client_of, parts_of
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store.breakers import BREAK_AFTER, PIPELINE, not_heard


def examine(settings: Settings) -> list[Finding]:
    """Every finding, good and bad; a check that fails never stops the next."""
    runtime = Runtime.start(settings)
    findings = [finding("configuration", True, "every REFUNDS_ variable is known and right")]
    checks: tuple[tuple[str, Callable[[Runtime], Iterator[Finding]]], ...] = (
        ("terms", _terms),
        ("calendar", database.holidays_known),
        ("locks", database.locks),
        ("database", database.database),
        ("terms in use", database.terms_kept),
        ("balances", database.balances),
        ("redis", queue.queue),
        ("producers", _producers),
        ("pipeline", _pipeline),
        ("re-runs", _reruns),
        ("creem", money.creem),
        ("clock", money.time_told),
        ("claims", money.claimed),
        ("web", _web),
        ("restore", money.restore),
        ("chain", _chain),
        ("people", people.people),
        ("evidence files", people.evidence),
        ("packages", _packages),
        ("traces", _traces),
    )
    for name, check in checks:
        try:
            findings += check(runtime)
        except (RefundsError, redis.RedisError, OSError) as error:
            findings.append(finding(name, False, one_line(error)))
    runtime.store.close()
    return findings


def _terms(runtime: Runtime) -> Iterator[Finding]:
    names = ", ".join(terms.edition for terms in runtime.editions)
    in_force = runtime.bench.terms_at(runtime.clock.now()).edition
    yield finding("terms", True, f"editions {names}; {in_force} is in force")


def _producers(runtime: Runtime) -> Iterator[Finding]:
    keys = runtime.producers.keys.values()
    if not keys:
        said = "no REFUNDS_EVENT_SECRETS: whoever can write to the stream is believed; give each producer a Redis user of its own"
        yield finding("producers", True, said)
        return
    named = ", ".join(f"{key.id} for {key.source}" for key in keys)
    yield finding("producers", True, f"events are taken only when signed: {named}")


def _pipeline(runtime: Runtime) -> Iterator[Finding]:
    url = runtime.settings.pipeline_url
    if not url:
        yield finding(
            "pipeline", True, f"no REFUNDS_PIPELINE_URL: re-runs are asked for on the stream {runtime.settings.commands_stream}"
        )
        return
    # as orders are sent; who signs in with a token may have it in place of a user name
    base, auth, _ = parts_of(url)
    try:
        with client_of() as client, client.stream("GET", base, auth=auth, timeout=5) as answer:
            # the status says that somebody is there: a body may have no end
            yield finding("pipeline", True, f"{base} answers {answer.status_code}")
    except httpx.HTTPError as error:
        why = f"{base} does not answer ({one_line(error)}): re-runs wait, and credits come back at their deadline"
        yield finding("pipeline", False, why, "warning")


def _reruns(runtime: Runtime) -> Iterator[Finding]:
    lost = runtime.store.read(lambda tx: not_heard(tx, PIPELINE))
    if lost is None:
        yield finding("re-runs", True, "what was ordered of the pipeline last was heard")
        return
    failures, why = lost
    told = (
        f"{failures} calls in a row were not heard, the last: {why}; they are repeated, and credits come back at their deadline"
    )
    yield finding("re-runs", failures < BREAK_AFTER, told, "warning")


def _chain(runtime: Runtime) -> Iterator[Finding]:
    heads = runtime.store.read(heads_of)
    rows = ", ".join(f"{head.name} up to {head.last_id}" for head in heads if head.last_id)
    folder = runtime.settings.journal_dir
    where = f"its heads are kept in {folder}" if folder is not None else "its heads are in the log alone: set REFUNDS_JOURNAL_DIR"
    yield finding("chain", True, f"{rows or 'nothing yet'}; {where}")


def _packages(_: Runtime) -> Iterator[Finding]:
    found = ", ".join(map(str, ground.planted(ground.packages())))
    fine = "what runs at every start of Python belongs to installed packages"
    wrong = f"{found}: runs at every start of Python and belongs to no installed package; look at it, and remove it"
    yield finding("packages", not found, wrong if found else fine)


def _traces(_: Runtime) -> Iterator[Finding]:
    to = traces.destination()
    if to is None:
        yield finding("traces", True, "no OTEL_EXPORTER_OTLP_ENDPOINT: traces are handed on, and no spans are exported")
        return
    why = traces.unmet()
    fine = f"spans of what is done within a trace are exported to {to}"
    yield finding("traces", why is None, f"no spans are exported to {to}: {why}" if why else fine, "warning")


def _web(runtime: Runtime) -> Iterator[Finding]:
    # a fifth of a second to import, which every other command does without
    from worker.web.serve import check, weak_password

    check(runtime.settings)
    weak, at = weak_password(runtime.settings), f"{runtime.settings.web_host} port {runtime.settings.web_port}"
    yield finding("web", not weak, weak or f"it may listen on {at}", "warning")
