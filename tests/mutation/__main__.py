"""`make mutate`: changes the policy in thousands of small ways, one at a time, and names the changes that no test notices.

The first pass forks a process that has imported everything, which is fast and blind for what is worked out at import or kept in a
cache. So whatever survives it is tried once more in a process of its own.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.screen import out, progress, say, table

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = ROOT / "mutants"
TESTS = ("-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-profile=mutate", "--ignore=tests/policy/test_purity.py")
SECONDS = 300


def mutmut(*words: str) -> list[str]:
    """The command of the tool that is installed beside this Python."""
    return [str(Path(sys.executable).with_name("mutmut")), *words]


def results() -> Iterator[tuple[str, str]]:
    """Every mutant that the first pass knows, and what became of it."""
    told = subprocess.run(mutmut("results", "--all", "true"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        name, _, fate = line.strip().rpartition(": ")
        if name:
            yield name, fate


def again(name: str) -> bool:
    """True where a test notices the mutant in a process of its own; one that never ends is noticed too."""
    command = [sys.executable, "-m", "pytest", *TESTS, "tests/policy"]
    try:
        done = subprocess.run(
            command, cwd=MUTANTS, env={**os.environ, "MUTANT_UNDER_TEST": name}, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode == 1


def module(name: str) -> str:
    """`policy.rules.remedy` of `policy.rules.remedy.x_no_rule__mutmut_3`."""
    return name.rpartition(".")[0]


def main() -> int:
    """Runs both passes, shows what is left by module, and keeps the names of the survivors in `mutants/survivors.txt`."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--second", action="store_true", help="only the second pass, over what the last run left")
    asked = options.parse_args()
    if not asked.second:
        subprocess.run(mutmut("run", "--max-children", str(asked.processes)), cwd=ROOT, check=True)
    fates = dict(results())
    left = [name for name, fate in fates.items() if fate not in {"killed", "caught by type check"}]
    with ThreadPoolExecutor(asked.processes) as pool, progress() as bar:
        noticed = list(bar.track(pool.map(again, left), total=len(left), description="survivors, each alone"))
    survivors = [name for name, seen in zip(left, noticed, strict=True) if not seen]
    (MUTANTS / "survivors.txt").write_text("".join(f"{name}\n" for name in survivors))
    made, alive = Counter(map(module, fates)), Counter(map(module, survivors))
    shown = table("Mutants of the policy", "module", "made", "noticed", "survived")
    for name, count in sorted(made.items()):
        shown.add_row(name, str(count), str(count - alive[name]), str(alive[name]))
    out.print(shown)
    share = 100 * (len(fates) - len(survivors)) / len(fates)
    say("{n} of {m} noticed, {share} %", n=len(fates) - len(survivors), m=len(fates), share=f"{share:.1f}")
    say("[dim]`mutmut show NAME` shows one; the names are in mutants/survivors.txt[/]")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
