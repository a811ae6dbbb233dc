"""What is started on a machine ends with whoever started it: by a signal, by a terminal that is closed, and leaves nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.scenarios.system import ROOT, descendants
from tests.servers import ON_POSTGRES, conninfo, eventually, give_schema
from worker.sandbox.servers import RunningRedis, free_port, start_redis

pytestmark = pytest.mark.landing
Start = Callable[..., subprocess.Popen[bytes]]


def _heed_a_hang_up() -> None:
    # whoever runs the tests may ignore it, as under nohup, and what is started would too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `refunds` with a folder for temporary files of its own; what a failed test leaves behind is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def make(*words: str, **settings: str) -> subprocess.Popen[bytes]:
        (tmp_path / "temporary").mkdir()
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("REFUNDS_")}
        ours = theirs | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")} | settings
        command = [sys.executable, "-m", "worker.cli", *words]
        with (tmp_path / "said.log").open("wb") as said:
            one = subprocess.Popen(
                command, env=ours, cwd=tmp_path, stdout=said, stderr=said, start_new_session=True, preexec_fn=_heed_a_hang_up
            )
        started.append(one)
        return one

    yield make
    for one in started:
        if one.poll() is None:
            one.kill()
            one.wait(10)


def command_of(pid: int) -> str:
    """What runs under this number; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def whole_family(parent: subprocess.Popen[bytes], *names: str) -> dict[int, str]:
    """The processes of `parent` once one of each name is among them."""
    found: dict[int, str] = {}

    def all_there() -> bool:
        found.clear()
        found.update({pid: command_of(pid) for pid in descendants(parent.pid)})
        return parent.poll() is not None or all(any(name in command for command in found.values()) for name in names)

    assert eventually(all_there, within=90), found
    assert parent.poll() is None
    return found


def left_behind(family: dict[int, str]) -> list[str]:
    """Those that still run; they are ended here."""
    left = {pid: command for pid, command in family.items() if command and command_of(pid) == command}
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: signal.Signals(number).name)
def test_demo_that_is_ended_by_a_signal_leaves_nothing_behind(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    demo = start("demo", "--jobs", "34")
    family = whole_family(demo, "celery --quiet -A worker worker", "beat", "cli intake", "cli web")
    demo.send_signal(number)
    # a second one, as a closed terminal and an impatient hand send it, does not break the first off
    demo.send_signal(number)
    ended = demo.wait(90)
    assert left_behind(family) == []
    assert ended == 128 + number
    assert list((tmp_path / "temporary").glob("refunds-*")) == []


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RunningRedis]:
    with start_redis(tmp_path / "redis") as server:
        yield server


def test_worker_whose_terminal_is_closed_ends_its_processes_in_order(
    start: Start, tmp_path: Path, own_redis: RunningRedis
) -> None:
    worker = start(
        "worker", "-c", "1", REFUNDS_REDIS_URL=own_redis.url, REFUNDS_DATABASE_URL=f"sqlite:///{tmp_path / 'refunds.db'}"
    )
    upgraded = subprocess.run(
        [sys.executable, "-m", "worker.cli", "db", "upgrade"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "REFUNDS_DATABASE_URL": f"sqlite:///{tmp_path / 'refunds.db'}"},
        timeout=60,
        check=False,
    )
    assert upgraded.returncode == 0
    family = whole_family(worker, "celery --quiet -A worker worker", "beat", "cli intake")
    worker.send_signal(signal.SIGHUP)
    ended = worker.wait(60)
    assert left_behind(family) == []
    assert ended == 0


@ON_POSTGRES
@pytest.mark.parametrize("process", ["web", "intake"])
def test_process_that_is_told_to_end_while_it_first_asks_the_database_ends(
    start: Start, tmp_path: Path, own_redis: RunningRedis, database_url: str, process: str
) -> None:
    """Once the web process forgot what it had been told, and answered until it was killed."""
    give_schema(database_url)
    waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with psycopg.connect(conninfo(database_url), autocommit=True) as admin, psycopg.connect(conninfo(database_url)) as lunch:
        lunch.execute("lock table installation, alembic_version in access exclusive mode")
        one = start(
            process, REFUNDS_REDIS_URL=own_redis.url, REFUNDS_DATABASE_URL=database_url, REFUNDS_WEB_PORT=str(free_port())
        )
        assert eventually(lambda: admin.execute(waits).fetchone(), within=60)
        one.send_signal(signal.SIGTERM)
        lunch.rollback()
        assert one.wait(20) == 0, (tmp_path / "said.log").read_text()
