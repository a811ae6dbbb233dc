"""Redis behind a socket of this machine, with a password: we and Celery come to the same database of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from tests.scenarios.system import a_purchase, a_system, an_account, failed, submitted
from tests.servers import ON_SQLITE, eventually, serving

SERVER = shutil.which("redis-server")
pytestmark = [pytest.mark.landing, pytest.mark.skipif(SERVER is None, reason="needs a redis-server with sockets")]
PASSWORD = "p@s;s,w/o?r#d%"


@pytest.fixture
def on_a_socket(tmp_path: Path) -> Iterator[str]:
    # a path of a socket may have a hundred letters
    with TemporaryDirectory() as short:
        socket = Path(short) / "redis;0.sock"
        kept = ("--port", "0", "--requirepass", PASSWORD, "--appendonly", "yes", "--dir", str(tmp_path))
        assert SERVER is not None
        with serving(f"unix://:{quote(PASSWORD, safe=';,')}@{socket}?db=9", SERVER, *kept, "--unixsocket", str(socket)) as url:
            yield url


@ON_SQLITE
def test_main_job_goes_through_a_socket_with_a_password(database_url: str, on_a_socket: str) -> None:
    with a_system(database_url, on_a_socket) as system:
        system.load([an_account(), a_purchase()])
        system.worker(1)
        system.emit([submitted("job_1"), failed("job_1")])
        system.comes_to("refunded")
        found = {item["check"]: item for item in system.json("doctor", expect=None)["findings"]}
        assert found["redis"]["ok"], found["redis"]
        assert found["celery"]["ok"], found["celery"]
        assert eventually(lambda: len(system.json("drain", expect=None)["workers"]) == 1, within=60), "Celery is there too"
        for said in (system.logs(), str(found)):
            assert "Traceback" not in said, said
            assert PASSWORD not in said
            assert quote(PASSWORD, safe=";,") not in said
