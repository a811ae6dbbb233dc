"""Cases, jobs and accounts as their rows tell them, and back; the states and kinds that this release knows.

A field has the name of its column, so that it is listed once, where it is declared; what differs is said here.
"""

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from policy.facts import Report, Rerun, RerunState
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import Account, Case, Job
from worker.credits.ledger import JobCredits
from worker.errors import OfNewerRelease
from worker.store.arrays import Written
from worker.store.bulk import Record

STATES, KINDS = frozenset(state.value for state in CaseState), frozenset(kind.value for kind in CaseKind)
"""What this release knows."""
FINAL = [state.value for state in CaseState if state.final]
"""States in which a case needs nobody any more."""
REPORTS: TypeAdapter[list[Report]] = TypeAdapter(list[Report])


def _alike(of: type[Case | Job | Account], *but: str) -> tuple[str, ...]:
    """The fields that a row has as they are: all `but` these."""
    return tuple(field.name for field in fields(of) if field.name not in but)


_OF_CASE = _alike(Case, "kind", "state", "was", "changed", "history")
_OF_JOB = _alike(Job, "reports", "credits", "rerun", "rerun_changed", "added", "changed")
_OF_ACCOUNT = _alike(Account, "suspended_here", "changed")


def case_of(row: Row[Any]) -> Case:
    """The case that a row of `cases` is. Raises `OfNewerRelease` for a state or a kind that this release does not know."""
    if row.state not in STATES or row.kind not in KINDS:
        raise OfNewerRelease(f"{row.case_id} is {row.kind} in state {row.state}, which a newer release wrote")
    state = CaseState(row.state)
    return Case(kind=CaseKind(row.kind), state=state, was=state, **_same(row, _OF_CASE))


def case_record(case: Case) -> Record:
    """The row of `cases` that a case is."""
    assert case.state is not None, "a case is written only once it has a state"
    owner = None if case.state.final else ("person" if case.state is CaseState.REVIEW else "worker")
    return {"kind": case.kind.value, "state": case.state.value, "owner": owner, **_same(case, _OF_CASE)}


def job_of(row: Row[Any], credits: JobCredits) -> Job:
    """The job that a row of `layer_jobs` is, joined with what is known of its re-run."""
    rerun = None
    if row.rerun_state is not None:
        rerun = Rerun(row.rerun_attempt, RerunState(row.rerun_state), row.rerun_deadline_at)
    return Job(reports=set(REPORTS.validate_python(row.reports)), credits=credits, rerun=rerun, **_same(row, _OF_JOB))


def job_record(job: Job) -> Record:
    """The row of `layer_jobs` that a job is."""
    reports = sorted(job.reports, key=lambda r: (r.attempt, r.at, r.kind, r.code))
    return {"reports": Written(REPORTS.dump_json(reports).decode()), **_same(job, _OF_JOB)}


def account_of(row: Row[Any]) -> Account:
    """The account that a row of `accounts` is."""
    return Account(suspended_here=row.suspended_here, **_same(row, _OF_ACCOUNT))


def account_record(account: Account) -> Record:
    """The row of `accounts` that an account is; that it was suspended here is written where two people agree to that."""
    return _same(account, _OF_ACCOUNT)


def _same(of: object, names: tuple[str, ...]) -> Record:
    return {name: getattr(of, name) for name in names}
