"""Time, chance and identities: the one door they come through."""

import secrets
from datetime import UTC, datetime
from typing import Protocol

from ulid import ULID


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


def new_id(prefix: str, now: datetime) -> str:
    """A fresh identity, `prefix_` and a ULID: sorts by `now`, its random part comes from `secrets` so nobody can guess the
    next.
    """
    milliseconds = int(now.timestamp() * 1000)
    return f"{prefix}_{ULID(milliseconds.to_bytes(6, 'big') + secrets.token_bytes(10))}"


def written(at: datetime) -> str:
    """The time as documents write it: ISO 8601, in UTC with `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(at: datetime | None) -> str | None:
    """The time as documents write it, and None where there is none."""
    return None if at is None else written(at)
