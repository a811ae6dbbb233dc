"""What a person does: a case is taken by one at a time, and decided once.

Everything is checked behind the account's lock in the transaction that acts: who holds the case, what the choice would do now,
whether a second person is needed and is another one.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, func, select, update

from policy.lifecycle import CaseState, PaymentState
from policy.words import money
from worker.cases.book import spans
from worker.cases.book.book import WORKER
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.documents.document import find
from worker.cases.money import claims, limits
from worker.cases.money.close import Closing, close
from worker.cases.money.settle import Settler
from worker.cases.review import allowance
from worker.cases.review.act import Deed, carry_out, freeze_for, unfreeze_for
from worker.cases.review.choices import Act, Choice, recommended
from worker.cases.review.naming import name_order
from worker.cases.review.people import person
from worker.cases.review.queue import (
    Queue,
    can_be_decided,
    does_not_wait,
    in_queue,
    lease_name,
    leases_of,
    proposals_of,
    waits_for_a_person,
)
from worker.cases.review.scene import Scene, lock_case
from worker.cases.review.shown import check_shown, shown
from worker.clock import moment, new_id
from worker.errors import LockedOut, Refused
from worker.observe import log
from worker.store.breakers import closed_to
from worker.store.bulk import Tx
from worker.store.leases import leave, take
from worker.store.tables import cases, leases, payments, proposals
from worker.traces import tell

LEASE = timedelta(minutes=15)
"""How long a case stays with the person who took it."""
REFUND = "refund"
"""What `withdraw` takes back where it is named: a refund that was approved, and of which no money left."""


@dataclass(frozen=True, slots=True)
class Reviewer(Queue):
    """The review step: the queue, and what a person does about a case in it."""

    def take(self, name: str, *, by: str) -> None:
        """The case is with this person until the lease ends. Raises `Refused` where somebody else has it."""
        self.store.write(lambda tx: self._take(tx, _to_decide(tx, name), by))

    def give_back(self, name: str, *, by: str) -> None:
        """The case is free again; without effect where somebody else has it."""
        row = self.store.read(lambda tx: find(tx, name))
        self.store.write(lambda tx: leave(tx, lease_name(row.case_id), person(by)))

    def decide(self, name: str, choice: str | None, *, by: str, reason: str, shown: str | None = None) -> dict[str, Any]:
        """Carries the choice out, or puts it to a second person where one is needed; `choice` None means the remedy at hand,
        `shown` is what this person was shown of it.

        Raises `Refused` for a case that somebody else has, a choice that cannot be taken now, a proposal of one's own, and a
        case that was decided, or is no longer what was shown.
        """
        if not reason.strip():
            raise Refused("a reason is required")
        told, scene = self.store.write(lambda tx: self._decide(tx, name, choice, person(by), reason.strip(), shown))
        tell(spans.moves([scene.case], scene.now), self.clock.now())
        return told

    def plan(self, name: str, choice: str | None, *, by: str) -> dict[str, Any]:
        """What `decide` would do for this person now, without doing it; the case stays free. Raises `Refused` where it would."""
        return self.store.read(lambda tx: self._plan(tx, name, choice, person(by)))

    def withdraw(self, name: str, choice: str | None = None, *, by: str, reason: str) -> dict[str, Any]:
        """Ends the open proposal, of this choice where one is named, without effect; what was frozen for it is free again. With
        `REFUND`, takes a refund back of which no money left: its claim ends, and the case is a person's again.
        Anybody may.
        """
        if not reason.strip():
            raise Refused("a reason is required")
        return self.store.write(lambda tx: self._withdraw_or_take_back(tx, name, choice, person(by), reason.strip()))

    def plan_withdraw(self, name: str, *, by: str, reason: str) -> dict[str, Any]:
        """What `withdraw` would return now, of what there is to withdraw; nothing changes. Raises `Refused` where nothing is."""

        def rehearsed(tx: Tx) -> dict[str, Any]:
            row = find(tx, name)
            taking_back = row.case_id not in proposals_of(tx, [row]) and _unsent(tx, row) is not None
            return self._withdraw_or_take_back(tx, name, REFUND if taking_back else None, person(by), reason)

        return self.store.rehearse(rehearsed)

    def name(self, name: str, order: str, *, by: str, reason: str) -> dict[str, Any]:
        """The mail of this case, which names nothing that is known, is about that order of its account, and judged by it; the
        case stays with this person. Raises `Refused` where that cannot be said, or somebody else has the case.
        """
        if not reason.strip():
            raise Refused("a reason is required")
        return self.store.write(lambda tx: self._name(tx, name, order, person(by), reason.strip()))

    def plan_name(self, name: str, order: str, *, by: str, reason: str) -> dict[str, Any]:
        """What `name` would return now; nothing changes."""
        return self.store.rehearse(lambda tx: self._name(tx, name, order, person(by), reason))

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

    def _plan(self, tx: Tx, name: str, choice: str | None, by: str) -> dict[str, Any]:
        row = _to_decide(tx, name)
        lease = leases_of(tx, [row], self.clock.now()).get(row.case_id)
        if lease is not None and lease.holder != by:
            raise _held(row, lease)
        scene, allowed = self._scene(tx, row), self._allowance(tx, by)
        offered = self._choices(scene)
        proposal = proposals_of(tx, [row]).get(row.case_id)
        if proposal is None:
            alone = allowed.checked(_chosen(offered, choice, row), self._given_before(tx, scene, by))
            chosen = alone.document() | {"shown": shown(tx, row, alone)}
        else:
            agreed = _to_agree(proposal, choice, by, offered, row)
            chosen = {
                "shown": shown(tx, row, proposal),
                "choice": agreed.value,
                "does": proposal.does,
                "needs_second": False,
                "second_because": None,
            }
        planned = {key: chosen[key] for key in ("choice", "does", "needs_second", "second_because", "shown")}
        agrees = {"agrees_with": proposal.proposed_by if proposal is not None else None}
        return {"case_id": row.case_id, **planned, **agrees, "approved_by_you": allowed.document()}

    @property
    def _settler(self) -> Settler:
        return Settler(self.ledger, self.bench, self.environment)

    def _take(self, tx: Tx, row: Row[Any], by: str) -> None:
        now = self.clock.now()
        if not take(tx, lease_name(row.case_id), person(by), now, now + LEASE):
            held = tx.one(select(leases).where(leases.c.name == lease_name(row.case_id)))
            raise _held(row, held)

    def _decide(
        self, tx: Tx, name: str, choice: str | None, by: str, reason: str, before: str | None
    ) -> tuple[dict[str, Any], Scene]:
        row = lock_case(tx, _to_decide(tx, name).case_id)
        _still_to_decide(tx, row)
        proposal = proposals_of(tx, [row]).get(row.case_id)
        self._take(tx, row, by)
        scene = self._scene(tx, row)
        if proposal is not None:
            check_shown(tx, row, proposal, before)
            told = self._agree(tx, scene, proposal, choice, by, reason)
        else:
            chosen, given = self._alone(tx, scene, _chosen(self._choices(scene), choice, row), by)
            check_shown(tx, row, chosen, before)
            if chosen.needs_second:
                return self._propose(tx, scene, chosen, by, reason), scene
            overtook = self._overtaken(tx, scene, by, reason)
            done = carry_out(tx, self._settler, scene, Deed(chosen.act, by, reason))
            allowance.note(tx, row.case_id, by, chosen, scene.now, given)
            told = _done(scene, chosen.act, done, overtook)
        leave(tx, lease_name(row.case_id), by)
        log.info("review.decided", case_id=row.case_id, choice=told["choice"], by=by)
        return told, scene

    def _alone(self, tx: Tx, scene: Scene, chosen: Choice, by: str) -> tuple[Choice, int]:
        """The choice, needing a second person where this one has given too much, and what is counted of it already; nothing else
        of theirs is decided meanwhile.
        """
        if chosen.needs_second or not chosen.gives:
            return chosen, 0
        allowance.queue_up(tx, by, self.clock.now())
        before = self._given_before(tx, scene, by)
        return self._allowance(tx, by).checked(chosen, before), before

    def _agree(self, tx: Tx, scene: Scene, proposal: Row[Any], choice: str | None, by: str, reason: str) -> dict[str, Any]:
        act = _to_agree(proposal, choice, by, self._choices(scene), scene.row)
        ended = {"state": "agreed", "ended_by": by, "ended_at": scene.now, "ended_reason": reason}
        _end(tx, proposal, ended)
        scene.case.note("review.agreed", choice=act.value, by=by, reason=reason, proposed_by=proposal.proposed_by)
        overtook = self._overtaken(tx, scene, by, reason)
        deed = Deed(act, f"{proposal.proposed_by} and {by}", proposal.reason, proposal.proposal_id)
        return _done(scene, act, carry_out(tx, self._settler, scene, deed), overtook)

    def _propose(self, tx: Tx, scene: Scene, chosen: Choice, by: str, reason: str) -> dict[str, Any]:
        proposal_id = new_id("prop", scene.now)
        proposed = {
            "proposal_id": proposal_id,
            "case_id": scene.case.case_id,
            "choice": chosen.act.value,
            "does": chosen.does,
            "proposed_by": by,
            "proposed_at": scene.now,
            "reason": reason,
            "state": "open",
        }
        if not tx.insert_new(proposals, [proposed], proposals.c.proposal_id):
            raise Refused(f"{scene.case.case_id}: something is proposed already")
        frozen = freeze_for(tx, self.ledger, scene, proposal_id) if chosen.act is Act.FORFEIT else 0
        more: dict[str, Any] = {"credits_frozen": frozen} if frozen else {}
        if chosen.second_because is not None:
            more["because"] = chosen.second_because
        scene.case.note("review.proposed", choice=chosen.act.value, does=chosen.does, by=by, reason=reason, **more)
        write_cases(tx, [scene.case], scene.now, by)
        leave(tx, lease_name(scene.case.case_id), by)
        log.info("review.proposed", case_id=scene.case.case_id, choice=chosen.act.value, by=by)
        because = f" ({chosen.second_because})" if chosen.second_because else ""
        told = f"proposed; a second person has to agree: {chosen.does}{because}"
        return {
            "case_id": scene.case.case_id,
            "choice": chosen.act.value,
            "done": False,
            "waits_for_second": True,
            "told": told,
            "overtook": 0,
        }

    def _name(self, tx: Tx, name: str, order: str, by: str, reason: str) -> dict[str, Any]:
        row = lock_case(tx, _to_decide(tx, name).case_id)
        _still_to_decide(tx, row)
        proposal = proposals_of(tx, [row]).get(row.case_id)
        if proposal is not None:
            raise Refused(f"{row.case_id}: {proposal.choice} is proposed by {proposal.proposed_by}; withdraw it first")
        self._take(tx, row, by)
        told = name_order(tx, self.ledger, self.bench, row, order, by=by, reason=reason, now=self.clock.now())
        log.info("review.order_named", case_id=row.case_id, purchase_id=told["purchase_id"], by=by)
        return told

    def _withdraw_or_take_back(self, tx: Tx, name: str, choice: str | None, by: str, reason: str) -> dict[str, Any]:
        row = lock_case(tx, find(tx, name).case_id)
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
        close(tx, claim, case, PaymentState.NOT_NEEDED, CaseState.REVIEW, why, Closing(self.ledger, self.bench, now))
        log.info("review.withdrawn", case_id=row.case_id, choice=REFUND, by=by)
        told = f"the refund of {money(claim.amount, claim.currency)} is taken back, and a person decides again"
        return _withdrawn(row.case_id, REFUND, None, told)

    def _withdraw(self, tx: Tx, name: str, choice: str | None, by: str, reason: str) -> dict[str, Any]:
        row = lock_case(tx, find(tx, name).case_id)
        proposal = proposals_of(tx, [row]).get(row.case_id)
        if proposal is None:
            raise Refused(f"{row.case_id}: nothing is proposed")
        if choice not in {None, proposal.choice}:
            raise Refused(f"{row.case_id}: {proposal.choice} is proposed by {proposal.proposed_by} by now; look again")
        scene = self._scene(tx, row)
        _end(tx, proposal, {"state": "withdrawn", "ended_by": by, "ended_at": scene.now, "ended_reason": reason})
        released = unfreeze_for(tx, self.ledger, scene, proposal.proposal_id)
        scene.case.note("review.withdrawn", choice=proposal.choice, by=by, reason=reason, credits_released=released)
        write_cases(tx, [scene.case], scene.now, by)
        told = f"{proposal.choice} is withdrawn" + (f"; {released} credits can be spent again" if released else "")
        return _withdrawn(row.case_id, proposal.choice, proposal.proposed_by, told)

    def _overtaken(self, tx: Tx, scene: Scene, by: str, reason: str) -> int:
        """How many cases came earlier and are in nobody's hands; noted, with the reason, where there are any. One that is not in
        the queue overtakes nobody.
        """
        if not waits_for_a_person(scene.row):
            return 0
        busy = select(leases.c.name).where(leases.c.name.like("review:%"), leases.c.until > scene.now)
        proposed = select(proposals.c.case_id).where(proposals.c.state == "open")
        earlier = select(func.count()).where(
            cases.c.state == CaseState.REVIEW.value,
            cases.c.case_id < scene.case.case_id,
            ("review:" + cases.c.case_id).not_in(busy),
            cases.c.case_id.not_in(proposed),
        )
        count = int(tx.value(earlier))
        if count:
            scene.case.note("review.overtook", cases=count, by=by, reason=reason)
        return count


def _withdrawn(case_id: str, choice: str, proposed_by: str | None, told: str) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "choice": choice,
        "proposed_by": proposed_by,
        "done": False,
        "waits_for_second": False,
        "told": told,
        "overtook": 0,
    }


def _unsent(tx: Tx, row: Row[Any]) -> Row[Any] | None:
    """The open claim of the case, locked, if no money of it can have left."""
    p = payments.c
    claim = tx.first(select(payments).where(p.case_id == row.case_id, p.closed_at.is_(None)).with_for_update())
    return claim if claim is not None and claims.nothing_left(tx, claim) else None


def _to_decide(tx: Tx, name: str) -> Row[Any]:
    row = find(tx, name)
    _still_to_decide(tx, row)
    return row


def _still_to_decide(tx: Tx, row: Row[Any]) -> None:
    if not can_be_decided(tx, row):
        raise Refused(does_not_wait(row.case_id, row.state))


def _chosen(offered: list[Choice], choice: str | None, row: Row[Any]) -> Choice:
    if choice is None:
        found = recommended(offered)
        if found is None:
            said = "; ".join(f"{c.act.value}: {c.refused or c.does}" for c in offered)
            raise Refused(f"{row.case_id}: there is no remedy at hand; choose one of {said}")
        return found
    named = next((c for c in offered if c.act.value == choice), None)
    if named is None:
        raise Refused(f"{row.case_id}: {choice} is not possible here; choose one of {', '.join(c.act.value for c in offered)}")
    if named.refused is not None:
        raise Refused(f"{row.case_id}: {choice} cannot be chosen: {named.refused}")
    return named


def _to_agree(proposal: Row[Any], choice: str | None, by: str, offered: list[Choice], row: Row[Any]) -> Act:
    """What is proposed, where this person may agree to it, and it can still be done and gives what the first one was shown."""
    if not waits_for_a_person(row):
        # what was proposed while it waited ends with that
        raise Refused(does_not_wait(row.case_id, row.state))
    if choice not in {None, proposal.choice}:
        raise Refused(f"{row.case_id}: {proposal.choice} is proposed by {proposal.proposed_by}; agree to it or withdraw it first")
    if by == proposal.proposed_by:
        raise Refused(f"{row.case_id}: {proposal.choice} was proposed by {by}; a second, different person has to agree")
    # it has to be possible still
    now = _chosen(offered, proposal.choice, row)
    if now.gives and now.does != proposal.does:
        why = f"{proposal.proposed_by} proposed another thing: {proposal.does}; by now {now.does}"
        raise Refused(f"{row.case_id}: {why}; `refunds review withdraw {row.case_id}` ends the proposal, and it is made anew")
    return now.act


def _held(row: Row[Any], lease: Row[Any]) -> Refused:
    return Refused(f"{row.case_id} is with {lease.holder} until {moment(lease.until)}")


def _done(scene: Scene, act: Act, told: str, overtook: int) -> dict[str, Any]:
    return {
        "case_id": scene.case.case_id,
        "choice": act.value,
        "done": True,
        "waits_for_second": False,
        "told": told,
        "overtook": overtook,
    }


def _end(tx: Tx, proposal: Row[Any], values: dict[str, Any]) -> None:
    still = (proposals.c.proposal_id == proposal.proposal_id, proposals.c.state == "open")
    if tx.connection.execute(update(proposals).where(*still).values(**values)).rowcount != 1:
        raise Refused(f"{proposal.case_id}: the proposal was ended meanwhile")
