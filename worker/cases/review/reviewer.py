"""What a person does: a case is taken by one at a time, and decided once.

Everything is checked behind the account's lock in the transaction that acts: who holds the case, what the choice would do now,
whether a second person is needed and is another one.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select

from policy.lifecycle import CaseState
from worker.cases.book import spans
from worker.cases.book.write import write_cases
from worker.cases.documents.document import find_alone
from worker.cases.review import allowance
from worker.cases.review.act import Deed, carry_out, freeze_for
from worker.cases.review.choices import Act, Choice, recommended
from worker.cases.review.naming import name_order
from worker.cases.review.people import person
from worker.cases.review.queue import (
    can_be_decided,
    does_not_wait,
    lease_name,
    leases_of,
    proposals_of,
    waits_for_a_person,
)
from worker.cases.review.scene import Scene, lock_case
from worker.cases.review.shown import check_shown, shown
from worker.cases.review.withdraw import Withdrawals, came_to, end, stated
from worker.clock import moment, new_id
from worker.errors import Refused
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.leases import leave, take
from worker.store.tables import case_history, cases, leases, proposals
from worker.traces import tell

LEASE = timedelta(minutes=15)
"""How long a case stays with the person who took it."""
_WORDS = ("case.decided", "review.decided", "review.agreed", "review.withdrawn")
"""What the policy or people said on a case."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a person said on a case. `proposed`: a second one has to agree to it."""

    by: str
    choice: str
    reason: str
    proposed: bool


@dataclass(frozen=True, slots=True)
class Reviewer(Withdrawals):
    """The review step: the queue, and what a person does about a case in it."""

    def take(self, name: str, *, by: str) -> None:
        """The case is with this person until the lease ends. Raises `Refused` where somebody else has it."""
        self.store.write(lambda tx: self._take(tx, _to_decide(tx, name), by))

    def give_back(self, name: str, *, by: str) -> None:
        """The case is free again; without effect where somebody else has it."""
        row = self.store.read(lambda tx: find_alone(tx, name))
        self.store.write(lambda tx: leave(tx, lease_name(row.case_id), person(by)))

    def decide(self, name: str, choice: str | None, *, by: str, reason: str, shown: str | None = None) -> dict[str, Any]:
        """Carries the choice out, or puts it to a second person where one is needed; `choice` None means the remedy at hand,
        `shown` is what this person was shown of it.

        Raises `Refused` for a case that somebody else has, a choice that cannot be taken now, a proposal of one's own, and a
        case that was decided, or is no longer what was shown.
        """
        why = stated(reason)
        told, scene = self.store.write(lambda tx: self._decide(tx, name, choice, person(by), why, shown))
        tell(spans.moves([scene.case], scene.now), self.clock.now())
        return told

    def word_on(self, case_id: str) -> Word | None:
        """What stands of people's words on the case: what is proposed, or of one that waits for nobody how it was decided; None
        where it is neither, as where the policy had the last word.
        """
        return self.store.read(lambda tx: _word_on(tx, case_id))

    def plan(self, name: str, choice: str | None, *, by: str) -> dict[str, Any]:
        """What `decide` would do for this person now, without doing it; the case stays free. Raises `Refused` where it would."""
        return self.store.read(lambda tx: self._plan(tx, name, choice, person(by)))

    def name(self, name: str, order: str, *, by: str, reason: str) -> dict[str, Any]:
        """The mail of this case, which names nothing that is known, is about that order of its account, and judged by it; the
        case stays with this person. Raises `Refused` where that cannot be said, or somebody else has the case.
        """
        why = stated(reason)
        return self.store.write(lambda tx: self._name(tx, name, order, person(by), why))

    def plan_name(self, name: str, order: str, *, by: str, reason: str) -> dict[str, Any]:
        """What `name` would return now; nothing changes."""
        return self.store.rehearse(lambda tx: self._name(tx, name, order, person(by), reason))

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
            done = carry_out(tx, self.settler, scene, Deed(chosen.act, by, reason))
            allowance.note(tx, row.case_id, by, chosen, scene.now, given)
            told = came_to(row.case_id, chosen.act.value, done, done=True, overtook=overtook)
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
        end(tx, proposal, ended)
        scene.case.note("review.agreed", choice=act.value, by=by, reason=reason, proposed_by=proposal.proposed_by)
        overtook = self._overtaken(tx, scene, by, reason)
        deed = Deed(act, f"{proposal.proposed_by} and {by}", proposal.reason, proposal.proposal_id)
        done = carry_out(tx, self.settler, scene, deed)
        return came_to(scene.case.case_id, act.value, done, done=True, overtook=overtook)

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
        return came_to(scene.case.case_id, chosen.act.value, told, waits_for_second=True)

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


def _word_on(tx: Tx, case_id: str) -> Word | None:
    row = tx.one(select(cases).where(cases.c.case_id == case_id))
    proposal = proposals_of(tx, [row]).get(case_id)
    if proposal is not None:
        return Word(proposal.proposed_by, proposal.choice, proposal.reason, proposed=True)
    if can_be_decided(tx, row):
        return None
    h = case_history.c
    said = tx.all(select(h.event, h.detail).where(h.case_id == case_id, h.event.in_(_WORDS)).order_by(h.id.desc()).limit(2))
    # what two people decided is the word of both: the second one's stands in the line before
    last = said[-1] if [line.event for line in said] == ["review.decided", "review.agreed"] else next(iter(said), None)
    if last is None or last.event in {"case.decided", "review.withdrawn"}:
        return None
    return Word(last.detail["by"], last.detail["choice"], last.detail["reason"], proposed=False)


def _to_decide(tx: Tx, name: str) -> Row[Any]:
    row = find_alone(tx, name)
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
