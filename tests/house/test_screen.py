"""What people see on a terminal, at the widths that terminals have."""

from io import StringIO

import pytest
from rich.console import Console
from rich.errors import MarkupError

from worker.cli.output import unexpected
from worker.clock import SystemClock, new_id
from worker.sandbox.stories import STORIES
from worker.sandbox.summary import JOBS_TOLD
from worker.sandbox.summary_money import CHARGES_TOLD
from worker.screen import cell, line, listed, say, sentences, table


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


def test_what_nobody_raises_on_purpose_is_said_with_the_place_of_ours_and_not_a_librarys() -> None:
    with pytest.raises(MarkupError) as raised:
        say("[/unopened]")
    assert ".venv" not in unexpected(raised.value)
    assert "(worker/screen.py:" in unexpected(raised.value)


@pytest.mark.parametrize("columns", [40, 160])
def test_list_of_nothing_is_its_heads(columns: int) -> None:
    """As the history of a case is from which somebody took all of it."""
    screen = StringIO()
    heads = ("at", "event", "by", "detail")
    listed("History", heads, [], sentence="detail", below=("by",), on=Console(file=screen, width=columns))
    assert "event" in screen.getvalue()


@pytest.mark.parametrize("columns", [80, 100, 160])
@pytest.mark.parametrize(
    ("heads", "figures"),
    [
        (JOBS_TOLD, ("10", "refunded, review", "120", "12.3 s", "9 of 10")),
        (CHARGES_TOLD, ("ord_7_m10_1", "refunding", "9.00 USD", "1", "yes")),
    ],
)
def test_demo_says_how_each_story_ended_at_every_width(heads: tuple[str, ...], figures: tuple[str, ...], columns: int) -> None:
    longest = max((story.line for story in STORIES), key=len)
    shown = sentences("What happened", *heads)
    shown.add_row(*map(cell, (longest, *figures)))
    screen = StringIO()
    Console(file=screen, width=columns).print(shown)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    row = next(line for line in lines if figures[1] in line)
    assert all(figure in row for figure in figures), row
    said = screen.getvalue().split()
    assert all(word in said for word in [*longest.split(), *" ".join(heads).split()])


def test_label_and_what_it_labels_are_two_words_however_long_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    line("creem_balance breaker", "open")
    line("money", "none")
    assert capsys.readouterr().out == "creem_balance breaker open\nmoney               none\n"
