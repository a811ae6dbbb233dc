"""Models small enough to try in every order: any number of crashes, lost answers, leases that run out, repeats."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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
