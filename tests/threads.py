"""Threads that begin together."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(*works: Callable[[], T]) -> list[T]:
    """What each returned, all of them started together; what one raises is raised."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        gate.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result(60) for done in [pool.submit(run, work) for work in works]]


def ends(*works: Callable[[], Any], of: type[Exception]) -> list[Any]:
    """What each returned, or raised of this kind, all of them started together."""

    def end(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except of as error:
            return error

    return at_once(*(partial(end, work) for work in works))
