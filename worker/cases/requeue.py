"""Putting a case back for another judgement. Shown first, and never repeating an effect."""

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update

from policy.lifecycle import CaseKind, CaseState
from policy.words import money
from worker.cases.assess.assessor import Assessor
from worker.cases.book.casework import Move
from worker.cases.book.known import accounts_called
from worker.cases.documents.document import find_alone
from worker.cases.review.scene import lock_case
from worker.clock import Clock
from worker.errors import Refused
from worker.store import wakings
from worker.store.bulk import Tx
from worker.store.effects import UNDONE, EffectKind, about
from worker.store.engine import Store
from worker.store.history import line
from worker.store.tables import case_history, cases, effects, payments

_SETTLED = (CaseState.REFUNDED.value, CaseState.EXTERNAL.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """What requeueing one case would do."""

    case_id: str
    job_id: str | None
    order_id: str | None
    state: str
    would_be: str
    credits: int
    effects: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """True when nothing at all would happen."""
        return self.state == self.would_be and not self.effects and not self.credits

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"effects": list(self.effects), "nothing": self.nothing}


@dataclass(frozen=True, slots=True)
class Requeuer:
    """The requeue step with its collaborators."""

    store: Store
    assessor: Assessor
    clock: Clock

    def matching(
        self,
        *,
        state: CaseState | None = None,
        kind: CaseKind | None = None,
        account: str | None = None,
        stuck: bool = False,
        before: datetime | None = None,
        after: str | None = None,
        limit: int,
    ) -> tuple[list[str], int]:
        """The ids of the cases that match, longest open first, up to `limit`, and how many there are in all: of those behind the
        case `after` where one is named.

        Refunded and external cases never match: nothing can be put back there.
        """
        wanted: list[ColumnElement[bool]] = [cases.c.state.not_in(_SETTLED)]
        for column, value in ((cases.c.state, state and state.value), (cases.c.kind, kind and kind.value)):
            if value is not None:
                wanted.append(column == value)
        if account is not None:
            wanted.append(cases.c.account_id.in_(self.store.read(lambda tx: accounts_called(tx, account))))
        if stuck:
            wanted.append(cases.c.stuck > 0)
        if before is not None:
            wanted.append(cases.c.opened_at < before)
        if after is not None:
            opened_at = select(cases.c.opened_at).where(cases.c.case_id == after).scalar_subquery()
            behind = and_(cases.c.opened_at == opened_at, cases.c.case_id > after)
            wanted.append(or_(cases.c.opened_at > opened_at, behind))
        # counted before the limit, in the same look: it may be one at all cases
        counted = select(cases.c.case_id, func.count().over().label("in_all")).where(*wanted)
        chosen = counted.order_by(cases.c.opened_at, cases.c.case_id).limit(limit)
        rows = self.store.read(lambda tx: tx.all(chosen))
        return [row.case_id for row in rows], int(rows[0].in_all) if rows else 0

    def plan(self, name: str) -> Plan:
        """What would happen, found by really doing it in a transaction that is then undone."""
        row, pending, claims = self.store.read(lambda tx: _with_effects(tx, name))
        would_be, credits, begun = row.state, 0, list[str]()
        if row.state not in _SETTLED:
            known = {*(e.key for e in pending), *(c.payment_id for c in claims)}
            moves, begun = self.store.rehearse(lambda tx: self._judged(tx, row.case_id, known))
            for move in moves:
                if move.case_id == row.case_id:
                    would_be, credits = move.state, move.credits - row.credits_reversed
        outside = [f"{e.kind} ({e.key})" for e in pending]
        # a claim that may only read is read now; one that may send goes through the whole procedure, and its limits, again
        outside += [f"{'read' if c.next_step == 'read' else 'try'} {c.transaction_id} at Creem ({c.state})" for c in claims]
        return Plan(row.case_id, row.job_id, row.order_id, row.state, would_be, credits, (*outside, *begun))

    def _judged(self, tx: Tx, case_id: str, known: Set[str]) -> tuple[Sequence[Move], list[str]]:
        """What judging it anew comes to, and what is done for it outside then that is not `known`, beside telling of it."""
        moves = self.assessor.judge_in(tx, [case_id]).moves
        _, pending, claims = _with_effects(tx, case_id)
        reruns = [f"{e.kind} ({e.key})" for e in pending if e.kind == EffectKind.RERUN and e.key not in known]
        sent = [c for c in claims if c.payment_id not in known]
        return moves, reruns + [f"send {money(c.amount, c.currency)} back on {c.transaction_id} at Creem" for c in sent]

    def requeue(self, name: str, *, by: str, reason: str) -> Plan:
        """Puts the case back: due for judgement now, its unfinished effects due now, with actor and reason on record.
        Returns what was planned.
        """
        plan = self.plan(name)
        if plan.nothing:
            return plan
        now = self.clock.now()

        def put_back(tx: Tx) -> None:
            lock_case(tx, plan.case_id)
            open_case = (cases.c.case_id == plan.case_id, cases.c.state == plan.state)
            changed = tx.connection.execute(update(cases).where(*open_case).values(next_action_at=now, stuck=0))
            if changed.rowcount != 1:
                raise Refused(f"{plan.case_id} moved meanwhile; look again")
            wakings.end(tx, [plan.case_id])
            # an effect or a claim in somebody's hands stays there: only what waits is brought forward
            waiting = (about(plan.case_id), UNDONE, effects.c.state == "due")
            tx.connection.execute(update(effects).where(*waiting).values(due_at=now))
            tx.connection.execute(update(payments).where(*_waiting_claims(plan.case_id)).values(due_at=now))
            tx.insert(case_history, [line(plan.case_id, "case.requeued", by, now, reason=reason)])

        self.store.write(put_back)
        return plan


def _with_effects(tx: Tx, name: str) -> tuple[Row[Any], Sequence[Row[Any]], Sequence[Row[Any]]]:
    """The case with what is still to be done outside for it, and its claims that may be brought forward."""
    row = find_alone(tx, name)
    pending = about(row.case_id), UNDONE
    todo = tx.all(select(effects).where(*pending).order_by(effects.c.due_at))
    return row, todo, tx.all(select(payments).where(*_waiting_claims(row.case_id)))


def _waiting_claims(case_id: str) -> tuple[ColumnElement[bool], ...]:
    """That a claim is of this case, and neither closed nor in the middle of a call."""
    return payments.c.case_id == case_id, payments.c.closed_at.is_(None), payments.c.state != "sending"
