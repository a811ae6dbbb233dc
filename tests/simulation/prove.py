"""Simulated weeks, or days, under drawn weather, one a seed. A seed that fails is played again, alone, with `--seed N`."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from tests.arena import Arena, an_arena, on_postgres, quiet, side_by_side
from tests.proving import may_be_on_postgres
from tests.simulation.hub import BEFALLS
from tests.simulation.seed import Played, play
from tests.simulation.size import DAYS, WEEKS, Size
from worker.screen import out, say, table


@dataclass(frozen=True, slots=True)
class Turn:
    """A seed to be played, once or twice."""

    seed: int
    twice: bool
    size: Size


def _once(arena: Arena, turn: Turn) -> Played:
    with arena.empty() as store:
        try:
            return play(turn.seed, store, size=turn.size)
        except Exception as error:
            return Played(turn.seed, wrong=[f"the simulation fell over: {error!r}"])


def _play(arena: Arena, turn: Turn) -> Played:
    first = _once(arena, turn)
    if turn.twice and first.trace != (second := _once(arena, turn)).trace:
        first.wrong.append(f"played twice it goes two ways: {first.trace}, {second.trace}")
    return first


def play_all(seeds: Sequence[int], size: Size, processes: int, again: int, server: str | None = None) -> list[Played]:
    """Plays the seeds side by side; every `again`th twice, to see that it goes the same way. Ctrl-C ends with what is done."""
    turns, done = [Turn(seed, number % again == 0, size) for number, seed in enumerate(seeds)], list[Played]()
    with suppress(KeyboardInterrupt):
        for played in side_by_side("simulated towns", _play, turns, processes, server, chunk=2):
            done.append(played)
            if played.wrong:
                say("[red]--seed {seed}[/]: {wrong}", seed=played.seed, wrong="; ".join(played.wrong[:4]))
    return sorted(done, key=lambda played: played.seed)


def never_met(done: Sequence[Played], size: Size) -> list[str]:
    """What should have befallen somebody in so many seeds and did not; nothing is asked of fewer than are enough."""
    met = {name for played in done for name, times in played.met.items() if times}
    return sorted(BEFALLS - met) if len(done) >= size.enough else []


def _tell(done: Sequence[Played], seconds: float) -> None:
    sums: Counter[str] = Counter()
    met: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for played in done:
        sums.update(days=round(played.days), turns=played.turns, events=played.events, jobs=played.jobs)
        sums.update(deaths=played.deaths, refunds=played.refunds)
        met += played.met
        ends += played.ends
    figures = table("Simulated", "what", "how many")
    for name, number in {"seeds": len(done), **sums}.items():
        figures.add_row(name, f"{number:,}")
    out.print(figures)
    for title, counted in (("\nWhat befell it", met), ("\nHow cases ended", ends)):
        shown = table(title, "what", "times")
        for name, number in sorted(counted.items()):
            shown.add_row(name, f"{number:,}")
        out.print(shown)
    for played in [one for one in done if one.wrong][:40]:
        say("[red]--seed {seed}[/]: {wrong}", seed=played.seed, wrong="; ".join(played.wrong[:4]))
    failed = sum(bool(played.wrong) for played in done)
    say(
        "{n} seeds, {failed} wrong, {years} simulated years in {s} s",
        n=len(done),
        failed=failed,
        years=f"{sums['days'] / 365:.1f}",
        s=f"{seconds:.0f}",
    )


def main() -> int:
    """Plays the seeds asked for, prints the figures, and returns 1 where anything was wrong, or never went wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=200, help="how many (%(default)s)")
    options.add_argument("--first", type=int, default=1, help="the first of them (%(default)s)")
    options.add_argument("--seed", type=int, help="this one alone, twice")
    options.add_argument("--days", action="store_true", help="a few days and a handful of jobs a seed, in a third of the time")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--again", type=int, default=100, help="every so manyth is played twice (%(default)s)")
    may_be_on_postgres(options)
    asked = options.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # the order of sets is part of a seed
        os.execve(  # noqa: S606 - ourselves
            sys.executable, [sys.executable, "-m", "tests.simulation.prove", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    began, size = time.monotonic(), DAYS if asked.days else WEEKS
    with on_postgres(asked.postgres) as server:
        if asked.seed is not None:
            quiet()
            with closing(an_arena(server)) as arena:
                done = [_play(arena, Turn(asked.seed, twice=True, size=size))]
            say("trace {trace}", trace=done[0].trace)
        else:
            done = play_all(range(asked.first, asked.first + asked.seeds), size, asked.processes, asked.again, server)
    _tell(done, time.monotonic() - began)
    if never := never_met(done, size):
        say("[red]never happened[/]: {never}", never=", ".join(never))
    return int(bool(never) or any(played.wrong for played in done))


if __name__ == "__main__":
    raise SystemExit(main())
