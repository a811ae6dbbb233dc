"""Entries that are handed on: pending until their task acknowledges them, and taken in by their consumer where it does not."""

from collections.abc import Sequence

import pytest

from tests.intake.readers import GROUP, STREAM, Inbox, Reading
from worker.intake.consumer import Consumer
from worker.intake.entry import Entry
from worker.intake.handed import Handed


class Desk:
    """Where tasks are sent from: it remembers for which entries, and refuses the documents it cannot read."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked: list[str] = []
        self.handed = Handed(self._ask, most=2, grace=1.0, rest=5.0, now=lambda: self.seconds)

    def _ask(self, entries: Sequence[Entry]) -> list[str]:
        assert entries, "nobody is asked for nothing"
        readable = [entry.stream_id for entry in entries if entry.raw != b"unreadable"]
        self.asked += readable
        return readable


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def consumer(reading: Reading, inbox: Inbox, desk: Desk) -> Consumer:
    return reading.consumer(inbox, block_ms=1, handed=desk.handed)


def test_entry_that_comes_singly_is_handed_on_and_stays_pending(
    reading: Reading, inbox: Inbox, desk: Desk, consumer: Consumer
) -> None:
    [entry] = reading.add("a")
    assert consumer.step() == 1
    assert (desk.asked, inbox.documents, reading.pending) == ([entry], [], 1)
    desk.seconds = 0.9
    consumer.step()
    assert (desk.asked, inbox.documents) == ([entry], []), "its task still has time"


def test_idle_stream_is_looked_at_without_asking_for_anything(reading: Reading, desk: Desk, consumer: Consumer) -> None:
    assert consumer.step() == 0
    assert desk.asked == []


def test_acknowledged_entry_is_never_taken_in(reading: Reading, inbox: Inbox, desk: Desk, consumer: Consumer) -> None:
    [entry] = reading.add("a")
    consumer.step()
    reading.client.xack(STREAM, GROUP, entry)
    desk.seconds = 1.1
    consumer.step()
    assert inbox.documents == []
    [second] = reading.add("b")
    consumer.step()
    assert desk.asked == [entry, second], "tasks keep up, so entries go on being handed on"


def test_entry_whose_task_is_late_is_taken_in_and_for_a_while_all_are(
    reading: Reading, inbox: Inbox, desk: Desk, consumer: Consumer
) -> None:
    [late] = reading.add("late")
    consumer.step()
    desk.seconds = 1.1
    assert consumer.step() == 1
    assert (inbox.documents, reading.pending) == ([b"late"], 0)
    reading.add("b")
    consumer.step()
    assert (inbox.documents, desk.asked) == ([b"late", b"b"], [late])
    desk.seconds = 6.2
    [again] = reading.add("c")
    consumer.step()
    assert desk.asked == [late, again]


def test_only_the_overdue_one_is_taken_from_its_task(reading: Reading, inbox: Inbox, desk: Desk, consumer: Consumer) -> None:
    reading.add("old")
    consumer.step()
    desk.seconds = 0.7
    reading.add("young")
    consumer.step()
    desk.seconds = 1.2
    consumer.step()
    assert inbox.documents == [b"old"]
    desk.seconds = 1.9
    consumer.step()
    assert inbox.documents == [b"old", b"young"]


def test_many_at_once_are_taken_in(reading: Reading, inbox: Inbox, desk: Desk, consumer: Consumer) -> None:
    reading.add("a", "b", "c")
    consumer.step()
    assert (inbox.documents, desk.asked, reading.pending) == ([b"a", b"b", b"c"], [], 0)


def test_entry_that_no_task_was_sent_for_is_taken_in_at_once(
    reading: Reading, inbox: Inbox, desk: Desk, consumer: Consumer
) -> None:
    _, readable = reading.add("unreadable", "a")
    consumer.step()
    assert (inbox.documents, desk.asked, reading.pending) == ([b"unreadable"], [readable], 1)


def test_consumer_does_not_reclaim_from_its_own_tasks(reading: Reading, inbox: Inbox, desk: Desk) -> None:
    consumer = reading.consumer(inbox, block_ms=1, handed=desk.handed, reclaim_idle_ms=0, reclaim_every=0.0)
    reading.add("a")
    consumer.step()
    consumer.step()
    assert (inbox.documents, reading.pending) == ([], 1)
    heir = reading.consumer(inbox, name="two", block_ms=1, reclaim_idle_ms=0, reclaim_every=0.0)
    heir.step()
    assert (inbox.documents, reading.pending) == ([b"a"], 0), "where its consumer died, another takes it in"
