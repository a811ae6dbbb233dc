"""Whether a job may be run again, and what became of the re-run it had (policy.md, "Which re-run", "Re-run deadline")."""

from collections.abc import Callable

from policy.facts import AccountStatus, JobFacts, Rerun, RerunState
from policy.faults import delivered_attempts


def rerun_obstacle(facts: JobFacts) -> str | None:
    """What keeps the job from being run again, in words; None where nothing does."""
    return next((words for words, stands in _OBSTACLES if stands(facts)), None)


def rerun_is_in_flight(facts: JobFacts) -> bool:
    """True while the re-run was asked for, its deadline lies ahead and nothing was reported of its attempt."""
    rerun = facts.rerun
    return (
        rerun is not None and rerun.state is RerunState.ASKED and facts.now < rerun.deadline_at and not is_answered(rerun, facts)
    )


def rerun_delivery(facts: JobFacts) -> int | None:
    """The attempt by which the re-run brought complete output that nothing spoils, as it was reported; None where it did not."""
    rerun = facts.rerun
    return None if rerun is None else min((n for n in delivered_attempts(facts) if n >= rerun.attempt), default=None)


def is_answered(rerun: Rerun, facts: JobFacts) -> bool:
    """True once anything was reported of the re-run."""
    return rerun.state is RerunState.ANSWERED or any(report.attempt >= rerun.attempt for report in facts.reports)


def _input_is_gone(facts: JobFacts) -> bool:
    return facts.input_expires_at is not None and facts.now >= facts.input_expires_at


_OBSTACLES: tuple[tuple[str, Callable[[JobFacts], bool]], ...] = (
    ("its one re-run has been used", lambda facts: facts.rerun is not None),
    ("some of its credits have already come back", lambda facts: facts.reversed_credits > 0),
    ("the pass that covered it was itself given back", lambda facts: facts.pass_given_back),
    ("what paid for it is under dispute at the bank", lambda facts: facts.disputed),
    ("a refund of what paid for it is under way", lambda facts: facts.refund_under_way),
    ("the customer asked for the credits", lambda facts: facts.credits_requested),
    ("the account is suspended", lambda facts: facts.account_status is AccountStatus.SUSPENDED),
    ("the account is deleted", lambda facts: facts.account_status is AccountStatus.DELETED),
    ("its input has expired", _input_is_gone),
    ("the pipeline takes no re-runs at the moment", lambda facts: not facts.rerun_available),
)
