"""What a mail answers: the case that our question was about, or those that a letter of ours told of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Select, select

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import Case
from worker.cases.book.rows import case_of
from worker.cases.money.used import paid_for
from worker.cases.requests.identify import BESIDE, About
from worker.cases.requests.judge import in_peoples_hands, reopened
from worker.cases.requests.register import first_of
from worker.store.bulk import Tx
from worker.store.tables import cases, notices, purchases, requests


@dataclass(frozen=True, slots=True)
class Told:
    """One case that a letter told of, locked. `own`: the job and the purchase that it is about, and what else its mail named."""

    case: Case
    own: frozenset[str]

    @property
    def a_no(self) -> bool:
        """It is a no to a mail, answered before or not: what the customer says against it is looked at by a person."""
        said = self.case.state in {CaseState.DECLINED, CaseState.NOTHING_OWED}
        return self.case.kind is CaseKind.REQUEST and (said or reopened(self.case))

    @property
    def to_be_judged(self) -> bool:
        """It is a request that is judged by what an answer adds to it."""
        return self.case.kind is CaseKind.REQUEST and not (self.a_no or in_peoples_hands(self.case))

    @property
    def over(self) -> bool:
        """Nothing more comes of it."""
        return self.case.state is not None and self.case.state.final and not self.a_no


def answered(tx: Tx, references: Sequence[str], answers: Sequence[str]) -> Sequence[Row[Any]]:
    """The cases that the mail answers, in the order received: by the reference of our question, else those that the last of the
    letters it answers told of. Only the account's own mailbox was ever sent either.
    """
    if references:
        asked = select(cases).join(requests, requests.c.case_id == cases.c.case_id)
        rows = tx.all(asked.where(tx.among(requests.c.reference, references)).order_by(requests.c.received_at.desc()).limit(1))
        if rows:
            return rows
    if not answers:
        return ()
    newest = select(notices.c.message_id).where(tx.among(notices.c.message_id, answers)).order_by(notices.c.created_at.desc())
    told = select(notices.c.case_id).where(notices.c.message_id == newest.limit(1).scalar_subquery())
    return tx.all(select(cases).where(cases.c.case_id.in_(told)).order_by(cases.c.opened_at, cases.c.case_id))


def told_of(tx: Tx, letter: Sequence[Row[Any]], about: About) -> list[Told]:
    """These cases of one letter, locked, to a mail `about` this. The caller holds the lock of their account."""
    ids = [row.case_id for row in letter]
    locked = tx.all(select(cases).where(tx.among(cases.c.case_id, ids)).order_by(cases.c.case_id).with_for_update())
    told = [Told(case := case_of(row), _own(tx, case, about)) for row in locked]
    return sorted(told, key=lambda one: ids.index(one.case.case_id))


def _own(tx: Tx, case: Case, about: About) -> frozenset[str]:
    job_id, purchase_id, beside = case.job_id, None, ()
    if case.kind is CaseKind.REQUEST:
        request = first_of(tx, case.subject)
        job_id, purchase_id, beside = request.job_id, request.purchase_id, request.named.get(BESIDE, ())
    elif case.kind is CaseKind.DUPLICATE_CHARGE:
        purchase_id = case.subject
    # a job and the order that paid for it are one thing
    paid = [one for one in about.bought if job_id is not None and paid_for(tx, one, job_id)]
    ran = [one for one in about.jobs if purchase_id is not None and paid_for(tx, purchase_id, one)]
    return frozenset(one for one in (job_id, purchase_id, *beside, *paid, *ran) if one is not None)


def lies_with(taking: Sequence[Told]) -> Told:
    """The one of these cases that an answer to all of them is filed with: a no, else a request to be judged, else any."""
    return min(taking, key=lambda one: (not one.a_no, not one.to_be_judged))


def asked_beside(about: About, taking: Sequence[Told]) -> About | None:
    """What an answer asks for beside what these cases are about, by name or as an order that is not known; None where that is
    nothing. A request that is still to be judged takes it all along, and a no, which a person reads, what is not known.
    """
    to_a_no = any(one.a_no for one in taking)
    if not to_a_no and any(one.to_be_judged for one in taking):
        return None
    other = about.only(about.things - own_of(taking) - {about.kept})
    asks = (about.by_name and other.things) or (about.unknown and not to_a_no)
    return other if asks else None


def about_case(tx: Tx, about: About, case: Case) -> About:
    """What the mail is about, and where it lacks a job or a purchase those of this case."""
    row = tx.first(_purchase(case))
    purchase_id = row.purchase_id if row else None
    return replace(about, job_id=about.job_id or case.job_id, purchase_id=about.purchase_id or purchase_id)


def _purchase(case: Case) -> Select[Any]:
    p, r = purchases.c, requests.c
    match case.kind:
        case CaseKind.DUPLICATE_CHARGE:
            return select(p.purchase_id).where(p.purchase_id == case.subject)
        case CaseKind.DISPUTE:
            return select(p.purchase_id).where(p.transaction_id == case.subject)
        case _:
            return select(r.purchase_id).where(r.request_id == case.subject)


def own_of(told: Sequence[Told]) -> frozenset[str]:
    """What any of these cases is about."""
    return frozenset(one for each in told for one in each.own)
