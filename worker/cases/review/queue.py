"""What waits for a person, first come first served, and what each choice about it would do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.bench import Bench
from worker.cases.book.book import shown_account
from worker.cases.documents.document import document, find
from worker.cases.documents.promises import creem_may_act, deadlines
from worker.cases.documents.suspended import suspended_under
from worker.cases.money.settle import Settler
from worker.cases.review import allowance
from worker.cases.review.choices import Choice, awaits_word, choices
from worker.cases.review.naming import orders_to_name
from worker.cases.review.people import person
from worker.cases.review.scene import Scene, scene_of
from worker.cases.review.shown import shown
from worker.clock import Clock, moment
from worker.credits.ledger import Ledger
from worker.creem.environment import Environment
from worker.settings import Mode
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.pages import page
from worker.store.statements import verbatim
from worker.store.tables import cases, leases, proposals

NAMED_BEFORE = 100
"""Of those who wait before a case, the first so many are named; its place says how many there are."""


def in_queue() -> Any:
    """The cases that wait for a person: in review, and requests that wait for an answer and keep their place."""
    # as the index has it, word for word: it alone knows them in their order
    state, kind = cases.c.state, cases.c.kind
    parked = and_(state == verbatim(CaseState.WAITING.value), kind == verbatim(CaseKind.REQUEST.value))
    return or_(state == verbatim(CaseState.REVIEW.value), parked)


def queued(after: str | None, limit: int) -> Select[Any]:
    """So many of them at most, in the order received, beginning after this case."""
    behind = [cases.c.case_id > after] if after is not None else []
    return select(cases).where(in_queue(), *behind).order_by(cases.c.case_id).limit(limit)


def waits_for_a_person(row: Row[Any]) -> bool:
    """Whether a case is one of those, as it was read."""
    parked = row.state == CaseState.WAITING.value and row.kind == CaseKind.REQUEST.value
    return bool(row.state == CaseState.REVIEW.value or parked)


def can_be_decided(tx: Tx, row: Row[Any]) -> bool:
    """Whether a person has anything to choose about a case: where it waits, and where its account stands suspended under it."""
    return waits_for_a_person(row) or suspended_under(tx, row.account_id) == row.case_id


def does_not_wait(case_id: str, state: str) -> str:
    """What is said to whoever would decide a case that is none of those."""
    return f"{case_id} does not wait for a person: it is {state}{how_a_no_turns(state)}"


def how_a_no_turns(state: str) -> str:
    """Where it is said what can be done about a no that was wrong; nothing of what is no no."""
    return '; the runbook, "A wrong no", has what turns that' if state == CaseState.DECLINED.value else ""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue with its collaborators. Without an `environment` there is no key, and no money can leave."""

    store: Store
    ledger: Ledger
    bench: Bench
    environment: Environment | None
    clock: Clock

    @property
    def settler(self) -> Settler:
        """What follows from what becomes of a charge."""
        return Settler(self.ledger, self.bench, self.environment)

    def queue(self, *, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """What waits, in the order received, and the id to continue after."""
        return self.store.read(lambda tx: self._queue(tx, limit, after))

    def deadlines(self, *, limit: int) -> list[dict[str, Any]]:
        """The promises that run, ours and Creem's own patience, earliest first, with how much of each has gone by."""
        return self.store.read(lambda tx: deadlines(tx, self.bench, self.clock.now(), limit=limit))

    def look(self, name: str, *, by: str) -> dict[str, Any]:
        """One case whole, with what every choice of this person would do, its mails and files, its place in the queue."""
        return self.store.read(lambda tx: self._look(tx, name, person(by)))

    def approved_by(self, by: str) -> dict[str, Any]:
        """What this person approved alone in the last 24 hours, beside what the terms leave to one person."""
        return self.store.read(lambda tx: self._allowance(tx, person(by))).document()

    def approved(self) -> list[dict[str, Any]]:
        """What each person who approved something did alone in the last 24 hours, beside what the terms leave to one person."""
        now = self.clock.now()
        found = self.store.read(lambda tx: allowance.allowances(tx, self.bench.terms_at(now), now))
        return [each.document() for each in found]

    def _queue(self, tx: Tx, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        shown, following = page(tx.all(queued(after, limit + 1)), limit, "case_id")
        held, opened = leases_of(tx, shown, self.clock.now()), proposals_of(tx, shown)
        return [self._item(row, held.get(row.case_id), opened.get(row.case_id)) for row in shown], following

    def _item(self, row: Row[Any], lease: Row[Any] | None, proposal: Row[Any] | None) -> dict[str, Any]:
        now = self.clock.now()
        return {
            "case_id": row.case_id,
            "kind": row.kind,
            "account_id": shown_account(row.account_id),
            "job_id": row.job_id,
            "order_id": row.order_id,
            "state": row.state,
            "reason": row.reason,
            "received_at": moment(row.opened_at),
            "due_at": moment(row.due_at),
            "creem_may_act_at": moment(creem_may_act(row, self.bench)),
            "overdue": row.due_at < now,
            "taken_by": lease.holder if lease else None,
            "taken_until": moment(lease.until) if lease else None,
            "proposal": _proposal(proposal),
        }

    def _look(self, tx: Tx, name: str, by: str) -> dict[str, Any]:
        row = find(tx, name)
        scene = self._scene(tx, row)
        before = in_queue(), cases.c.case_id < row.case_id
        first = tx.all(select(cases.c.case_id).where(*before).order_by(cases.c.case_id).limit(NAMED_BEFORE))
        waits, proposed = waits_for_a_person(row), proposals_of(tx, [row]).get(row.case_id)
        item = self._item(row, leases_of(tx, [row], scene.now).get(row.case_id), proposed)
        case, allowed, given = document(tx, row, scene.now), self._allowance(tx, by), self._given_before(tx, scene, by)
        offered = [allowed.checked(choice, given) for choice in self._choices(scene)]
        # while something is proposed, to agree to just that is what can be chosen
        open_to = {proposed.choice: proposed} if proposed is not None else {choice.act.value: choice for choice in offered}
        return {
            "case": case,
            "waiting": waits,
            "place": int(tx.value(select(func.count()).select_from(cases).where(*before))) + 1 if waits else None,
            "waiting_before": [earlier.case_id for earlier in first],
            **{name: item[name] for name in ("taken_by", "taken_until", "proposal", "due_at", "creem_may_act_at", "overdue")},
            "requests": case["requests"],
            "evidence": case["evidence"],
            "orders_to_name": orders_to_name(tx, row),
            "choices": [choice.document() for choice in offered],
            "shown": {name: shown(tx, row, choice) for name, choice in open_to.items()},
            "approved_by_you": allowed.document(),
        }

    def _scene(self, tx: Tx, row: Row[Any]) -> Scene:
        return scene_of(tx, self.ledger, self.bench, self.environment, row, self.clock.now())

    def _choices(self, scene: Scene) -> list[Choice]:
        held = None
        if self.bench.mode is not Mode.FULL:
            held = f"no money leaves in mode {self.bench.mode.value}"
        elif self.environment is None:
            held = "no Creem key is configured, so no money can leave"
        return choices(scene, mode=self.bench.mode, money_can_leave=held, waits=waits_for_a_person(scene.row))

    def _given_before(self, tx: Tx, scene: Scene, by: str) -> int:
        return allowance.given_before(tx, by, scene.payment if awaits_word(scene) else None, scene.now)

    def _allowance(self, tx: Tx, by: str) -> allowance.Allowance:
        now = self.clock.now()
        return allowance.allowance_of(tx, by, self.bench.terms_at(now), now)


def leases_of(tx: Tx, rows: Any, now: datetime) -> dict[str, Row[Any]]:
    """Who has which of these cases in hand, by case id."""
    names = {lease_name(row.case_id): row.case_id for row in rows}
    held = tx.all(select(leases).where(tx.among(leases.c.name, names), leases.c.until > now)) if names else []
    return {names[lease.name]: lease for lease in held}


def proposals_of(tx: Tx, rows: Any) -> dict[str, Row[Any]]:
    """What is proposed about these cases and waits for a second person, by case id."""
    ids = [row.case_id for row in rows]
    found = tx.all(select(proposals).where(tx.among(proposals.c.case_id, ids), proposals.c.state == "open")) if ids else []
    return {row.case_id: row for row in found}


def _proposal(row: Row[Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    names = ("proposal_id", "choice", "does", "proposed_by", "reason")
    return {name: getattr(row, name) for name in names} | {"proposed_at": moment(row.proposed_at)}


def lease_name(case_id: str) -> str:
    """What the lease of a case is called."""
    return f"review:{case_id}"
