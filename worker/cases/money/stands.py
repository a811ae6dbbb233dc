"""Where the money of a claim stands, in words: what has happened, when its next turn comes, and what holds that up."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from policy.lifecycle import PaymentState
from worker.cases.money import limits
from worker.cases.money.claims import SEND
from worker.clock import written
from worker.store.breakers import CREEM

_SAID = {
    PaymentState.CLAIMED: "nothing has left yet",
    PaymentState.SENDING: "a call is under way",
    PaymentState.CONFIRMING: "Creem took the call and does not show the refund yet",
    PaymentState.IN_PROGRESS: "Creem has it under way",
    PaymentState.UNKNOWN: "a call was made, what came of it is not known, and it is only read",
    PaymentState.REFUSED: "Creem refused it, nothing has left",
    PaymentState.REFUNDED: "went back",
}
"""The rest is called by its own name."""
_HOLD = {CREEM, limits.CALLS, limits.MONEY, limits.RESTORE, limits.KEY, limits.BALANCE}


def stands(claim: Row[Any], standing: Sequence[Row[Any]]) -> str:
    """One line about a claim; `standing`: the breakers that are open."""
    known = {state.value: said for state, said in _SAID.items()}
    said = known.get(claim.state) or str(claim.state).replace("_", " ")
    if claim.detail:
        said = f"{said}: {claim.detail}"
    if claim.closed_at is not None:
        return said
    # whoever may only read asks Creem and moves nothing
    held = [row for row in standing if row.name in (_HOLD if claim.next_step == SEND else {CREEM})]
    return "; ".join([said, f"next turn {written(claim.due_at)}", *map(_held, held)])


def _held(breaker: Row[Any]) -> str:
    until = "a person ends that" if breaker.needs_person else written(breaker.open_until)
    return f"held by the {breaker.name} breaker until {until}: {breaker.last_error}"
