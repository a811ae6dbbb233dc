"""What people see on a terminal, at the widths that terminals have."""

from io import StringIO

import pytest
from rich.console import Console

from worker.clock import SystemClock, new_id
from worker.screen import cell, table


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_what_a_row_is_named_by_stays_whole_to_be_copied(columns: int) -> None:
    named = new_id("case", SystemClock().now())
    shown = table("Cases", "case", "state", "about", "reason")
    shown.add_row(
        *map(cell, (named, "review", "ord_7_m10_1", "the same was charged twice, hours apart, and may have been meant"))
    )
    screen = StringIO()
    Console(file=screen, width=columns).print(shown)
    assert named in screen.getvalue()
    assert max(map(len, screen.getvalue().splitlines())) <= columns
