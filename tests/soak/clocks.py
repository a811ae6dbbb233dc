"""The wall clock of one process, set wrong and right again while it runs: libfaketime, preloaded."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.soak.disk import LeftOut

NOTICED_SECONDS = 1
"""How long libfaketime goes by what it read last; to look at every question of the time would cost a process 6 µs each."""
OF_DISTRIBUTIONS = ("lib/*/faketime", "lib/faketime", "lib64/faketime", "local/lib/faketime")
"""Where they put it, under `/usr`."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the library puts it
_ASK = "import time; time.sleep(0.01); print(time.time(), time.monotonic())"


@dataclass(frozen=True)
class WallClock:
    """What one process takes for the time. Its monotonic clock is left alone, as it is where a host's clock is set."""

    library: Path
    file: Path

    @property
    def environ(self) -> Mapping[str, str]:
        """What the process has to be started with."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": str(NOTICED_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: int) -> None:
        """The clock is wrong by so many seconds from now on; by none: right."""
        beside = self.file.with_suffix(".part")
        beside.write_text(f"{seconds:+d}\n")
        beside.rename(self.file)

    @staticmethod
    def forget(pid: int) -> None:
        """What a process that was killed left in shared memory; another that gets its number would stumble over it."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (SHARED_MEMORY / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Clocks:
    """Makes clocks, their files in one folder."""

    library: Path
    folder: Path

    def make(self, name: str) -> WallClock:
        """A clock that is right."""
        clock = WallClock(self.library, self.folder / name)
        clock.set(0)
        return clock


def clocks_in(folder: Path) -> Clocks:
    """By the first libfaketime here that does what it should. Raises `LeftOut` where none does."""
    folder.mkdir()
    why = []
    for library in _libraries():
        clocks = Clocks(library, folder)
        wrong = _tried(clocks.make("trial"))
        if wrong is None:
            return clocks
        why.append(f"{library}: {wrong}")
    raise LeftOut(f"{'; '.join(why) or 'no libfaketime'}; `pip install libfaketime` in this environment would help")


def _libraries() -> list[Path]:
    spec = find_spec("libfaketime")
    places = (spec.submodule_search_locations or []) if spec else []
    folders = [Path(place) / "vendor/libfaketime/src" for place in places]
    folders += [folder for pattern in OF_DISTRIBUTIONS for folder in Path("/usr").glob(pattern)]
    return [library for folder in folders if (library := folder / "libfaketime.so.1").exists()]


def _tried(clock: WallClock) -> str | None:
    """What is wrong with the library, if anything."""
    hour = 3600
    clock.set(hour)
    asked = subprocess.run(
        [sys.executable, "-c", _ASK], env=os.environ | clock.environ, capture_output=True, text=True, timeout=20, check=False
    )
    if asked.returncode:
        # 0.9.10, of Debian 12 and Ubuntu 24.04: time.sleep of Python 3.11 and later fails
        return f"Python does not work with it ({asked.stderr.strip().splitlines()[-1]})"
    wall, steady = map(float, asked.stdout.split())
    if not (math.isclose(wall, time.time() + hour, abs_tol=60) and math.isclose(steady, time.monotonic(), abs_tol=60)):
        return "clocks do not come out as they should"
    return None
