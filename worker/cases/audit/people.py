"""The checks of the audit about people: files kept no longer than promised, two people where two are
needed, customers told once."""

from typing import Any

from sqlalchemy import Select, and_, exists, func, or_, select

from policy.lifecycle import CaseKind
from worker.cases.audit.words import Query, before, said
from worker.cases.book.book import BY_PERSON
from worker.store.inbox import NO_TIME
from worker.store.tables import case_history, cases, evidence, notices, proposals, requests

SAID_AGAIN = ("declined", "in_review", "credits_returned", "suspension", "reinstated", "forfeiture")
"""What may come to be said again of one case, each time in a notice of its own."""


def _not_kept_too_long() -> Select[Any]:
    e = evidence.c
    late = and_(e.state.in_(["kept", "deleting"]), e.delete_by < before(NO_TIME))
    return select(e.evidence_id.label("row"), said("had to be gone by ", e.delete_by, " and is ", e.state)).where(late)


def _requests_have_cases() -> Select[Any]:
    c = cases.c
    mail = exists().where(requests.c.request_id == c.subject, requests.c.case_id == c.case_id)
    return select(c.case_id.label("row"), said("is about a mail that is not there")).where(
        c.kind == CaseKind.REQUEST.value, ~mail
    )


def _two_people_agreed() -> Select[Any]:
    p = proposals.c
    alone = or_(p.ended_by.is_(None), p.ended_by == p.proposed_by)
    return select(p.proposal_id.label("row"), said(p.choice, " was agreed to by ", p.ended_by, " alone")).where(
        p.state == "agreed", alone
    )


def _proposals_are_as_history_tells() -> Select[Any]:
    """Who proposed and who agreed is in the history, which is chained: nobody agrees to what was their own."""
    p, h = proposals.c, case_history.c
    by, choice = h.detail["by"].as_string(), h.detail["choice"].as_string()
    of_it = h.case_id == p.case_id, choice == p.choice
    proposed = exists().where(*of_it, h.event == "review.proposed", by == p.proposed_by)
    agreed = exists().where(*of_it, h.event == "review.agreed", by == p.ended_by)
    told = said(p.choice, " by ", p.proposed_by, " is ", p.state, " by ", p.ended_by, ", its history tells another")
    return select(p.proposal_id.label("row"), told).where(or_(~proposed, and_(p.state == "agreed", ~agreed)))


def _decisions_name_their_people() -> Select[Any]:
    c = cases.c
    named = exists().where(case_history.c.case_id == c.case_id, case_history.c.event == "review.decided")
    return select(c.case_id.label("row"), said("was decided by a person whom its history does not name")).where(
        c.rule == BY_PERSON, ~named
    )


def _told_once() -> Select[Any]:
    h = case_history.c
    kind = h.detail["kind"].as_string().label("kind")
    often = select(h.case_id, kind, func.count().label("times")).where(h.event == "notice.sent").group_by(h.case_id, kind)
    told = often.having(func.count() > 1).subquery()
    meant = select(func.count()).where(notices.c.case_id == told.c.case_id, notices.c.kind == told.c.kind).scalar_subquery()
    return select(told.c.case_id.label("row"), said("was told of ", told.c.times, " times: ", told.c.kind)).where(
        or_(told.c.kind.not_in(SAID_AGAIN), told.c.times > meant)
    )


def _letters_are_as_history_tells() -> Select[Any]:
    """A letter that left is in the history of its case: one that is only said to have left was read by nobody."""
    n, h = notices.c, case_history.c
    told = exists().where(h.case_id == n.case_id, h.event == "notice." + n.state, h.detail["kind"].as_string() == n.kind)
    return select(n.key.label("row"), said("is ", n.state, ", and the history of its case says nothing of it")).where(
        n.state.in_(["sent", "refused", "unknown"]), ~told
    )


PEOPLE_CHECKS: tuple[tuple[str, Query], ...] = (
    ("no_evidence_kept_too_long", _not_kept_too_long),
    ("requests_have_their_mail", _requests_have_cases),
    ("two_people_agreed", _two_people_agreed),
    ("decisions_name_their_people", _decisions_name_their_people),
    ("customers_are_told_once", _told_once),
    ("proposals_are_as_history_tells", _proposals_are_as_history_tells),
    ("letters_are_as_history_tells", _letters_are_as_history_tells),
)
