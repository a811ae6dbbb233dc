"""Which state of a case may follow which."""

import pytest

from policy.lifecycle import MOVES, PAYMENT_MOVES, CaseState, PaymentState, may_follow

# columns: waiting rerunning refunding unknown review refunded delivered declined nothing_owed external
# m a move, . none
MOVES_AS_TEXT = """
waiting       . m m m m m m m m m
rerunning     . . . . m m m m m .
refunding     . . . m m m . . . m
unknown       . . m . m m . . . m
review        m m m m . m m m m m
refunded      . . . . . . . . . .
delivered     . m . . m m . m m .
declined      . m m m m m m . m m
nothing_owed  . m m m m m m m . m
external      . . . m . . . . . .
"""


@pytest.mark.parametrize("line", MOVES_AS_TEXT.strip().splitlines())
def test_moves_are_what_the_table_says(line: str) -> None:
    state, *marks = line.split()
    now = CaseState(state)
    allowed = {to for to, mark in zip(CaseState, marks, strict=True) if mark == "m"}
    assert {to for to in CaseState if may_follow(now, to)} == allowed | {now}


def test_moves_are_named_for_every_state() -> None:
    assert set(MOVES) == set(CaseState)


# columns: claimed sending confirming in_progress unknown refused rejected not_needed mismatch refunded
PAYMENTS_AS_TEXT = """
claimed      . m . . . . . m m .
sending      m . m m m m m . . .
confirming   . . . . . . m . . m
in_progress  . . . . . . m . . m
unknown      . . m m . m m . . m
refused      . m . . . . . m m .
rejected     . . . . . . . . . m
not_needed   . . . . . . . . . .
mismatch     . . . . . . . . . .
refunded     . . . . . . . . . .
"""


@pytest.mark.parametrize("line", PAYMENTS_AS_TEXT.strip().splitlines())
def test_claims_move_as_the_table_says(line: str) -> None:
    state, *marks = line.split()
    allowed = {to for to, mark in zip(PaymentState, marks, strict=True) if mark == "m"}
    assert PAYMENT_MOVES[PaymentState(state)] == allowed


def test_claim_that_may_have_moved_money_never_sends_again() -> None:
    seen, ahead = set[PaymentState](), {PaymentState.UNKNOWN, PaymentState.IN_PROGRESS, PaymentState.CONFIRMING}
    while ahead:
        state = ahead.pop()
        seen.add(state)
        # a refusal is a definite answer to the one call: what follows it begins the whole procedure anew
        ahead |= PAYMENT_MOVES[state] - seen - {PaymentState.REFUSED}
    assert not seen & {PaymentState.CLAIMED, PaymentState.SENDING}


def test_final_states_need_nobody() -> None:
    final = {state for state in CaseState if state.final}
    assert final == {"refunded", "delivered", "declined", "nothing_owed", "external"}
