"""The audit of the lock files fails on what it should, and on nothing that is merely away."""

import json
import socket
import sys
import threading
import tomllib
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from packaging.version import Version

from tests.dependencies import ADVISORIES, AUDIT, LOCKS, ROOT, Pin, ask_service, known_faults, read_lock, too_old

HASH = "--hash=sha256:" + "0" * 64
ADVISORY = [{"name": "Jinja2", "affected": ">=2,<3.1.6", "id": "CVE-1", "fixed": "3.1.6"}]


@pytest.mark.parametrize(("version", "count"), [("3.1.5", 1), ("2.0", 1), ("3.1.5rc1", 1), ("3.1.6", 0), ("1.9", 0)])
def test_pin_in_an_affected_range_is_named(version: str, count: int) -> None:
    pins, faults = read_lock("a.lock", f"jinja2=={version} \\\n    {HASH}\nother==1 {HASH}\n")
    assert faults == []
    assert [line.startswith(f"a.lock: jinja2 {version} has CVE-1") for line in known_faults(pins, ADVISORY)] == [True] * count


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jinja2>=3 " + HASH, "not pinned"),
        ("jinja2==3.* " + HASH, "not pinned"),
        ("jinja2 @ https://example.org/x.whl " + HASH, "not pinned"),
        ("jinja2==3.1.6", "no SHA-256"),
        ("jinja2==3.1.6 --hash=md5:00", "no SHA-256"),
        ("-r other.txt", "no requirement"),
    ],
)
def test_line_that_is_no_pin_with_a_hash_is_named(line: str, said: str) -> None:
    assert said in read_lock("a.lock", line)[1][0]


class Service(BaseHTTPRequestHandler):
    """Knows a fault of h11 0.14.0 and nothing else, as the service that uv asks would tell it."""

    FAULT: ClassVar[dict[str, Any]] = {
        "id": "GHSA-1",
        "aliases": ["CVE-2"],
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "h11"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.16.0"}]}],
            }
        ],
    }

    def do_POST(self) -> None:
        """Which of the packages have a fault."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        known = [{"id": "GHSA-1", "modified": self.FAULT["modified"]}]
        faulty = [(one["package"]["name"], one["version"]) == ("h11", "0.14.0") for one in asked]
        self._say({"results": [{"vulns": known} if each else {} for each in faulty]})

    def do_GET(self) -> None:
        """What the fault is."""
        self._say(self.FAULT)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _say(self, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def locks() -> Iterator[Path]:
    """Every lock file, wherever it lies."""
    for folder in (".", "bench", "tests/mutation"):
        yield from (ROOT / folder).glob("requirements*.lock")


def pinned() -> list[Pin]:
    return [pin for lock in LOCKS for pin in read_lock(lock, (ROOT / lock).read_text())[0]]


def test_service_is_asked_about_every_pin_and_what_it_knows_is_a_fault(service: str) -> None:
    command = [*AUDIT, "--no-cache", "--service-url", service]
    assert ask_service(pinned(), command, 60) == ([], True)
    found, spoke = ask_service([*pinned(), Pin("bench/requirements.lock", "h11", Version("0.14.0"))], command, 60)
    assert (found, spoke) == (["bench/requirements.lock: h11 0.14.0 has GHSA-1 or CVE-2, fixed in 0.16.0"], True)


@pytest.mark.parametrize(
    "answer", ["no connection", "{}", json.dumps({"summary": {"audited_packages": 1}, "vulnerabilities": []})]
)
def test_service_that_does_not_speak_of_every_pin_fails_nothing_and_counts_as_silent(answer: str) -> None:
    assert ask_service(pinned(), [sys.executable, "-c", f"print({answer!r})"], 30) == ([], False)


def test_service_that_is_away_or_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert ask_service(pinned(), [*AUDIT, "--no-cache", "--service-url", url], 0.5) == ([], False)
    assert ask_service(pinned(), [*AUDIT, "--no-cache", "--service-url", url], 30) == ([], False)
    assert ask_service([], ["/no/such/program"], 1) == ([], False)


def test_advisories_that_nobody_looked_through_for_three_months_are_overdue() -> None:
    assert list(too_old(date(2026, 1, 1), date(2026, 4, 1))) == []
    [said] = too_old(date(2026, 1, 1), date(2026, 4, 4))
    assert "last reviewed on 2026-01-01" in said


def test_lock_files_hold_nothing_known_to_be_vulnerable() -> None:
    kept = tomllib.loads(ADVISORIES.read_text())
    pins = pinned()
    assert {pin.lock for pin in pins} == {str(path.relative_to(ROOT)) for path in locks()}
    assert list(known_faults(pins, kept["advisory"])) == []
    # an advisory about nothing that is pinned is kept too, but most are about what we have
    assert len({each["name"] for each in kept["advisory"]} & {pin.name for pin in pins}) >= 8
