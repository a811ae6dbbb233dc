"""Every restore of every state of a refund's way after every later one, Redis and journal whole or not; nothing is paid twice.

Deterministic: a pair is its own name, and one that fails is printed with what was wrong. `--every N` plays every Nth.
"""

import argparse
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from tests.money.plans import Arena
from tests.money.prove import quiet
from tests.restore.pairs import STORIES, Pair, pairs_of, play
from worker.screen import out, progress, say, table

_ARENA: list[Arena] = []


def _folder() -> Path:
    # commits here need not survive a power cut
    memory = Path("/dev/shm")  # noqa: S108
    return Path(tempfile.mkdtemp(prefix="refunds-restore-", dir=memory if memory.is_dir() else None))


def _prepare() -> None:
    quiet()
    _ARENA.append(Arena(_folder()))


def _play(pair: Pair) -> tuple[Pair, list[str]]:
    with _ARENA[0].empty() as store, tempfile.TemporaryDirectory(dir=_folder().parent) as folder:
        return pair, play(store, Path(folder), pair)


def main() -> int:
    """Plays every pair, prints the figures, and returns 1 where anything was wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--every", type=int, default=1, help="play every Nth pair")
    options.add_argument("--processes", type=int, default=2)
    asked = options.parse_args()
    quiet()
    arena, began, wrong = Arena(_folder()), time.monotonic(), list[str]()
    figures = table("A database set back: nothing is paid twice", "story", "pairs", "wrong")
    for story in STORIES:
        with arena.empty() as store:
            pairs = list(pairs_of(store, _folder(), story))[:: asked.every]
        found: list[str] = []
        with get_context("spawn").Pool(asked.processes, _prepare) as pool, progress() as bar:
            task = bar.add_task(story, total=len(pairs))
            for _, said in pool.imap_unordered(_play, pairs, chunksize=4):
                found += said
                bar.advance(task)
        wrong += found
        figures.add_row(story, str(len(pairs)), str(len(found)))
    out.print(figures)
    for line in wrong:
        say("[red]{line}[/]", line=line)
    say("{seconds} s", seconds=round(time.monotonic() - began))
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
