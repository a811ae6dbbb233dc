"""Commands whose output goes where nobody reads it, or nowhere at all."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.scenarios.system import System, a_purchase, a_system, an_account
from tests.servers import eventually

pytestmark = pytest.mark.landing
NOBODY = "redis://127.0.0.1:1/0"
REFUNDS = (sys.executable, "-m", "worker.cli")
A_FAILED_JOB = {
    "record": "layer_job", "id": "job_1", "account_id": "acc_1", "credits": 5, "paid_with": "credits", "status": "failed",
    "submitted_at": "2026-03-02T10:10:00Z",
}  # fmt: skip
BUFFERED = pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.nightly)])


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", NOBODY) as made:
        made.load([an_account(), a_purchase(credits=50), A_FAILED_JOB])
        yield made


@contextmanager
def nobody_reads() -> Iterator[int]:
    """The end of a pipe whose reader went away."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def typed(system: System, words: Sequence[str], out: int, unbuffered: str) -> tuple[int, str]:
    environ = system.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        [*REFUNDS, *words],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        env=environ,
        cwd=system.folder,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@BUFFERED
def test_reader_that_goes_away_changes_no_exit_code(system: System, unbuffered: str) -> None:
    for words in (["show", "job_1"], ["cases"], ["cases", "--json"], ["--help"]):
        with nobody_reads() as out:
            assert typed(system, words, out, unbuffered) == (0, ""), words
    # without Redis it is not proved that no event was lost: a breach
    for words in (["audit"], ["audit", "--json"]):
        with nobody_reads() as out:
            assert typed(system, words, out, unbuffered) == (1, ""), words


@BUFFERED
def test_command_whose_reader_goes_away_does_all_that_it_was_to_do(system: System, unbuffered: str, tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps(an_account("acc_2")))
    with nobody_reads() as out:
        assert typed(system, ["import", str(file)], out, unbuffered) == (0, "")
    assert system.json("account", "acc_2")["email"] == "acc_2@example.org"


@BUFFERED
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_output_that_cannot_be_written_is_one_line_and_no_success(system: System, unbuffered: str) -> None:
    said = "refunds: the output could not be written: No space left on device\n"
    with Path("/dev/full").open("wb") as full:
        for words in (["cases"], ["cases", "--json"], ["--help"]):
            assert typed(system, words, full.fileno(), unbuffered) == (1, said), words
        assert typed(system, ["show", "nix"], full.fileno(), unbuffered)[1].count("\n") == 1, "nothing was to be written"


@pytest.mark.parametrize("closed", [pytest.param(">&-", marks=pytest.mark.nightly), "2>&-", "<&- >&- 2>&-"])
def test_command_without_standard_files_does_its_work(system: System, closed: str) -> None:
    def run(words: str) -> int:
        line = ["sh", "-c", f'exec "$0" -m worker.cli {words} {closed}', sys.executable]
        return subprocess.run(line, env=system.environ, cwd=system.folder, check=False).returncode

    assert run("db upgrade") == 0
    assert run("show job_1 --json") == 0
    assert run("show nix") == 1
    assert run("shov") == 2


def test_process_that_stays_needs_no_standard_files(system: System) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    line = ["sh", "-c", 'exec "$0" -m worker.cli web <&- >&- 2>&-', sys.executable]
    environ = system.environ | {"REFUNDS_WEB_PORT": str(port)}
    system.processes.append(web := subprocess.Popen(line, env=environ, cwd=system.folder, start_new_session=True))

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    assert eventually(answers, 60)
    assert web.poll() is None


def test_whoever_asks_for_a_document_has_one_of_what_was_refused_too(system: System) -> None:
    for words, code, why in (
        (["show", "job_404"], 1, "job_404: no case"),
        (["review", "approve", "job_1", "--reason", "r"], 1, "does not wait for a person"),
        (["requeue", "job_1", "--reason", " "], 2, "--reason: expected why"),
        (["emit", "nowhere.jsonl"], 2, "Redis is not reachable"),
        (["show"], 2, "Missing argument 'CASE'"),
        (["cases", "--limit", "0"], 2, "'--limit'"),
        (["shov"], 2, "No such command 'shov'"),
        (["show", os.fsdecode(b"bad\xff")], 2, "argument 2 is not UTF-8"),
    ):
        found = system.json(*words, expect=code)
        [fault] = found["faults"]
        assert (found, why in fault) == ({"ok": False, "exit": code, "faults": [fault]}, True), words
        assert "Traceback" not in system.refunds(*words, "--json", expect=code).stderr


def test_command_whose_own_document_tells_of_the_refusal_gives_no_second_one(system: System) -> None:
    assert list(system.json("import", "-", stdin="{", expect=1)) == ["imported", "faults"]
    assert system.json("audit", expect=1)["breaches"], "the stream is not there"
    assert system.refunds("show", "--", "--json", expect=1).stdout == "", "a name, and no wish for a document"
    assert system.refunds("show", "job_404", expect=1).stdout == ""


def test_picture_that_cannot_be_written_is_said_in_one_line(system: System) -> None:
    (system.folder / "there.png").mkdir()
    words = ("policy", "replay", "--terms", "2025-12-03", "--plot", "there.png")
    assert system.refunds(*words, expect=2).stderr.splitlines()[-1] == "refunds: --plot there.png: Is a directory"
