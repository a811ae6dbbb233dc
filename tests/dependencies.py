"""`python -m tests.dependencies`: no pin of the lock files is known to be vulnerable, unpinned or without a hash.

The advisories kept in `.ci/` always speak. Where pip-audit is installed and its service answers within a few seconds it speaks
as well; a service that is away is said and fails nothing.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
ADVISORIES = ROOT / ".ci" / "advisories.toml"
SECONDS = 8


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


def ask_service(lock: Path, seconds: float = SECONDS, command: Sequence[str] | None = None) -> tuple[list[str], str]:
    """What pip-audit found, and in words whether it spoke."""
    if command is None:
        if importlib.util.find_spec("pip_audit") is None:
            return [], "pip-audit is not installed"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json", "-r", str(lock)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        told: Any = json.loads(done.stdout)
        found = [
            f"{lock.name}: {each['name']} {each['version']} has {fault['id']}, fixed in {', '.join(fault['fix_versions'])}"
            for each in told["dependencies"]
            for fault in each.get("vulns", [])
        ]
    except (subprocess.TimeoutExpired, OSError, ValueError, KeyError, TypeError):
        return [], "pip-audit's service was not reachable"
    return found, "pip-audit spoke"


def main() -> int:
    """The exit status."""
    kept = tomllib.loads(ADVISORIES.read_text())
    faults, pins, said = [], [], ""
    for lock in LOCKS:
        found, wrong = read_lock(lock, (ROOT / lock).read_text())
        pins += found
        faults += wrong
    faults += known_faults(pins, kept["advisory"])
    # the larger lock file holds the smaller one (tests/house/test_locks.py)
    online, said = ask_service(ROOT / LOCKS[-1])
    faults += online
    for fault in sorted(set(faults)):
        print(f"dependencies: {fault}", file=sys.stderr)
    spoke = f"{len(kept['advisory'])} advisories of {kept['reviewed']} spoke; {said}"
    print(f"dependencies: {len(set(pins))} pins, {len(set(faults))} faults ({spoke})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
