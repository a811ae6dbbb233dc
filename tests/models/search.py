"""Models small enough to try in every order: any number of crashes, lost answers, leases that run out, repeats; and whether what
really happened is one of their ways.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

W = TypeVar("W", bound=Hashable)


class Model(Protocol[W]):
    """Where everything begins, what may happen next, what must never be, and where nothing is left to do."""

    @property
    def start(self) -> W: ...

    def moves(self, world: W) -> Iterator[tuple[str, W]]: ...

    def harm(self, world: W) -> str | None: ...

    def over(self, world: W) -> bool: ...


@dataclass
class Found(Generic[W]):
    """What a search came to: every world there is, or the shortest way to a harm."""

    worlds: list[W]
    steps: int = 0
    harm: str | None = None
    way: tuple[str, ...] = ()


def search(model: Model[W]) -> Found[W]:
    """Every world that can come about, nearest first. Where none does harm, each has to have a way on to its end."""
    worlds, numbers, steps = [model.start], {model.start: 0}, 0
    came: list[list[tuple[int, str]]] = [[]]  # by world: from which others, the first way there first
    for number, world in enumerate(worlds):  # grows while it is walked
        if (harm := model.harm(world)) is not None:
            return Found(worlds, steps, harm, _way(came, number))
        for name, after in model.moves(world):
            steps += 1
            if after not in numbers:
                numbers[after] = len(worlds)
                worlds.append(after)
                came.append([])
            came[numbers[after]].append((number, name))
    ends = {number for number, world in enumerate(worlds) if model.over(world)}
    waits = list(ends)
    while waits:
        fresh = {before for before, _ in came[waits.pop()]} - ends
        ends |= fresh
        waits += fresh
    stuck = next((number for number in range(len(worlds)) if number not in ends), None)
    if stuck is not None:
        return Found(worlds, steps, "nothing can end it any more", _way(came, stuck))
    return Found(worlds, steps)


def _way(came: list[list[tuple[int, str]]], number: int) -> tuple[str, ...]:
    way = list[str]()
    while number:
        number, name = came[number][0]
        way.append(name)
    return tuple(way[::-1])


class Followed(Model[W], Protocol[W]):
    """A model of which something can be seen from outside."""

    def __hash__(self) -> int: ...

    def told(self, world: W, name: str, after: W) -> Hashable | None:
        """What is seen of a move; None: nothing."""

    def strangers(self, told: Hashable) -> bool:
        """Whether this may be seen of somebody whom the model leaves out."""

    def set_back(self, world: W, row: Any) -> W:
        """The same world, but that the database was set back, whoever was at work is gone, and the row is this one."""


@dataclass(frozen=True)
class SetBack:
    """The database was set back; what was followed is this row in it now."""

    row: Hashable


def follow(model: Followed[W], way: Sequence[Hashable]) -> int:
    """How much of this way, from its beginning, is one of the model's; all of it where it is."""
    worlds = frozenset({model.start})
    for number, told in enumerate(way):
        if not isinstance(told, SetBack):
            worlds = _after(model, worlds, told)
        elif told.row is None or told.row in way[:number]:
            worlds = frozenset(model.set_back(world, told.row) for world in worlds)
        else:
            worlds = frozenset()
        if not worlds:
            return number
    return len(way)


# one world after another: of many ways that are followed most parts are the same
@lru_cache(maxsize=20_000)
def _after(model: Followed[Any], worlds: frozenset[Any], told: Hashable) -> frozenset[Any]:
    before = _unseen(model, worlds)
    after = {after for world in before for name, after in model.moves(world) if model.told(world, name, after) == told}
    return frozenset(after | before if model.strangers(told) else after)


def _unseen(model: Followed[W], worlds: Iterable[W]) -> set[W]:
    """These, and all that can come of them without anything to be seen."""
    reached = set(worlds)
    waits = list(reached)
    while waits:
        world = waits.pop()
        fresh = {after for name, after in model.moves(world) if model.told(world, name, after) is None} - reached
        reached |= fresh
        waits += fresh
    return reached
