"""The checks of the audit about rows that tell of the same thing: whoever reads one must find what the other says."""

from datetime import timedelta
from typing import Any

from sqlalchemy import FromClause, Select, and_, case, exists, false, func, not_, or_, select, union_all

from policy.lifecycle import CaseKind, CaseState, PaymentState
from worker.cases.audit.words import Query, before, said
from worker.cases.book.book import BY_PERSON
from worker.cases.book.rows import FINAL
from worker.cases.money.charges import SUCCEEDED, lost, won
from worker.cases.money.ends import untold
from worker.store.tables import (
    case_history,
    case_tallies,
    cases,
    charges,
    creem_refunds,
    disputes,
    effects,
    evidence,
    inbox,
    layer_jobs,
    notices,
    payment_attempts,
    payments,
    purchases,
    reruns,
)
from worker.store.tables import requests as mails

OVERDUE = timedelta(hours=2)
"""How long a mail may be on its way before its sender counts as forgotten."""


def _final_cases_are_closed() -> Select[Any]:
    c = cases.c
    return select(c.case_id.label("row"), said("is ", c.state, " and was closed at ", c.closed_at)).where(
        c.closed_at.is_(None) == c.state.in_(FINAL)
    )


def _cases_are_tallied() -> Select[Any]:
    c, t = cases.c, case_tallies.c
    late = func.count(case((c.delivered_late, 1)))
    there = select(
        c.state, func.count().label("cases"), func.sum(c.credits_reversed).label("credits"), late.label("late")
    ).group_by(c.state)
    told = select(t.state, -t.cases, -t.credits_reversed, -t.delivered_late)
    both = union_all(there, told).subquery("both_sides").c
    more = [func.sum(part) for part in (both.cases, both.credits, both.late)]
    off = said("differs from its tally by ", more[0], " cases, ", more[1], " credits, ", more[2], " late")
    return select(both.state.label("row"), off).group_by(both.state).having(or_(*(part != 0 for part in more)))


def _beside_its_last(*events: str) -> tuple[FromClause, Any]:
    """Each case beside the last line of its history that is of these events, or beside nothing; and the columns of the line."""
    h, line = case_history.c, case_history.alias("line")
    last = select(h.case_id, func.max(h.id).label("id")).where(h.event.in_(events)).group_by(h.case_id).subquery("last")
    return cases.outerjoin(last, last.c.case_id == cases.c.case_id).outerjoin(line, line.c.id == last.c.id), line.c


def _cases_stand_where_history_moved_them() -> Select[Any]:
    """A state that no line of the history leads to was set by hand: nobody decided it."""
    c, h, stuck = cases.c, case_history.c, case_history.alias("stuck").c
    beside, move = _beside_its_last("case.moved")
    to = move.detail["to"].as_string()
    # one that could not be judged time and again becomes a person's without a move
    since = stuck.case_id == c.case_id, stuck.event == "case.stuck", stuck.id > move.id
    set_aside = and_(c.state == CaseState.REVIEW.value, exists().where(*since))
    # one that never moved was opened as it stands: what closed it, then or when it was decided so again, is in its history too
    told = exists().where(h.case_id == c.case_id, h.at == c.closed_at)
    ended = and_(move.id.is_(None), c.state.in_(FINAL), c.closed_at != c.opened_at, not_(told))
    return (
        select(c.case_id.label("row"), said("is ", c.state, ", and its history moved it to ", to))
        .select_from(beside)
        .where(or_(ended, and_(to != c.state, not_(set_aside))))
    )


def _decisions_are_as_history_tells() -> Select[Any]:
    """What was decided, by which rule of which terms, is what the history said of it last; a person's names no rule."""
    c = cases.c
    beside, line = _beside_its_last("case.decided", "review.decided")
    same = [line.detail[column.name].as_string() == column for column in (c.outcome, c.rule, c.clause, c.terms)]
    by_policy = and_(line.event == "case.decided", *same)
    by_person = and_(line.event == "review.decided", c.rule == BY_PERSON)
    return (
        select(c.case_id.label("row"), said("says ", c.outcome, " by ", c.rule, " of ", c.terms, ", its history another"))
        .select_from(beside)
        .where(or_(c.outcome.is_not(None), line.id.is_not(None)), not_(func.coalesce(or_(by_policy, by_person), false())))
    )


def _handled_rows_say_when() -> Select[Any]:
    i = inbox.c
    return select(i.event_id.label("row"), said("is handled and nothing says when")).where(
        i.state == "handled", i.handled_at.is_(None)
    )


