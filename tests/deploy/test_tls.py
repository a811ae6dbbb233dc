"""Redis behind TLS: the whole main job goes through it, and a server nobody vouches for is not spoken to."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.system import a_purchase, a_system, an_account, failed, submitted
from tests.servers import ON_POSTGRES, serving
from worker.sandbox.servers import free_port

SERVER = shutil.which("redis-server")
pytestmark = [
    pytest.mark.landing,
    pytest.mark.skipif(SERVER is None or shutil.which("openssl") is None, reason="needs a redis-server with TLS, and openssl"),
]


@dataclass(frozen=True)
class Guarded:
    """A Redis that speaks TLS only, and the certificate that vouches for it."""

    port: int
    certificate: Path

    def url(self, certificate: Path | None = None) -> str:
        return f"rediss://localhost:{self.port}/0?ssl_cert_reqs=required&ssl_ca_certs={certificate or self.certificate}"


def a_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    words = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate))
    subprocess.run([*words, *names], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = a_certificate(folder, "redis")
    found = Guarded(free_port(), certificate)
    tls = ("--tls-port", str(found.port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    kept = ("--port", "0", "--tls-auth-clients", "no", "--appendonly", "yes", "--dir", str(folder), "--bind", "127.0.0.1")
    assert SERVER is not None
    with serving(found.url(), SERVER, *tls, *kept):
        yield found


@ON_POSTGRES
def test_main_job_goes_through_a_redis_that_speaks_tls_only(database_url: str, guarded: Guarded) -> None:
    with a_system(database_url, guarded.url()) as system:
        system.load([an_account(), a_purchase()])
        system.worker(1)
        system.emit([submitted("job_1"), failed("job_1")])
        system.comes_to("refunded")
        [found] = [item for item in system.json("doctor", expect=None)["findings"] if item["check"] == "redis"]
        assert found["ok"], found
        assert "Traceback" not in system.logs()


def test_server_that_nobody_vouches_for_is_not_spoken_to(guarded: Guarded, tmp_path: Path) -> None:
    stranger, _ = a_certificate(tmp_path, "stranger")
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", guarded.url(stranger)) as system:
        [found] = [item for item in system.json("doctor", expect=1)["findings"] if item["check"] == "redis"]
    assert not found["ok"]
    assert "certificate" in found["finding"].lower()


HINTS = "from worker.app import app; app.send_task('refunds.sweep', retry=False); print('sent')"


def test_tasks_too_are_sent_only_where_the_certificate_is_vouched_for(guarded: Guarded, tmp_path: Path) -> None:
    plain = f"rediss://localhost:{guarded.port}/0"
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", plain) as system:

        def sends() -> subprocess.CompletedProcess[str]:
            words = [sys.executable, "-c", HINTS]
            return subprocess.run(
                words, env=system.environ, cwd=system.folder, capture_output=True, text=True, timeout=60, check=False
            )

        refused = sends()
        system.extra = {"SSL_CERT_FILE": str(guarded.certificate)}
        assert sends().stdout.strip() == "sent"
    assert refused.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
