"""What is told of a case whose event came within a trace: each move, and each thing done outside because of it.

A move is named by case and moment, as the books have them: an effect finds the move that it follows from without reading it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from worker.cases.book.book import Case
from worker.clock import written
from worker.store.effects import Effect
from worker.traces import Span, destination, within

_DECIDED = {"case.decided", "review.decided"}


def moves(cases: Iterable[Case], at: datetime) -> list[Span]:
    """A span for each of the cases that moved, or was decided anew, in the transaction of this moment; none where nobody asks."""
    if destination() is None:
        return []
    return [_move(case, case.trace, at) for case in cases if case.trace is not None and _counts(case)]


def _counts(case: Case) -> bool:
    return case.state is not case.was or any(event in _DECIDED for event, _ in case.history)


def _move(case: Case, trace: str, at: datetime) -> Span:
    assert case.state is not None, "a case is told of once it has a state"
    said = {"outcome": case.outcome, "clause": case.clause, "rule": case.rule, "job_id": case.job_id}
    about = {"case_id": case.case_id, "state": case.state.value, **{name: word for name, word in said.items() if word}}
    return Span(f"case.{case.state.value}", within(trace, _moment(case.case_id, at)), trace, at, about)


def announcements(effects: Sequence[Effect], began: datetime) -> Iterator[Span]:
    """A span for each announcement that was made."""
    for e in effects:
        own = e.payload.get("traceparent")
        if own is not None:
            yield _followed(f"announce.{e.payload['type']}", own, e, began, e.attempt)


def rerun(effect: Effect, answer: str, began: datetime) -> Iterator[Span]:
    """The span of an order that the pipeline answered."""
    own = effect.payload.get("traceparent")
    if own is not None:
        yield _followed("rerun", own, effect, began, effect.attempt, answer=answer)


def notices(rows: Sequence[Row[Any]], began: datetime) -> Iterator[Span]:
    """A span for each notice in a mail that left."""
    for row in rows:
        if row.trace is not None:
            yield _followed(f"notice.{row.kind}", within(row.trace, row.key), row, began, row.attempts)


def _followed(name: str, own: str, of: Effect | Row[Any], began: datetime, attempt: int, **about: str) -> Span:
    named = {"case_id": of.case_id, "attempt": attempt, **about} | ({"job_id": of.job_id} if of.job_id else {})
    return Span(name, own, within(own, _moment(of.case_id, of.created_at)), began, named, leaves=True)


def _moment(case_id: str, at: datetime) -> str:
    return f"case:{case_id}:{written(at)}"
