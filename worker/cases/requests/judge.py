"""From the facts of one request to what is done about it. Nothing is sent here: money on a request needs a person."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from policy import Outcome, decide_request, missing_in_request
from policy.decision import Decision
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book import NOBODY, Case
from worker.cases.casework import REMIND, announcement, go
from worker.cases.decided import BY_PERSON, record
from worker.cases.judge import Bench
from worker.cases.load import case_of
from worker.cases.notify import NoticeKind, intend, notice
from worker.cases.requests.facts import facts_of
from worker.cases.requests.identify import BESIDE, Named, identify
from worker.cases.write import write_cases
from worker.credits.ledger import Ledger
from worker.settings import Mode
from worker.store.bulk import Record, Tx
from worker.store.tables import accounts, cases, notices, requests

WORKER = "worker"
QUESTION_EVERY = timedelta(days=1)
"""At most one question to an account in this time: a flood of mails in its name is no flood into its mailbox."""
_HELD = {Outcome.REFUND_PAYMENT, Outcome.REVERSE_CREDITS}


def judge_requests(tx: Tx, ledger: Ledger, bench: Bench, case_ids: Iterable[str], now: datetime) -> list[Case]:
    """Advances the request cases with these ids as far as the facts allow and writes them; returns those that moved.

    The caller holds the locks of their accounts.
    """
    chosen = cases.c.kind == CaseKind.REQUEST.value, tx.among(cases.c.case_id, case_ids)
    moved = []
    for row in tx.all(select(cases).where(*chosen).order_by(cases.c.case_id)):
        case = case_of(row)
        request = tx.all(select(requests).where(requests.c.request_id == case.subject))[0]
        told = advance(tx, ledger, bench, case, request, now)
        write_cases(tx, [case], now, WORKER)
        intend(tx, *told, now=now)
        if case.state is not case.was:
            moved.append(case)
    return moved


def advance(
    tx: Tx, ledger: Ledger, bench: Bench, case: Case, request: Row[Any], now: datetime
) -> tuple[list[Record], list[Record]]:
    """Moves the case in memory to where the facts put it; returns announcements and notices to be written with it."""
    if case.state is not None and case.state.final:
        case.next_action_at, case.changed = None, case.changed or case.next_action_at is not None
        return [], []
    reopened = case.state is CaseState.REVIEW and case.outcome in {Outcome.DECLINE.value, Outcome.NOTHING_OWED.value}
    if reopened or case.rule == BY_PERSON or case.state in {CaseState.REFUNDING, CaseState.UNKNOWN}:
        # a person has decided it and its claim goes its own way, or the customer answered our no and a person looks again
        _remind(case, now)
        return [], []
    request = _looked_up_again(tx, request, case)
    facts, charge = facts_of(tx, ledger, request, confirmed=request.confirmed_at is not None, now=now)
    facts = replace(facts, others=tuple(request.named.get(BESIDE, ())))
    if charge is not None and case.order_id is None:
        case.order_id, case.changed = charge.order_id, True
    terms = bench.terms_at(min(charge.facts.paid_at, now) if charge else case.failed_at)
    decision = decide_request(facts, terms)
    target = _target(decision, bool(missing_in_request(facts)))
    if (case.state, case.rule, case.terms) == (target, decision.rule, decision.terms):
        _remind(case, now)
        return [], []
    record(case, decision, facts)
    if decision.outcome in _HELD:
        case.note("effect.held", why="what a mail asks for leaves by a person's hand", outcome=decision.outcome.value)
    go(case, target, next_action_at=None if target.final else now + REMIND, now=now)
    if target is CaseState.WAITING:
        return [], _question(tx, case, request, now)
    told = announcement(case, now, amount=decision.amount, currency=decision.currency)
    settled = [notice(case, NoticeKind.SETTLED, now)] if target is CaseState.NOTHING_OWED else []
    return [told] if told and bench.mode is not Mode.OBSERVE else [], settled


def _remind(case: Case, now: datetime) -> None:
    if case.next_action_at is not None and case.next_action_at <= now:
        case.next_action_at, case.changed = now + REMIND, True


def _target(decision: Decision, lacking: bool) -> CaseState:
    match decision.outcome:
        case Outcome.DECLINE:
            return CaseState.DECLINED
        case Outcome.NOTHING_OWED:
            return CaseState.NOTHING_OWED
        case _:
            return CaseState.WAITING if lacking else CaseState.REVIEW


def _looked_up_again(tx: Tx, request: Row[Any], case: Case) -> Row[Any]:
    """The request with what our books know by now of what it names: an order may reach us after the mail about it."""
    if request.account_id is None or (request.job_id is not None or request.purchase_id is not None):
        return request
    found = identify(tx, request.sender, Named.stored(request.named))
    if found.account_id != request.account_id or (found.job_id is None and found.purchase_id is None):
        return request
    case.job_id, case.changed = found.job_id, True
    known = {"job_id": found.job_id, "purchase_id": found.purchase_id, "named": {**request.named, BESIDE: found.others}}
    one = requests.c.request_id == request.request_id
    tx.connection.execute(update(requests).where(one).values(**known))
    return tx.all(select(requests).where(one))[0]


def _question(tx: Tx, case: Case, request: Row[Any], now: datetime) -> list[Record]:
    """The question to the account's own address; none for a mail that no person wrote, nor a second one within a day."""
    if case.account_id == NOBODY or request.automatic:
        return []
    # behind the account's lock, so that two mails at once make one question
    tx.all(select(accounts.c.account_id).where(accounts.c.account_id == case.account_id).with_for_update())
    asked = select(notices.c.notice_id).where(
        notices.c.account_id == case.account_id,
        notices.c.kind == NoticeKind.QUESTION.value,
        notices.c.created_at > now - QUESTION_EVERY,
    )
    if tx.all(asked.limit(1)):
        case.note("request.not_asked", why="the account was asked within a day")
        return []
    case.note("request.asked", to="the account's own address")
    return [notice(case, NoticeKind.QUESTION, now, reference=request.reference)]
