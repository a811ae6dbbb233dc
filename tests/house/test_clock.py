"""The time that processes share is the database's, whatever becomes of their hosts' clocks."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cases.world import START, HandClock
from tests.faults import database_lost
from tests.servers import ON_POSTGRES
from worker.clock import ASK_EVERY, SharedClock, SystemClock, elapsed, growing
from worker.errors import TwoTimes
from worker.runtime import Runtime
from worker.settings import load_settings

HOUR = timedelta(hours=1)


def test_waits_grow_to_the_longest_and_no_further() -> None:
    waits = [growing(tries, HOUR, timedelta(seconds=15)).total_seconds() for tries in range(10)]
    assert waits == [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert growing(12, timedelta(seconds=4096)) == growing(13, timedelta(seconds=4096)) == timedelta(seconds=4096)
    assert growing(0, timedelta(seconds=1), HOUR) == timedelta(seconds=1)


@pytest.mark.parametrize("tries", [38, 47, 64, 366, 2**63])
@pytest.mark.parametrize("first", [timedelta.resolution, timedelta(seconds=1), timedelta(days=1)])
def test_waits_never_grow_beyond_what_can_be_counted(tries: int, first: timedelta) -> None:
    assert growing(tries, HOUR, first) == HOUR


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this platform has no timer that goes on meanwhile")
def test_permission_to_send_runs_out_while_the_host_is_suspended(tmp_path: Path) -> None:
    """By the timer that the kernel carries on: to suspend the host is nothing for a test."""
    told = {"REFUNDS_DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}", "REFUNDS_CREEM_API_KEY": "creem_test_" + 20 * "1"}
    runtime = Runtime(load_settings(told), SystemClock())
    assert runtime.payer is not None
    assert runtime.creem is not None
    assert runtime.payer.timer is runtime.creem._refunds._timer is elapsed
    assert time.clock_gettime(time.CLOCK_BOOTTIME) <= elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_time_of_all_processes_goes_on_while_the_host_is_suspended() -> None:
    """Once what had come while a host slept for days was from the future to its intake, which made dead letters of it."""
    clock = Runtime.start(load_settings({"REFUNDS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"})).clock
    assert isinstance(clock, SharedClock)
    assert clock._timer is elapsed


@dataclass
class House:
    """A host with a database beside it; time goes by for the database and for the timer together."""

    host: HandClock = field(default_factory=HandClock)
    database: HandClock = field(default_factory=HandClock)
    timer: float = 0.0
    away: bool = False
    answers_after: float = 0.0

    def __post_init__(self) -> None:
        self.clock = SharedClock(self.ask, self.host, lambda: self.timer)

    def ask(self) -> datetime | None:
        if self.away:
            database_lost()
        told = self.database.now()
        self.pass_(self.answers_after)
        return told

    def pass_(self, seconds: float) -> None:
        self.timer += seconds
        self.database.pass_(seconds=seconds)
        self.host.pass_(seconds=seconds)


@pytest.mark.parametrize("step", [-HOUR, HOUR, timedelta(days=365)])
def test_host_whose_clock_is_set_goes_on_by_the_databases(step: timedelta) -> None:
    house = House()
    house.clock.now()
    house.host.at += step
    for _ in range(3):
        house.pass_(ASK_EVERY / 2 + 0.1)
        assert house.clock.now() == house.database.now()


@pytest.mark.parametrize("days", [-366, -2, 2, 366])
def test_clock_of_the_database_that_jumps_by_days_is_not_gone_by(days: int) -> None:
    """A minute of it deleted the files of open requests, declined what was asked in time and dropped letters for good."""
    house = House()
    house.clock.sure()
    house.database.at += timedelta(days=days)
    for _ in range(3):
        house.pass_(ASK_EVERY / 2 + 0.1)
        assert house.clock.now() == house.host.now()
    said = (
        f"^the time: the database says it is {house.database.now():%Y-%m-%d %H:%M} UTC, and this host {START:%Y-%m-%d} 10:00 UTC;"
    )
    with pytest.raises(TwoTimes, match=said):
        house.clock.sure()
    house.database.at -= timedelta(days=days)
    house.pass_(ASK_EVERY)
    house.clock.sure()
    assert house.clock.now() == house.database.now()


def test_clock_of_the_database_that_is_set_right_is_gone_by_where_the_host_bears_it_out() -> None:
    """Or the host stood still for two days with all its timers: by them nothing went by."""
    house = House()
    house.clock.sure()
    house.database.at = house.host.at = START + timedelta(days=2)
    house.pass_(ASK_EVERY)
    house.clock.sure()
    assert house.clock.now() == house.database.now()


@pytest.mark.parametrize("days", [-2, 2])
def test_process_that_begins_beside_another_time_is_sure_of_none(days: int) -> None:
    house = House()
    house.database.at += timedelta(days=days)
    for _ in range(2):
        with pytest.raises(TwoTimes):
            house.clock.sure()
        assert house.clock.now() == house.host.now()
        house.pass_(ASK_EVERY)
    house.host.at = house.database.at
    house.pass_(ASK_EVERY)
    house.clock.sure()


def test_times_a_day_apart_are_one() -> None:
    house = House()
    house.database.at += timedelta(days=1)
    house.clock.sure()
    assert house.clock.now() == house.database.now()


def test_database_that_is_away_stops_no_clock() -> None:
    house = House()
    house.clock.now()
    house.away, house.host.at = True, START - HOUR
    house.pass_(600)
    assert house.clock.now() == house.database.now()


def test_question_that_waited_in_vain_is_not_put_again_at_the_next_look_at_the_time() -> None:
    asked: list[float] = []

    def waits_in_vain() -> datetime | None:
        asked.append(house.timer)
        house.pass_(ASK_EVERY)
        raise TimeoutError

    house = House()
    clock = SharedClock(waits_in_vain, house.host, lambda: house.timer)
    for _ in range(3):
        clock.now()
    assert asked == [0.0]
    house.pass_(ASK_EVERY)
    clock.now()
    assert asked == [0.0, 2 * ASK_EVERY]


def test_before_the_first_answer_the_hosts_clock_counts() -> None:
    house = House(away=True)
    assert house.clock.now() == house.host.now()
    house.away, house.host.at = False, START + HOUR
    house.pass_(ASK_EVERY)
    assert house.clock.now() == house.database.now()


def test_answer_that_lay_about_while_the_process_was_frozen_is_not_believed() -> None:
    house = House()
    house.clock.now()
    house.answers_after = 90
    house.pass_(ASK_EVERY)
    assert house.clock.now() == house.database.now()


def test_database_without_a_clock_leaves_the_hosts() -> None:
    clock = SharedClock(lambda: None, host := HandClock())
    clock.now()
    host.pass_(hours=1)
    assert clock.now() == host.now()


@ON_POSTGRES
def test_processes_go_by_the_clock_of_postgres(database_url: str) -> None:
    runtime = Runtime.start(load_settings({"REFUNDS_DATABASE_URL": database_url}))
    assert isinstance(runtime.clock, SharedClock)
    runtime.clock.now()
    assert runtime.clock._answer is not None
    runtime.store.close()
