"""What a person takes back: a proposal that waits for a second person, or a refund of which no money left."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, select, update

from policy.lifecycle import CaseState, PaymentState
from policy.words import money
from worker.cases.book.book import WORKER
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.documents.document import find, find_alone
from worker.cases.money import claims, limits
from worker.cases.money.close import Closing, close
from worker.cases.review.act import unfreeze_for
from worker.cases.review.people import person
from worker.cases.review.queue import Queue, in_queue, proposals_of
from worker.cases.review.scene import lock_case
from worker.errors import LockedOut, Refused
from worker.observe import log
from worker.store.breakers import closed_to
from worker.store.bulk import Tx
from worker.store.tables import cases, payments, proposals

REFUND = "refund"
"""What `withdraw` takes back where it is named: a refund that was approved, and of which no money left."""


@dataclass(frozen=True, slots=True)
class Withdrawals(Queue):
    """The queue, and what is taken back of what waits in it."""

    def withdraw(self, name: str, choice: str | None = None, *, by: str, reason: str) -> dict[str, Any]:
        """Ends the open proposal, of this choice where one is named, without effect; what was frozen for it is free again. With
        `REFUND`, takes a refund back of which no money left: its claim ends, and the case is a person's again.
        Anybody may.
        """
        why = stated(reason)
        return self.store.write(lambda tx: self._withdraw_or_take_back(tx, name, choice, person(by), why))

    def plan_withdraw(self, name: str, *, by: str, reason: str) -> dict[str, Any]:
        """What `withdraw` would return now, of what there is to withdraw; nothing changes. Raises `Refused` where nothing is."""

        def rehearsed(tx: Tx) -> dict[str, Any]:
            row = find_alone(tx, name)
            taking_back = row.case_id not in proposals_of(tx, [row]) and _unsent(tx, row) is not None
            return self._withdraw_or_take_back(tx, name, REFUND if taking_back else None, person(by), reason)

        return self.store.rehearse(rehearsed)

    def end_stale(self) -> int:
        """Ends proposals whose case no longer waits for a person, as if withdrawn; returns how many. One whose account somebody
        holds, or that moved meanwhile, is left for the next time.
        """
        gone = select(proposals.c.case_id).join(cases, cases.c.case_id == proposals.c.case_id)
        stale = self.store.read(lambda tx: tx.all(gone.where(proposals.c.state == "open", ~in_queue())))
        ended, why = 0, "the case no longer waits for a person"
        for row in stale:
            with suppress(LockedOut, Refused):
                # the proposal alone: what was agreed to meanwhile is on its way
                self.store.write(partial(self._withdraw, name=row.case_id, choice=None, by=WORKER, reason=why))
                ended += 1
        return ended

    def _withdraw_or_take_back(self, tx: Tx, name: str, choice: str | None, by: str, reason: str) -> dict[str, Any]:
        row = lock_case(tx, find_alone(tx, name).case_id)
        if choice != REFUND or row.case_id in proposals_of(tx, [row]):
            return self._withdraw(tx, row.case_id, choice, by, reason)
        claim, now = _unsent(tx, row), self.clock.now()
        if claim is None:
            raise Refused(f"{row.case_id}: its refund was sent, or came to its end, meanwhile; look again")
        set_back = closed_to(tx, [limits.RESTORE], now)
        if set_back is not None:
            raise Refused(f"{row.case_id}: whether its refund was sent is not certain, {set_back[0]}")
        case = case_of(row)
        case.note("review.withdrawn", choice=REFUND, by=by, reason=reason)
        why = f"taken back by {by} before any money left: {reason}"
        close(tx, claim, case, PaymentState.NOT_NEEDED, CaseState.REVIEW, why, Closing(self.settler, now))
        log.info("review.withdrawn", case_id=row.case_id, choice=REFUND, by=by)
        told = f"the refund of {money(claim.amount, claim.currency)} is taken back, and a person decides again"
        return came_to(row.case_id, REFUND, told, proposed_by=None)

    def _withdraw(self, tx: Tx, name: str, choice: str | None, by: str, reason: str) -> dict[str, Any]:
        row = lock_case(tx, find(tx, name).case_id)
        proposal = proposals_of(tx, [row]).get(row.case_id)
        if proposal is None:
            raise Refused(f"{row.case_id}: nothing is proposed")
        if choice not in {None, proposal.choice}:
            raise Refused(f"{row.case_id}: {proposal.choice} is proposed by {proposal.proposed_by} by now; look again")
        scene = self._scene(tx, row)
        end(tx, proposal, {"state": "withdrawn", "ended_by": by, "ended_at": scene.now, "ended_reason": reason})
        released = unfreeze_for(tx, self.ledger, scene, proposal.proposal_id)
        scene.case.note("review.withdrawn", choice=proposal.choice, by=by, reason=reason, credits_released=released)
        write_cases(tx, [scene.case], scene.now, by)
        told = f"{proposal.choice} is withdrawn" + (f"; {released} credits can be spent again" if released else "")
        return came_to(row.case_id, proposal.choice, told, proposed_by=proposal.proposed_by)


def stated(reason: str) -> str:
    """The reason without blanks around it. Raises `Refused` where there is none."""
    if not reason.strip():
        raise Refused("a reason is required")
    return reason.strip()


def came_to(
    case_id: str, choice: str, told: str, *, done: bool = False, waits_for_second: bool = False, overtook: int = 0, **more: Any
) -> dict[str, Any]:
    """What a person's word came to, for `--json` and the console."""
    stands = {"done": done, "waits_for_second": waits_for_second, "told": told, "overtook": overtook}
    return {"case_id": case_id, "choice": choice, **more, **stands}


def end(tx: Tx, proposal: Row[Any], values: dict[str, Any]) -> None:
    """Ends an open proposal, with these values. Raises `Refused` where it was ended meanwhile."""
    still = (proposals.c.proposal_id == proposal.proposal_id, proposals.c.state == "open")
    if tx.connection.execute(update(proposals).where(*still).values(**values)).rowcount != 1:
        raise Refused(f"{proposal.case_id}: the proposal was ended meanwhile")


def _unsent(tx: Tx, row: Row[Any]) -> Row[Any] | None:
    """The open claim of the case, locked, if no money of it can have left."""
    p = payments.c
    claim = tx.first(select(payments).where(p.case_id == row.case_id, p.closed_at.is_(None)).with_for_update())
    return claim if claim is not None and claims.nothing_left(tx, claim) else None
