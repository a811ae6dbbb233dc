"""Who is asked before something changes: a person at a terminal always; a script never, and its no is heard."""

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tests.scenarios.system import System, a_purchase, a_system, an_account, failed, submitted
from tests.scenarios.terminal import Done

pytestmark = pytest.mark.landing
REQUEUE = ("requeue", "job_1", "--reason", "r")
STREAM = "layer-jobs:events"
LOOP = "while read -r name; do refunds requeue $name --reason r; done"
WITHOUT_TEE = "import ctypes; ctypes.CDLL = lambda _: object(); from worker.cli.main import run; run()"
"""The command where the system has no call that looks into a pipe."""


@pytest.fixture
def system(tmp_path: Path, redis_server: str, redis: redis_py.Redis) -> Iterator[System]:
    """Two jobs whose re-runs the pipeline does not hear: putting them back always has something to do."""
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", redis_server, REFUNDS_PIPELINE_URL="http://127.0.0.1:1") as made:
        made.load([an_account(), a_purchase()])
        made.emit([line for job in ("job_1", "job_2") for line in (submitted(job), failed(job, code="job_timeout"))])
        made.one_turn()
        yield made


def at_a_terminal(system: System, *words: str, typed: str) -> Done:
    """The command with a person at the keyboard; its output goes elsewhere."""
    keyboard, tty = pty.openpty()
    os.write(keyboard, typed.encode())
    line = [sys.executable, "-m", "worker.cli", *words]
    try:
        done = subprocess.run(
            line, stdin=tty, env=system.environ, cwd=system.folder, capture_output=True, timeout=60, check=False
        )
    finally:
        os.close(keyboard)
        os.close(tty)
    return Done(line, done.returncode, done.stdout.decode(), done.stderr.decode())


def in_a_shell(system: System, script: str, started: str = "-m worker.cli") -> Done:
    """The script with `refunds` in it, as a person would write it."""
    defined = f'refunds() {{ "{sys.executable}" {started} "$@"; }}\n'
    line = ["bash", "-c", defined + script]
    done = subprocess.run(line, env=system.environ, cwd=system.folder, capture_output=True, timeout=60, check=False)
    return Done(line, done.returncode, done.stdout.decode(), done.stderr.decode())


def put_back(system: System, name: str = "job_1") -> int:
    """How often the case was put back."""
    return sum(row["event"] == "case.requeued" for row in system.json("show", name)["history"])


def test_person_at_a_terminal_is_asked_and_anything_but_a_yes_is_a_no(system: System) -> None:
    for typed, more in (("n\n", ()), ("what?\n", ()), ("\n", ("--json",))):
        done = at_a_terminal(system, *REQUEUE, *more, typed=typed)
        assert (done.returncode, put_back(system)) == (1, 0), done.stderr
        assert "Put back 1 of 1? [y/N]" in done.stderr
        assert "left as it is" in done.stderr
    assert json.loads(done.stdout) == {"ok": False, "exit": 1, "faults": ["left as it is"]}


def test_yes_at_a_terminal_leaves_one_document_on_stdout(system: System) -> None:
    done = at_a_terminal(system, *REQUEUE, "--json", typed="y\n")
    assert (done.returncode, json.loads(done.stdout)["items"][0]["requeued"]) == (0, True), done.stderr
    assert done.stdout.startswith("{")
    assert put_back(system) == 1


def test_nobody_is_asked_after_yes(system: System) -> None:
    done = at_a_terminal(system, *REQUEUE, "--yes", typed="n\n")
    assert (done.returncode, put_back(system)) == (0, 1)
    assert "[y/N]" not in done.stderr


def test_file_without_an_event_is_asked_about_before_it_fills_the_dead_letters(system: System, redis: redis_py.Redis) -> None:
    (system.folder / "event.json").write_text(json.dumps(json.loads(failed("job_3")), indent=2))
    (system.folder / "mixed.jsonl").write_text(f"rubbish\n{submitted('job_3')}\n")
    for words, typed, code, asked in (
        (("event.json",), "n\n", 1, True),
        (("event.json",), "y\n", 0, True),
        (("event.json", "--yes"), "n\n", 0, False),
        (("mixed.jsonl",), "n\n", 0, False),
    ):
        before = redis.xlen(STREAM)
        done = at_a_terminal(system, "emit", *words, typed=typed)
        assert (done.returncode, "No event in the first" in done.stderr) == (code, asked), done.stderr
        assert (redis.xlen(STREAM) > before) == (code == 0)
    assert "1 event on" in system.refunds("emit", "-", stdin="no\n").stdout, "what is handed in is no answer"


def test_no_that_waits_on_stdin_is_heard(system: System) -> None:
    words = " ".join(REQUEUE)
    for script in (
        f"echo n | refunds {words}",
        f"yes NO | refunds {words} --json",
        f"printf n > answer; refunds {words} < answer",
    ):
        done = in_a_shell(system, script)
        assert (done.returncode, put_back(system)) == (1, 0)
        assert done.stderr == "refunds: left as it is\n"


def test_script_that_says_no_no_goes_on(system: System) -> None:
    for times, stdin in enumerate(("", "y\n", "yes\n", "job_2\n"), 1):
        system.refunds(*REQUEUE, stdin=stdin)
        assert put_back(system) == times


def test_script_with_a_stdin_that_says_nothing_is_not_kept_waiting(system: System) -> None:
    for stdin in ("< /dev/null", "<&-", "< <(exec sleep 30 > /dev/null 2>&1)"):
        script = f"refunds {' '.join(REQUEUE)} {stdin}; asked=$?; kill $! 2> /dev/null; exit $asked"
        assert in_a_shell(system, script).returncode == 0
    assert put_back(system) == 3


def test_no_in_a_socket_is_heard_and_left_there(system: System) -> None:
    ours, theirs = socket.socketpair()
    line = [sys.executable, "-m", "worker.cli", *REQUEUE]
    with ours, theirs:
        for said, code in (b"", 0), (b"n\n", 1):
            ours.sendall(said)
            done = subprocess.run(line, stdin=theirs.fileno(), env=system.environ, cwd=system.folder, timeout=60, check=False)
            assert (done.returncode, put_back(system)) == (code, 1)
        assert theirs.recv(16, socket.MSG_DONTWAIT) == b"n\n"


def test_loop_that_reads_names_from_stdin_loses_none(system: System) -> None:
    for script in (f"printf 'job_1\\njob_2\\n' | {LOOP}", f"printf 'job_1\\njob_2\\n' > names; {LOOP} < names"):
        in_a_shell(system, script)
    assert [put_back(system, name) for name in ("job_1", "job_2")] == [2, 2]


def test_pipe_that_cannot_be_looked_into_keeps_its_lines(system: System) -> None:
    in_a_shell(system, f"printf 'job_1\\njob_2\\n' | {LOOP}", started=f"-c '{WITHOUT_TEE}'")
    assert [put_back(system, name) for name in ("job_1", "job_2")] == [1, 1]
