"""`make prove`: every trouble, every pair of troubles, every crash and every pair of crashes of the money procedure.

Exhaustive and deterministic: a plan is its own name, and one that fails is printed with what was wrong. `--every N` plays every
Nth plan of the large sets.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.arena import Arena, quiet, side_by_side
from tests.money.plans import AT, BEFORE, HOOKS, Plan, Played, deaths, play_in
from worker.screen import out, say, table

CRASHED_WITH = ("nothing", "post_timeout_after_commit", "post_timeout_before_commit", "low_balance_twice", "answers_failed")
"""What else goes wrong in the runs that die at every single point; the first alone dies at every pair of points."""


@dataclass
class Figures:
    """What one set of plans came to."""

    name: str
    plans: int = 0
    requests: int = 0
    posts: int = 0
    overpaid: int = 0
    beside_us: int = 0
    unproved: int = 0
    with_person: int = 0
    wrong: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """One more plan."""
        self.plans += 1
        self.requests += played.requests
        self.posts += played.posts
        self.overpaid += played.overpaid
        self.beside_us += played.beside_us
        self.unproved += played.unproved
        self.with_person += played.with_person
        if played.wrong:
            self.wrong.append((str(played.plan), played.wrong))


def troubles() -> list[Plan]:
    """Every trouble alone."""
    return [Plan(before=b) for b in BEFORE] + [Plan(at=a) for a in AT] + [Plan(hooks=h) for h in HOOKS]


def pairs() -> list[Plan]:
    """Every trouble before the call with every trouble at or after it."""
    return [Plan(before=b, at=a) for b in BEFORE for a in AT if b != "nothing" and a != "nothing"]


def pairs_with_webhooks() -> list[Plan]:
    """Every trouble at or after the call with every trouble of the webhooks."""
    return [Plan(at=a, hooks=h) for a in AT for h in HOOKS if a != "nothing" and h != "nothing"]


def crashes(arena: Arena) -> list[Plan]:
    """Dying once, before and after every commit and every call, alone and together with what else can go wrong."""
    return [plan for name in CRASHED_WITH for plan in deaths(play_in(arena, Plan(at=name)))[:200]]


def pairs_of_crashes(arena: Arena) -> list[Plan]:
    """Dying twice: at every point, and again at every later point of the run that resumes."""
    found: list[Plan] = []
    for first in deaths(play_in(arena, Plan())):
        (point,) = first.dies_at
        found += [plan for plan in deaths(play_in(arena, first)) if max(plan.dies_at) > point]
    return found


def play_all(name: str, plans: Sequence[Plan], processes: int) -> Figures:
    """Plays the plans side by side."""
    figures = Figures(name)
    for played in side_by_side(name, play_in, plans, processes):
        figures.add(played)
    return figures


def _sets(every: int) -> Iterator[tuple[str, list[Plan]]]:
    arena = Arena()
    yield "every trouble", troubles()
    yield "every crash", crashes(arena)
    yield "every pair of crashes", pairs_of_crashes(arena)[::every]
    yield "every pair of troubles", pairs()[::every]
    yield "every trouble with every webhook trouble", pairs_with_webhooks()[::every]
    arena.close()


def main() -> int:
    """Plays everything, prints the figures, and returns 1 where anything was wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, help="play every Nth plan of the large sets")
    options.add_argument("--processes", type=int, default=2)
    chosen = options.parse_args()
    quiet()
    began = time.monotonic()
    done: list[Figures] = []
    for name, plans in _sets(chosen.every):
        done.append(play_all(name, plans, chosen.processes))
        say("[dim]{name}: {plans} plans, {wrong} wrong[/]", name=name, plans=done[-1].plans, wrong=len(done[-1].wrong))
    columns = ("plans", "requests", "refund calls", "overpaid cents", "beside us", "unproved claims", "with a person", "wrong")
    shown = table("Money: at most once, proved or with a person", "set", *columns)
    for f in done:
        cells = (f.plans, f.requests, f.posts, f.overpaid, f.beside_us, f.unproved, f.with_person, len(f.wrong))
        shown.add_row(f.name, *map(str, cells))
    out.print(shown)
    for plan, wrong in [one for f in done for one in f.wrong][:40]:
        say("[red]{plan}[/]: {wrong}", plan=plan, wrong="; ".join(wrong))
    say("{plans} plans in {seconds} s", plans=sum(f.plans for f in done), seconds=f"{time.monotonic() - began:.0f}")
    return 1 if any(f.wrong for f in done) else 0


if __name__ == "__main__":
    raise SystemExit(main())
