"""The stream seen from outside: backlog, what the audit reads, what may be forgotten."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.intake.readers import GROUP, STREAM, Inbox, Reading
from tests.servers import a_user, eventually
from worker.intake.interference import ahead, way_out
from worker.intake.neighbours import mark, others
from worker.intake.stream import (
    as_text,
    backlog,
    entries_read_so_far,
    open_stream_client,
    refuse_cluster,
    takes_no_writes,
    throws_away,
    waits_since,
)
from worker.intake.upkeep import forget_idle_consumers, kept_for, observers, outstayed, trim
from worker.sandbox.servers import start_redis

GREATEST = "18446744073709551615-18446744073709551615"


class WithoutLag:
    """A client that answers as Redis 6.2 does: its groups know no `lag`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def xinfo_groups(self, stream: str) -> list[dict[str, Any]]:
        return [
            {k: v for k, v in group.items() if k not in ("lag", "entries-read")} for group in self._client.xinfo_groups(stream)
        ]


class SilentFor(WithoutLag):
    """A client of a server on which nobody has read for so long."""

    def __init__(self, client: Any, silent: timedelta) -> None:
        super().__init__(client)
        self._silent = silent

    def xinfo_consumers(self, stream: str, group: str) -> list[dict[str, Any]]:
        more = int(self._silent.total_seconds() * 1000)
        return [{**one, "idle": one["idle"] + more} for one in self._client.xinfo_consumers(stream, group)]


