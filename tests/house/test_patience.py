"""What stands still and says nothing is given up in time."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import eventually
from worker.patience import Patience


def test_look_that_hangs_is_given_up_in_time_and_no_other_begun_until_it_is_back(tmp_path: Path) -> None:
    # a pipe that nobody writes to hangs whoever opens it, as the disk of a machine that is away does
    os.mkfifo(tmp_path / "pipe")
    patience = Patience(0.05)
    began: list[str] = []

    def another() -> str:
        began.append("another")
        return "found"

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        patience.look((tmp_path / "pipe").read_bytes)
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        patience.look(another)
    assert began == []
    (tmp_path / "pipe").write_bytes(b"back")
    assert eventually(lambda: found_again(patience, another))


def found_again(patience: Patience, look: Callable[[], str]) -> bool:
    try:
        return patience.look(look) == "found"
    except TimeoutError:
        return False


def test_look_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Patience().look((tmp_path / "none").read_bytes)
