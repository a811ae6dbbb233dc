"""`make prove`: every trouble, every fault at every door, every pair of deaths and every pair of troubles on the way of money.

Exhaustive and deterministic: doors are found by walking, so a new commit or call is crashed without anybody writing a test for
it. A plan that fails prints as the command that plays it again.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from tests.arena import Arena, an_arena, on_postgres, quiet, side_by_side
from tests.faults import DEATHS
from tests.money.plans import AT, BEFORE, HOOKS, STORIES, Plan, Played, play_in, singles
from tests.proving import asked, show_doors, show_met, show_wrong, went_wrong
from worker.screen import out, say, table

CRASHED_WITH = ("post_timeout_after_commit", "post_timeout_before_commit", "low_balance_twice", "answers_failed")
"""What else goes wrong at the call in runs in which a process dies at every single door."""


@dataclass
class Figures:
    """What one set of plans came to."""

    name: str
    plans: int = 0
    deaths: int = 0
    requests: int = 0
    posts: int = 0
    overpaid: int = 0
    beside_us: int = 0
    unproved: int = 0
    with_person: int = 0
    crashes: int = 0
    """Deaths of those plans in which nothing but deaths went wrong."""
    for_crashes: int = 0
    """Cases that those left with a person."""
    doors: Counter[str] = field(default_factory=Counter)
    """How often each kind of thing went wrong at each kind of door."""
    persons: Counter[str] = field(default_factory=Counter)
    """How often a person was needed after it, where nothing else went wrong."""
    wrong: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """One more plan."""
        plan = played.plan
        self.plans += 1
        self.deaths += played.deaths
        self.requests += played.requests
        self.posts += played.posts
        self.overpaid += played.overpaid
        self.beside_us += played.beside_us
        self.unproved += played.unproved
        self.with_person += played.with_person
        if plan.untroubled and plan.faults and all(fault.how in DEATHS for fault in plan.faults):
            self.crashes += played.deaths
            self.for_crashes += played.with_person
        for where in went_wrong(played.doors, plan.faults):
            self.doors[where] += 1
            self.persons[where] += played.with_person if plan.untroubled and len(plan.faults) == 1 else 0
        if played.wrong:
            self.wrong.append((str(plan), played.wrong))


def troubles() -> list[Plan]:
    """Every trouble alone."""
    return [Plan(before=b) for b in BEFORE] + [Plan(at=a) for a in AT] + [Plan(hooks=h) for h in HOOKS]


def pairs() -> list[Plan]:
    """Every trouble before the call with every trouble at or after it."""
    return [Plan(before=b, at=a) for b in BEFORE for a in AT if b != "nothing" and a != "nothing"]


def pairs_with_webhooks() -> list[Plan]:
    """Every trouble at or after the call with every trouble of the webhooks."""
    return [Plan(at=a, hooks=h) for a in AT for h in HOOKS if a != "nothing" and h != "nothing"]


def every_fault(arena: Arena, *, doubled: bool = False) -> list[Plan]:
    """Every fault at every door of each story."""
    return [plan for story in STORIES for plan in singles(play_in(arena, Plan(story, doubled=doubled)))]


def deaths_in_trouble(arena: Arena) -> list[Plan]:
    """Dying at every door of one claim's way while Creem makes trouble at the call."""
    return [plan for at in CRASHED_WITH for plan in singles(play_in(arena, Plan(at=at)), DEATHS)]


def pairs_of_deaths(arena: Arena, every: int = 1) -> list[Plan]:
    """Dying twice on one claim's way: at every Nth door, and again at every later door of the run that resumes."""
    return [
        second for first in singles(play_in(arena, Plan()), DEATHS)[::every] for second in singles(play_in(arena, first), DEATHS)
    ]


def play_all(name: str, plans: Sequence[Plan], processes: int, server: str | None = None) -> Figures:
    """Plays the plans side by side."""
    figures = Figures(name)
    for played in side_by_side(name, play_in, plans, processes, server):
        figures.add(played)
    return figures


def sets(arena: Arena) -> dict[str, Callable[[], list[Plan]]]:
    """The sets by name, each found when it is asked for."""
    return {
        "every trouble": troubles,
        "every fault at every door": partial(every_fault, arena),
        "the same, everything told twice": partial(every_fault, arena, doubled=True),
        "every death beside a trouble at the call": partial(deaths_in_trouble, arena),
        "every pair of deaths": partial(pairs_of_deaths, arena),
        "every pair of troubles": pairs,
        "every trouble with every webhook trouble": pairs_with_webhooks,
    }


def main() -> int:
    """Plays everything, prints the figures, and returns 1 where anything was wrong."""
    chosen = asked(__doc__, Plan.parse)
    quiet()
    with on_postgres(chosen.postgres) as server, closing(an_arena(server)) as arena:
        if chosen.plan is not None:
            return _tell(play_in(arena, chosen.plan))
        began = time.monotonic()
        done: list[Figures] = []
        for name, plans in sets(arena).items():
            if chosen.only not in name:
                continue
            done.append(play_all(name, plans()[:: chosen.every], chosen.processes, server))
            say("[dim]{name}: {plans} plans, {wrong} wrong[/]", name=name, plans=done[-1].plans, wrong=len(done[-1].wrong))
    _show(done)
    show_wrong("tests.money.prove", [one for f in done for one in f.wrong])
    say("{plans} plans in {seconds} s", plans=sum(f.plans for f in done), seconds=f"{time.monotonic() - began:.0f}")
    return 1 if any(f.wrong for f in done) else 0


def _tell(played: Played) -> int:
    show_doors(played.doors, played.plan.faults)
    ends = ", ".join(str(state) for state in played.states)
    say("ends {ends}; {posts} refund calls, {deaths} deaths", ends=ends, posts=played.posts, deaths=played.deaths)
    show_wrong("tests.money.prove", [(str(played.plan), played.wrong)] if played.wrong else [])
    return 1 if played.wrong else 0


def _show(done: Sequence[Figures]) -> None:
    columns = (
        "plans",
        "deaths",
        "requests",
        "refund calls",
        "overpaid cents",
        "beside us",
        "unproved claims",
        "with a person",
        "wrong",
    )
    shown = table("Money: at most once, proved or with a person", "set", *columns)
    for f in done:
        cells = (f.plans, f.deaths, f.requests, f.posts, f.overpaid, f.beside_us, f.unproved, f.with_person, len(f.wrong))
        shown.add_row(f.name, *map(str, cells))
    out.print(shown)
    met, persons = _together(done, lambda f: f.doors), _together(done, lambda f: f.persons)
    show_met(met, "What went wrong where, and how often it alone left a case with a person", with_a_person=persons)
    crashes, cases = sum(f.crashes for f in done), sum(f.for_crashes for f in done)
    if crashes:
        price = f"{1000 * cases / crashes:.1f}"
        say("{price} cases with a person per 1,000 crashes, spread evenly over the doors ({n} crashes)", price=price, n=crashes)


def _together(done: Sequence[Figures], of: Callable[[Figures], Counter[str]]) -> Counter[str]:
    return sum(map(of, done), Counter())


if __name__ == "__main__":
    raise SystemExit(main())
