"""A node of a Redis Cluster is refused by every process and command: Celery's broker follows no redirection."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.system import a_system
from tests.servers import serving
from worker.sandbox.servers import free_port

SERVER = shutil.which("redis-server")
pytestmark = [pytest.mark.landing, pytest.mark.skipif(SERVER is None, reason="needs a redis-server that can be a cluster's node")]

COMMANDS = (
    "intake", "worker", "web", "status", "status --json", "audit", "reconcile", "restore check", "drain", "emit -",
    "sandbox pipeline --port 0",
)  # fmt: skip
"""Every command that goes to Redis."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one node, which holds no key at all."""
    # the bus listens 10,000 above, so the port has to leave room for it
    port = next(port for port in iter(free_port, None) if port < 55_000)
    assert SERVER is not None
    command = (SERVER, "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--appendonly", "yes")
    with serving(f"redis://127.0.0.1:{port}/0", *command, folder=tmp_path_factory.mktemp("node")) as url:
        yield url


def test_processes_and_commands_refuse_it_in_one_line_and_the_doctor_names_it(node: str, tmp_path: Path) -> None:
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", node) as system:
        for command in COMMANDS:
            said = system.refunds(*command.split(), expect=2)
            [line] = said.stderr.splitlines()
            assert line.startswith("refunds: REFUNDS_REDIS_URL: a node of a Redis Cluster"), command
            told = json.loads(said.stdout)["faults"] if command.endswith("--json") else said.stdout
            assert told == ([line.removeprefix("refunds: ")] if command.endswith("--json") else ""), command
        system.refunds("audit", "--books-only")
        [found] = [item for item in system.json("doctor", expect=1)["findings"] if item["check"] == "redis"]
        assert not found["ok"]
        assert "a node of a Redis Cluster" in found["finding"]
        celery = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-c", "1"]
        ended = subprocess.run(celery, env=system.environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "a node of a Redis Cluster" in ended.stderr
    assert "Traceback" not in ended.stderr
