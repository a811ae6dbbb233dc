"""What the doctor finds below the processes: files that run at every start, flaws of servers, backups that hold too much."""

import site
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.faults import without_the_rights_of_root
from tests.scenarios.system import a_system
from worker.cli.ground import flaws, lets_others, open_to_others, packages, planted

NAMELESS = 2_000_000_001
LIST = """
[[flaw]]
server = "redis"
id = "CVE-1"
what = "bad"
since = "7.0.0"
mended = ["7.2.11", "8.0.4"]
"""


def a_package(folder: Path, *files: str) -> None:
    """An installed package that lists these files as its own."""
    info = folder / "honest-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: honest\nVersion: 1\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))


def test_our_own_environment_has_nothing_planted() -> None:
    assert planted(packages()) == []


def test_folder_of_another_user_is_none_that_python_looks_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the doctor had a fault wherever HOME was still root's: that its packages could not be read."""
    (tmp_path / "home" / "packages").mkdir(parents=True)
    monkeypatch.setattr(site, "USER_SITE", str(tmp_path / "home" / "packages"))
    (tmp_path / "home").chmod(0)
    with without_the_rights_of_root():
        assert tmp_path / "home" / "packages" not in packages()
    (tmp_path / "home").chmod(0o700)


@pytest.mark.parametrize("name", ["litellm_init.pth", "sitecustomize.py", "usercustomize.py"])
def test_file_that_runs_at_every_start_and_is_nobodys_is_found(tmp_path: Path, name: str) -> None:
    a_package(tmp_path, "honest.pth", "honest.py")
    for each in ("honest.pth", "honest.py", name):
        (tmp_path / each).write_text("import os\n")
    assert planted([tmp_path], distributions(path=[str(tmp_path)])) == [(tmp_path / name).resolve()]


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("6.2.1", False),
        ("7.0.0", True),
        ("7.0.15", True),
        ("7.2.10", True),
        ("7.2.11", False),
        ("7.2.11-rc1", True),
        ("7.4.9", True),
        ("8.0.3", True),
        ("8.0.4", False),
        ("8.2.0", False),
        ("unknown", False),
    ],
)
def test_flaw_is_said_below_the_first_sound_version_of_a_branch(version: str, affected: bool) -> None:
    assert bool(flaws("redis", version, LIST)) is affected
    assert flaws("valkey", version, LIST) == []


def test_shipped_list_knows_the_flaws_of_the_servers_we_speak_to() -> None:
    assert [flaw.partition(":")[0] for flaw in flaws("redis", "7.2.4")] == [
        "CVE-2025-49844",
        "CVE-2025-46817",
        "CVE-2025-21605",
        "CVE-2026-23479",
    ]
    assert flaws("redis", "8.6.3") == flaws("valkey", "8.1.4") == []


@pytest.mark.landing
def test_doctor_says_that_the_journal_lies_with_the_database(tmp_path: Path, redis_server: str) -> None:
    with a_system(f"sqlite:///{tmp_path / 'refunds.db'}", redis_server) as system:
        system.extra = {"REFUNDS_JOURNAL_DIR": str(tmp_path / "journal")}
        [found] = [item["finding"] for item in system.json("doctor", expect=None)["findings"] if item["check"] == "backups"]
    assert "lies with the database" in found


@pytest.mark.parametrize(
    ("mode", "group", "others"),
    [
        (0o700, 0, False),
        (0o770, 0, True),
        (0o2770, NAMELESS, False),
        (0o2775, NAMELESS, True),
        (0o770, NAMELESS + 1, True),
    ],
)
def test_folder_is_open_to_others_unless_its_group_is_one_that_only_we_were_given(mode: int, group: int, others: bool) -> None:
    assert lets_others(mode, group, [0, NAMELESS]) is others


def test_folder_is_looked_at_as_it_is(tmp_path: Path) -> None:
    for mode, others in ((0o700, False), (0o705, True)):
        tmp_path.chmod(mode)
        assert open_to_others(tmp_path) is others
