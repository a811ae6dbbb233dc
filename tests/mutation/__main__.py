"""`make mutate`: changes the code in thousands of small ways, one at a time, and names the changes that no test notices.

The first pass forks a process that has imported everything, which is fast and blind for what is worked out at import or kept in a
cache. So whatever survives it is tried once more in a process of its own. A tenth of a part (`--tenth 3`) tells in a tenth of the
time how the whole would end.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.conditions import leave_out, not_missed, switch_in
from tests.mutation.explained import ROOT, reasons
from tests.mutation.parts import PARTS, Part
from worker.screen import out, progress, say, table

COPIED = ("policy", "worker", "tests", "docs", "deploy", "celeryconfig.py", "README.md", "Makefile", "pyproject.toml")
# not the test that counts what the sources import
TESTS = (
    "-q",
    "-p",
    "no:cacheprovider",
    "--hypothesis-profile=mutate",
    "--ignore=tests/policy/test_purity.py",
    "-k",
    "not postgres",
)
SECONDS = 300


@dataclass(frozen=True)
class Workshop:
    """A copy of the tree in which one part is changed."""

    name: str
    part: Part

    @property
    def folder(self) -> Path:
        return ROOT / "mutants" / self.name

    def furnish(self) -> None:
        """Makes the copy anew, with the tool told what to change and what to ask."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in COPIED:
            there = ROOT / name
            if there.is_dir():
                shutil.copytree(there, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(there, self.folder / name)
        told = {
            "source_paths": ["policy/", "worker/"],
            "only_mutate": list(self.part.changed),
            "also_copy": [name for name in COPIED if name not in {"policy", "worker", "pyproject.toml"}],
            "pytest_add_cli_args_test_selection": list(self.part.tests),
            "pytest_add_cli_args": list(TESTS),
        }
        with (self.folder / "pyproject.toml").open("a") as file:
            file.write("\n[tool.mutmut]\n" + "".join(f"{key} = {value!r}\n" for key, value in told.items()))

    def first_pass(self, processes: int, tenth: int | None) -> None:
        those = [] if tenth is None else [f"*__mutmut_*{tenth}"]
        subprocess.run(self._mutmut("run", "--max-children", str(processes), *those), cwd=self.folder, check=True)

    def fates(self) -> Iterator[tuple[str, str]]:
        """Every mutant that the first pass played, and what became of it."""
        command = self._mutmut("results", "--all", "true")
        told = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout
        for line in told.splitlines():
            name, _, fate = line.strip().rpartition(": ")
            if name and fate != "not checked":
                yield name, fate

    def again(self, name: str) -> bool:
        """True where a test notices the mutant in a process of its own; one that never ends is noticed too."""
        command = [sys.executable, "-m", "pytest", "-x", "--tb=no", *TESTS, *self.part.tests]
        environ = {**os.environ, "MUTANT_UNDER_TEST": name, "PYTHONPATH": "."}
        try:
            done = subprocess.run(command, cwd=self.folder / "mutants", env=environ, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode == 1

    @staticmethod
    def _mutmut(*words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("mutmut")), *words]


def module(name: str) -> str:
    """`policy.rules.remedy` of `policy.rules.remedy.x_no_rule__mutmut_3`."""
    return name.rpartition(".")[0]


def main() -> int:
    """Runs both passes over a part, shows what is left by module, and keeps the names of those unexplained beside the copy."""
    options = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    options.add_argument("--of", choices=PARTS, default="policy", help="what is changed (policy)")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--tenth", type=int, choices=range(10), help="only those whose number in their function ends so")
    options.add_argument("--second", action="store_true", help="only the second pass, over what the last run left")
    options.add_argument("--conditions", action="store_true", help="only the conditions of SQL statements, each left out")
    asked = options.parse_args()
    if asked.conditions:
        return _conditions(asked.of, asked.processes)
    shop, known = Workshop(asked.of, PARTS[asked.of]), reasons()
    if not asked.second:
        shop.furnish()
        shop.first_pass(asked.processes, asked.tenth)
    fates = dict(shop.fates())
    left = [name for name, fate in fates.items() if fate not in {"killed", "caught by type check"}]
    tried = [name for name in left if name not in known]
    with ThreadPoolExecutor(asked.processes) as pool, progress() as bar:
        noticed = list(bar.track(pool.map(shop.again, tried), total=len(tried), description="survivors, each alone"))
    survivors = [name for name, seen in zip(tried, noticed, strict=True) if not seen]
    (shop.folder / "survivors.txt").write_text("".join(f"{name}\n" for name in survivors))
    _show(asked.of, list(fates), [name for name in left if name in known], survivors)
    return 0


def _conditions(of: str, processes: int) -> int:
    """Leaves out the conditions of a part, with all of its tests for each, and says which of them none misses."""
    shop = Workshop(f"{of}-conditions", PARTS[of])
    shop.furnish()
    pytest = (*TESTS, *shop.part.tests)
    conditions = switch_in(shop.folder, shop.part.changed)
    not_missed(conditions, lambda one: leave_out(one, shop.folder, pytest, SECONDS), processes)
    return 0


def _show(part: str, made: list[str], explained: list[str], survivors: list[str]) -> None:
    by, why, alive = Counter(map(module, made)), Counter(map(module, explained)), Counter(map(module, survivors))
    shown = table(f"Mutants of the {part}", "module", "made", "noticed", "explained", "survived")
    for name, count in sorted(by.items()):
        shown.add_row(name, str(count), str(count - why[name] - alive[name]), str(why[name]), str(alive[name]))
    out.print(shown)
    noticed = len(made) - len(explained) - len(survivors)
    sums = {"n": noticed, "m": len(made), "share": f"{100 * noticed / len(made):.1f}", "e": len(explained), "s": len(survivors)}
    say("{n} of {m} noticed, {share} %; {e} explained, {s} not", **sums)
    say("[dim]in mutants/{part}: `mutmut show NAME` shows one, survivors.txt has the names[/]", part=part)


if __name__ == "__main__":
    raise SystemExit(main())
