"""The checks of the audit: each is one query for the rows that do not fit, as (row, problem)."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, case, exists, false, func, literal, not_, or_, select

from policy.ledger import PostingKind
from policy.lifecycle import CaseKind, CaseState
from worker.cases.audit.words import Query, before, said
from worker.cases.book.rows import FINAL
from worker.store.tables import case_history, cases, dead_letters, effects, inbox, layer_jobs, postings, purchases, reruns

GRACE = timedelta(minutes=5)
"""How long a due action may wait for its sweep before it counts as forgotten."""


def _sum(kind: PostingKind) -> Any:
    return func.coalesce(func.sum(case((postings.c.kind == kind.value, postings.c.credits), else_=0)), 0)


def _postings_balance() -> Select[Any]:
    lot, frozen, void = "lot:" + postings.c.purchase_id, "frozen:" + postings.c.purchase_id, "void:" + postings.c.purchase_id
    job = "job:" + postings.c.job_id
    sides = {
        PostingKind.GRANT: (literal("issued", String), lot),
        PostingKind.DEBIT: (lot, job),
        PostingKind.REVERSAL: (job, lot),
        PostingKind.FREEZE: (lot, frozen),
        PostingKind.RELEASE: (frozen, lot),
        PostingKind.VOID: (frozen, void),
    }
    right = [
        and_(postings.c.kind == kind.value, postings.c.source == source, postings.c.destination == destination)
        for kind, (source, destination) in sides.items()
    ]
    fits = func.coalesce(or_(*right), false())
    return select(
        postings.c.key.label("row"), said(postings.c.kind, " from ", postings.c.source, " to ", postings.c.destination)
    ).where(or_(not_(fits), postings.c.credits <= 0))


def _lots_add_up() -> Select[Any]:
    p = purchases.c
    return select(
        p.purchase_id.label("row"),
        said(
            "remaining ",
            p.remaining,
            " + spent ",
            p.spent,
            " + frozen ",
            p.frozen,
            " + void ",
            p.void,
            " is not granted ",
            p.granted,
        ),
    ).where(or_(p.remaining + p.spent + p.frozen + p.void != p.granted, p.remaining < 0, p.spent < 0, p.frozen < 0, p.void < 0))


def _lots_follow_postings() -> Select[Any]:
    grant, debit, reversal = _sum(PostingKind.GRANT), _sum(PostingKind.DEBIT), _sum(PostingKind.REVERSAL)
    freeze, release, void = _sum(PostingKind.FREEZE), _sum(PostingKind.RELEASE), _sum(PostingKind.VOID)
    p = purchases.c
    booked = select(
        p.purchase_id,
        p.granted,
        p.remaining,
        p.spent,
        p.frozen,
        p.void,
        grant.label("b_granted"),
        (grant - debit + reversal - freeze + release).label("b_remaining"),
        (debit - reversal).label("b_spent"),
        (freeze - release - void).label("b_frozen"),
        void.label("b_void"),
    )
    booked = booked.outerjoin(postings, postings.c.purchase_id == p.purchase_id)
    b = booked.group_by(p.purchase_id, p.granted, p.remaining, p.spent, p.frozen, p.void).subquery("b").c
    return select(
        b.purchase_id.label("row"),
        said("holds ", b.remaining, " remaining, ", b.spent, " spent; its postings say ", b.b_remaining, " and ", b.b_spent),
    ).where(
        or_(
            b.granted != b.b_granted,
            b.remaining != b.b_remaining,
            b.spent != b.b_spent,
            b.frozen != b.b_frozen,
            b.void != b.b_void,
        )
    )


def _per_job(*which: ColumnElement[bool]) -> Any:
    debit, back = _sum(PostingKind.DEBIT).label("debit"), _sum(PostingKind.REVERSAL).label("back")
    wanted = select(postings.c.job_id, debit, back).where(postings.c.job_id.is_not(None), *which)
    return wanted.group_by(postings.c.job_id).subquery("per_job")


def _no_job_got_back_more() -> Select[Any]:
    j = _per_job().c
    return select(j.job_id.label("row"), said("got back ", j.back, " of a debit of ", j.debit)).where(j.back > j.debit)


def _no_job_reversed_twice() -> Select[Any]:
    twice = (
        select(postings.c.job_id, postings.c.purchase_id, func.count().label("times"))
        .where(postings.c.kind == PostingKind.REVERSAL.value)
        .group_by(postings.c.job_id, postings.c.purchase_id)
        .having(func.count() > 1)
        .subquery("t")
    ).c
    return select(twice.job_id.label("row"), said("reversed ", twice.times, " times into ", twice.purchase_id))


def _debits_equal_prices() -> Select[Any]:
    j = _per_job()
    jobs = layer_jobs.outerjoin(j, j.c.job_id == layer_jobs.c.job_id)
    debit = func.coalesce(j.c.debit, 0)
    price = case((layer_jobs.c.paid_with == "credits", layer_jobs.c.price), else_=0)
    right = case((layer_jobs.c.undebited, debit == 0), else_=debit == price)
    return (
        select(layer_jobs.c.job_id.label("row"), said("cost ", layer_jobs.c.price, ", the ledger debited ", debit))
        .select_from(jobs)
        .where(not_(right))
    )


def _postings_name_jobs() -> Select[Any]:
    jobs = postings.outerjoin(layer_jobs, layer_jobs.c.job_id == postings.c.job_id)
    moves = postings.c.kind.in_([PostingKind.DEBIT.value, PostingKind.REVERSAL.value])
    return (
        select(postings.c.key.label("row"), said("names job ", postings.c.job_id, ", which is not in the books"))
        .select_from(jobs)
        .where(moves, layer_jobs.c.job_id.is_(None))
    )


def _own_lots_only() -> Select[Any]:
    joined = postings.join(purchases, purchases.c.purchase_id == postings.c.purchase_id).join(
        layer_jobs, layer_jobs.c.job_id == postings.c.job_id
    )
    return (
        select(postings.c.key.label("row"), said("a lot of ", purchases.c.account_id, " and a job of ", layer_jobs.c.account_id))
        .select_from(joined)
        .where(purchases.c.account_id != layer_jobs.c.account_id)
    )


def failed_jobs_without_case(since: datetime | None = None) -> Select[Any]:
    """Failed or incomplete jobs with a standing debit that no case is about, as (row, problem, account_id): those that ended
    `since` then, or all.
    """
    j, about = layer_jobs.c, (cases.c.subject == layer_jobs.c.job_id, cases.c.kind == CaseKind.JOB.value)
    failed = (j.status.in_(["failed", "incomplete"]), *((j.ended_at >= since,) if since is not None else ()))
    # first those without a case, which are next to none: only their postings are read
    alone = select(j.job_id, j.status, j.account_id).where(*failed, ~exists().where(*about)).cte("without_case")
    standing = _per_job(postings.c.job_id.in_(select(alone.c.job_id)))
    return (
        select(alone.c.job_id.label("row"), said(alone.c.status, " with a standing debit and no case"), alone.c.account_id)
        .join(standing, standing.c.job_id == alone.c.job_id)
        .where(standing.c.debit > standing.c.back)
    )


def _open_cases_have_owner_and_time() -> Select[Any]:
    forgotten = or_(cases.c.owner.is_(None), cases.c.next_action_at.is_(None), cases.c.next_action_at < before(GRACE))
    return select(
        cases.c.case_id.label("row"),
        said(
            "is ", cases.c.state, ", owned by ", cases.c.owner, ", next action ", cases.c.next_action_at, "; is a worker running?"
        ),
    ).where(cases.c.state.not_in(FINAL), forgotten)


def _cases_say_what_the_ledger_says() -> Select[Any]:
    booked = (
        select(postings.c.case_id, func.sum(postings.c.credits).label("back"))
        .where(postings.c.kind == PostingKind.REVERSAL.value)
        .group_by(postings.c.case_id)
        .subquery("booked")
    )
    back = func.coalesce(booked.c.back, 0)
    return (
        select(cases.c.case_id.label("row"), said("says ", cases.c.credits_reversed, " came back, the ledger says ", back))
        .select_from(cases.outerjoin(booked, booked.c.case_id == cases.c.case_id))
        .where(cases.c.credits_reversed != back)
    )


def _refunded_cases_paid_what_they_owed() -> Select[Any]:
    short = or_(cases.c.credits_reversed != cases.c.credits_owed, cases.c.credits_reversed == 0)
    return select(
        cases.c.case_id.label("row"), said("is refunded with ", cases.c.credits_reversed, " of ", cases.c.credits_owed, " owed")
    ).where(cases.c.state == CaseState.REFUNDED.value, cases.c.kind == CaseKind.JOB.value, short)


def _final_cases_are_explained() -> Select[Any]:
    mute = or_(cases.c.clause.is_(None), cases.c.reason.is_(None), cases.c.facts.is_(None), cases.c.terms.is_(None))
    return select(cases.c.case_id.label("row"), said("is ", cases.c.state, " without clause, reason or facts")).where(
        cases.c.state.in_(FINAL), mute
    )


def _cases_have_history() -> Select[Any]:
    # not `not in`: whose list outgrows Postgres' working memory is read once for each case
    opened = exists().where(case_history.c.case_id == cases.c.case_id, case_history.c.event == "case.opened")
    return select(cases.c.case_id.label("row"), said("has no opening in its history")).where(~opened)


def _effects_are_not_forgotten() -> Select[Any]:
    waits = and_(effects.c.state.in_(["due", "claimed"]), effects.c.due_at < before(GRACE))
    return select(effects.c.key.label("row"), said("is ", effects.c.state, " since ", effects.c.due_at)).where(waits)


def _intents_of_reruns_stand() -> Select[Any]:
    joined = reruns.outerjoin(effects, effects.c.key == "rerun:" + reruns.c.job_id)
    return (
        select(reruns.c.job_id.label("row"), said("has a re-run and no intent to ask for it"))
        .select_from(joined)
        .where(effects.c.key.is_(None))
    )


def _unhandled_rows_are_young() -> Select[Any]:
    return select(inbox.c.event_id.label("row"), said("waits to be handled since ", inbox.c.received_at)).where(
        inbox.c.state == "new", inbox.c.due_at < before(GRACE)
    )


def _dead_rows_have_letters() -> Select[Any]:
    letter = exists().where(dead_letters.c.inbox_id == inbox.c.id)
    return select(inbox.c.event_id.label("row"), said("is dead and has no dead letter")).where(inbox.c.state == "dead", ~letter)


CHECKS: tuple[tuple[str, Query], ...] = (
    ("postings_balance", _postings_balance),
    ("lots_add_up", _lots_add_up),
    ("lots_follow_postings", _lots_follow_postings),
    ("no_job_got_back_more_than_its_debit", _no_job_got_back_more),
    ("no_job_reversed_twice", _no_job_reversed_twice),
    ("debits_equal_prices", _debits_equal_prices),
    ("postings_name_jobs", _postings_name_jobs),
    ("own_lots_only", _own_lots_only),
    ("failed_jobs_have_cases", failed_jobs_without_case),
    ("open_cases_have_owner_and_time", _open_cases_have_owner_and_time),
    ("cases_say_what_the_ledger_says", _cases_say_what_the_ledger_says),
    ("refunded_cases_paid_what_they_owed", _refunded_cases_paid_what_they_owed),
    ("final_cases_are_explained", _final_cases_are_explained),
    ("cases_have_history", _cases_have_history),
    ("effects_are_not_forgotten", _effects_are_not_forgotten),
    ("intents_of_reruns_stand", _intents_of_reruns_stand),
    ("unhandled_rows_are_young", _unhandled_rows_are_young),
    ("dead_rows_have_letters", _dead_rows_have_letters),
)
