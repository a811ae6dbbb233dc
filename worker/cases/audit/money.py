"""The money checks of the audit: each is one query for the rows that do not fit, as (row, problem)."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, and_, exists, func, not_, or_, select

from policy.lifecycle import CaseKind, CaseState, PaymentState
from worker.cases.audit.words import Query, before, said
from worker.cases.book.load import claimed
from worker.cases.money.charges import dispute_of
from worker.creem.answers import MOVED_NOTHING
from worker.store.breakers import CREEM
from worker.store.tables import breakers, case_history, cases, charges, disputes, payment_attempts, payments, proposals, purchases

OVERDUE = timedelta(hours=1)
"""How long a due claim may wait for its turn before it counts as forgotten."""


def _not_beyond_what_was_paid() -> Select[Any]:
    joined = payments.join(charges, charges.c.transaction_id == payments.c.transaction_id)
    beyond = or_(payments.c.refunded > charges.c.amount_paid, charges.c.refunded > charges.c.amount_paid)
    return (
        select(
            payments.c.transaction_id.label("row"),
            said(
                "was refunded ",
                payments.c.refunded,
                " by us, ",
                charges.c.refunded,
                " in all, of ",
                charges.c.amount_paid,
                " paid",
            ),
        )
        .select_from(joined)
        .where(beyond)
    )


def _not_refunded_twice() -> Select[Any]:
    a = payment_attempts.c
    could_have = or_(a.outcome.is_(None), a.outcome.not_in(MOVED_NOTHING))
    calls = select(a.payment_id, func.count().label("calls")).where(could_have).group_by(a.payment_id).having(func.count() > 1)
    twice = calls.subquery("twice").c
    return select(twice.payment_id.label("row"), said("had ", twice.calls, " calls that may have moved money"))


def _not_armed_under_dispute() -> Select[Any]:
    joined = payment_attempts.join(payments, payments.c.payment_id == payment_attempts.c.payment_id).join(
        disputes, disputes.c.transaction_id == payments.c.transaction_id
    )
    # as its case stood then: the bank may have come back since, and that may be won too
    h, then = case_history.c, case_history.alias("then").c
    moved = h.case_id == cases.c.case_id, h.event == "case.moved", h.at <= payment_attempts.c.armed_at
    again = exists().where(
        then.case_id == h.case_id, then.event == h.event, then.id > h.id, then.at <= payment_attempts.c.armed_at
    )
    declined = exists().where(*moved, h.detail["to"].as_string() == CaseState.DECLINED.value, not_(again))
    over = exists().where(*dispute_of(disputes.c.transaction_id), declined)
    return (
        select(
            payments.c.transaction_id.label("row"),
            said("was armed at ", payment_attempts.c.armed_at, ", its dispute was heard of at ", disputes.c.heard_at),
        )
        .select_from(joined)
        .where(payment_attempts.c.armed_at > disputes.c.heard_at, not_(over))
    )


def _claims_count_their_calls() -> Select[Any]:
    counted = (
        select(payment_attempts.c.payment_id, func.count().label("calls")).group_by(payment_attempts.c.payment_id).subquery("c")
    )
    joined = payments.outerjoin(counted, counted.c.payment_id == payments.c.payment_id)
    calls = func.coalesce(counted.c.calls, 0)
    return (
        select(payments.c.payment_id.label("row"), said("says ", payments.c.attempts, " calls, ", calls, " are on record"))
        .select_from(joined)
        .where(payments.c.attempts != calls)
    )


def _claims_take_their_turns() -> Select[Any]:
    # while Creem is away claims wait, and are seen to wait
    away = exists().where(breakers.c.name == CREEM, breakers.c.open_until > before(OVERDUE))
    return select(payments.c.payment_id.label("row"), said("is ", payments.c.state, ", due since ", payments.c.due_at)).where(
        payments.c.due_at < before(OVERDUE), not_(away)
    )


def _cases_say_what_claims_say() -> Select[Any]:
    by_itself = cases.c.kind == CaseKind.DUPLICATE_CHARGE.value
    mine = payments.c.case_id == cases.c.case_id
    refunded = exists().where(mine, payments.c.state == PaymentState.REFUNDED.value)
    open_claim = exists().where(mine, payments.c.closed_at.is_(None))
    in_flight = cases.c.state.in_([CaseState.REFUNDING.value, CaseState.UNKNOWN.value])
    wrong = or_(
        and_(by_itself, cases.c.state == CaseState.REFUNDED.value, not_(refunded)),
        and_(by_itself, cases.c.state != CaseState.REFUNDED.value, refunded),
        and_(in_flight, not_(open_claim)),
    )
    return select(cases.c.case_id.label("row"), said("is ", cases.c.state, ", which its claim does not bear out")).where(wrong)


def _lots_follow_their_money() -> Select[Any]:
    joined = payments.join(purchases, purchases.c.purchase_id == payments.c.purchase_id)
    p = purchases.c
    gone = and_(payments.c.state == PaymentState.REFUNDED.value, or_(p.remaining > 0, p.frozen > 0))
    held = and_(payments.c.closed_at.is_(None), p.remaining > 0)
    return (
        select(
            p.purchase_id.label("row"),
            said("still has ", p.remaining, " to spend and ", p.frozen, " frozen; its claim is ", payments.c.state),
        )
        .select_from(joined)
        .where(or_(gone, held))
    )


def _credits_go_with_their_money() -> Select[Any]:
    p, c = purchases.c, charges.c
    return (
        select(
            p.purchase_id.label("row"),
            said("still has ", p.remaining, " to spend; ", c.refunded, " of ", c.amount_paid, " paid for it went back"),
        )
        .select_from(purchases.join(charges, c.transaction_id == p.transaction_id))
        .where(
            c.amount_paid > 0,
            c.refunded >= c.amount_paid,
            # an open claim settles the lot when it ends
            not_(claimed()),
            p.remaining > 0,
        )
    )


def _frozen_for_a_reason() -> Select[Any]:
    p = purchases.c
    disputed = exists().where(charges.c.transaction_id == p.transaction_id, charges.c.disputed_at.is_not(None))
    proposed = exists().where(
        proposals.c.case_id == cases.c.case_id, cases.c.account_id == p.account_id, proposals.c.state == "open"
    )
    return select(
        p.purchase_id.label("row"), said("has ", p.frozen, " credits frozen for no claim, no dispute and no proposal")
    ).where(p.frozen > 0, not_(claimed()), not_(disputed), not_(proposed))


def _disputes_have_cases() -> Select[Any]:
    joined = charges.join(purchases, purchases.c.transaction_id == charges.c.transaction_id)
    case = exists().where(cases.c.kind == CaseKind.DISPUTE.value, cases.c.subject == charges.c.transaction_id)
    return (
        select(charges.c.transaction_id.label("row"), said("is disputed since ", charges.c.disputed_at, " and has no case"))
        .select_from(joined)
        .where(charges.c.disputed_at.is_not(None), not_(case))
    )


MONEY_CHECKS: tuple[tuple[str, Query], ...] = (
    ("no_charge_refunded_beyond_what_was_paid", _not_beyond_what_was_paid),
    ("no_charge_refunded_twice", _not_refunded_twice),
    ("none_refunded_under_dispute", _not_armed_under_dispute),
    ("claims_count_their_calls", _claims_count_their_calls),
    ("claims_take_their_turns", _claims_take_their_turns),
    ("cases_say_what_claims_say", _cases_say_what_claims_say),
    ("lots_follow_their_money", _lots_follow_their_money),
    ("credits_go_with_their_money", _credits_go_with_their_money),
    ("frozen_for_a_reason", _frozen_for_a_reason),
    ("disputes_have_cases", _disputes_have_cases),
)
