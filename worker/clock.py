"""Time, chance and identities: the one door they come through."""

import math
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from ulid import ULID

from worker.errors import TryLater, TwoTimes

ASK_EVERY = 5.0
"""Seconds after which `SharedClock` asks again: a timer runs off by less than a millisecond meanwhile."""
ROUND_SECONDS = 25.0
"""A round starts no new work after this many seconds; what it has begun may use the rest of the task's time."""
SLOW_ANSWER = 1.0
"""Seconds after which an answer is old by we do not know how much: the process may have been frozen."""
MOST_APART = timedelta(days=1)
"""What the database says is the time where the host's clock, or the last answer carried on, says about the same."""
_GOES_ON = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""What a ULID is written in."""
_LETTERS = LETTERS.encode() * 8
"""A letter of a ULID for each byte: five bits of chance."""


def elapsed() -> float:
    """Seconds by a timer that nobody sets and that, where the platform has one, goes on while the host is suspended."""
    return time.clock_gettime(_GOES_ON)


class Clock(Protocol):
    """Where the present comes from."""

    def now(self) -> datetime:
        """The present, in UTC, with its zone."""
        ...


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """The present, in UTC, with its zone."""
        return datetime.now(UTC)


class SteadyClock:
    """The time at which it was made, carried on by a timer that nobody sets: for what is to happen every so often."""

    def __init__(self, clock: Clock, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer, self._began, self._from = timer, timer(), clock.now()

    def now(self) -> datetime:
        """The time of the beginning and what went by since."""
        return self._from + timedelta(seconds=self._timer() - self._began)


class SharedClock:
    """The time of all processes, whatever their hosts' clocks say: what `ask` answers, carried on by a timer that nobody sets.

    `ask` returns None where there is no time but the host's, and raises `TryLater` where it cannot be had, `TimeoutError` where
    nothing is said: then the last answer goes on, and before there was one it is the host's. So it is where an answer is borne
    out by neither of them: somebody's clock is days wrong, and nobody here can tell whose.
    """

    def __init__(self, ask: Callable[[], datetime | None], host: Clock, timer: Callable[[], float] = elapsed) -> None:
        self._ask, self._host, self._timer = ask, host, timer
        self._answer: tuple[datetime, float] | None = None
        self._doubt: tuple[datetime, datetime] | None = None
        self._ask_at = timer()

    def now(self) -> datetime:
        """The present, in UTC, with its zone."""
        if self._timer() >= self._ask_at:
            self._look()
        return self._host.now() if self._answer is None else self._carried_on(self._answer)

    def sure(self) -> None:
        """Raises `TwoTimes` where what the database says now is not to be believed, nor that it is wrong."""
        self.now()
        if self._doubt is not None:
            there, here = (f"{time:%Y-%m-%d %H:%M}" for time in self._doubt)
            right = "nothing is decided here until one of them is set"
            raise TwoTimes("the time", f"the database says it is {there} UTC, and this host {here} UTC; {right}")

    def _carried_on(self, answer: tuple[datetime, float]) -> datetime:
        there, then = answer
        return there + timedelta(seconds=self._timer() - then)

    def _look(self) -> None:
        began = self._timer()
        # before the question: while one waits for its answer nobody else puts it
        self._ask_at = began + ASK_EVERY
        try:
            there = self._ask()
        except (TryLater, TimeoutError):
            # after it too: one that nobody answered takes as long as that, and would be put again at every look at the time
            self._ask_at = self._timer() + ASK_EVERY
            return
        if there is None:
            self._ask_at = math.inf
            return
        ended, kept, host = self._timer(), self._answer, self._host.now()
        if kept is not None and ended - began > SLOW_ANSWER:
            return
        borne_out = [host] if kept is None else [host, self._carried_on(kept)]
        if any(abs(there - time) <= MOST_APART for time in borne_out):
            self._answer, self._doubt = (there, ended), None
        else:
            self._doubt = there, host


class Every:
    """Due at once, and then at most once every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    def due(self) -> bool:
        """True when it is time again; the next time is counted from now."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def growing(tries: int, most: timedelta, first: timedelta = timedelta(seconds=1)) -> timedelta:
    """How long to wait after so many tries in vain: twice `first` after one, twice as long with each, never more than `most`,
    however many they were.
    """
    # asked before it is doubled: a year of tries makes more seconds than a calendar has
    return most if tries >= (most // first).bit_length() else first * 2**tries


def turns(most: int, seconds: float, timer: Callable[[], float]) -> Iterator[int]:
    """So many turns at most, none of which begins after so many seconds."""
    began = timer()
    for number in range(most):
        if timer() - began >= seconds:
            return
        yield number


def new_id(prefix: str, now: datetime) -> str:
    """A fresh identity, `prefix_` and a ULID: sorts by `now`, its random part comes from `secrets` so nobody can guess the
    next.
    """
    chance = secrets.token_bytes(16).translate(_LETTERS).decode()
    return f"{prefix}_{_time_of_ulid(int(now.timestamp() * 1000))}{chance}"


@lru_cache(maxsize=16)
def _time_of_ulid(milliseconds: int) -> str:
    # a batch makes a thousand identities at one moment
    return str(ULID(milliseconds.to_bytes(6, "big") + bytes(10)))[:10]


def written(at: datetime) -> str:
    """The time as documents write it: ISO 8601, in UTC with `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(at: datetime | None) -> str | None:
    """The time as documents write it, and None where there is none."""
    return None if at is None else written(at)
