"""Who can reach Flower: a real one, started as README says."""

import socket

import httpx
import pytest

from tests.scenarios.system import System
from tests.servers import ON_POSTGRES, eventually
from worker.sandbox.servers import free_port

pytestmark = [pytest.mark.landing, ON_POSTGRES]


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_flower_listens_on_loopback_where_nobody_says_otherwise(system: System) -> None:
    port = free_port()
    system.start("celery", "-A", "worker", "flower", f"--port={port}")
    assert eventually(lambda: listens("127.0.0.1", port), within=60), system.logs()
    # another address of this machine, which whoever listens everywhere has as well
    assert not listens("127.0.0.2", port)


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["--address="], {}),
        ([], {"FLOWER_ADDRESS": "::"}),
        (["--address=0.0.0.0"], {"FLOWER_BASIC_AUTH": ""}),
        (["--address=0.0.0.0", "--basic-auth=ann:s3cret,ops:CHANGE-ME"], {}),
    ],
)
def test_flower_that_strangers_can_reach_does_not_start_without_a_sign_in(
    system: System, words: list[str], environ: dict[str, str]
) -> None:
    port = free_port()
    flower = system.start("celery", "-A", "worker", "flower", f"--port={port}", *words, **environ)
    assert flower.wait(60) == 1
    said = [line for line in system.logs().splitlines() if "FLOWER" in line]
    assert len(said) == 1, system.logs()
    assert "can be reached from outside; set FLOWER_BASIC_AUTH" in said[0]
    assert "Traceback" not in system.logs()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port={taken}"], "refunds: FLOWER_PORT: cannot listen on 127.0.0.1 port {taken}: Address already in use; end what"),
        (["--address=127.0.0.999", "--basic-auth=ops:ten words"], "refunds: FLOWER_ADDRESS: cannot listen on 127.0.0.999 port"),
        (["--reed-only"], "refunds: --reed-only: no option of Flower's"),
        (["--port=abc"], "refunds: --port: expected a number, not 'abc'"),
        # the remainder of 65536, on which it listened
        (["--port=99999"], "refunds: FLOWER_PORT: expected a port up to 65535, not 99999"),
    ],
)
def test_flower_that_cannot_do_what_it_is_told_says_so_in_one_line(system: System, words: list[str], said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flower = system.start("celery", "-A", "worker", "flower", *(word.format(taken=port) for word in words))
        assert flower.wait(60) == 1
    assert said.format(taken=port) in system.logs()
    assert "Traceback" not in system.logs()


def test_settings_that_flower_cannot_read_are_all_named(system: System) -> None:
    # as Kubernetes sets it beside a service that is called flower
    flower = system.start("celery", "-A", "worker", "flower", FLOWER_PORT="tcp://10.0.0.1:5555", FLOWER_MAX_TASKS="many")
    assert flower.wait(60) == 1
    for said in ("FLOWER_PORT: expected a number, not 'tcp://10.0.0.1:5555'", "FLOWER_MAX_TASKS: expected a number, not 'many'"):
        assert f"refunds: {said}" in system.logs()
    assert "Traceback" not in system.logs()


def test_flower_behind_a_sign_in_listens_where_it_is_told(system: System) -> None:
    port = free_port()
    words = ("celery", "-A", "worker", "flower", f"--port={port}", "--address=0.0.0.0", "--read-only")
    system.start(*words, FLOWER_BASIC_AUTH="ops:a password of ten words")
    assert eventually(lambda: listens("127.0.0.2", port), within=60), system.logs()
    assert httpx.get(f"http://127.0.0.1:{port}/tasks", timeout=10).status_code == 401
