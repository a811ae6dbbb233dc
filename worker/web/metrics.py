"""Prometheus figures, read from the database when asked: every process answers alike, and a restart loses nothing.

What is counted are rows, so two web processes scraped in turn agree. Labels are states and reasons, never an id. The figures
are those of `refunds status` with a few more beside them, and are kept some seconds so that scrapes do not add up. What leaves
no row, a webhook that was turned away, each process counts for itself: the sum over all of them is asked for.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from policy import Editions
from policy.facts import RerunState
from policy.lifecycle import CaseState
from worker.broker import queued
from worker.cases.figures import BUCKETS, SERVICES, figures
from worker.cases.money import limits
from worker.cases.overview import WHOLE
from worker.clock import Clock
from worker.creem.answers import CallOutcome
from worker.errors import Misconfigured, TryLater, one_line
from worker.intake.records import JobStatus
from worker.intake.stream import backlog, takes_no_writes, throws_away
from worker.intake.upkeep import outstayed
from worker.observe import log
from worker.patience import Patience
from worker.settings import GROUP, Mode
from worker.store.breakers import CREEM
from worker.store.engine import Store
from worker.store.schema import head, require_current

KEEP_SECONDS = 15.0
SILENT_SECONDS = 60.0
"""At most so long is kept that a part does not answer: the alerts about that wait for two minutes, and one look raises none."""
BREAKERS = (CREEM, limits.CALLS, limits.KEY, limits.BALANCE, limits.JOURNAL, limits.MONEY, limits.RESTORE)
ENDS = tuple(status for status in JobStatus if status is not JobStatus.RUNNING)
DELIVERIES = ("taken", "not_stored", "unsigned")
Family = GaugeMetricFamily | CounterMetricFamily | GaugeHistogramMetricFamily


OVERDUE = "By how much their oldest is older than they are kept; growing: a group has not acknowledged it, or no intake runs"


class Figures(Collector):
    """The figures of one installation, kept `KEEP_SECONDS`, or longer where reading takes long.

    An unreachable part is a figure too, not an error. The parts are looked at side by side, so that those which do not answer
    keep a scrape waiting no longer than one of them.
    """

    def __init__(
        self,
        store: Store,
        client: redis.Redis,
        stream: str,
        clock: Clock,
        editions: Editions,
        timer: Callable[[], float] = time.monotonic,
        group: str = GROUP,
        mode: Mode = Mode.FULL,
        environment: str | None = None,
        mails: Callable[[], tuple[int, datetime | None]] | None = None,
        sent: Mapping[str, timedelta] | None = None,
        reconciles_every: timedelta = timedelta(hours=1),
    ) -> None:
        self._store, self._redis, self._stream, self._clock, self._timer = store, client, stream, clock, timer
        self._editions, self._group, self._mode, self._environment, self._mails = editions, group, mode, environment, mails
        self._sent, self._reconciles_every = sent or {}, reconciles_every
        self._mails_seen: datetime | None = None
        self.deliveries = Counter(dict.fromkeys(DELIVERIES, 0))
        """Webhooks by how this process answered since it runs; whoever answers counts."""
        self._lock, self._patience = threading.Lock(), Patience()
        self._kept: tuple[float, list[Family]] | None = None
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def describe(self) -> Iterator[Family]:
        """Nothing: registering must not ask the database."""
        return iter(())

    def text(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Family]:
        """The families; whoever asks while another is reading waits for that reading."""
        with self._lock:
            began = self._timer()
            if self._kept is None or began >= self._kept[0]:
                found = self._look()
                ended = self._timer()
                # a large history is read more seldom: at most a twentieth of the time is spent reading
                keep = max(KEEP_SECONDS, 20 * (ended - began))
                self._kept = (ended + (keep if _all_up(found) else min(keep, SILENT_SECONDS)), found)
            yield from self._kept[1]
        yield self._webhooks()

    def _look(self) -> list[Family]:
        parts = (self._from_database, self._from_redis, self._from_maildir)
        with ThreadPoolExecutor(len(parts)) as pool:
            return [family for families in pool.map(lambda part: part(), parts) for family in families]

    def _webhooks(self) -> Family:
        text = "Webhooks by how this web process answered; `unsigned` alone: are secret and address those that Creem has?"
        family = CounterMetricFamily("refunds_webhooks", text, labels=["answer"])
        for answer in DELIVERIES:
            family.add_metric([answer], self.deliveries[answer])
        return family

    def _from_database(self) -> list[Family]:
        try:
            now = self._patience.look(self._time_of_a_fit_database)
            found, more = self._store.read(lambda tx: figures(tx, now, self._environment))
        except (TryLater, Misconfigured) as error:
            log.warning("metrics.database_unreachable", error=one_line(error))
            return [_up("database", False)]
        except TimeoutError as error:
            # whoever waited for it would hold the lock, and each that asks later would wait for that
            log.warning("metrics.database_unreachable", error=error.strerror)
            return [_up("database", False)]
        terms = self._editions.at(now)
        labels = {"version": version("layer-refunds"), "schema": head(), "terms": terms.edition}
        running = GaugeMetricFamily("refunds_build_info", "Always 1; what runs here", labels=list(labels))
        running.add_metric(list(labels.values()), 1)
        modes = {mode.value: int(mode is self._mode) for mode in Mode}
        mode = _many(
            "refunds_mode", "1 for the mode of the web process; in observe nothing is promised to anybody", "mode", modes
        )
        # where the terms give none there is nothing that could be left
        left = terms.doubt_credits_per_day - more["doubt"] if terms.doubt_credits_per_day else None
        text = "Credits that may still come back today for failure codes nobody knows; below that a person decides"
        doubt = _one("refunds_doubt_credits_left", text, left)
        text = "By how much reconcile is behind its time, since it last came through all its parts; is beat running?"
        late = _one("refunds_reconcile_late_seconds", text, _age(more["reconciled_at"], now - self._reconciles_every))
        return [_up("database", True), running, mode, doubt, late, *_families(found, more, now)]

    def _time_of_a_fit_database(self) -> datetime:
        # what only reads, or has another schema, answers too, and is of no use to anybody
        require_current(self._store)
        return self._clock.now()

    def _from_redis(self) -> list[Family]:
        try:
            refused = takes_no_writes(self._redis, self._group)
            found = backlog(self._redis, self._stream, self._group)
            waiting, evicts = queued(self._redis, self._group), throws_away(self._redis)
            sent = {stream: int(self._redis.xlen(stream)) for stream in self._sent}
            late = {stream: int(outstayed(self._redis, stream, keep).total_seconds()) for stream, keep in self._sent.items()}
        except (redis.RedisError, OSError) as error:
            log.warning("metrics.redis_unreachable", error=one_line(error))
            return [_up("redis", False)]
        if refused:
            log.warning("metrics.redis_refuses", error=refused)
        unread = found.length if found.undelivered is None else found.undelivered
        return [
            _up("redis", refused is None),
            _one("refunds_redis_evicts", "1 where Redis may throw events away once its memory is full", int(evicts is not None)),
            _one("refunds_stream_unread_entries", "Entries intake has not read; growing: is `refunds intake` running?", unread),
            _one(
                "refunds_stream_pending_entries", "Entries read and not yet stored; standing: look at intake's log", found.pending
            ),
            _one("refunds_stream_oldest_age_seconds", "Age of the oldest of both", _age(found.oldest_at, self._clock.now())),
            _many("refunds_tasks_queued", "Task messages that no worker has taken yet", "queue", waiting),
            _many("refunds_sent_entries", "Commands and outcomes that Redis keeps in its memory", "stream", sent),
            _many("refunds_sent_overdue_seconds", OVERDUE, "stream", late),
        ]

    def _from_maildir(self) -> list[Family]:
        oldest = "refunds_mails_oldest_age_seconds"
        text = "Age of the oldest of them, whose promise runs, or since when the folder cannot be read; run `refunds doctor`"
        try:
            lying, since = self._mails() if self._mails is not None else (0, None)
            self._mails_seen = since or self._clock.now()
        except OSError as error:
            hangs = isinstance(error, TimeoutError)
            log.warning("metrics.maildir_hangs" if hangs else "metrics.maildir_unreadable", error=one_line(error))
            if self._mails_seen is None and not hangs:
                # a process that was never given the folder says nothing of it
                return []
            # nobody takes what has come since it last answered, and how much that is cannot be told
            self._mails_seen = self._mails_seen or self._clock.now()
            return [_one(oldest, text, _age(self._mails_seen, self._clock.now()))]
        return [
            _one("refunds_mails_waiting", "Mails that lie in the Maildir and have not been taken in", lying),
            _one(oldest, text, _age(since, self._clock.now())),
        ]


def _all_up(found: Iterable[Family]) -> bool:
    parts = {f"refunds_{part}_up" for part in ("database", "redis")}
    return all(sample.value for family in found if family.name in parts for sample in family.samples)


def _up(part: str, good: bool) -> Family:
    text = "1 while this part answers the web process and takes writes; 0: run `refunds doctor`"
    return _one(f"refunds_{part}_up", text, int(good))


def _one(name: str, text: str, value: float | None) -> Family:
    return GaugeMetricFamily(name, text, value=value)


def _many(name: str, text: str, label: str, values: dict[str, int]) -> Family:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _each(known: Iterable[str], counted: Mapping[str, int]) -> dict[str, int]:
    """The number of each that is known, 0 where none was counted."""
    return {str(name): counted.get(name, 0) for name in known}


def _age(at: str | datetime | None, now: datetime) -> float:
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return max(0.0, (now - when).total_seconds()) if when else 0.0


def _families(found: dict[str, Any], more: dict[str, Any], now: datetime) -> Iterator[Family]:
    due, notices = found["effects_due"], found["notices"]
    count, total, *buckets = more["histogram"]
    yield _many("refunds_cases", "Cases by state; `refunds cases --state S` lists them", "state", found["cases"])
    yield _one("refunds_inbox_unhandled_events", "Events stored and not handled; see `refunds status`", found["backlog"])
    yield _one("refunds_inbox_oldest_age_seconds", "Age of the oldest of them", _age(found["oldest_unhandled_at"], now))
    yield _one("refunds_inbox_waiting_events", "Events about jobs not yet known", found["waiting_events"])
    yield _one("refunds_promises_breached", "Open cases past their due date: somebody waits too long", found["overdue_promises"])
    yield _one("refunds_promises_warned", "Open cases warned of before their due date", more["warned"])
    yield _one("refunds_actions_overdue", "Cases the sweep should have looked at; is beat running?", found["overdue_actions"])
    yield _one("refunds_payments_unproved", "Refunds whose outcome is not proved", found["payments"]["unproved"])
    oldest = _age(found["payments"]["oldest_unproved_at"], now)
    yield _one("refunds_payments_unproved_oldest_age_seconds", "Age of the oldest; run `refunds reconcile`", oldest)
    late = _age(found["payments"]["next_due_at"], now)
    text = "Age of the oldest claim whose turn is due and that nobody takes; is a worker with the queue money running?"
    yield _one("refunds_payments_due_oldest_age_seconds", text, late)
    text = "Money of open claims, minor units, currencies added"
    yield _one("refunds_payments_open_minor_units", text, found["payments"]["waiting_minor_units"])
    yield _many("refunds_payments", "Claims on charges by state", "state", found["payments"]["by_state"])
    text = "Money that went back by another hand than ours, minor units, currencies added; `refunds reconcile` names the charges"
    yield _one("refunds_money_unmatched_minor_units", text, more["unmatched"])
    text = "Charges that Creem and we do not agree on in what went back; `refunds reconcile` names them"
    yield _many("refunds_charges_in_doubt", text, "check", more["in_doubt"])
    text = "Calls in a row that came to nothing, of `mail` letters that ended untold; 0 again with the next that does not"
    yield _many("refunds_calls_unheard", text, "service", _each(SERVICES, more["unheard"]))
    standing = {name: int(name in found["breakers"]) for name in BREAKERS}
    yield _many("refunds_breaker_open", "1 while this breaker holds money back; `refunds status` says why", "breaker", standing)
    yield _one("refunds_review_waiting", "Cases that wait for a person: `refunds review list`", found["review"]["waiting"])
    left = (more["deadline"] - now).total_seconds() if more["deadline"] else float("nan")
    yield _one("refunds_review_next_deadline_seconds", "Time left for the most urgent of them; NaN: none waits", left)
    yield _many("refunds_notices", "Notices by state, without those sent", "state", notices)
    text = "Age of the oldest letter that was tried in vain and goes on being tried; does the mail server take letters?"
    yield _one("refunds_notices_late_oldest_age_seconds", text, _age(found["notices_late"]["oldest_at"], now))
    pending = {kind: int(one["count"]) for kind, one in due.items()}
    yield _many("refunds_effects_due", "Effects written and not yet carried out", "kind", pending)
    late = max((_age(one["oldest_at"], now) for one in due.values()), default=0.0)
    yield _one("refunds_effects_oldest_age_seconds", "Age of the oldest effect due; are workers running?", late)
    yield _many("refunds_dead_letters", "Open dead letters by reason: `refunds dead list`", "reason", found["dead_letters"])
    yield _many("refunds_reruns", "Re-runs by state", "state", _each(RerunState, more["reruns"]))
    text = "Layer jobs by how they ended, of the last hour"
    yield _many("refunds_jobs_ended_last_hour", text, "status", _each(ENDS, more["ended"]))
    calls = CounterMetricFamily("refunds_creem_calls", "Refund calls to Creem that ended, by outcome", labels=["outcome"])
    for outcome, number in _each(CallOutcome, more["calls"]).items():
        calls.add_metric([outcome], number)
    yield calls
    closed = _each((*WHOLE, CaseState.DECLINED, CaseState.NOTHING_OWED), more["closed"])
    yield _many("refunds_cases_closed_last_day", "Cases closed in the last 24 hours by state", "state", closed)
    bounds = [*((str(float(bound)), int(n)) for bound, n in zip(BUCKETS, buckets, strict=True)), ("+Inf", int(count))]
    text = "From failure to made whole, cases closed in the last 24 hours; use histogram_quantile without rate"
    yield GaugeHistogramMetricFamily("refunds_time_to_made_whole_seconds", text, buckets=bounds, gsum_value=float(total or 0))
