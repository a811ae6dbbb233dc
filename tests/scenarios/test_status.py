"""What `refunds status` says to whoever types it first: who waits, for what, and where to look."""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_py

from policy import load_editions
from tests.cases.world import HandClock
from tests.scenarios.system import System, a_system, submitted
from tests.store.rows import NOON, a_case, given, given_an_account_with_a_purchase
from worker.intake.accept import Desk
from worker.intake.entry import Entry
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.store.tables import breakers, cases, effects, notices
from worker.web.metrics import Figures

pytestmark = pytest.mark.landing


@pytest.fixture
def system(migrated_sqlite: Path, tmp_path: Path, redis_server: str, redis: redis_py.Redis) -> Iterator[System]:
    """An installation without processes, with an account of whom nothing is owed."""
    url = f"sqlite:///{tmp_path / 'refunds.db'}"
    (tmp_path / "refunds.db").write_bytes(migrated_sqlite.read_bytes())
    with closing(Store(url)) as store:
        given_an_account_with_a_purchase(store)
    with a_system(url, redis_server) as made:
        yield made


def waits(system: System, state: str) -> None:
    """A case whose promise has long ended, and whose next look is due as long."""
    with closing(Store(system.database_url)) as store:
        case = a_case(state=state)
        given(store, cases, {**case, "next_action_at": case["due_at"]})


def test_nobody_waits_where_nothing_is_late(system: System) -> None:
    with closing(Store(system.database_url)) as store:
        given(store, breakers, {"name": "creem", "failures": 6, "open_until": NOON, "needs_person": False})
    said = system.refunds("status").stdout
    assert "Nobody waits beyond the promise. 0 made whole, 0 credits back, 0 open." in said
    assert "to be done" in said
    assert "first deadline" not in said
    assert "creem breaker" not in said, "it closed long ago"


def test_broken_promise_and_missed_look_are_said_first_with_what_to_look_at(system: System) -> None:
    waits(system, "waiting")
    first = system.refunds("status").stdout.splitlines()[0]
    promise, look = first.split("; ")
    assert promise.startswith("1 promise overdue since 2026-03-02T12:00:00")
    assert look == "1 case due for the next look: is a worker running?"
    assert "Nobody waits" not in system.refunds("status").stdout


def test_what_is_to_be_done_says_what_was_tried_in_vain(system: System) -> None:
    waits(system, "review")
    due = {"kind": "announce", "case_id": "case_1", "payload": {}, "state": "due", "due_at": NOON, "created_at": NOON}
    with closing(Store(system.database_url)) as store:
        given(store, effects, {**due, "effect_id": "one", "key": "one", "attempts": 0})
        assert "1 announce since 2026-03-02T12:00:00.123456Z\n" in system.refunds("status").stdout
        given(store, effects, {**due, "effect_id": "two", "key": "two", "attempts": 1, "result": "Redis: away"})
    assert "2 announce since 2026-03-02T12:00:00.123456Z, 1 tried in vain: Redis: away" in system.refunds("status").stdout


def test_letter_that_no_server_takes_is_said_with_why(system: System) -> None:
    waits(system, "review")
    assert "tried in vain" not in system.refunds("status").stdout
    told = {"kind": "in_review", "case_id": "case_1", "account_id": "acc_1", "payload": {}, "state": "due", "due_at": NOON}
    with closing(Store(system.database_url)) as store:
        given(store, notices, {**told, "notice_id": "n", "key": "n", "attempts": 9, "created_at": NOON, "detail": "refused"})
    said = "1 letter tried in vain since 2026-03-02T12:00:00.123456Z: refused; after a week they are dropped"
    assert said in " ".join(system.refunds("status").stdout.split())


