"""What befalls a process in the worlds that tests play in."""

from typing import NoReturn

from worker.errors import TryLater


class Crash(BaseException):
    """The process dies here."""


def database_lost() -> NoReturn:
    """What a caller meets whose commit ended nobody knows how, or whose connection is gone."""
    raise TryLater("the database", "the connection was lost")
