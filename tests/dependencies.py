"""`python -m tests.dependencies`: no pin of the lock files is known to be vulnerable, unpinned or without a hash.

The advisories kept in `.ci/` always speak, and are to be looked through every three months. `uv audit` speaks as well where its
service answers within a few seconds; that it is away fails nothing, and is said where nobody overlooks it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "bench/requirements.lock", "tests/mutation/requirements.lock")
ADVISORIES = ROOT / ".ci" / "advisories.toml"
REVIEWED_EVERY = timedelta(days=92)
SECONDS = 8
AUDIT = (sys.executable, "-m", "uv", "audit", "--frozen", "--no-config", "--quiet", "--output-format", "json")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock file."""

    lock: str
    name: str
    version: Version


def read_lock(lock: str, text: str) -> tuple[list[Pin], list[str]]:
    """The pins, and what is wrong with lines that are none."""
    pins, faults = [], []
    for entry in text.replace("\\\n", " ").splitlines():
        line, *hashes = entry.partition("#")[0].split("--hash=")
        if not line.strip():
            continue
        try:
            asked = Requirement(line.strip())
        except InvalidRequirement:
            faults.append(f"{lock}: {line.strip()[:80]!r} is no requirement")
            continue
        exact = re.fullmatch(r"==([^,*=]+)", str(asked.specifier))
        if asked.url or not exact:
            faults.append(f"{lock}: {asked.name} is not pinned to one version")
            continue
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", one.strip()) for one in hashes):
            faults.append(f"{lock}: {asked.name} has no SHA-256")
        pins.append(Pin(lock, canonicalize_name(asked.name), Version(exact[1])))
    return pins, faults


def known_faults(pins: Sequence[Pin], advisories: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each pin within the range of an advisory."""
    for advisory in advisories:
        affected = Requirement(f"{advisory['name']}{advisory['affected']}")
        for pin in pins:
            if pin.name == canonicalize_name(affected.name) and affected.specifier.contains(pin.version, prereleases=True):
                yield f"{pin.lock}: {pin.name} {pin.version} has {advisory['id']}, fixed in {advisory['fixed']}"


def too_old(reviewed: date, today: date) -> Iterator[str]:
    """A line where nobody has looked through the kept advisories for too long."""
    if today - reviewed > REVIEWED_EVERY:
        yield f"{ADVISORIES.name}: last reviewed on {reviewed}; look for new advisories about what is pinned, and set the date"


def ask_service(pins: Iterable[Pin], command: Sequence[str] = AUDIT, seconds: float = SECONDS) -> tuple[list[str], bool]:
    """What the service knows of the pins, and whether it spoke about every one of them."""
    asked = {(pin.name, str(pin.version)): pin.lock for pin in pins}
    with tempfile.TemporaryDirectory() as folder:
        _as_project(Path(folder), sorted(asked))
        try:
            # one try: who has no way out is not kept waiting
            environment = {**os.environ, "UV_HTTP_RETRIES": "0"}
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
            )
            told: Any = json.loads(done.stdout)
            found = [_line(asked, fault) for fault in told["vulnerabilities"]]
            return found, told["summary"]["audited_packages"] >= len(asked)
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError, TypeError):
            return [], False


def _line(asked: dict[tuple[str, str], str], fault: dict[str, Any]) -> str:
    name, version = fault["dependency"]["name"], fault["dependency"]["version"]
    called, fixed = " or ".join([fault["id"], *fault["aliases"]]), ", ".join(fault["fix_versions"]) or "no version yet"
    return f"{asked[name, version]}: {name} {version} has {called}, fixed in {fixed}"


def _as_project(folder: Path, pins: Sequence[tuple[str, str]]) -> None:
    """Puts the pins down as a project of uv's that needs them all: it audits nothing else."""
    head = 'version = "0"\nrequires-python = ">=3.11"\n'
    (folder / "pyproject.toml").write_text(f'[project]\nname = "everything-pinned"\n{head}')
    each = [f'name = "{name}"\nversion = "{version}"\nsource = {{ registry = "." }}\n' for name, version in pins]
    needs = ", ".join("{ " + ", ".join(one.splitlines()) + " }" for one in each)
    ours = f'name = "everything-pinned"\nversion = "0"\nsource = {{ virtual = "." }}\ndependencies = [{needs}]\n'
    parts = "".join(f"\n[[package]]\n{one}" for one in (ours, *each))
    (folder / "uv.lock").write_text(f'version = 1\nrequires-python = ">=3.11"\n{parts}')


def main() -> int:
    """The exit status."""
    kept = tomllib.loads(ADVISORIES.read_text())
    faults: list[str] = []
    pins: list[Pin] = []
    for lock in LOCKS:
        found, wrong = read_lock(lock, (ROOT / lock).read_text())
        pins += found
        faults += wrong
    faults += known_faults(pins, kept["advisory"])
    online, spoke = ask_service(pins)
    faults += online
    for fault in sorted(set(faults)):
        print(f"dependencies: {fault}", file=sys.stderr)
    for overdue in too_old(kept["reviewed"], datetime.now(UTC).date()):
        # what nobody changed does not turn red by the calendar
        print(f"dependencies: OVERDUE: {overdue}", file=sys.stderr)
    only = f"the {len(kept['advisory'])} advisories kept here, reviewed on {kept['reviewed']}"
    if not spoke:
        print(
            f"dependencies: NOBODY WAS ASKED: the service of `uv audit` did not answer; compared were only {only}",
            file=sys.stderr,
        )
    by = f"{only}, and uv audit spoke" if spoke else only
    print(f"dependencies: {len({(pin.name, pin.version) for pin in pins})} pins, {len(set(faults))} faults ({by})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
