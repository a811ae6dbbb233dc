"""What a tree of processes costs: CPU and memory as Linux counts them, and stopping it in the middle of a breath."""

import os
import random
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(roots: Sequence[int]) -> float:
    """CPU that these trees have used so far, children that have already ended included."""
    ticks = 0
    for root in roots:
        for pid in tree(root):
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # utime, stime, and the same of children that were waited for
                ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def memory_mib(roots: Sequence[int]) -> dict[str, float]:
    """Resident memory of the trees: `rss` counts shared pages in every process, `pss` counts each page once."""
    totals = {"rss": 0.0, "pss": 0.0}
    for root in roots:
        for pid in tree(root):
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    name, _, rest = line.partition(":")
                    if name.lower() in totals:
                        totals[name.lower()] += int(rest.split()[0]) / 1024
    return totals


class Processes:
    """The processes of one peer, started together and ended by their ids."""

    def __init__(self, commands: Sequence[Sequence[str]], env: dict[str, str], folder: Path) -> None:
        self.log, self._env, self._folder = folder / "processes.log", env, folder
        self.started = [self._start(command) for command in commands]

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, env=self._env, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def roots(self) -> list[int]:
        """The processes at the top."""
        return [process.pid for process in self.started]

    def check(self) -> None:
        """Raises when one of them has ended by itself."""
        for process in self.started:
            if process.poll() is not None:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}; the log ends:\n{tail}")

    def kill(self, chance: random.Random) -> None:
        """Kills one of all the processes, drawn; one at the top with all that is below it, as where a container dies."""
        chosen = chance.choice(sorted(pid for root in self.roots for pid in tree(root)))
        for pid in tree(chosen) if chosen in self.roots else [chosen]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start_again(self) -> None:
        """Starts anew what has ended at the top, whoever ended it, as a supervisor does."""
        for place, process in enumerate(self.started):
            if process.poll() is not None:
                self.started[place] = self._start(process.args)  # type: ignore[arg-type]

    def hold(self) -> None:
        """Stops every process where it stands, so that a backlog can be laid before warm processes."""
        self._all(signal.SIGSTOP)

    def release(self) -> None:
        """Lets them go on."""
        self._all(signal.SIGCONT)

    def end(self) -> None:
        """Ends them in order, and those that do not listen without asking again."""
        self.release()
        everybody = [pid for root in self.roots for pid in tree(root)]
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                for pid in everybody:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait(10)

    def _all(self, number: signal.Signals) -> None:
        for root in self.roots:
            for pid in tree(root):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
