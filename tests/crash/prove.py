"""Every fault at every door of the automatic path, every pair of deaths, and each fault again with everything told twice.

Doors are found by walking, so a new commit or call is crashed without anybody writing a test for it. A plan that fails prints
as the command that plays it again. Before a release also three deaths (`--only triple`), which take hours: with `--every N` every
Nth of every Nth pair.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache

from tests.arena import Arena, Stage, an_arena, on_postgres, quiet, side_by_side
from tests.crash.plans import Plan, Played, compared, once_more, pairs, plain, play, singles, ways
from tests.proving import asked, show_doors, show_met, show_wrong, went_wrong
from worker.screen import out, say, table


class Theatre:
    """Plays plans on a database that is made empty again for each, and knows how each story ends without faults."""

    def __init__(self, arena: Stage) -> None:
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
        self.doors.update(went_wrong(played.doors, played.plan.faults))
        if played.wrong:
            self.wrong.append((str(played.plan), played.wrong))


TRIPLES = "every triple of deaths"
"""Played only when it is asked for."""


def sets(theatre: Theatre, every: int) -> dict[str, Callable[[], list[Plan]]]:
    """The sets by name, each found when it is asked for; of triples those that go on from every so manyth pair."""

    def once() -> list[Plan]:
        return [plan for way in ways() for plan in singles(theatre.plain(way))]

    def twice() -> list[Plan]:
        return [plan for way in ways() for plan in pairs(theatre.plain(way), theatre.play)]

    return {
        "every fault at every door": once,
        "the same, everything told twice": lambda: [replace(plan, doubled=True) for plan in once()],
        "every pair of deaths": twice,
        TRIPLES: lambda: once_more(twice()[::every], theatre.play),
    }


theatre_in = cache(Theatre)
"""One theatre an arena, so that each plain run is played once a process."""


def _play(arena: Arena, plan: Plan) -> Played:
    return theatre_in(arena).play(plan)


def play_all(name: str, plans: Sequence[Plan], processes: int, server: str | None = None) -> Figures:
    """Plays the plans side by side."""
    figures = Figures(name)
    for played in side_by_side(name, _play, plans, processes, server):
        figures.add(played)
    return figures


def _tell(played: Played) -> int:
    show_doors(played.doors, played.plan.faults)
    for name, value in played.end.items():
        say("{name:<16} {value}", name=name, value=value)
    for one in played.wrong:
        say("[red]{one}[/]", one=one)
    return 1 if played.wrong else 0


def main() -> int:
    """Plays everything, prints the figures, and returns 1 where anything was wrong."""
    chosen = asked(__doc__, Plan.parse)
    quiet()
    with on_postgres(chosen.postgres) as server, closing(an_arena(server)) as arena:
        theatre = Theatre(arena)
        if chosen.plan is not None:
            return _tell(theatre.play(chosen.plan))
        began = time.monotonic()
        asked_for = {name: plans for name, plans in sets(theatre, chosen.every).items() if chosen.only in name}
        wanted = {name: plans for name, plans in asked_for.items() if chosen.only or name != TRIPLES}
        done = [play_all(name, plans()[:: chosen.every], chosen.processes, server) for name, plans in wanted.items()]
    shown = table("The automatic path: nothing lost, nothing twice, wherever it dies", "set", "plans", "deaths", "wrong")
    for figures in done:
        shown.add_row(figures.name, str(figures.plans), str(figures.deaths), str(len(figures.wrong)))
    out.print(shown)
    show_met(sum((figures.doors for figures in done), Counter()))
    show_wrong("tests.crash.prove", [one for figures in done for one in figures.wrong])
    say("{n} plans in {seconds} s", n=sum(f.plans for f in done), seconds=f"{time.monotonic() - began:.0f}")
    return 1 if any(figures.wrong for figures in done) else 0


if __name__ == "__main__":
    raise SystemExit(main())
