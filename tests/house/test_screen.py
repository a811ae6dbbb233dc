"""What people see on a terminal, at the widths that terminals have."""

from io import StringIO

import pytest
from rich.console import Console

from worker.clock import SystemClock, new_id
from worker.screen import cell, listed, table


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


@pytest.mark.parametrize(("columns", "beside"), [(80, False), (100, False), (120, False), (160, True)])
def test_list_with_a_sentence_keeps_names_and_times_whole_at_every_width(columns: int, beside: bool) -> None:
    named, at = new_id("case", SystemClock().now()), "2026-03-02T10:00:02"
    why = "the same was charged twice, hours apart, and may have been meant"
    screen = StringIO()
    row = [*map(cell, (named, "ord_7_m10_1", "acc_7_of_some", "refunding", None, why, at))]
    heads = ("case", "job or order", "account", "state", "credits", "why", "opened (UTC)")
    listed("Cases", heads, [row], sentence="why", below=("opened (UTC)", "credits"), on=Console(file=screen, width=columns))
    said = screen.getvalue()
    for whole in (named, "ord_7_m10_1", "acc_7_of_some", "refunding", at):
        assert whole in said
    assert why in " ".join(said.split()) or beside
    assert max(map(len, said.splitlines())) <= columns
    assert ("why" in said.splitlines()[1]) is beside
