"""The audit of the lock files fails on what it should, and on nothing that is merely away."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from tests.dependencies import ADVISORIES, LOCKS, ROOT, ask_service, known_faults, read_lock

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


@pytest.mark.parametrize(
    ("answer", "found", "spoke"),
    [
        (json.dumps({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X", "fix_versions": ["2"]}]}]}), 1, True),
        (json.dumps({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}), 0, True),
        ("no connection", 0, False),
        ("{}", 0, False),
    ],
)
def test_service_that_is_away_fails_nothing_and_is_said(answer: str, found: int, spoke: bool) -> None:
    faults, said = ask_service(Path("a.lock"), 30, [sys.executable, "-c", f"print({answer!r})"])
    assert len(faults) == found
    assert (said == "pip-audit spoke") is spoke


def test_service_that_never_answers_is_not_waited_for() -> None:
    assert (
        ask_service(Path("a.lock"), 0.2, [sys.executable, "-c", "import time; time.sleep(60)"])[1]
        == "pip-audit's service was not reachable"
    )
    assert ask_service(Path("a.lock"), 1, ["/no/such/program"])[1] == "pip-audit's service was not reachable"


def test_lock_files_hold_nothing_known_to_be_vulnerable() -> None:
    kept = tomllib.loads(ADVISORIES.read_text())
    pins = [pin for lock in LOCKS for pin in read_lock(lock, (ROOT / lock).read_text())[0]]
    assert len(pins) > 40
    assert list(known_faults(pins, kept["advisory"])) == []
    # an advisory about nothing that is pinned is kept too, but most are about what we have
    assert len({each["name"] for each in kept["advisory"]} & {pin.name for pin in pins}) >= 8
