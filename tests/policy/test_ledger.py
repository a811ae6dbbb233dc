"""The laws of credits."""

import pickle
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policy.ledger import (
    CHART,
    Hold,
    LedgerError,
    Lot,
    PostingKind,
    Share,
    Untaken,
    allocate,
    reverse,
    sides,
    untaken,
)

A_FEW = st.integers(0, 50)
LOTS = st.lists(A_FEW, max_size=6).map(lambda sizes: [Lot(f"ord_{n}", size) for n, size in enumerate(sizes)])
SHARES = st.lists(st.builds(Share, st.sampled_from(["ord_1", "ord_2", "ord_3"]), A_FEW), max_size=6)


def total(shares: tuple[Share, ...]) -> int:
    """Credits of all shares."""
    return sum(share.credits for share in shares)


@given(A_FEW, LOTS)
def test_allocate_takes_the_whole_amount_or_nothing(amount: int, lots: list[Lot]) -> None:
    shares = allocate(amount, lots)
    there = sum(lot.remaining for lot in lots)
    assert (shares is None) == (there < amount)
    if shares is not None:
        assert total(shares) == amount


@given(A_FEW, LOTS)
def test_allocate_empties_a_lot_before_it_touches_a_younger_one(amount: int, lots: list[Lot]) -> None:
    shares = allocate(amount, lots)
    assume(shares)
    assert shares is not None
    taken = {share.purchase_id: share.credits for share in shares}
    youngest = next(lot for lot in reversed(lots) if lot.purchase_id in taken)
    older = lots[: lots.index(youngest)]
    assert all(taken.get(lot.purchase_id, 0) == lot.remaining for lot in older)


def test_allocate_takes_nothing_for_nothing() -> None:
    assert allocate(0, []) == ()


def test_allocate_draws_on_the_oldest_lot_first() -> None:
    assert allocate(7, [Lot("ord_1", 5), Lot("ord_2", 0), Lot("ord_3", 9)]) == (Share("ord_1", 5), Share("ord_3", 2))


@given(SHARES)
def test_reverse_gives_every_lot_exactly_what_was_taken(debits: list[Share]) -> None:
    back = reverse(debits)
    for lot in {share.purchase_id for share in debits}:
        taken = sum(share.credits for share in debits if share.purchase_id == lot)
        assert sum(share.credits for share in back if share.purchase_id == lot) == taken


@given(SHARES)
def test_reverse_after_a_reversal_gives_nothing(debits: list[Share]) -> None:
    assert reverse(debits, reverse(debits)) == ()


@given(SHARES, SHARES)
def test_reverse_and_what_came_back_before_add_up_to_the_debit(debits: list[Share], already: list[Share]) -> None:
    try:
        back = reverse(debits, already)
    except LedgerError:
        lots = {share.purchase_id for share in already}
        assert any(
            sum(s.credits for s in already if s.purchase_id == lot) > sum(s.credits for s in debits if s.purchase_id == lot)
            for lot in lots
        )
    else:
        assert total(back) + total(tuple(already)) == total(tuple(debits))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda: allocate(-1, []), "a debit is never negative, not -1"),
        (lambda: allocate(1, [Lot("ord_1", -1)]), "lot ord_1 is never negative, not -1"),
        (lambda: reverse([Share("ord_1", -1)]), "a debit on ord_1 is never negative, not -1"),
        (lambda: reverse([Share("ord_1", 1)], [Share("ord_1", -1)]), "a reversal on ord_1 is never negative, not -1"),
        (lambda: reverse([Share("ord_1", 1)], [Share("ord_1", 2)]), "2 credits came back to ord_1, only 1 were taken from it"),
        (lambda: reverse([], [Share("ord_1", 1)]), "1 credits came back to ord_1, only 0 were taken from it"),
        (lambda: sides(PostingKind.DEBIT, "ord_1"), "a debit on ord_1 names no job"),
        (lambda: sides(PostingKind.REVERSAL, "ord_1"), "a reversal on ord_1 names no job"),
    ],
)
def test_ledger_refuses_what_the_books_can_never_hold_and_says_which(broken: Callable[[], object], said: str) -> None:
    with pytest.raises(LedgerError) as raised:
        broken()
    assert str(raised.value) == said
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


CHART_AS_TEXT = """
grant     issued       -> lot:ord_1
debit     lot:ord_1    -> job:job_42
reversal  job:job_42   -> lot:ord_1
freeze    lot:ord_1    -> frozen:ord_1
release   frozen:ord_1 -> lot:ord_1
void      frozen:ord_1 -> void:ord_1
"""


@pytest.mark.parametrize("line", CHART_AS_TEXT.strip().splitlines())
def test_chart_says_where_credits_come_from_and_go(line: str) -> None:
    kind, source, _, destination = line.split()
    assert sides(PostingKind(kind), "ord_1", "job_42") == (source, destination)


def test_chart_has_every_kind_of_posting() -> None:
    assert set(CHART) == set(PostingKind)


@pytest.mark.parametrize(
    ("holds", "left"),
    [
        ("", Untaken()),
        ("freeze 100 30", Untaken(held=30)),
        ("freeze 100 30, void 100", Untaken(void=30)),
        ("freeze 100 30, release 100 30", Untaken()),
        ("freeze 100 30, release 100 30, freeze 100", Untaken()),
        ("freeze 95 95, freeze 5, void 5", Untaken(held=95)),
        ("freeze 95 95, freeze 5, void 5, release 95 95", Untaken()),
        ("freeze 95 95, freeze 5, release 5 5", Untaken(held=90)),
        ("freeze 95 95, freeze 5, void 10", Untaken(held=90, void=5)),
        ("freeze 100, release 100 100", Untaken(owed=100)),
        ("freeze 100 30, release 100 100", Untaken(owed=70)),
        ("freeze 100 30, void 100, freeze 5, release 5", Untaken(void=30)),
        ("freeze 95 95, freeze 5, release 98 95, void 2", Untaken()),
    ],
)
def test_release_gives_back_only_what_was_taken_and_void_begins_with_it(holds: str, left: Untaken) -> None:
    said = [one.split() for one in holds.split(", ") if one]
    assert untaken(Hold(PostingKind(kind), *map(int, figures)) for kind, *figures in said) == left


def test_only_holds_leave_something_untaken() -> None:
    with pytest.raises(LedgerError, match="a debit holds nothing"):
        untaken([Hold(PostingKind.DEBIT, 5)])
