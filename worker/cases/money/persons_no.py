"""A charge of which a person said no: it stays declined. What that person could not know brings it back to a person, and nothing
is claimed of it before one says so (policy.md, "Duplicate charge"; decision 57).
"""

from datetime import datetime

from sqlalchemy import select

from policy.decision import Outcome
from policy.duplicates import stands
from policy.facts import ChargeFacts
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import BY_PERSON, Case
from worker.cases.book.casework import REMIND, go, remind
from worker.cases.book.decided import charge_facts, put_to_a_person
from worker.store.bulk import Tx
from worker.store.tables import case_history

NO_LONGER_DISPUTED = "a person declined it while the charge was under dispute at the bank, which is over: it stands again"
NONE_STOOD = "a person declined it when no earlier charge for the same thing stood, and {first} does"
FIRST_IS_GONE = "a person declined it as a second charge beside {before}, which no longer stands; {first} does"
NOT_KNOWN = "a person declined it before it was known how often the same was charged: it is one again of {first}"


def declined_by_a_person(case: Case) -> bool:
    """True where the last word on a duplicate charge is a person's no, whether or not a person looks again."""
    no = (BY_PERSON, Outcome.DECLINE.value)
    return case.kind is CaseKind.DUPLICATE_CHARGE and (case.rule, case.outcome) == no


def meant(case: Case) -> bool:
    """True where the later charge stays, because a person declined to give it back."""
    return declined_by_a_person(case) and case.state is CaseState.DECLINED


def declined_once(tx: Tx, case: Case) -> str | None:
    """Why no money leaves by itself where a person ever said no, whatever was decided since; None where nobody did."""
    said = select(case_history.c.detail).where(case_history.c.case_id == case.case_id, case_history.c.event == "review.decided")
    if any(row.detail["choice"] == "decline" for row in tx.all(said)):
        return "a person declined it before"
    return None


def keep_to_the_no(case: Case, facts: ChargeFacts, standing: set[str], now: datetime) -> None:
    """The case stays as the person left it, unless there is news; `standing` are the charges of the same that stand now."""
    news = _news(charge_facts(case), facts, standing)
    if news is not None:
        put_to_a_person(case, facts, news)
        go(case, CaseState.REVIEW, next_action_at=now + REMIND)
    elif case.state is CaseState.REVIEW:
        remind(case, now)


def _news(before: ChargeFacts, facts: ChargeFacts, standing: set[str]) -> str | None:
    """What there is now that whoever said no could not know, where it makes the charge one that may be owed. That another charge
    stays because a person let it stand is none: all of them lay before that person.
    """
    first = facts.first
    if first is None or not stands(facts.charge):
        return None
    if before.charge.disputed:
        return NO_LONGER_DISPUTED
    if before.first is None:
        return NONE_STOOD.format(first=first.purchase_id)
    if before.first.purchase_id == first.purchase_id:
        return None
    if before.first.purchase_id not in standing:
        return FIRST_IS_GONE.format(before=before.first.purchase_id, first=first.purchase_id)
    return NOT_KNOWN.format(first=first.purchase_id) if facts.group > before.group else None
