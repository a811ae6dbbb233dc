"""A case as its row tells it, and the states and kinds that this release knows."""

from typing import Any

from sqlalchemy import Row

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import Case
from worker.errors import OfNewerRelease

STATES, KINDS = frozenset(state.value for state in CaseState), frozenset(kind.value for kind in CaseKind)
"""What this release knows."""
FINAL = [state.value for state in CaseState if state.final]
"""States in which a case needs nobody any more."""


def case_of(row: Row[Any]) -> Case:
    """The case that a row of `cases` is. Raises `OfNewerRelease` for a state or a kind that this release does not know."""
    if row.state not in STATES or row.kind not in KINDS:
        raise OfNewerRelease(f"{row.case_id} is {row.kind} in state {row.state}, which a newer release wrote")
    state = CaseState(row.state)
    return Case(
        case_id=row.case_id,
        kind=CaseKind(row.kind),
        subject=row.subject,
        job_id=row.job_id,
        order_id=row.order_id,
        account_id=row.account_id,
        state=state,
        was=state,
        failed_at=row.failed_at,
        opened_at=row.opened_at,
        due_at=row.due_at,
        warn_at=row.warn_at,
        warned_percent=row.warned_percent,
        next_action_at=row.next_action_at,
        closed_at=row.closed_at,
        outcome=row.outcome,
        rule=row.rule,
        clause=row.clause,
        terms=row.terms,
        reason=row.reason,
        facts=row.facts,
        credits_owed=row.credits_owed,
        credits_reversed=row.credits_reversed,
        reruns=row.reruns,
        delivered_late=row.delivered_late,
        stuck=row.stuck,
        trace=row.trace,
    )
