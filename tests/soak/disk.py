"""A file system of its own, small enough to be filled, for the folder that is to meet a full disk.

Mounting it needs mounts of our own, in a namespace that is gone with the last of our processes: whatever way they end, the
machine keeps none of them.
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWN_MOUNTS = "REFUNDS_SOAK_OWN_MOUNTS"
SIZE = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
"""What a file takes at least."""


class LeftOut(Exception):
    """A fault cannot be committed on this machine; the message says why, and what would help."""


def with_own_mounts() -> list[str]:
    """What goes before a command, so that it runs with mounts of its own; empty where this machine does not let us."""
    command = ["unshare", "--mount"]
    if os.geteuid() != 0:
        command += ["--user", "--map-current-user", "--keep-caps"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return command


@dataclass(frozen=True)
class SmallDisk:
    """The file system, mounted."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, free_pages: int = 0) -> None:
        """Nothing more can be written but so many pages."""
        with self._ballast.open("wb", buffering=0) as file:
            for size in (16 * PAGE, PAGE):
                _write_until_full(file.fileno(), bytes(size))
            file.truncate(max(0, file.tell() - free_pages * PAGE))

    def clear(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mounted at `folder` until left. Raises `LeftOut` where it cannot be."""
    if OWN_MOUNTS not in os.environ:
        raise LeftOut("no mounts of its own: util-linux's `unshare --mount`, and a kernel that lets us, would be needed")
    folder.mkdir()
    options = f"size={SIZE},mode=0755"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise LeftOut(mounted.stderr.strip())
    try:
        yield SmallDisk(folder)
    finally:
        # lazily: a process that was killed may not have let go yet
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _write_until_full(file: int, block: bytes) -> None:
    try:
        while os.write(file, block):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
