"""A node of a Redis Cluster is refused by every process before it begins: Celery's broker follows no redirection."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.system import a_system
from tests.servers import answers, eventually
from worker.sandbox.servers import free_port

SERVER = shutil.which("redis-server")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(SERVER is None, reason="needs a redis-server that can be a cluster's node")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one node, which holds no key at all."""
    # the bus listens 10,000 above, so the port has to leave room for it
    port = next(port for port in iter(free_port, None) if port < 55_000)
    assert SERVER is not None
    command = (SERVER, "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--appendonly", "yes")
    process = subprocess.Popen(command, cwd=tmp_path_factory.mktemp("node"), stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        assert eventually(lambda: answers(url))
        yield url
    finally:
        process.terminate()
        process.wait(10)


def test_processes_refuse_it_in_one_line_and_the_doctor_names_it(node: str, tmp_path: Path) -> None:
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", node) as system:
        for command in ("intake", "worker", "web"):
            [line] = system.refunds(command, expect=2).stderr.splitlines()
            assert "a node of a Redis Cluster" in line
        [found] = [item for item in system.json("doctor", expect=1)["findings"] if item["check"] == "redis"]
        assert not found["ok"]
        assert "a node of a Redis Cluster" in found["finding"]
        celery = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-c", "1"]
        said = subprocess.run(celery, env=system.environ, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode != 0
    assert "a node of a Redis Cluster" in said.stderr
    assert "Traceback" not in said.stderr
