"""Which state of a case may follow which."""

import pytest

from policy.lifecycle import MOVES, CaseState, Standing, standing

# columns: waiting rerunning refunding unknown review refunded delivered declined nothing_owed external
# m a move, . stale news, x illegal
MOVES_AS_TEXT = """
waiting       . m m x m m m m m m
rerunning     x . x x m m m m m x
refunding     x x . m m m x x x m
unknown       x x x . m m x x x m
review        m m m x . m m m m m
refunded      . . . . . . . . . .
delivered     x m x x m m . m m x
declined      x m m x m m m . m m
nothing_owed  x m m x m m m m . m
external      . . . . . . . . . .
"""
MARKS = {"m": Standing.MOVE, ".": Standing.STALE, "x": Standing.ILLEGAL}


@pytest.mark.parametrize("line", MOVES_AS_TEXT.strip().splitlines())
def test_moves_are_what_the_table_says(line: str) -> None:
    state, *marks = line.split()
    found = [standing(CaseState(state), wanted) for wanted in CaseState]
    assert found == [MARKS[mark] for mark in marks]


def test_moves_are_named_for_every_state() -> None:
    assert set(MOVES) == set(CaseState)


def test_final_states_need_nobody() -> None:
    final = {state for state in CaseState if state.final}
    assert final == {"refunded", "delivered", "declined", "nothing_owed", "external"}
