"""Every commit of a refund's way restored after every later one: one pair of them played to its end and judged."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tests.models.ways import Refunds
from tests.restore.world import BEFORE_ALL, SLOW, RestoreWorld
from worker.sandbox.creem import Lost
from worker.sandbox.creem.words import Fault
from worker.store.engine import Store

LOST_ANSWER = replace(SLOW, post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT, post_times=1)
TWO_CALLS = replace(SLOW, low_balance=1)
"""The first call is refused for lack of balance; the second comes a day later."""
STORIES = {"shown_late": SLOW, "answer_lost": LOST_ANSWER, "two_calls": TWO_CALLS}


@dataclass(frozen=True)
class Pair:
    """The database of frame `of` comes back after frame `after`."""

    story: str
    of: int
    after: int
    redis: bool = False
    """Redis is set back with it."""
    torn: bool = False
    """The journal ends in half a line that was never finished."""

    def __str__(self) -> str:
        lost = [word for word, true in (("redis too", self.redis), ("journal torn", self.torn)) if true]
        return " ".join([f"{self.story}: {self.of} after {self.after}", *lost])


def pairs_of(store: Store, folder: Path, story: str) -> Iterator[Pair]:
    """Every pair of different states that the undisturbed way commits, with Redis and the journal whole or not."""
    world = RestoreWorld(store, folder, switches=STORIES[story])
    world.charged()
    world.go_on(days=3)
    assert world.state("ord_1") == "refunded"
    world.close()
    for after in range(1, len(world.film.frames)):
        for of, redis, torn in itertools.product(range(after + 1), (False, True), (False, True)):
            yield Pair(story, of, after, redis, torn)


def play(store: Store, folder: Path, pair: Pair) -> list[str]:
    """One pair, to its end with the person who recovers and lifts; what was wrong with it."""
    world = RestoreWorld(store, folder, switches=STORIES[pair.story], last=pair.after)
    with closing(Refunds(store, world.double)) as claims:
        world.creem = claims.between(world.creem)
        wrong = [*_wrong(world, folder, pair), *claims.strange()]
    world.close()
    return [f"{pair}: {one}" for one in wrong]


def _wrong(world: RestoreWorld, folder: Path, pair: Pair) -> list[str]:
    world.charged()
    world.go_on(days=3)
    moved = world.refunds_moved()
    world.set_back(pair.of, redis=pair.redis)
    if pair.torn:
        for file in folder.glob("*.jsonl"):
            with file.open("ab") as journal:
                journal.write(b'\n{"mark":7,"at":"2026-03-02T10')
    if pair.of == BEFORE_ALL:
        world.import_again()
    world.go_on(minutes=18)
    wrong = _twice(world, "before anybody looked")
    found = world.restorer().check()
    if found.wrong is not None:
        done = world.restorer().recover(by="ops", reason="the disk was lost")
        wrong += [f"left behind: {done.left}"] if done.left else []
    if world.restorer().check().stopped is not None:
        world.restorer().lift(by="ops", reason="compared with the dashboard")
    wrong += [f"still wrong: {why}"] if (why := world.restorer().check().wrong) else []
    world.go_on(days=4)
    world.sweep()
    wrong += _twice(world, "at the end")
    state = world.state("ord_1")
    if state != "refunded" and (moved or state != "review"):
        wrong.append(f"the case ends {state}, {moved} had moved")
    wrong += [f"{breach['check']}: {breach['row']} {breach['problem']}" for breach in world.audit().breaches]
    return wrong


def _twice(world: RestoreWorld, when: str) -> list[str]:
    moved = world.refunds_moved()
    return [f"{moved} refunds moved money {when}"] if moved > 1 or world.double.overpaid() else []
