"""What was put on disk is there after a power cut at any later moment, and nothing is ever there by half."""

import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from worker.disk import append, put, refusal

OLD, NEW = b"as it was" * 1000, b"as it is" * 2000


@dataclass
class Power:
    """What of a folder is on disk for certain: contents and names as of their last sync, and nothing else.

    Each is known by its inode. `cuts` has, for every call that changed something, what a power cut just after it leaves at least.
    """

    root: Path
    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    cuts: list[dict[str, bytes]] = field(default_factory=list)

    def synced(self, descriptor: int) -> None:
        """Somebody waited until this file or folder was on disk."""
        here = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if here.is_dir():
            self.names[here.stat().st_ino] = {one.name: one.stat().st_ino for one in here.iterdir()}
        else:
            self.contents[os.fstat(descriptor).st_ino] = here.read_bytes()

    def cut(self) -> None:
        """The power goes now."""
        self.cuts.append(dict(self._left(self.root.stat().st_ino, "")))

    def _left(self, folder: int, path: str) -> Iterator[tuple[str, bytes]]:
        for name, inode in self.names.get(folder, {}).items():
            if inode in self.names:
                yield from self._left(inode, f"{path}{name}/")
            else:
                # a name may be on disk before the bytes are
                yield f"{path}{name}", self.contents.get(inode, b"")

    def now(self) -> dict[str, bytes]:
        """What a power cut at the last moment leaves."""
        return self.cuts[-1]


@pytest.fixture
def power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Power:
    """A folder that is on disk, empty, and watched from now on."""
    watched = Power(tmp_path)

    def then(call: Callable[..., Any], after: Callable[..., None]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            said = call(*given, **named)
            after(*given)
            watched.cut()
            return said

        return called

    monkeypatch.setattr(os, "fsync", then(os.fsync, watched.synced))
    for name in ("open", "write", "replace", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, then(getattr(os, name), lambda *_: None))
    return watched


def test_line_that_was_added_is_there_in_folders_that_were_not(power: Power, tmp_path: Path) -> None:
    append(tmp_path / "of us" / "journal" / "2026-03.jsonl", b"one\n")
    assert power.now() == {"of us/journal/2026-03.jsonl": b"one\n"}


def test_line_is_there_although_whoever_made_the_file_died_before_its_name_was(power: Power, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal/2026-03.jsonl").touch()
    power.names[tmp_path.stat().st_ino] = {"journal": (tmp_path / "journal").stat().st_ino}
    append(tmp_path / "journal/2026-03.jsonl", b"two\n")
    assert power.now() == {"journal/2026-03.jsonl": b"two\n"}


def test_lines_stay_while_others_are_added(power: Power, tmp_path: Path) -> None:
    append(tmp_path / "file", b"one\n")
    before = len(power.cuts)
    append(tmp_path / "file", b"two\n")
    assert all(left["file"].startswith(b"one\n") for left in power.cuts[before:])
    assert power.now() == {"file": b"one\ntwo\n"}


@pytest.mark.parametrize("was", [None, OLD])
def test_file_is_whole_or_as_it_was_at_every_moment(power: Power, tmp_path: Path, was: bytes | None) -> None:
    file = tmp_path / "evidence" / "file"
    if was is not None:
        put(file, was)
    before = len(power.cuts)
    put(file, NEW)
    seen = [left.get("evidence/file") for left in power.cuts[before:]]
    assert set(seen) == {was, NEW}
    assert power.now() == {"evidence/file": NEW}


def test_bytes_are_on_disk_before_they_have_the_name(power: Power, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = os.replace
    found: list[bytes | None] = []

    def look(beside: Path, file: Path) -> None:
        found.append(power.contents.get(beside.stat().st_ino))
        replaced(beside, file)

    monkeypatch.setattr(os, "replace", look)
    put(tmp_path / "file", NEW)
    assert found == [NEW]


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_what_cannot_be_written_leaves_what_was_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    put(tmp_path / "file", OLD)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, fails, full)
        with pytest.raises(OSError, match="No space left"):
            put(tmp_path / "file", NEW)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": OLD}


def test_line_that_was_written_in_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, lines: written(descriptor, lines[:2]))
        with pytest.raises(OSError, match="is the disk full"):
            append(tmp_path / "file", b"line\n")


def test_only_its_owner_reads_what_was_made(tmp_path: Path) -> None:
    put(tmp_path / "one" / "file", NEW)
    append(tmp_path / "two" / "file", NEW)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_dir()} == {"0o700"}
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("file")} == {"0o600"}


def test_folder_on_a_disk_with_room_for_a_name_alone_is_refused(tmp_path: Path) -> None:
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
    try:
        why = refusal(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert (why, refusal(tmp_path), list(tmp_path.iterdir())) == ("File too large", None, [])
