"""Time, chance and identities: the one door they come through."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from ulid import ULID

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""What a ULID is written in."""
_LETTERS = LETTERS.encode() * 8
"""A letter of a ULID for each byte: five bits of chance."""


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
