"""The consumer's contract, held against fakeredis and against a real server alike.

CP1 to CP6 of failure-modes.md: dying at any point between read and acknowledgement loses nothing.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import redis as redis_py

from tests.intake.readers import GROUP, IDLE_AT_ONCE, STREAM, Inbox, Reading, running
from tests.servers import eventually
from worker.errors import Misconfigured, TryLater
from worker.intake.consumer import MOST_RESTS, Consumer
from worker.intake.entry import UNREAD, Entry
from worker.intake.heavy import TooHeavy
from worker.intake.signature import Producers
from worker.intake.stream import entries_read_so_far, open_stream_client
from worker.strict import Malformed


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def test_entries_sent_before_the_first_start_are_accepted(reading: Reading, inbox: Inbox) -> None:
    reading.add("a", "b", "c")
    assert reading.consumer(inbox).step() == 3
    assert inbox.documents == [b"a", b"b", b"c"]
    assert reading.pending == 0


def test_an_empty_stream_is_made_and_waited_for(reading: Reading, inbox: Inbox) -> None:
    consumer = reading.consumer(inbox)
    assert consumer.step() == 0
    reading.add("a")
    assert consumer.step() == 1


def test_an_entry_is_accepted_before_it_is_acknowledged(reading: Reading, inbox: Inbox) -> None:
    pending: list[int] = []
    inbox.before_return = lambda: pending.append(reading.pending)
    reading.add("a", "b")
    reading.consumer(inbox).step()
    assert pending == [2]
    assert reading.pending == 0


def test_a_batch_takes_no_more_than_its_count(reading: Reading, inbox: Inbox) -> None:
    reading.add(*"abcde")
    consumer = reading.consumer(inbox, read_count=2)
    assert [consumer.step() for _ in range(3)] == [2, 2, 1]


def test_after_a_read_that_weighs_too_much_fewer_are_read_at_once(reading: Reading, inbox: Inbox) -> None:
    reading.add(*["x" * 50] * 6, *"abcdefg")
    consumer = reading.consumer(inbox, read_count=4, read_bytes=40)
    assert [consumer.step() for _ in range(6)] == [4, 1, 1, 1, 2, 4]


def test_an_entry_without_the_field_is_handed_over_with_what_it_has(reading: Reading, inbox: Inbox) -> None:
    reading.client.xadd(STREAM, {"evnt": "a", b"\xff\x00": b"\xfe"})
    reading.add("b")
    assert reading.consumer(inbox).step() == 2
    stray, honest = inbox.kept.values()
    assert (stray.raw, stray.fields) == (None, {b"evnt": b"a", b"\xff\x00": b"\xfe"})
    assert honest.raw == b"b"


@pytest.mark.parametrize("reading", ["real"], indirect=True)
@pytest.mark.parametrize("held_by_another", [False, True])
def test_two_events_in_one_entry_are_handed_over_and_neither_is_taken_for_the_entry(
    reading: Reading, inbox: Inbox, held_by_another: bool
) -> None:
    [first] = reading.add("a")
    reading.client.execute_command("XADD", STREAM, "*", "event", "b", "more", "x", "event", "c")
    [last] = reading.add("d")
    if held_by_another:
        reading.client.xgroup_create(STREAM, GROUP, id="0")
        reading.client.xreadgroup(GROUP, "one that died of it", {STREAM: ">"})
    consumer = reading.consumer(inbox, reclaim_idle_ms=0, reclaim_every=0.0)
    assert eventually(lambda: (consumer.step(), len(inbox.kept) == 3)[1])
    doubled = next(entry for name, entry in inbox.kept.items() if name not in (first, last))
    assert inbox.documents == [b"a", None, b"d"]
    assert doubled.fields == {b"event (1 of 2)": b"b", b"more": b"x", b"event (2 of 2)": b"c"}
    with pytest.raises(Malformed, match=r"no field `event`, or more than one; .* an entry for each event") as refused:
        Producers().read(doubled, datetime.now(UTC))
    assert refused.value.reason == "missing_field"
    # and whoever reads the stream without its group: the audit misses none that is a letter
    assert [raw for page in entries_read_so_far(reading.client, STREAM, GROUP) for _, raw in page] == [b"a", None, b"d"]


HEAVY = {f"field {number}": "x" * 1_000 for number in range(300)}
"""Fields of an entry that weighs three times what the clients below read of one answer."""


@pytest.fixture
def narrow(redis: redis_py.Redis, redis_server: str) -> Reading:
    """A stream read by clients that give up what weighs more than a hundred thousand bytes."""
    return Reading(lambda: open_stream_client(redis_server, most=100_000))


@pytest.mark.parametrize("held_by_another", [False, True])
def test_entry_that_no_memory_holds_is_handed_over_without_its_fields_and_keeps_none_behind_it(
    narrow: Reading, inbox: Inbox, held_by_another: bool
) -> None:
    light = [f"{number:05}" * 1_000 for number in range(40)]
    narrow.add(*light[:20])
    heavy = [narrow.client.xadd(STREAM, HEAVY).decode() for _ in range(2)]
    narrow.add(*light[20:])
    consumer = narrow.consumer(inbox, reclaim_idle_ms=0, reclaim_every=0.0)
    if held_by_another:
        narrow.client.xgroup_create(STREAM, GROUP, id="0")
        with pytest.raises(TooHeavy):
            narrow.client.xreadgroup(GROUP, "one that died of it", {STREAM: ">"})
        assert narrow.pending == 42
    assert eventually(lambda: (consumer.step(), len(inbox.kept) == 42)[1])
    assert eventually(lambda: (consumer.step(), narrow.pending == 0)[1])
    assert [name for name, entry in inbox.kept.items() if entry.fields is UNREAD] == heavy
    assert [raw for raw in inbox.documents if raw is not None] == [document.encode() for document in light]
    assert narrow.log.events("error") == []


def test_entry_that_is_far_too_large_is_a_letter_that_says_so_and_holds_none_of_it(reading: Reading, inbox: Inbox) -> None:
    reading.client.xadd(STREAM, {"event": "{}", **{f"field {number}": "x" * 1_000_000 for number in range(5)}})
    assert reading.consumer(inbox).step() == 1
    [entry] = inbox.kept.values()
    assert (entry.raw, entry.fields) == (None, UNREAD)
    with pytest.raises(Malformed, match="weighs more than") as refused:
        Producers().read(entry, datetime.now(UTC))
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize("fault", [TryLater("the database", "away"), RuntimeError("disk full")])
def test_what_is_not_accepted_is_not_acknowledged_and_comes_again_before_anything_new(
    reading: Reading, inbox: Inbox, fault: Exception
) -> None:
    first = reading.add("a", "b")
    consumer = reading.consumer(inbox)
    inbox.refuse = [fault]
    with pytest.raises(type(fault)):
        consumer.step()
    assert (reading.pending, inbox.kept) == (2, {})
    reading.add("c")
    assert consumer.step() == 2
    assert inbox.calls == [first, first]
    assert consumer.step() == 1
    assert reading.pending == 0


def test_a_database_that_is_away_for_long_splits_nothing(reading: Reading, inbox: Inbox) -> None:
    ids = reading.add(*"abc")
    consumer = reading.consumer(inbox)
    inbox.refuse = [TryLater("the database", "away") for _ in range(5)]
    for _ in range(5):
        with pytest.raises(TryLater):
            consumer.step()
    assert consumer.step() == 3
    assert inbox.calls == [ids] * 6


def test_one_poisonous_entry_holds_up_nobody_else(reading: Reading, inbox: Inbox) -> None:
    ids = reading.add(*"abcd")
    inbox.poison = {ids[1]}
    consumer = reading.consumer(inbox, reclaim_every=0.0)
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot keep"):
            consumer.step()
    consumer.step()
    assert inbox.documents == [b"a", b"c", b"d"]
    reading.add("e", "f")
    assert eventually(lambda: (consumer.step(), len(inbox.kept) == 5)[1])
    assert reading.pending == 1
    assert reading.log.events("error") == ["intake.entry_refused"]
    inbox.poison = set()
    assert eventually(lambda: (consumer.step(), reading.pending == 0)[1])
    assert len(inbox.kept) == 6


def test_outage_while_entries_are_tried_one_by_one_is_held_against_none_of_them(reading: Reading, inbox: Inbox) -> None:
    reading.add(*"ab")
    consumer = reading.consumer(inbox)
    inbox.refuse = [RuntimeError("a defect"), RuntimeError("a defect"), TryLater("the database", "away")]
    for fault in (RuntimeError, RuntimeError, TryLater):
        with pytest.raises(fault):
            consumer.step()
    assert [len(call) for call in inbox.calls] == [2, 2, 1]
    assert eventually(lambda: (consumer.step(), reading.pending == 0)[1])
    assert inbox.documents == [b"a", b"b"]
    assert reading.log.events("error") == []


def test_group_that_another_makes_in_the_same_moment_is_the_one(reading: Reading, inbox: Inbox) -> None:
    class Slow:
        """A client that another overtakes between its look and its word."""

        def __init__(self, client: Any) -> None:
            self.client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self.client, name)

        def xgroup_create(self, *args: Any, **options: Any) -> Any:
            reading.client.xgroup_create(*args, **options)
            return self.client.xgroup_create(*args, **options)

    reading.add("a")
    assert reading.consumer(inbox, client=Slow(reading.connect())).step() == 1
    assert (inbox.documents, reading.pending) == ([b"a"], 0)


def test_key_that_is_no_stream_is_waited_out(reading: Reading, inbox: Inbox) -> None:
    reading.client.set(STREAM, "somebody's")
    consumer = reading.consumer(inbox)
    with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        consumer.step()
    reading.client.delete(STREAM)
    reading.add("a")
    assert (consumer.step(), inbox.documents) == (1, [b"a"])


def test_a_desk_that_refuses_everything_is_not_flooded(reading: Reading, inbox: Inbox) -> None:
    ids = reading.add(*(str(n) for n in range(60)))
    inbox.poison = set(ids)
    consumer = reading.consumer(inbox, read_count=20)
    refused = 0
    for _ in range(12):
        try:
            consumer.step()
        except ValueError:
            refused += 1
    # the first batch, and after that one new entry a try
    assert refused > 5
    assert reading.pending <= 20 + refused
    inbox.poison = set()
    assert eventually(lambda: (consumer.step(), len(inbox.kept) == 60)[1])


def test_a_consumer_that_died_before_acknowledging_is_continued_by_another(reading: Reading, inbox: Inbox) -> None:
    reading.add("a", "b")
    reading.consumer(inbox).step()
    reading.add("c", "d")
    # read and kept by a process that died before its XACK
    reading.client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=10)
    other = reading.consumer(inbox, "other", **IDLE_AT_ONCE)
    assert other.step() == 2
    assert inbox.documents == [b"a", b"b", b"c", b"d"]
    assert reading.pending == 0


def test_a_consumer_that_comes_back_under_its_name_begins_with_its_own(reading: Reading, inbox: Inbox) -> None:
    reading.consumer(inbox).step()
    reading.add("a", "b")
    reading.client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=10)
    reading.add("c")
    again = reading.consumer(inbox, "one", read_count=1)
    assert [again.step() for _ in range(3)] == [1, 1, 1]
    assert inbox.documents == [b"a", b"b", b"c"]


def test_what_a_living_consumer_holds_is_left_to_it(reading: Reading, inbox: Inbox) -> None:
    reading.consumer(inbox).step()
    reading.add("a")
    reading.client.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=10)
    assert reading.consumer(inbox, "other", reclaim_every=0.0).step() == 0
    assert inbox.kept == {}
    assert reading.pending == 1


def test_two_consumers_accept_everything_between_them(reading: Reading, inbox: Inbox) -> None:
    one, two = reading.consumer(inbox, "one", read_count=3), reading.consumer(inbox, "two", read_count=3)
    ids = reading.add(*(str(n) for n in range(30)))
    assert eventually(lambda: (one.step(), two.step(), len(inbox.kept) == 30)[2])
    assert sorted(entry for call in inbox.calls for entry in call) == sorted(ids)


def test_two_consumers_that_claim_the_same_entry_leave_it_accepted_once(reading: Reading, inbox: Inbox) -> None:
    reading.consumer(inbox).step()
    reading.add("a")
    reading.client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=10)
    rival = reading.consumer(inbox, "rival", **IDLE_AT_ONCE)

    def overtaken() -> None:
        # the rival takes it over and acknowledges while the first is still committing (D6)
        inbox.before_return = lambda: None
        rival.step()

    inbox.before_return = overtaken
    reading.consumer(inbox, "other", **IDLE_AT_ONCE).step()
    assert len(inbox.calls) == 2
    assert inbox.documents == [b"a"]
    assert reading.pending == 0


def test_a_wiped_redis_gets_its_group_again_from_the_beginning(reading: Reading, inbox: Inbox) -> None:
    consumer = reading.consumer(inbox)
    reading.add("a")
    consumer.step()
    reading.client.flushdb()
    # a wiped Redis may hand out the same id once more, in the same millisecond
    reading.client.xadd(STREAM, {"event": "b"}, id="9999999999999-0")
    assert eventually(lambda: (consumer.step(), inbox.documents == [b"a", b"b"])[1])
    assert reading.log.events("warning") == ["intake.group_gone"]


def test_redis_that_comes_back_as_an_older_copy_hands_out_again_what_it_forgot_was_done(reading: Reading, inbox: Inbox) -> None:
    consumer = reading.consumer(inbox, reclaim_idle_ms=0, reclaim_every=0)
    known = reading.add("a", "b")
    reading.client.xgroup_create(STREAM, GROUP, id="0")
    reading.client.xreadgroup(GROUP, "gone", {STREAM: ">"}, count=1)
    copy = reading.client.dump(STREAM)
    assert eventually(lambda: (consumer.step(), inbox.documents == [b"a", b"b"])[1])
    reading.add("told after the copy")
    assert eventually(lambda: (consumer.step(), len(inbox.documents) == 3)[1])
    reading.client.restore(STREAM, 0, copy, replace=True)
    before, new = len(inbox.calls), reading.add("c")
    assert eventually(lambda: (consumer.step(), reading.pending == 0 and inbox.documents[-1] == b"c")[1])
    # what is known comes again, which changes nothing; what the copy lacks was taken in before, or reconcile names it
    assert sorted(one for call in inbox.calls[before:] for one in call) == sorted(known + new)


def test_pending_entries_that_were_deleted_are_reported_and_let_go(reading: Reading, inbox: Inbox) -> None:
    consumer = reading.consumer(inbox)
    consumer.step()
    ids = reading.add("a", "b", "c")
    reading.client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=10)
    reading.client.xdel(STREAM, ids[1])
    again = reading.consumer(inbox)
    assert again.step() == 2
    assert inbox.documents == [b"a", b"c"]
    assert (reading.log.gone, reading.pending) == (1, 0)
    assert reading.log.events("error") == ["intake.entries_gone"]


@pytest.fixture
def counted(redis: redis_py.Redis, redis_server: str) -> Reading:
    """A stream on a server that counts what was added and read."""
    if "entries-added" not in _stream_after_one(redis):
        pytest.skip("before Redis 7 nobody counts")
    return Reading(lambda: open_stream_client(redis_server))


def _stream_after_one(client: Any) -> Any:
    client.xadd(STREAM, {"event": "first"})
    return client.xinfo_stream(STREAM)


def test_entries_that_were_trimmed_unread_are_reported_once(counted: Reading, inbox: Inbox) -> None:
    counted.consumer(inbox).step()
    counted.add("a", "b", "c")
    counted.client.xadd(STREAM, {"event": "d"}, maxlen=2, approximate=False)
    again = counted.consumer(inbox, housekeeping_every=1e-9)
    for _ in range(3):
        again.step()
    assert inbox.documents == [b"first", b"c", b"d"]
    assert (counted.log.gone, counted.log.events("error")) == (2, ["intake.entries_gone"])
    counted.add("e", "f")
    counted.client.xtrim(STREAM, maxlen=0, approximate=False)
    again.step()
    assert (counted.log.gone, counted.log.events("error")) == (4, ["intake.entries_gone"] * 2)
    counted.add("g")
    other = counted.consumer(inbox, "other", housekeeping_every=1e-9)
    other.step()
    assert (counted.log.gone, len(counted.log.events("error"))) == (4, 2), "one that starts later tells no loss again"


def test_first_look_tells_no_loss_of_before_where_nothing_waits(counted: Reading, inbox: Inbox) -> None:
    """What Redis counts may be years old by then: an alarm about it would send people looking for nothing."""
    early = counted.consumer(inbox)
    early.step()
    counted.add("a", "b")
    counted.client.xtrim(STREAM, maxlen=1, approximate=False)
    early.step()
    counted.client.delete(f"{GROUP}:gone:{STREAM}")
    later = counted.consumer(inbox, housekeeping_every=1e-9)
    later.step()
    assert counted.log.events("error") == []
    counted.add("c", "d")
    counted.client.xtrim(STREAM, maxlen=1, approximate=False)
    later.step()
    assert (counted.log.gone, inbox.documents) == (1, [b"first", b"b", b"d"])


def test_what_was_read_and_then_trimmed_is_nobodys_loss(counted: Reading, inbox: Inbox) -> None:
    one, two = (counted.consumer(inbox, name, housekeeping_every=1e-9) for name in ("one", "two"))
    for text in "abc":
        counted.add(text, text * 2)
        one.step()
        counted.client.xtrim(STREAM, maxlen=1, approximate=False)
        counted.add(text * 3)
        two.step()
        counted.client.xtrim(STREAM, maxlen=0, approximate=False)
        one.step()
    assert counted.log.events("error") == []
    assert len(inbox.kept) == 10


def test_ids_in_the_future_are_told_once(reading: Reading, inbox: Inbox) -> None:
    consumer = reading.consumer(inbox, housekeeping_every=1e-9)
    reading.client.xadd(STREAM, {"event": "a"}, id="99999999999999999-0")
    for _ in range(3):
        consumer.step()
    assert (inbox.documents, reading.log.events("error")) == ([b"a"], ["intake.ids_ahead"])


def test_deleted_entries_of_a_dead_consumer_are_survived(reading: Reading, inbox: Inbox) -> None:
    reading.consumer(inbox).step()
    ids = reading.add("a", "b", "c")
    reading.client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=10)
    reading.client.xdel(STREAM, ids[0], ids[2])
    other = reading.consumer(inbox, "other", **IDLE_AT_ONCE)
    assert eventually(lambda: (other.step(), reading.pending == 0)[1])
    assert inbox.documents == [b"b"]
    assert reading.log.gone == 2


def test_the_nothings_that_redis_6_claims_are_survived_and_looked_into(reading: Reading, inbox: Inbox) -> None:
    reading.consumer(inbox).step()
    reading.add("a")
    reading.client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=10)
    client: Any = reading.connect()
    claim, walked = client.xautoclaim, []
    client.xautoclaim = lambda *args, **named: [claim(*args, **named)[0], [(None, None), *claim(*args, **named)[1], None]]
    read = client.xreadgroup

    def noticed(group: str, name: str, streams: dict[str, str], **named: Any) -> Any:
        walked.append(streams[STREAM])
        return read(group, name, streams, **named)

    client.xreadgroup = noticed
    other = reading.consumer(inbox, "other", client=client, **IDLE_AT_ONCE)
    assert other.step() == 1
    assert inbox.documents == [b"a"]
    # what 6.2 left pending with us is cleared by going through our own once more
    walked.clear()
    other.step()
    assert walked[0] == "0-0"


def test_a_hint_that_fails_harms_nothing(reading: Reading, inbox: Inbox) -> None:
    hinted: list[str] = []

    def hint(entries: Sequence[Entry], _: Any) -> None:
        hinted.extend(entry.stream_id for entry in entries)
        raise ConnectionError("no broker")

    ids = reading.add("a", "b")
    assert reading.consumer(inbox, on_accepted=hint).step() == 2
    assert hinted == ids
    assert reading.pending == 0
    assert reading.log.events("warning") == ["intake.hint_failed"]


def test_no_hint_is_sent_for_what_was_not_accepted(reading: Reading, inbox: Inbox) -> None:
    hinted: list[Any] = []
    inbox.refuse = [TryLater("the database", "away")]
    reading.add("a")
    with pytest.raises(TryLater):
        reading.consumer(inbox, on_accepted=lambda *told: hinted.append(told)).step()
    assert hinted == []


def test_run_goes_on_through_refusals_and_ends_when_told(reading: Reading, inbox: Inbox) -> None:
    inbox.refuse = [TryLater("the database", "away"), RuntimeError("a defect")]
    with running(reading.consumer(inbox)):
        reading.add("a", "b")
        assert eventually(lambda: len(inbox.kept) == 2)
        reading.add("c")
        assert eventually(lambda: len(inbox.kept) == 3 and reading.pending == 0)
    assert reading.log.events("warning") == ["intake.held_up", "intake.held_up"]
    assert reading.log.events("info") == ["intake.goes_on"]


def test_run_says_an_outage_once(reading: Reading, inbox: Inbox) -> None:
    inbox.refuse = [TryLater("the database", "away") for _ in range(2)]
    reading.add("a")
    with running(reading.consumer(inbox)):
        assert eventually(lambda: len(inbox.kept) == 1)
    assert reading.log.events("warning") == ["intake.held_up"]


def test_run_does_not_spin_on_an_empty_stream(reading: Reading, inbox: Inbox) -> None:
    turns: list[float] = []
    client: Any = reading.connect()
    read = client.xreadgroup

    def counted(*args: Any, **named: Any) -> Any:
        turns.append(time.monotonic())
        return read(*args, **named)

    client.xreadgroup = counted
    with running(reading.consumer(inbox, client=client, block_ms=60)):
        assert eventually(lambda: len(turns) >= 12)
    # two reads at the start (own pending, then new), after that one a pause
    assert turns[11] - turns[1] > 10 * 0.04


def test_a_block_without_end_is_refused(inbox: Inbox) -> None:
    with pytest.raises(ValueError, match="block_ms"):
        Consumer(redis_py.Redis(), inbox, stream=STREAM, name="one", log=None, block_ms=0)


class Resting(threading.Event):
    """Told to stop by the last of so many rests; in each of those before, something else happens."""

    def __init__(self, *meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.meanwhile = list(meanwhile)

    def wait(self, timeout: float | None = None) -> bool:
        if not self.meanwhile:
            self.set()
        else:
            self.meanwhile.pop(0)()
        return self.is_set()


def test_stream_that_others_read_on_is_left_to_them_while_more_waits(reading: Reading, inbox: Inbox) -> None:
    reading.add(*"abcdefgh")
    others = Inbox()
    other = reading.consumer(others, "another", read_count=2)
    reading.consumer(inbox, read_count=2).run(Resting(other.step, other.step), rest=0.01)
    assert (inbox.documents, others.documents) == ([b"a", b"b"], [b"c", b"d", b"e", b"f"])


def test_consumer_that_can_keep_nothing_leaves_the_stream_to_others_until_it_can(reading: Reading, inbox: Inbox) -> None:
    """As one that nobody stopped when the book moved: what it read again and again would be idle for nobody."""

    def unfit() -> None:
        raise Misconfigured("the book was moved")

    reading.add("a")
    inbox.refuse = [Misconfigured("the book was moved")]
    held_up = reading.consumer(inbox)
    held_up.run(Resting(*[lambda: reading.add("b")] * 3), fit=unfit)
    assert (len(inbox.calls), reading.pending) == (1, 1)
    others = Inbox()
    other = reading.consumer(others, "another", **IDLE_AT_ONCE)
    while other.step():
        pass
    assert others.documents == [b"a", b"b", b"b", b"b"]
    reading.add("c")
    assert held_up.step() == 1
    assert inbox.documents == [b"c"]


def test_stream_that_nobody_else_reads_is_read_on(reading: Reading, inbox: Inbox) -> None:
    reading.add(*"abcdef")
    reading.consumer(inbox, read_count=2).run(Resting(*[lambda: None] * 2), rest=0.01)
    assert inbox.documents == [b"a", b"b", b"c", b"d", b"e", b"f"]


def test_stream_that_others_read_on_for_ever_is_read_by_turns(reading: Reading, inbox: Inbox) -> None:
    reading.add(*map(str, range(100)))
    other = reading.consumer(Inbox(), "another", read_count=2)
    reading.consumer(inbox, read_count=2).run(Resting(*[other.step] * MOST_RESTS), rest=0.01)
    assert inbox.documents == [b"0", b"1", b"12", b"13"]
