"""What befalls a process in the worlds that tests play in."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import redis
from sqlalchemy.exc import OperationalError

from worker.errors import TryLater


class Crash(BaseException):
    """The process dies here."""


class How(StrEnum):
    """What happens at a door."""

    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    FAILS_BEFORE = "fails before"
    ANSWER_LOST = "answer lost"
    """It is done, and the one who did it is told that it failed: a commit or a call with an unknown end."""


DEATHS = (How.DIES_BEFORE, How.DIES_AFTER)


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that goes wrong: at the nth door that is passed, this."""

    passage: int
    how: How

    def __str__(self) -> str:
        return f"{self.passage} {self.how}"


def death(point: int) -> Fault:
    """Dying at a point: 2n is the one before the nth door, 2n + 1 the one after it."""
    return Fault(point // 2, DEATHS[point % 2])


def faults_written(faults: Iterable[Fault]) -> str:
    """Faults in one line, as `faults_read` takes them."""
    return ",".join(map(str, sorted(faults)))


def faults_read(text: str) -> frozenset[Fault]:
    """The faults that are written so. Raises `ValueError` for anything else."""
    words = [one.split(" ", 1) for one in text.split(",") if one]
    return frozenset(Fault(int(n), How(how)) for n, how in words)


def one_more(known: frozenset[Fault], doors: int, hows: Iterable[How] = How) -> list[frozenset[Fault]]:
    """Everything that can go wrong at every door that a run passed, beyond what went wrong in it already."""
    last = max((fault.passage for fault in known), default=-1)
    return [known | {Fault(passage, how)} for passage in range(last + 1, doors) for how in hows]


def away(service: str) -> Callable[[], NoReturn]:
    """What a caller meets whose word to this service was lost, before it came there or after."""

    def lost() -> NoReturn:
        raise TryLater(service, "the connection was lost")

    return lost


database_lost = away("the database")


def redis_lost() -> NoReturn:
    """The same of Redis, whose clients raise an error of their own."""
    raise redis.ConnectionError("the answer was lost")


class DeadlockDetected(Exception):
    """What Postgres' driver raises in one of two units that wait for each other."""

    sqlstate = "40P01"


def deadlock() -> NoReturn:
    """The database throws the unit away so that another can go on."""
    raise OperationalError(None, None, DeadlockDetected("deadlock detected"))


@contextmanager
def without_the_rights_of_root() -> Iterator[None]:
    """Whoever is root may write whatever the mode says, as nobody else may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
