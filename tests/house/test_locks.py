"""The lock files hold everything `pyproject.toml` asks for, with hashes and without addresses. Checked offline."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGE, EVERYTHING = "requirements.lock", "requirements-dev.lock"


def asked_for(lock: str) -> list[Requirement]:
    """What the lock file is made from."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["flower"]]
    if lock == EVERYTHING:
        lines += [*project["optional-dependencies"]["embedded"], *PROJECT["dependency-groups"]["dev"]]
        lines += PROJECT["build-system"]["requires"]
    return [Requirement(line) for line in lines]


def entries(lock: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each pin with its hashes."""
    for entry in (ROOT / lock).read_text().replace("\\\n", " ").splitlines():
        if entry.strip():
            pin, *hashes = entry.split("--hash=")
            yield Requirement(pin), [value.strip() for value in hashes]


def pins(lock: str) -> dict[str, Version]:
    """Name to version, for those that this interpreter would install."""
    here = {name: str(value) for name, value in default_environment().items()}
    return {
        canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("=="))
        for pin, _ in entries(lock)
        if pin.marker is None or pin.marker.evaluate(here)
    }


@pytest.mark.parametrize("lock", [IMAGE, EVERYTHING])
def test_lock_pins_every_requirement(lock: str) -> None:
    pinned = pins(lock)
    unmet = [
        str(wanted)
        for wanted in asked_for(lock)
        if (pin := pinned.get(canonicalize_name(wanted.name))) is None or pin not in wanted.specifier
    ]
    assert not unmet, f"{lock} lacks these: run make lock"


@pytest.mark.parametrize("lock", [IMAGE, EVERYTHING])
def test_lock_has_a_hash_for_every_pin_and_no_address(lock: str) -> None:
    for pin, hashes in entries(lock):
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), f"{pin} is not one version"
        assert hashes, f"{pin} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), f"{pin}: not a SHA-256"
        assert pin.url is None, f"{pin} names an address"
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text


def test_the_image_runs_the_versions_that_were_tested() -> None:
    assert pins(IMAGE).items() <= pins(EVERYTHING).items()


@pytest.mark.parametrize("name", ["celery", "httpx", "redis", "sqlalchemy", "uvicorn"])
def test_library_that_is_used_beyond_what_it_promises_is_not_taken_in_a_release_that_nobody_tried(name: str) -> None:
    [wanted] = [one for one in asked_for(IMAGE) if canonicalize_name(one.name) == name]
    assert any(one.operator == "<" for one in wanted.specifier), f"{wanted} takes whatever comes"
