"""A file of product history is gone through twice, whatever becomes of it meanwhile and wherever it comes from."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.cases.world import an_account
from worker.cli.history import Faulty, history
from worker.errors import Misconfigured

LINES = [json.dumps(an_account(f"acc_{number}")) for number in range(3)]


def test_file_gives_the_same_records_each_time(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\n\n".join(LINES))
    with history(str(file)) as records:
        first = [*records]
        assert [record.key for record in first] == ["account:acc_0", "account:acc_1", "account:acc_2"]
        assert ([*records], records.records) == (first, 3)


def test_pipe_that_can_be_read_once_gives_them_twice_too(tmp_path: Path) -> None:
    """As in `refunds import <(zcat history.jsonl.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("\n".join(LINES),))
    writer.start()
    with history(str(pipe)) as records:
        assert [*records] == [*records]
        assert records.records == 3
    writer.join()


def test_what_is_added_to_a_file_meanwhile_is_for_the_next_import(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join(LINES) + "\n")
    with history(str(file)) as records:
        first = [*records]
        with file.open("a") as growing:
            growing.write('{"record": "acc')
        assert [*records] == first


def test_file_that_became_another_meanwhile_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join(LINES))
    with history(str(file)) as records:
        assert len([*records]) == 3
        file.write_text("\n".join([LINES[0], "{", LINES[2]]))
        with pytest.raises(Misconfigured, match=r"history\.jsonl changed while it was imported, line 2: .*; import it again"):
            list(records)


def test_every_faulty_line_is_named_before_anything_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join(["{", LINES[0], "", "[]"]))
    with history(str(file)) as records, pytest.raises(Faulty) as refused:
        list(records)
    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["line 1", "line 4"]


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "history.jsonl")
    with pytest.raises(Misconfigured, match=r"history\.jsonl: No such file or directory"), history(missing):
        pass
