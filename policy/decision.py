"""What a verdict is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Because = Mapping[str, str | int | bool | None]
"""Deciding facts by name, as they would be said to a customer."""


class Outcome(StrEnum):
    """What is to be done (policy.md, "Outcomes")."""

    REVERSE_CREDITS = "reverse_credits"
    RERUN = "rerun"
    REFUND_PAYMENT = "refund_payment"
    DECLINE = "decline"
    REVIEW = "review"
    NOTHING_OWED = "nothing_owed"


class Clause(StrEnum):
    """The clauses of the published policy (policy.md, "Clauses"); every decision cites one."""

    FAILED_JOB = "failed-job"
    INCOMPLETE_OUTPUT = "incomplete-output"
    DUPLICATE_CHARGE = "duplicate-charge"
    REQUEST_WINDOW = "request-window"
    REQUEST_BY_MAIL = "request-by-mail"
    EVIDENCE_DELETED = "evidence-deleted"
    ORIGINAL_METHOD = "original-method"
    PROMISE_3BD = "promise-3bd"
    DISPUTE_HOLD = "dispute-hold"
    DISPUTE_ABUSE = "dispute-abuse"
    PASS_USED = "pass-used"
    RENEWAL_NOT_CANCELLED = "renewal-not-cancelled"
    WINDOW_PASSED = "window-passed"
    OUTPUT_USED = "output-used"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says, before the table signs it with rule name and terms edition.

    `because` holds the facts that decided, by name, as they would be said to a customer. `settled` marks a remedy that has
    already done its work: the re-run delivered, nothing more is to be started.
    """

    outcome: Outcome
    clause: Clause
    reason: str
    credits: int = 0
    because: Because = field(default_factory=dict)
    settled: bool = False
    amount: int = 0
    """Money owed, in minor units of `currency`: a whole charge."""
    currency: str = ""
    terms: str | None = None
    """The edition it was given by, where it repeats what was decided before; None: the one that is asked."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The nearest change of the facts that would have changed the outcome."""

    change: str
    outcome: Outcome
    rule: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A signed verdict. `credits` is what is owed in credits; same facts and same terms give the same decision, for ever."""

    outcome: Outcome
    rule: str
    clause: Clause
    terms: str
    reason: str
    credits: int
    because: Because
    settled: bool
    _ask_counterfactual: Callable[[], Counterfactual | None] = field(repr=False, compare=False)
    amount: int = 0
    """Money owed, in minor units of `currency`."""
    currency: str = ""

    @property
    def counterfactual(self) -> Counterfactual | None:
        """The nearest change that would have changed the outcome, worked out when asked for.

        None where no single change would.
        """
        return self._ask_counterfactual()
