"""`refunds worker` starts again what ends: at once where that is rare, ever later where it ends again and again."""

import sys

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
