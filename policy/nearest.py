"""What would have changed a decision: single changes of the facts, the nearest first, each put to the same rules.

The words of a change complete the sentence "Had {change}, the outcome would have been {outcome} ({rule})."
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from policy.decision import Counterfactual, Outcome, Verdict
from policy.terms import Terms

F = TypeVar("F")
Judge = Callable[[F, Terms], tuple[str, Verdict]]
"""What the rules say of facts, and which of them says it."""


@dataclass(frozen=True, slots=True)
class Change(Generic[F]):
    """One change, in words, and the facts as they would have been."""

    words: str
    facts: F


Changes = Sequence[Callable[[F, Terms], Change[F] | None]]
"""What may have been otherwise, the nearest first; None where it was so."""


def nearest(changes: Changes[F], judge: Judge[F], facts: F, terms: Terms, outcome: Outcome) -> Counterfactual | None:
    """The nearest single change of the facts whose outcome is another; None where there is none."""
    for possible in changes:
        change = possible(facts, terms)
        if change is None:
            continue
        rule, verdict = judge(change.facts, terms)
        if verdict.outcome is not outcome:
            return Counterfactual(change.words, verdict.outcome, rule)
    return None