def _effects_done_say_when() -> Select[Any]:
    e = effects.c
    return select(e.key.label("row"), said("is ", e.state, ", ended at ", e.done_at)).where(
        e.done_at.is_(None) == e.state.in_(["done", "dropped"])
    )


def _claims_are_of_their_purchases() -> Select[Any]:
    a, p = payments.c, purchases.c
    other = or_(
        p.transaction_id.is_(None), a.transaction_id != p.transaction_id, a.account_id != p.account_id, a.currency != p.currency
    )
    joined = payments.join(purchases, p.purchase_id == a.purchase_id)
    return (
        select(a.payment_id.label("row"), said("claims ", a.transaction_id, " of ", a.account_id, ", its purchase is another"))
        .select_from(joined)
        .where(or_(other, a.amount != p.amount))
    )


def _claims_are_of_their_cases() -> Select[Any]:
    joined = payments.join(cases, cases.c.case_id == payments.c.case_id)
    return (
        select(payments.c.payment_id.label("row"), said("is of ", payments.c.account_id, ", its case of ", cases.c.account_id))
        .select_from(joined)
        .where(payments.c.account_id != cases.c.account_id)
    )


def _cases_are_of_their_accounts() -> Select[Any]:
    """Letters and announcements go by the account of the case, which is that of what the case is about."""
    c = cases.c
    of_kind = {kind: c.kind == kind.value for kind in CaseKind}
    about = (
        (layer_jobs, and_(of_kind[CaseKind.JOB], layer_jobs.c.job_id == c.subject)),
        (purchases, and_(of_kind[CaseKind.DUPLICATE_CHARGE], purchases.c.purchase_id == c.subject)),
        (purchases, and_(of_kind[CaseKind.DISPUTE], purchases.c.transaction_id == c.subject)),
        (mails, and_(of_kind[CaseKind.REQUEST], mails.c.request_id == c.subject)),
    )
    others = [
        select(c.case_id.label("row"), said("is of ", c.account_id, ", and what it is about of ", table.c.account_id))
        .select_from(cases.join(table, same))
        .where(table.c.account_id != c.account_id)
        for table, same in about
    ]
    nameless = select(c.case_id, said("is about ", c.subject, ", and names job ", c.job_id)).where(
        of_kind[CaseKind.JOB], or_(c.job_id.is_(None), c.job_id != c.subject)
    )
    each = union_all(*others, nameless).subquery("others")
    return select(each.c.row, each.c.problem)


def _cases_count_their_reruns() -> Select[Any]:
    c, asked = cases.c, reruns.c.job_id.is_not(None)
    return (
        select(c.case_id.label("row"), said("counts ", c.reruns, " re-runs; asked for was one of ", reruns.c.job_id))
        .select_from(cases.outerjoin(reruns, reruns.c.case_id == c.case_id))
        .where(c.reruns != case((asked, 1), else_=0))
    )


def _charges_know_what_was_told() -> Select[Any]:
    """What Creem told of a refund and showed is known of its charge: the same money would else be owed once more."""
    r, c = creem_refunds.c, charges.c
    told = select(r.transaction_id, func.sum(r.amount).label("amount")).where(r.status == SUCCEEDED).group_by(r.transaction_id)
    heard = told.subquery("told").c
    # one refund may be told of under two ids
    more = and_(heard.amount > c.refunded, or_(c.amount_paid.is_(None), c.refunded < c.amount_paid))
    return (
        select(c.transaction_id.label("row"), said("shows ", c.refunded, " gone back; Creem told of ", heard.amount))
        .join(heard.amount.table, heard.transaction_id == c.transaction_id)
        .where(more, c.due_at.is_(None))
    )


def _claims_say_what_moved() -> Select[Any]:
    a = payments.c
    moved = a.state == PaymentState.REFUNDED.value
    wrong = or_(and_(moved, a.refunded < a.amount), and_(not_(moved), a.refunded != 0))
    return select(a.payment_id.label("row"), said("is ", a.state, " with ", a.refunded, " of ", a.amount)).where(wrong)


def _charges_show_our_refunds() -> Select[Any]:
    joined = payments.join(charges, charges.c.transaction_id == payments.c.transaction_id)
    return (
        select(charges.c.transaction_id.label("row"), said("shows ", charges.c.refunded, ", we proved ", payments.c.refunded))
        .select_from(joined)
        .where(charges.c.refunded < payments.c.refunded)
    )


