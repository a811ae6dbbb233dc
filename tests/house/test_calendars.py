"""Public holidays as the library tells them: the same to every thread, and missed where it has none."""

import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import holidays
import pytest

from policy import load_terms
from policy.calendar import Calendar
from tests.cases.world import HandClock
from tests.policy.build import SHIPPED
from worker.calendars import calendar_of, years_unknown
from worker.cli.doctor.database import holidays_known
from worker.runtime import Runtime
from worker.settings import load_settings

ENDS = "LK"
"""A country that announces its holidays year by year."""
LAST = holidays.country_holidays(ENDS).end_year
CLOSED = (date(2026, 1, 1), date(2026, 7, 3), date(2026, 11, 26), date(2026, 12, 25))


def calendar(country: str) -> Calendar:
    return calendar_of(replace(load_terms(SHIPPED), holiday_calendar=country))


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_take_turns_often")
def test_holiday_is_one_to_every_thread_that_asks_for_its_year_at_once() -> None:
    for _ in range(30):
        asked, together, said = calendar("US"), threading.Barrier(8), list[bool]()

        def ask(asked: Calendar = asked, together: threading.Barrier = together, said: list[bool] = said) -> None:
            together.wait()
            said.extend(map(asked.is_business_day, CLOSED))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not any(said)
        # and what was said once is said for good
        assert not any(map(asked.is_business_day, CLOSED))


@pytest.mark.parametrize(
    ("country", "now", "unknown"),
    [
        (ENDS, datetime(LAST, 10, 1, tzinfo=UTC), []),
        (ENDS, datetime(LAST, 12, 1, tzinfo=UTC), [LAST + 1]),
        (ENDS, datetime(LAST + 1, 3, 1, tzinfo=UTC), [LAST + 1]),
        (ENDS, datetime(LAST + 1, 12, 1, tzinfo=UTC), [LAST + 1, LAST + 2]),
        ("US", datetime(2099, 12, 1, tzinfo=UTC), []),
    ],
)
def test_year_without_a_holiday_is_one_that_the_calendar_does_not_know(country: str, now: datetime, unknown: list[int]) -> None:
    assert years_unknown(calendar(country), now) == unknown


@pytest.mark.parametrize(("days", "ok"), [(-90, True), (-30, False), (30, False)])
def test_doctor_warns_before_the_calendar_of_the_terms_ends(tmp_path: Path, days: int, ok: bool) -> None:
    shutil.copyfile(SHIPPED, file := tmp_path / SHIPPED.name)
    file.write_text(file.read_text().replace('holiday_calendar = "US"', f'holiday_calendar = "{ENDS}"'))
    settings = load_settings({"REFUNDS_TERMS_DIR": str(tmp_path), "REFUNDS_DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}"})
    clock = HandClock(datetime(LAST + 1, 1, 1, tzinfo=UTC) + timedelta(days=days))
    [found] = holidays_known(Runtime(settings, clock))
    assert (found["check"], found["ok"]) == ("calendar", ok)
    if not ok:
        assert (found["severity"], f"LK has no holiday of {LAST + 1}" in found["finding"]) == ("warning", True)
