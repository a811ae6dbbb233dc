"""The claim journal keeps every line that was ever promised, and survives what crashes leave in it."""

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.servers import eventually
from worker.cases.money.journal import END_BYTES, Call, Journal
from worker.errors import TryLater

NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
PROCESSES, LINES = 4, 40


def a_call(transaction_id: str = "tran_1", attempt: int = 1) -> Call:
    return Call(
        environment="test",
        transaction_id=transaction_id,
        attempt=attempt,
        payment_id="pay_1",
        armed_at=NOW,
        deadline_at=NOW + timedelta(seconds=20),
        account_id="acc_1",
        purchase_id="ord_1",
        kept_transaction_id=None,
        case_id="case_1",
        case_kind="duplicate_charge",
        subject="ord_1",
        amount=900,
        currency="USD",
    )


def reads(folder: Path) -> Journal:
    """A process that has just started."""
    journal = Journal(folder)
    journal.look()
    return journal


def charges(journal: Journal) -> set[str]:
    return {transaction_id for _, transaction_id in journal.whole()}


def test_line_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    Journal(tmp_path / "new").add(41, NOW, a_call())
    journal = reads(tmp_path / "new")
    assert journal.whole() == {("test", "tran_1"): [a_call()]}
    assert journal.calls(("test", "tran_1")) == ((1, NOW, NOW + timedelta(seconds=20)),)
    assert (journal.reached, journal.begins, len(journal), journal.unreadable) == (41, 41, 1, 0)
    assert journal.calls(("live", "tran_1")) == ()


