"""`refunds worker` starts again what ends: at once where that is rare, ever later where it ends again and again."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli.supervise import Child


class Timer:
    """A timer in the test's hands."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def pause_after_its_end(child: Child, timer: Timer, lived: float) -> float:
    """How long the process that is started now, and ends after so many seconds, is kept from being started again."""
    child.tend()
    assert child.process is not None
    child.process.wait(20)
    timer.seconds += lived
    child.tend()
    pause = child.not_before - timer.seconds
    timer.seconds += pause
    return pause


def test_process_that_ends_now_and_then_over_months_is_started_again_at_once_and_one_that_cannot_run_ever_later() -> None:
    timer = Timer()
    child = Child("intake", [sys.executable, "-c", ""], timer=timer)
    a_month = [pause_after_its_end(child, timer, 30 * 86400.0) for _ in range(7)]
    at_once = [pause_after_its_end(child, timer, 1.0) for _ in range(6)]
    assert a_month == [1.0] * 7
    assert at_once == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert pause_after_its_end(child, timer, 3600.0) == 1.0


@contextmanager
def nothing_can_be_started() -> Iterator[None]:
    """The host has nothing left for another process: here files, there memory or numbers of processes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_process_that_cannot_be_started_just_now_ends_no_other_and_is_tried_again_ever_later() -> None:
    """Once the first fork that the host refused ended task processes, schedule and intake, and called it a defect."""
    timer = Timer()
    child = Child("intake", [sys.executable, "-c", ""], timer=timer)
    pauses = []
    for _ in range(3):
        with nothing_can_be_started():
            child.tend()
        pauses.append(child.not_before - timer.seconds)
        timer.seconds = child.not_before
    assert (child.process, pauses) == (None, [1.0, 2.0, 4.0])
    child.tend()
    assert child.process is not None
    assert child.process.wait(20) == 0