def _proved_claims_were_sent() -> Select[Any]:
    a, t = payments.c, payment_attempts.c
    sent = exists().where(t.payment_id == a.payment_id)
    return select(a.payment_id.label("row"), said("is refunded and no call of ours is on record")).where(
        a.state == PaymentState.REFUNDED.value, ~sent
    )


def _calls_end_after_they_begin() -> Select[Any]:
    t = payment_attempts.c
    return select(t.payment_id.label("row"), said("was armed at ", t.armed_at, " until ", t.deadline_at)).where(
        t.deadline_at < t.armed_at
    )


def _calls_are_as_history_tells() -> Select[Any]:
    """What was armed, answered and proved is in the history, which is chained: no claim and no call goes, or says otherwise."""
    h, a, t = case_history.c, payments.c, payment_attempts.c
    mine = a.case_id == h.case_id, a.transaction_id == h.detail["transaction_id"].as_string()
    call = *mine, t.payment_id == a.payment_id, t.attempt == h.detail["attempt"].as_integer()
    fits = {
        "payment.armed": exists().where(*call),
        "payment.answered": exists().where(*call, t.outcome == h.detail["outcome"].as_string()),
        "payment.refunded": exists().where(
            *mine, a.state == PaymentState.REFUNDED.value, a.refunded == h.detail["amount"].as_integer()
        ),
    }
    wrong = or_(*(and_(h.event == event, ~there) for event, there in fits.items()))
    told = said("has ", h.event, " of ", h.detail["transaction_id"].as_string(), " in its history, and no such call or claim")
    return select(h.case_id.label("row"), told).where(wrong)


def _disputes_mark_their_charges() -> Select[Any]:
    marked = exists().where(charges.c.transaction_id == disputes.c.transaction_id, charges.c.disputed_at.is_not(None))
    over = or_(won(disputes.c.transaction_id), lost(disputes.c.transaction_id))
    return select(disputes.c.dispute_id.label("row"), said("is about a charge that says nothing of it")).where(~marked, ~over)


def _purchases_know_their_end() -> Select[Any]:
    u = untold().subquery("untold").c
    return select(u.purchase_id.label("row"), said("says ", u.cancelled_at, ", its subscription was cancelled at ", u.ended_at))


def _notices_are_not_forgotten() -> Select[Any]:
    n = notices.c
    return select(n.key.label("row"), said("is ", n.state, " since ", n.due_at)).where(
        n.state == "sending", n.due_at < before(OVERDUE)
    )


def _notices_sent_name_their_mail() -> Select[Any]:
    n = notices.c
    return select(n.key.label("row"), said("was sent to ", n.sent_to, " as ", n.message_id)).where(
        n.state == "sent", or_(n.message_id.is_(None), n.sent_to.is_(None))
    )


def _evidence_is_of_its_request() -> Select[Any]:
    joined = evidence.join(mails, mails.c.request_id == evidence.c.request_id)
    return (
        select(evidence.c.evidence_id.label("row"), said("is of ", evidence.c.case_id, ", its mail of ", mails.c.case_id))
        .select_from(joined)
        .where(evidence.c.case_id != mails.c.case_id)
    )


RECORD_CHECKS: tuple[tuple[str, Query], ...] = (
    ("final_cases_are_closed", _final_cases_are_closed),
    ("cases_are_tallied", _cases_are_tallied),
    ("cases_stand_where_history_moved_them", _cases_stand_where_history_moved_them),
    ("decisions_are_as_history_tells", _decisions_are_as_history_tells),
    ("handled_rows_say_when", _handled_rows_say_when),
    ("effects_done_say_when", _effects_done_say_when),
    ("claims_are_of_their_purchases", _claims_are_of_their_purchases),
    ("claims_are_of_their_cases", _claims_are_of_their_cases),
    ("cases_are_of_their_accounts", _cases_are_of_their_accounts),
    ("cases_count_their_reruns", _cases_count_their_reruns),
    ("charges_know_what_was_told", _charges_know_what_was_told),
    ("claims_say_what_moved", _claims_say_what_moved),
    ("charges_show_our_refunds", _charges_show_our_refunds),
    ("proved_claims_were_sent", _proved_claims_were_sent),
    ("calls_end_after_they_begin", _calls_end_after_they_begin),
    ("calls_are_as_history_tells", _calls_are_as_history_tells),
    ("disputes_mark_their_charges", _disputes_mark_their_charges),
    ("purchases_know_their_end", _purchases_know_their_end),
    ("notices_are_not_forgotten", _notices_are_not_forgotten),
    ("notices_sent_name_their_mail", _notices_sent_name_their_mail),
    ("evidence_is_of_its_request", _evidence_is_of_its_request),
)
