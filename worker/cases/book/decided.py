"""A decision kept with the very facts it rests on, so that it can be asked for again years later."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, select

from policy import (
    ChargeDispute,
    ChargeFacts,
    Clause,
    Editions,
    JobFacts,
    RequestFacts,
    Terms,
    UnknownEdition,
    clause_text,
    decide,
    decide_charge,
    decide_dispute,
    decide_request,
)
from policy.decision import Decision
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import BY_PERSON, Case, shown_account
from worker.clock import written
from worker.store.arrays import Written
from worker.store.bulk import Tx
from worker.store.tables import case_history

Facts = JobFacts | ChargeFacts | ChargeDispute | RequestFacts
_KEPT: dict[type[Facts], TypeAdapter[Any]] = {
    each: TypeAdapter(each) for each in (JobFacts, ChargeFacts, ChargeDispute, RequestFacts)
}
"""Facts as a case keeps them."""
_ASKED: dict[CaseKind, tuple[type[Facts], Callable[[Any, Terms], Decision]]] = {
    CaseKind.JOB: (JobFacts, decide),
    CaseKind.DUPLICATE_CHARGE: (ChargeFacts, decide_charge),
    CaseKind.DISPUTE: (ChargeDispute, decide_dispute),
    CaseKind.REQUEST: (RequestFacts, decide_request),
}
"""What a case of each kind is decided on, and by what."""


def record(case: Case, decision: Decision, facts: Facts) -> None:
    """Puts decision and facts on the case, with one line of history."""
    case.outcome, case.rule, case.clause = decision.outcome.value, decision.rule, decision.clause.value
    case.terms, case.reason = decision.terms, decision.reason
    case.credits_owed = decision.credits
    case.facts = _dumped(facts)
    case.note(
        "case.decided",
        outcome=case.outcome,
        rule=case.rule,
        clause=case.clause,
        terms=case.terms,
        reason=case.reason,
        because=dict(decision.because),
    )


def reason_decided(tx: Tx, case: Case) -> str | None:
    """Why the case was decided as it stands, in the words of the policy or of the person, whatever its reason says since; None
    where neither chose words for it.
    """
    c = case_history.c
    said = select(c.detail).where(c.case_id == case.case_id, c.event.in_(["case.decided", "review.decided"]))
    row = tx.first(said.order_by(c.id.desc()).limit(1))
    # what was recovered after a restore was decided in a time that is lost
    return None if row is None or row.detail.get("choice") == "recover" else row.detail["reason"]


def amount_claimed(tx: Tx, case_id: str) -> int | None:
    """What would go back, in minor units, as told when the charge of this case was last claimed; None where no line says it."""
    c = case_history.c
    said = select(c.detail).where(c.case_id == case_id, c.event == "payment.claimed").order_by(c.id.desc()).limit(1)
    row = tx.first(said)
    return row.detail["amount"] if row else None


def put_to_a_person(case: Case, facts: ChargeFacts, why: str) -> None:
    """Puts the facts as they are now on a case that a person decided, whose decision stays until a person decides again."""
    case.facts, case.reason = _dumped(facts), why
    case.note("case.handed_over", why=why)


def charge_facts(case: Case) -> ChargeFacts:
    """The facts that a case of a charge was decided on."""
    found: ChargeFacts = _KEPT[ChargeFacts].validate_json(json.dumps(case.facts))
    return found


def ask_again(kind: CaseKind, facts: Any, terms: Terms) -> Decision:
    """What the policy says of the kept facts of a case."""
    decided_on, ask = _ASKED[kind]
    return ask(_KEPT[decided_on].validate_json(json.dumps(facts)), terms)


def asked_again(row: Row[Any], editions: Editions) -> dict[str, Any]:
    """What the policy, asked again, says of a case that is decided: the words of its clause, its facts, what would have changed
    it, and whether it is the same again. What a person decided rests on the same facts and is no answer of the policy's. Raises
    `UnknownEdition` where the terms it was decided by are not here.
    """
    terms = editions.by_name(row.terms)
    decision = ask_again(CaseKind(row.kind), row.facts, terms)
    said, other = {"outcome": decision.outcome.value, "rule": decision.rule, "reason": decision.reason}, decision.counterfactual
    return {
        "clause_text": clause_text(Clause(row.clause), terms),
        "because": dict(decision.because),
        "counterfactual": None if other is None else {"change": other.change, "outcome": other.outcome.value, "rule": other.rule},
        "policy_said": said,
        "same_again": row.rule == BY_PERSON or (said["outcome"], said["rule"]) == (row.outcome, row.rule),
    }


def undecided(row: Row[Any]) -> str | None:
    """What a case in which nothing is decided waits for, of whom, until when, and how it gets on; None where one is."""
    if row.outcome is not None:
        return None
    account, reason = shown_account(row.account_id), row.reason or "the facts are not all here"
    said = f"Nothing is decided yet: {reason}{f', of account {account}' if account else ''}"
    if row.state != CaseState.WAITING.value or row.next_action_at is None:
        return f"{said}."
    if row.kind != CaseKind.JOB.value:
        return f"{said}. Next look {written(row.next_action_at)}."
    until = f"What does not come by {written(row.next_action_at)} is judged without, or by a person"
    return f"{said}. It goes on by itself when that comes: import it, or find out why no event told of it. {until}."


def why(row: Row[Any], editions: Editions) -> dict[str, Any] | None:
    """The explanation of a case; None while nothing is decided. Where the terms it was decided by are not here, `unasked` says
    so.
    """
    if row.outcome is None or row.facts is None or row.terms is None:
        return None
    try:
        found = asked_again(row, editions)
    except UnknownEdition as error:
        said = clause_text(Clause(row.clause), editions.at(row.failed_at))
        return {"clause_text": said, "because": {}, "counterfactual": None, "same_again": None, "unasked": str(error)}
    return found | {"by_person": row.rule == BY_PERSON, "unasked": None}


def _dumped(facts: Facts) -> Written:
    return Written(_KEPT[type(facts)].dump_json(facts).decode())
