"""How a program that starts others ends: whatever ends it but SIGKILL, what it started is ended first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

HARD = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Meanwhile SIGTERM, and SIGHUP as of a terminal that is closed, unwind the program as Ctrl-C does, with exit code 128 + n.

    A bare signal runs neither `finally` nor `atexit`. The first one counts: those that follow while things are ended in order do
    not break that off. What the caller ignores, as under nohup, stays ignored.
    """
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in HARD}
    heard = {number for number, how in before.items() if how is not signal.SIG_IGN}

    def end(number: int, _: object) -> NoReturn:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
