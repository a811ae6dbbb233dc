"""Every restore of every state of a refund's way after every later one, Redis and journal whole or not; nothing is paid twice.

Deterministic: a pair is its own name, and one that fails is printed with what was wrong. `--every N` plays every Nth.
"""

import argparse
import time
from contextlib import closing
from pathlib import Path

from tests.arena import Arena, an_arena, on_postgres, quiet, scratch, side_by_side
from tests.proving import may_be_on_postgres
from tests.restore.pairs import STORIES, Pair, pairs_of, play
from worker.screen import out, say, table


def _play(arena: Arena, pair: Pair) -> list[str]:
    with arena.empty() as store, scratch("journal") as folder:
        return play(store, Path(folder), pair)


def main() -> int:
    """Plays every pair, prints the figures, and returns 1 where anything was wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, help="play every Nth pair")
    options.add_argument("--processes", type=int, default=2)
    may_be_on_postgres(options)
    asked = options.parse_args()
    quiet()
    began, wrong = time.monotonic(), list[str]()
    figures = table("A database set back: nothing is paid twice", "story", "pairs", "wrong")
    with on_postgres(asked.postgres) as server, closing(an_arena(server)) as arena:
        for story in STORIES:
            with arena.empty() as store, scratch("journal") as folder:
                pairs = list(pairs_of(store, Path(folder), story))[:: asked.every]
            found = [line for said in side_by_side(story, _play, pairs, asked.processes, server, chunk=4) for line in said]
            wrong += found
            figures.add_row(story, str(len(pairs)), str(len(found)))
    out.print(figures)
    for line in wrong:
        say("[red]{line}[/]", line=line)
    say("{seconds} s", seconds=round(time.monotonic() - began))
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
