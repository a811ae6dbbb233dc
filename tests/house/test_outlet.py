"""Lines go to whoever reads them; a reader that stands still costs lines, and nobody's time."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.logs import fill
from worker.observe import configure_logging, log
from worker.outlet import WAITS_SECONDS, outlet_of, patient
from worker.settings import Settings

Ends = tuple[int, int]


def a_pipe() -> Ends:
    return os.pipe()


def a_socket() -> Ends:
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


@pytest.fixture(params=[a_pipe, a_socket])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    reader, writer = request.param()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def lines_of(size: int) -> Callable[[int], bytes]:
    return lambda number: f"{number:06}".encode() + b"." * size + b"\n"


def all_that_came(reader: int) -> bytes:
    os.set_blocking(reader, False)
    came = b""
    while True:
        try:
            came += os.read(reader, 1 << 20)
        except BlockingIOError:
            return came


@pytest.mark.parametrize("size", [100, 10_000])
def test_line_that_nobody_reads_is_lost_after_a_moment_the_next_at_once_and_none_is_cut(ends: Ends, size: int) -> None:
    reader, writer = ends
    a_line, outlet = lines_of(size), outlet_of(writer)
    assert outlet is not None
    taken = 0
    while outlet.take(a_line(taken)):
        taken += 1
    began = time.monotonic()
    assert [outlet.take(b"lost\n") for _ in range(20)] == [False] * 20
    assert time.monotonic() - began < WAITS_SECONDS / 2
    came = all_that_came(reader)
    # what is left of the last goes first, as the reader makes room
    for number in range(taken, taken + 3):
        assert outlet.take(a_line(number))
        came += all_that_came(reader)
    assert came == b"".join(map(a_line, range(taken + 3)))
    outlet.close()


def test_only_pipes_and_sockets_have_a_reader_that_may_stand_still() -> None:
    with open(os.devnull, "wb") as nowhere:
        assert outlet_of(nowhere.fileno()) is None


def test_pipe_of_another_user_is_written_to_as_well(ends: Ends) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    reader, writer = ends
    code = (
        "import os, sys; sys.path[:] = os.environ['FOUND'].split(os.pathsep); from worker.outlet import Outlet\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "one = Outlet(2)\n"
        "while one.take(b'line\\n'): pass\n"
        "raise SystemExit(7)"
    )
    environ = os.environ | {"FOUND": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], stderr=writer, env=environ, timeout=30, check=False).returncode == 7
    assert set(all_that_came(reader).splitlines()) == {b"line"}


def test_process_whose_log_nobody_reads_goes_on() -> None:
    code = """
from worker.observe import configure_logging, log
from worker.settings import Settings
configure_logging(Settings(log_format="json"))
for number in range(3):
    log.info("lost", number=number)
raise SystemExit(7)
"""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    reader, writer = os.pipe()
    fill(writer)
    try:
        assert subprocess.run([sys.executable, "-c", code], stderr=writer, env=environ, timeout=30, check=False).returncode == 7
    finally:
        os.close(reader)
        os.close(writer)


def test_log_says_how_many_of_its_lines_were_lost_once_somebody_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        try:
            configure_logging(Settings(log_level="info", log_format="json"))
            fill(writer)
            for number in range(3):
                log.info("lost", number=number)
            all_that_came(reader)
            log.info("read")
            told = [json.loads(line) for line in all_that_came(reader).splitlines()]
        finally:
            logging.getLogger().handlers[:] = handlers
            logging.getLogger().setLevel(level)
    os.close(reader)
    assert [(one["event"], one.get("lines")) for one in told] == [("read", None), ("log.lines_lost", 3)]


def test_words_keep_the_file_of_the_process_and_are_lost_where_nobody_reads() -> None:
    """What goes on as another program keeps the files of these numbers, and nothing else of ours: its log was closed with it."""
    reader, writer = a_pipe()
    somebody_else = os.dup(writer)
    with os.fdopen(writer, "w") as stream:
        words = patient(stream)
        assert words.fileno() == writer
        print("who we are", file=words)
        assert os.read(reader, 100) == b"who we are\n"
        fill(somebody_else)
        began = time.monotonic()
        print("that we end", file=words)
        with pytest.raises(BlockingIOError):
            os.write(writer, b"past us")
        assert time.monotonic() - began < 3 * WAITS_SECONDS
        os.close(reader)
        print("nobody will hear", file=words, flush=True)
        words.close()
    os.close(somebody_else)


def test_process_without_a_file_says_nothing() -> None:
    with patient(None) as words:
        print("who we are", file=words, flush=True)