def test_months_are_files_and_all_of_them_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(1, NOW, a_call("tran_march"))
    journal.add(2, NOW + timedelta(minutes=2), a_call("tran_april"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2026-03.jsonl", "2026-04.jsonl"]
    assert charges(reads(tmp_path)) == {"tran_march", "tran_april"}


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_torn_line_is_counted_and_costs_no_other(tmp_path: Path, kept: int) -> None:
    journal = Journal(tmp_path)
    journal.add(1, NOW, a_call("tran_before"))
    (file,) = tmp_path.iterdir()
    with file.open("ab") as opened:
        opened.write(b'\n{"mark":2,"at":"2026-03-31T23:59:00+00:00","call":{"environment"'[: kept + 1])
    torn = reads(tmp_path)
    assert charges(torn) == {"tran_before"}
    journal.add(3, NOW, a_call("tran_after"))
    torn.look()
    for one in (torn, reads(tmp_path)):
        assert charges(one) == {"tran_before", "tran_after"}
        assert (len(one), one.unreadable, one.reached, one.glance()) == (2, 1, 3, 3)


def test_whole_line_without_its_end_counts_as_sent(tmp_path: Path) -> None:
    Journal(tmp_path).add(1, NOW, a_call())
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    journal = reads(tmp_path)
    assert (charges(journal), len(journal), journal.glance()) == ({"tran_1"}, 1, 1)


def test_line_that_grows_between_two_looks_is_one_call(tmp_path: Path) -> None:
    Journal(tmp_path).add(1, NOW, a_call("tran_1"))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for written in range(0, len(whole), 50):
        file.write_bytes(whole[:written])
        journal = reads(tmp_path)
        file.write_bytes(whole)
        journal.look()
        assert (len(journal), journal.unreadable) == (1, 0)


def test_look_takes_in_only_what_was_added_and_never_forgets(tmp_path: Path) -> None:
    journal = reads(tmp_path)
    assert journal.reached is None
    Journal(tmp_path).add(1, NOW, a_call(attempt=1))
    journal.look()
    Journal(tmp_path).add(2, NOW, a_call(attempt=2))
    journal.look()
    assert [call.attempt for call in journal.calls(("test", "tran_1"))] == [1, 2]
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    journal.look()
    assert len(journal) == 2


def test_line_that_comes_twice_is_one_call_and_calls_are_in_order(tmp_path: Path) -> None:
    for attempt in (2, 1, 2):
        Journal(tmp_path).add(attempt, NOW, a_call(attempt=attempt))
    journal = reads(tmp_path)
    assert [call.attempt for call in journal.calls(("test", "tran_1"))] == [1, 2]
    assert [call.attempt for call in journal.whole()["test", "tran_1"]] == [1, 2]


@pytest.mark.parametrize("torn", [0, 3 * END_BYTES])
def test_glance_finds_the_mark_that_a_look_finds_and_keeps_nothing(tmp_path: Path, torn: int) -> None:
    journal = Journal(tmp_path)
    assert journal.glance() is None
    for mark in range(40):
        journal.add(mark, NOW, replace(a_call(f"tran_{mark}"), subject="x" * 5_000))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size > 3 * END_BYTES
    with file.open("ab") as opened:
        opened.write(bytes(torn))
    journal.add(38, NOW + timedelta(minutes=2))
    assert (journal.glance(), len(journal)) == (39, 0)
    assert reads(tmp_path).reached == 39


def test_what_is_kept_of_a_line_is_smaller_than_the_line(tmp_path: Path) -> None:
    """Every process that pays has all of it in its memory."""
    Journal(tmp_path).add(1, NOW, a_call("tran_0"))
    (file,) = tmp_path.iterdir()
    line = file.read_bytes()
    file.write_bytes(b"".join(line.replace(b"tran_0", b"tran_%d" % number) for number in range(5_000)))
    journal = Journal(tmp_path)
    tracemalloc.start()
    journal.look()
    kept, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(journal) == 5_000
    assert highest < 1.2 * kept < 1.2 * file.stat().st_size


def test_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TryLater, match="the claim journal is not reachable"):
        Journal(tmp_path / "file" / "journal").add(1, NOW, a_call())


def test_journal_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(1, NOW, a_call())
    (tmp_path / "2026-04.jsonl").mkdir()
    for reads_it in (journal.look, journal.glance, journal.whole):
        with pytest.raises(TryLater, match="the claim journal is not reachable"):
            reads_it()


@contextmanager
def standing_still(folder: Path, month: str = f"{NOW:%Y-%m}") -> Iterator[None]:
    """A disk that does not answer: whoever opens the file of this month waits, as for a machine that is away."""
    file, pipe = folder / f"{month}.jsonl", folder / "pipe"
    kept = file.read_bytes() if file.exists() else b""
    os.mkfifo(pipe)
    os.replace(pipe, file)
    try:
        yield
    finally:
        # whoever wants to read, and whoever wants to write, finds somebody at the other end
        there = os.open(file, os.O_RDWR | os.O_NONBLOCK)
        file.unlink()
        file.write_bytes(kept)
        os.close(there)


def test_disk_that_does_not_answer_is_away_within_seconds_and_back_when_it_does(tmp_path: Path) -> None:
    """A network disk whose server is gone: once each turn hung until Celery killed its process, and nothing said why."""
    journal = Journal(tmp_path, seconds=0.2)
    journal.add(1, NOW, a_call())
    with standing_still(tmp_path):
        for asks in (lambda: journal.add(2, NOW, a_call("tran_2")), journal.look, journal.glance):
            with pytest.raises(TryLater, match="the disk does not answer"):
                asks()
    assert eventually(lambda: charges(reads(tmp_path)) == {"tran_1"} and answers(journal), within=10)
    assert journal.calls(("test", "tran_1")) == ((1, NOW, NOW + timedelta(seconds=20)),)


def answers(journal: Journal) -> bool:
    """Whether its disk answers again."""
    try:
        journal.look()
        return True
    except TryLater:
        return False


def _write(folder: str, process: int) -> None:
    journal = Journal(Path(folder))
    for line in range(LINES):
        journal.add(line, NOW, replace(a_call(f"tran_{process}_{line}"), subject="x" * 5_000))


def test_processes_that_write_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    with get_context("fork").Pool(PROCESSES) as pool:
        pool.starmap(_write, [(str(tmp_path), number) for number in range(PROCESSES)])
    journal = reads(tmp_path)
    assert (len(journal), journal.unreadable) == (PROCESSES * LINES, 0)