class Timed(WithoutLag):
    """A client of a server whose clock the test sets."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.now = 1_800_000_000.0

    def time(self) -> tuple[int, int]:
        return int(self.now), 0


def test_connection_to_a_server_that_only_reads_since_a_failover_is_not_kept(tmp_path: Path) -> None:
    with start_redis(tmp_path) as server, open_stream_client(server.url) as client:
        before = client.client_id()
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(redis_py.exceptions.ReadOnlyError):
            client.xadd(STREAM, {"event": "{}"})
        client.replicaof("NO", "ONE")
        assert client.client_id() != before
        assert client.xadd(STREAM, {"event": "{}"})


def test_no_stream_is_no_backlog(reading: Reading) -> None:
    state = backlog(reading.client, STREAM, GROUP)
    assert (state.undelivered, state.pending, state.length, state.oldest_id, state.oldest_at) == (0, 0, 0, None, None)
    assert waits_since(reading.client, STREAM, GROUP) is None


@pytest.mark.parametrize("chosen", ["99999999999999999-0", "7258118400000-0", GREATEST])
def test_id_chosen_in_the_future_hides_no_wait(reading: Reading, chosen: str) -> None:
    reading.consumer(Inbox()).step()
    reading.client.xadd(STREAM, {"event": "{}"}, id=chosen)
    last_read: Any = SilentFor(reading.client, timedelta(minutes=10))
    since = waits_since(last_read, STREAM, GROUP)
    assert since is not None
    assert timedelta(minutes=10) <= datetime.now(UTC) - since < timedelta(minutes=11)
    state = backlog(reading.client, STREAM, GROUP)
    assert (state.undelivered, state.oldest_id) == (1, chosen)
    reading.client.xreadgroup(GROUP, "holds", {STREAM: ">"})
    held = backlog(reading.client, STREAM, GROUP)
    assert (held.undelivered, held.pending) == (0, 1)
    assert held.oldest_at is not None
    assert since < held.oldest_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert list(entries_read_so_far(reading.client, STREAM, GROUP)) == [[]]
    reading.client.xack(STREAM, GROUP, chosen)
    assert list(entries_read_so_far(reading.client, STREAM, GROUP)) == [[(chosen, b"{}")]]
    assert waits_since(reading.client, STREAM, GROUP) is None


@pytest.mark.parametrize(("ahead_by", "told"), [(timedelta(minutes=4), False), (timedelta(minutes=6), True)])
def test_id_is_in_the_future_beyond_what_another_clock_explains(reading: Reading, ahead_by: timedelta, told: bool) -> None:
    at = int((datetime.now(UTC) + ahead_by).timestamp() * 1000)
    reading.client.xadd(STREAM, {"event": "{}"}, id=f"{at}-0")
    assert ahead(reading.client, STREAM) == (f"{at}-0" if told else None)


def test_key_that_is_no_stream_is_not_taken_for_one_without_ids(reading: Reading) -> None:
    reading.client.set(STREAM, "somebody else's")
    with pytest.raises(redis_py.exceptions.ResponseError, match="WRONGTYPE"):
        ahead(reading.client, STREAM)


def test_id_chosen_in_the_future_is_named_with_a_way_out(reading: Reading) -> None:
    assert ahead(reading.client, STREAM) is None
    reading.add("a")
    assert ahead(reading.client, STREAM) is None
    reading.client.xadd(STREAM, {"event": "{}"}, id="7258118400000-0")
    assert ahead(reading.client, STREAM) == "7258118400000-0"
    reading.client.xadd(STREAM, {"event": "{}"}, id=GREATEST)
    with pytest.raises(redis_py.exceptions.ResponseError):
        reading.add("b")
    last = ahead(reading.client, STREAM)
    assert last == GREATEST
    assert "nothing can be added" in way_out(STREAM, last)


def test_way_out_of_ids_in_the_future_loses_nothing(reading: Reading) -> None:
    consumer = reading.consumer(inbox := Inbox())
    reading.add("a")
    consumer.step()
    reading.client.xadd(STREAM, {"event": "b"}, id=GREATEST)
    reading.client.rename(STREAM, f"{STREAM}:old")
    reading.add("c")
    while len(inbox.kept) < 2:
        consumer.step()
    reading.consumer(inbox, stream=f"{STREAM}:old").step()
    assert inbox.documents == [b"a", b"c", b"b"]
    assert ahead(reading.client, STREAM) is None


def test_without_a_group_everything_waits(reading: Reading) -> None:
    ids = reading.add("a", "b")
    state = backlog(reading.client, STREAM, GROUP)
    assert (state.undelivered, state.pending, state.length, state.oldest_id) == (2, 0, 2, ids[0])
    assert state.oldest_at is not None
    assert abs(state.oldest_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert waits_since(reading.client, STREAM, GROUP) == state.oldest_at


@pytest.mark.parametrize("knows_lag", [True, False])
def test_the_backlog_counts_what_is_not_given_and_what_is_not_acknowledged(reading: Reading, knows_lag: bool) -> None:
    ids = reading.add(*"abcdef")
    reading.consumer(Inbox(), read_count=2).step()
    reading.client.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=1)
    client: Any = reading.client if knows_lag else WithoutLag(reading.client)
    state = backlog(client, STREAM, GROUP)
    assert (state.undelivered, state.pending, state.length, state.oldest_id) == (3, 1, 6, ids[2])
    assert waits_since(client, STREAM, GROUP) == state.oldest_at


@pytest.mark.parametrize("knows_lag", [True, False])
def test_a_long_backlog_is_counted_across_pages(reading: Reading, knows_lag: bool) -> None:
    pipe = reading.client.pipeline()
    for n in range(2_300):
        pipe.xadd(STREAM, {"event": str(n)})
    pipe.execute()
    reading.consumer(Inbox(), read_count=100).step()
    client: Any = reading.client if knows_lag else WithoutLag(reading.client)
    assert backlog(client, STREAM, GROUP).undelivered == 2_200


def test_the_audit_reads_what_was_acknowledged_and_nothing_else(reading: Reading) -> None:
    reading.client.xadd(STREAM, {"evnt": "stray"})
    reading.add(*"abcde")
    reading.consumer(Inbox(), read_count=3).step()
    reading.client.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=1)
    read = [entry for chunk in entries_read_so_far(reading.client, STREAM, GROUP) for entry in chunk]
    assert [raw for _, raw in read] == [None, b"a", b"b"]


def test_the_audit_reads_long_streams_in_chunks(reading: Reading) -> None:
    pipe = reading.client.pipeline()
    for n in range(2_300):
        pipe.xadd(STREAM, {"event": str(n)})
    pipe.execute()
    reading.consumer(Inbox(), read_count=2_250).step()
    chunks = list(entries_read_so_far(reading.client, STREAM, GROUP))
    assert [len(chunk) for chunk in chunks] == [1_000, 1_000, 250]
    assert [raw for chunk in chunks for _, raw in chunk] == [str(n).encode() for n in range(2_250)]


def test_the_audit_of_no_group_reads_nothing(reading: Reading) -> None:
    assert list(entries_read_so_far(reading.client, STREAM, GROUP)) == []
    reading.add("a")
    assert list(entries_read_so_far(reading.client, STREAM, GROUP)) == []


def test_entries_that_no_memory_holds_keep_nobody_from_seeing_the_stream(redis: redis_py.Redis, redis_server: str) -> None:
    narrow = Reading(lambda: open_stream_client(redis_server, most=100_000))
    heavy = {f"field {number}": "x" * 1_000 for number in range(300)}
    first = narrow.client.xadd(STREAM, heavy).decode()
    narrow.add(*["light" * 1_000] * 40)
    last = narrow.client.xadd(STREAM, heavy, id="99999999999999-7").decode()
    state = backlog(narrow.client, STREAM, GROUP)
    assert (state.undelivered, state.oldest_id) == (42, first)
    assert waits_since(narrow.client, STREAM, GROUP) == state.oldest_at
    assert ahead(narrow.client, STREAM) == last
    consumer = narrow.consumer(Inbox())
    assert eventually(lambda: (consumer.step(), backlog(narrow.client, STREAM, GROUP).oldest_id is None)[1])
    read = [entry for chunk in entries_read_so_far(narrow.client, STREAM, GROUP) for entry in chunk]
    assert [raw for _, raw in read] == [None, *[b"light" * 1_000] * 40, None]
    assert [name for name, raw in read if raw is None] == [first, last]


def test_trimming_spares_what_any_group_still_needs(reading: Reading) -> None:
    ids = reading.add(*(str(n) for n in range(500)))
    consumer = reading.consumer(Inbox(), read_count=300)
    consumer.step()
    reading.client.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=50)
    trim(reading.client, STREAM, timedelta(0))
    assert [i.decode() for i, _ in reading.client.xrange(STREAM)] == ids[300:]


def add_old(reading: Reading, entries: int) -> None:
    pipeline = reading.client.pipeline(transaction=False)
    for number in range(entries):
        pipeline.xadd(STREAM, {"event": "{}"}, id=f"{number + 1}-0")
    pipeline.execute()


def test_trimming_forgets_all_that_is_due_at_one_turn(reading: Reading) -> None:
    """Redis itself stops after 10,000 entries, and more than that may come in a minute."""
    add_old(reading, 20_500)
    assert trim(reading.client, STREAM, timedelta(hours=1)) == 20_500


def test_trimming_forgets_to_the_entry_and_nobody_takes_that_for_a_loss(reading: Reading) -> None:
    add_old(reading, 250)
    reading.client.xgroup_create(STREAM, GROUP, id="0")
    consumer = reading.consumer(Inbox(), read_count=70, housekeeping_every=1e-9, retention_hours=1.0)
    for left in (180, 110, 40, 0):
        consumer.step()
        assert reading.client.xlen(STREAM) == left
    reading.add("young")
    consumer.step()
    assert (reading.client.xlen(STREAM), reading.log.events("error")) == (1, [])


SENT = "refunds:events"


def looks_after_what_is_sent(reading: Reading, **options: Any) -> None:
    reading.consumer(Inbox(), housekeeping_every=1e-9, sent=(SENT,), sent_retention_hours=1.0, **options).step()


def sent(reading: Reading) -> list[str]:
    return [as_text(entry_id) for entry_id, _ in reading.client.xrange(SENT)]


def test_what_is_sent_goes_by_its_age_where_no_group_reads_it(reading: Reading) -> None:
    for entry_id in ("1-0", "2-0", "*"):
        young = reading.client.xadd(SENT, {"event": "{}"}, id=entry_id)
    assert outstayed(reading.client, SENT, timedelta(hours=1)) > timedelta(days=365)
    looks_after_what_is_sent(reading)
    assert sent(reading) == [as_text(young)]
    assert outstayed(reading.client, SENT, timedelta(hours=1)) == timedelta(0)


def test_what_a_group_has_not_acknowledged_stays_sent_and_the_group_is_named_once(reading: Reading) -> None:
    for number in range(1, 5):
        reading.client.xadd(SENT, {"event": "{}"}, id=f"{number}-0")
    reading.client.xgroup_create(SENT, "balance", id="0")
    reading.client.xreadgroup("balance", "me", {SENT: ">"}, count=2)
    consumer = reading.consumer(Inbox(), housekeeping_every=1e-9, sent=(SENT,), sent_retention_hours=1.0)
    for acknowledged, left in ((None, 4), ("1-0", 3), ("2-0", 2)):
        if acknowledged is not None:
            reading.client.xack(SENT, "balance", acknowledged)
        consumer.step()
        assert len(sent(reading)) == left, "pending ones and those that the group was not given yet"
    assert list(kept_for(reading.client, SENT, timedelta(hours=1))) == ["balance"]
    assert reading.log.events("warning") == ["intake.sent_kept"]
    reading.client.xgroup_destroy(SENT, "balance")
    consumer.step()
    assert (sent(reading), kept_for(reading.client, SENT, timedelta(hours=1))) == ([], {})


def test_group_that_has_acknowledged_all_is_waited_for_by_nothing_however_old_that_is(reading: Reading) -> None:
    reading.client.xadd(SENT, {"event": "{}"}, id="1-0")
    reading.client.xgroup_create(SENT, "balance", id="0")
    reading.client.xreadgroup("balance", "me", {SENT: ">"})
    reading.client.xack(SENT, "balance", "1-0")
    looks_after_what_is_sent(reading)
    assert (sent(reading), reading.log.events("warning")) == ([], [])
    later = reading.client.xadd(SENT, {"event": "{}"})
    assert reading.client.xreadgroup("balance", "me", {SENT: ">"})[0][1][0][0] == later


def test_observer_touches_nothing_that_is_sent(reading: Reading) -> None:
    reading.client.xadd(SENT, {"event": "{}"}, id="1-0")
    looks_after_what_is_sent(reading, group="observer:next")
    assert sent(reading) == ["1-0"]


@pytest.mark.parametrize("started", ["before", "while it is full"])
def test_redis_that_is_full_of_what_was_sent_is_given_room(tmp_path: Path, started: str) -> None:
    with start_redis(tmp_path) as server:
        reading = Reading(lambda: open_stream_client(server.url))
        consumer = reading.consumer(Inbox(), housekeeping_every=1e-9, sent=(SENT,), sent_retention_hours=1.0)
        consumer.step()
        for number in range(300):
            reading.client.xadd(SENT, {"event": "x" * 10_000}, id=f"{number + 1}-0")
        reading.client.config_set("maxmemory", int(reading.client.info("memory")["used_memory"]) - 1_000_000)
        with pytest.raises(redis_py.exceptions.OutOfMemoryError):
            reading.add("an event")
        if started != "before":
            consumer = reading.consumer(Inbox(), "two", housekeeping_every=1e-9, sent=(SENT,), sent_retention_hours=1.0)
        consumer.step()
        assert reading.add("an event")


def test_trimming_waits_for_the_slowest_group(reading: Reading) -> None:
    reading.add(*(str(n) for n in range(300)))
    reading.consumer(Inbox()).step()
    reading.client.xgroup_create(STREAM, "another", id="0")
    assert trim(reading.client, STREAM, timedelta(0)) == 0
    assert reading.client.xlen(STREAM) == 300


def test_trimming_waits_for_no_observer(reading: Reading) -> None:
    reading.add(*(str(n) for n in range(300)))
    reading.consumer(Inbox()).step()
    reading.client.xgroup_create(STREAM, "observer:next", id="0")
    assert observers(reading.client, STREAM) == {"observer:next": datetime.fromtimestamp(0, UTC)}
    assert trim(reading.client, STREAM, timedelta(0)) > 0


def test_observer_that_read_an_id_in_the_future_has_read_until_now(reading: Reading) -> None:
    reading.client.xadd(STREAM, {"event": "{}"}, id="99999999999999999-0")
    reading.client.xgroup_create(STREAM, "observer:next", id="$")
    assert datetime.now(UTC) - observers(reading.client, STREAM)["observer:next"] < timedelta(minutes=1)


def test_observer_trims_nothing(reading: Reading) -> None:
    reading.add(*(str(n) for n in range(300)))
    reading.consumer(Inbox(), group="observer:next", retention_hours=0.0, housekeeping_every=0.001).step()
    assert reading.client.xlen(STREAM) == 300


def test_trimming_spares_what_is_younger_than_the_retention(reading: Reading) -> None:
    reading.add(*(str(n) for n in range(300)))
    reading.consumer(Inbox()).step()
    assert trim(reading.client, STREAM, timedelta(hours=72)) == 0


def test_trimming_no_stream_does_nothing(reading: Reading) -> None:
    assert trim(reading.client, STREAM, timedelta(0)) == 0


def test_a_consumer_with_pending_entries_or_seen_of_late_is_not_forgotten(reading: Reading) -> None:
    reading.add("a")
    reading.consumer(Inbox(), "idle").step()
    reading.add("b")
    reading.client.xreadgroup(GROUP, "holds", {STREAM: ">"}, count=1)
    assert forget_idle_consumers(reading.client, STREAM, GROUP, but="me") == {}
    assert {c["name"] for c in reading.client.xinfo_consumers(STREAM, GROUP)} >= {b"idle", b"holds"}


def test_a_consumer_silent_for_an_hour_and_empty_handed_is_forgotten(reading: Reading) -> None:
    reading.consumer(Inbox(), "mine").step()
    for name in ("gone", "holds", "lively"):
        reading.client.xgroup_createconsumer(STREAM, GROUP, name)
    idle = {b"gone": 3_600_001, b"holds": 3_600_001, b"lively": 500, b"mine": 3_600_001}
    told = [{"name": name, "pending": int(name == b"holds"), "idle": ms} for name, ms in idle.items()]

    class Later(WithoutLag):
        def xinfo_consumers(self, stream: str, group: str) -> list[dict[str, Any]]:
            return told

    later: Any = Later(reading.client)
    assert forget_idle_consumers(later, STREAM, GROUP, but="mine") == {}
    left = {c["name"] for c in reading.client.xinfo_consumers(STREAM, GROUP)}
    assert b"gone" not in left
    assert {b"holds", b"lively"} <= left


def test_retention_longer_than_there_were_computers_forgets_nothing(reading: Reading) -> None:
    reading.consumer(Inbox()).step()
    reading.add("a")
    reading.consumer(Inbox()).step()
    assert trim(reading.client, STREAM, timedelta(days=40_000)) == 0
    assert reading.client.xlen(STREAM) == 1


def test_what_a_consumer_took_in_the_moment_it_was_forgotten_is_told_as_dropped(reading: Reading) -> None:
    class Thaws(WithoutLag):
        """Frozen for an hour, it reads what comes between our look and our word."""

        def xinfo_consumers(self, stream: str, group: str) -> list[dict[str, Any]]:
            reading.add("a")
            self._client.xreadgroup(GROUP, "frozen", {STREAM: ">"})
            return [{"name": b"frozen", "pending": 0, "idle": 3_600_001}]

    client: Any = Thaws(reading.connect())
    reading.consumer(Inbox(), "mine", client=client, housekeeping_every=1e-9).step()
    assert reading.log.events("error") == ["intake.pending_dropped"]


def test_reading_goes_on_for_a_user_who_may_not_keep_house(redis: redis_py.Redis, redis_server: str) -> None:
    with a_user(redis, redis_server, "xtrim", "xinfo|consumers") as url:
        reading, inbox = Reading(lambda: open_stream_client(url)), Inbox()
        reading.add("a", "b")
        consumer = reading.consumer(inbox, housekeeping_every=1e-9)
        assert (consumer.step(), inbox.documents, reading.pending) == (2, [b"a", b"b"], 0)
        reading.add("c")
        assert (consumer.step(), reading.pending) == (1, 0)
        assert reading.log.said == [("warning", "intake.upkeep_refused")] * 2


def test_of_what_a_user_may_not_ask_nothing_is_said(redis: redis_py.Redis, redis_server: str) -> None:
    with a_user(redis, redis_server, "set", "info") as url, open_stream_client(url) as client:
        assert takes_no_writes(client, GROUP) is None
        assert throws_away(client) is None
        refuse_cluster(client)


def beside(client: Any, database: str | None) -> list[str]:
    return [one.database for one, _ in others(client, GROUP, database)]


def test_two_databases_that_are_read_into_find_each_other_and_say_so_once(reading: Reading) -> None:
    server: Any = Timed(reading.client)
    ours, theirs = (
        reading.consumer(Inbox(), name, client=server, database=f"db_{name}", housekeeping_every=1e-9) for name in ("a", "b")
    )
    again = reading.consumer(Inbox(), "c", client=server, database="db_a", housekeeping_every=1e-9)
    for _ in range(3):
        for consumer in (ours, again):
            consumer.step()
    assert (beside(server, "db_a"), reading.log.events("error")) == ([], []), "two intakes of one database"
    assert beside(server, None) == ["db_a"], "a database into which nobody reads yet"
    for _ in range(3):
        server.now += 60
        for consumer in (ours, theirs):
            consumer.step()
    assert (beside(server, "db_a"), beside(server, "db_b")) == (["db_b"], ["db_a"])
    assert reading.log.events("error") == ["intake.shared_with_another_database"] * 2, "once each"
    server.now += 181
    ours.step()
    assert beside(server, "db_a") == []
    server.now += 60
    theirs.step()
    ours.step()
    assert reading.log.events("error") == ["intake.shared_with_another_database"] * 3, "said again where it began again"
    server.now += 86_401
    ours.step()
    assert [key.decode() for key in reading.client.hkeys(f"{GROUP}:databases")] == ["db_a"]


def test_database_that_took_the_place_of_another_is_alone(reading: Reading) -> None:
    """Whoever wipes a database and keeps Redis hears of no fault, nor does whoever goes back to one after a while."""
    server: Any = Timed(reading.client)
    for database, seconds in (("db_old", 0), ("db_old", 60), ("db_new", 1), ("db_new", 60), ("db_new", 300), ("db_old", 1)):
        server.now += seconds
        mark(server, GROUP, database, "one")
        assert beside(server, database) == []


def test_a_clock_that_was_set_back_keeps_no_database_there(reading: Reading) -> None:
    server: Any = Timed(reading.client)
    mark(server, GROUP, "db_old", "one")
    server.now -= 3600
    mark(server, GROUP, "db_new", "two")
    assert (beside(server, "db_new"), beside(server, None)) == ([], ["db_new"])


def test_mark_that_nobody_can_read_and_another_group_are_no_database(reading: Reading) -> None:
    reading.client.hset(f"{GROUP}:databases", "db_x", "no mark of ours")
    mark(reading.client, "observer:next", "db_y", "one")
    assert beside(reading.client, None) == []
