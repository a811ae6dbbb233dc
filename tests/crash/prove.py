"""Every fault at every door of the automatic path, every pair of deaths, and each fault again with everything told twice.

Doors are found by walking, so a new commit or call is crashed without anybody writing a test for it. A plan that fails prints
as what `--plan` takes.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from tests.arena import Arena, quiet, side_by_side
from tests.crash.plans import Plan, Played, compared, pairs, plain, play, singles, ways
from worker.screen import out, say, table


class Theatre:
    """Plays plans on a database that is made empty again for each, and knows how each story ends without faults."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._plain: dict[Plan, Played] = {}

    def plain(self, plan: Plan) -> Played:
        """The run of this story without faults."""
        bare = plain(plan)
        if bare not in self._plain:
            with self._arena.empty() as store:
                self._plain[bare] = play(bare, store)
        return self._plain[bare]

    def play(self, plan: Plan) -> Played:
        """The run of this plan, compared with the plain one."""
        with self._arena.empty() as store:
            played = play(plan, store)
        return compared(played, self.plain(plan))


@dataclass
class Figures:
    """What one set of plans came to."""

    name: str
    plans: int = 0
    deaths: int = 0
    doors: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """One more plan."""
        self.plans += 1
        self.deaths += played.deaths
        for fault in played.plan.faults:
            if fault.passage < len(played.doors):
                self.doors[f"{played.doors[fault.passage]} | {fault.how}"] += 1
        if played.wrong:
            self.wrong.append((str(played.plan), played.wrong))


def sets(theatre: Theatre, every: int) -> Iterator[tuple[str, list[Plan]]]:
    """The sets by name, each every Nth plan of it."""
    plays = [theatre.plain(way) for way in ways()]
    once = [plan for played in plays for plan in singles(played)]
    yield "every fault at every door", once[::every]
    yield "the same, everything told twice", [replace(plan, doubled=True) for plan in once][::every]
    yield "every pair of deaths", [plan for played in plays for plan in pairs(played, theatre.play)][::every]


theatre_in = cache(Theatre)
"""One theatre an arena, so that each plain run is played once a process."""


def _play(arena: Arena, plan: Plan) -> Played:
    return theatre_in(arena).play(plan)


def play_all(name: str, plans: Sequence[Plan], processes: int) -> Figures:
    """Plays the plans side by side."""
    figures = Figures(name)
    for played in side_by_side(name, _play, plans, processes):
        figures.add(played)
    return figures


def _tell(played: Played) -> int:
    for number, door in enumerate(played.doors):
        wrong = ", ".join(fault.how.value for fault in played.plan.faults if fault.passage == number)
        say("{number:>4}  {door:<24} [red]{wrong}[/]", number=number, door=door, wrong=wrong)
    for name, value in played.end.items():
        say("{name:<16} {value}", name=name, value=value)
    for one in played.wrong:
        say("[red]{one}[/]", one=one)
    return 1 if played.wrong else 0


def main() -> int:
    """Plays everything, prints the figures, and returns 1 where anything was wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, help="play every Nth plan of each set")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--plan", type=Plan.parse, help="play this one alone and show each door")
    chosen = options.parse_args()
    quiet()
    arena = Arena()
    theatre = Theatre(arena)
    if chosen.plan is not None:
        return _tell(theatre.play(chosen.plan))
    began = time.monotonic()
    done = [play_all(name, plans, chosen.processes) for name, plans in sets(theatre, chosen.every)]
    arena.close()
    shown = table("The automatic path: nothing lost, nothing twice, wherever it dies", "set", "plans", "deaths", "wrong")
    for figures in done:
        shown.add_row(figures.name, str(figures.plans), str(figures.deaths), str(len(figures.wrong)))
    out.print(shown)
    met = sum((figures.doors for figures in done), Counter())
    doors = table("\nWhat went wrong where", "door", "what", "times")
    for door, times in sorted(met.items()):
        doors.add_row(*door.split(" | "), str(times))
    out.print(doors)
    for plan, wrong in [one for figures in done for one in figures.wrong][:40]:
        say('[red]--plan "{plan}"[/]: {wrong}', plan=plan, wrong="; ".join(wrong))
    say("{n} plans in {seconds} s", n=sum(f.plans for f in done), seconds=f"{time.monotonic() - began:.0f}")
    return 1 if any(figures.wrong for figures in done) else 0


if __name__ == "__main__":
    raise SystemExit(main())
