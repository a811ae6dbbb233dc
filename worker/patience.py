"""Looks at what may stand still and say nothing: the disk of another machine, a server that is frozen."""

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")
ANSWERS_WITHIN = 5.0
"""Seconds that whatever is looked at may take to answer."""


class Patience:
    """Looks at one thing from a thread of its own, and waits so many seconds for what is found there. `silence` says in words
    that it did not answer.

    Nothing ends a look that hangs. It keeps its thread, and until it comes back nobody else's is begun.
    """

    def __init__(self, seconds: float = ANSWERS_WITHIN, silence: str | None = None) -> None:
        self._seconds, self._silence = seconds, silence or f"no answer within {seconds:g} s"
        self._turn = threading.Lock()
        self._last: Future[Any] | None = None

    def look(self, how: Callable[[], T]) -> T:
        """What `how` returns or raises. Raises `TimeoutError`, which is an `OSError`, where it does not answer."""
        with self._turn:
            if self._last is not None and not self._last.done():
                raise self._no_answer()
            found: Future[T] = Future()
            self._last = found
            # one that hangs keeps no process from ending
            threading.Thread(target=_take, args=(how, found), daemon=True).start()
            wait([found], self._seconds)
            if not found.done():
                raise self._no_answer()
            return found.result()

    def _no_answer(self) -> TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, self._silence)


def _take(how: Callable[[], T], found: Future[T]) -> None:
    try:
        found.set_result(how())
    except BaseException as error:
        found.set_exception(error)
