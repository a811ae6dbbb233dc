"""A case moves as the lifecycle says, whoever moves it."""

from datetime import UTC, datetime

import pytest

from policy.lifecycle import CaseKind, CaseState, may_follow
from worker.cases.book.book import Case
from worker.cases.book.casework import go
from worker.errors import InvariantBroken

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def _case(state: CaseState) -> Case:
    return Case(
        case_id="case_1",
        kind=CaseKind.JOB,
        subject="job_1",
        account_id="acc_1",
        state=state,
        was=state,
        failed_at=NOW,
        opened_at=NOW,
        due_at=NOW,
        warn_at=NOW,
        warned_percent=0,
        next_action_at=None,
    )


@pytest.mark.parametrize("target", CaseState)
@pytest.mark.parametrize("state", CaseState)
def test_move_that_the_lifecycle_does_not_know_is_refused_and_changes_nothing(state: CaseState, target: CaseState) -> None:
    case, before = _case(state), _case(state)
    if may_follow(state, target):
        go(case, target, next_action_at=None, now=NOW)
        assert case.state is target
        return
    with pytest.raises(InvariantBroken, match=f"case_1: {state.value} cannot become {target.value}"):
        go(case, target, next_action_at=None, now=NOW)
    assert case == before