def test_mails_that_are_not_taken_in_are_said_first_and_a_folder_that_is_none_with_why(system: System, tmp_path: Path) -> None:
    system.extra = {**system.extra, "REFUNDS_MAIL_DIR": str(tmp_path / "mail")}
    assert "has no folder `new`; expected a Maildir" in " ".join(system.refunds("status").stdout.split())
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    lying = tmp_path / "mail" / "new" / "1"
    lying.write_bytes(b"Subject: Refund\r\n\r\nPlease")
    assert system.refunds("status").stdout.startswith("Nobody waits"), "it has just come"
    at = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(lying, (at, at))
    first = " ".join(system.refunds("status").stdout.split())
    assert first.startswith(f"1 mail not taken in since {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M}")
    assert "`refunds doctor` says whether mails can be" in first
    assert (system.json("status")["mails"]["waiting"], system.json("status")["mails"]["late"]) == (1, True)


def test_tasks_that_nobody_takes_are_said_by_queue(system: System, redis: redis_py.Redis) -> None:
    redis.rpush("refunds:money", *["{}"] * 1_000)
    redis.rpush("refunds:sweep", *["{}"] * 20)
    said = " ".join(system.refunds("status").stdout.split())
    assert "tasks 1000 in money wait; where that only grows, no worker takes from there: `refunds doctor`" in said
    assert system.json("status")["stream"]["queued"] == {"assess": 0, "remedies": 0, "money": 1_000, "sweep": 20}


def test_redis_that_may_throw_events_away_is_said_and_counted(system: System, redis: redis_py.Redis) -> None:
    def counted() -> bool:
        with closing(Store(system.database_url)) as store:
            asked = Figures(store, redis, "layer-jobs:events", HandClock(), load_editions(DEFAULT_TERMS))
            return b"refunds_redis_evicts 1.0" in asked.text()

    said = "allkeys-lru: Redis may throw events away; set maxmemory-policy noeviction"
    assert said not in system.refunds("status").stdout
    assert not counted()
    try:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        assert said in " ".join(system.refunds("status").stdout.split())
        assert counted()
    finally:
        redis.config_set("maxmemory-policy", "noeviction")


def test_case_that_waits_for_a_person_is_counted_with_the_command_that_lists_it(system: System) -> None:
    waits(system, "review")
    said = system.refunds("status").stdout
    assert "1 wait, the oldest since 2026-03-02T12:00:00" in said
    assert "`refunds review list`" in said
    assert "2026-03-02T12:00Z case_1 (review), 100 % gone by: `refunds status --deadlines`" in said
    assert "100 %" in system.refunds("status", "--deadlines").stdout


def test_backlog_is_whatever_came_and_is_not_handled(system: System) -> None:
    assert (system.json("status")["backlog"], system.json("status")["oldest_unhandled_at"]) == (0, None)
    with closing(Store(system.database_url)) as store:
        document = submitted("job_3").encode()
        Desk(store, HandClock(datetime.now(UTC))).accept([Entry("1-0", document, {b"event": document})])
    system.emit([submitted("job_1"), submitted("job_2")])
    found = system.json("status")
    assert (found["stored"]["events"], found["stream"]["undelivered"], found["backlog"]) == (1, 2, 3)
    assert found["oldest_unhandled_at"] == found["stored"]["oldest_at"] < found["stream"]["oldest_at"]


def test_event_that_nobody_reads_or_handles_is_said_with_the_process_that_should(system: System) -> None:
    system.extra = {**system.extra, "REFUNDS_READY_BACKLOG_SECONDS": "0.001"}
    system.emit([submitted("job_1")])
    with closing(Store(system.database_url)) as store:
        document = submitted("job_2").encode()
        Desk(store, HandClock(datetime.now(UTC))).accept([Entry("1-0", document, {b"event": document})])
    first = system.refunds("status").stdout.splitlines()[0]
    unread, unhandled = first.split("; ")
    assert unread.startswith("events lie on the stream since ")
    assert unread.endswith(": is `refunds intake` running?")
    assert unhandled.startswith("events are stored and not handled since ")
    assert unhandled.endswith(": is a worker running?")
