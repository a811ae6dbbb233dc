"""A dispute stops every money path of its charge and freezes its lot; a person answers it with the evidence that is here."""

from collections.abc import MutableMapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from policy import ChargeDispute, decide_dispute
from policy.facts import DisputeFacts
from policy.lifecycle import CaseKind, CaseState, PaymentState
from worker.cases.book.bench import Bench
from worker.cases.book.book import Case
from worker.cases.book.casework import REMIND, go, open_case, promise_from, remind
from worker.cases.book.decided import record
from worker.cases.money import holds
from worker.cases.money.facts import Charge
from worker.cases.money.used import jobs_of
from worker.clock import written
from worker.credits.ledger import Ledger
from worker.observe import log
from worker.store.bulk import Tx
from worker.store.tables import case_history, disputes

PACKED = 200
"""Most jobs listed in one evidence pack; the figures count all of them."""
_NOT_STARTED = {PaymentState.CLAIMED.value, PaymentState.NOT_NEEDED.value, PaymentState.MISMATCH.value}


def open_dispute(
    tx: Tx,
    ledger: Ledger,
    bench: Bench,
    known: MutableMapping[tuple[CaseKind, str], Case],
    charge: Charge,
    payment: Row[Any] | None,
    now: datetime,
) -> None:
    """Opens the one case of a disputed charge, with its evidence, and freezes its lot. A case that waits has only its reminder
    set anew, and says what else was heard meanwhile; one that was won is open again: the bank has come back to it.
    """
    if not charge.facts.disputed or charge.transaction_id is None:
        return
    case = known.get((CaseKind.DISPUTE, charge.transaction_id))
    heard = [] if case is None else disputes_heard(tx, case.case_id)
    unheard = _unheard(tx, charge.transaction_id, heard)
    if case is not None and case.state is not CaseState.DECLINED:
        remind(case, now)
        _note_heard(case, unheard)
        return
    dispute = _dispute_facts(charge, unheard, len(heard), now)
    since = min(dispute.opened_at, now)
    case = _opened_or_reopened(bench, case, charge, since, now)
    case.note("case.opened", dispute_id=dispute.dispute_id, transaction_id=charge.transaction_id, amount=dispute.amount)
    _note_heard(case, unheard[1:])
    jobs = jobs_of(tx, charge)
    facts = _facts_of(charge, dispute, payment, jobs, now)
    record(case, decide_dispute(facts, bench.terms_at(since)), facts)
    case.note("dispute.evidence", purchase=_purchase(charge), jobs=[_job(job) for job in jobs[:PACKED]], jobs_in_all=len(jobs))
    _freeze(tx, ledger, case, charge, dispute, now)
    go(case, CaseState.REVIEW, next_action_at=now + REMIND)
    log.error("dispute.opened", case_id=case.case_id, transaction_id=charge.transaction_id, amount=dispute.amount)
    known[case.kind, case.subject] = case


def _opened_or_reopened(bench: Bench, won: Case | None, charge: Charge, since: datetime, now: datetime) -> Case:
    """A case of this charge, or the one that was `won`, open again with a promise of its own."""
    if won is not None:
        promise_from(bench, won, since)
        won.closed_at = None
        return won
    assert charge.transaction_id is not None, "what is disputed is known by its transaction"
    account_id, order_id = charge.facts.account_id, charge.order_id
    return open_case(bench, CaseKind.DISPUTE, charge.transaction_id, account_id, since=since, now=now, order_id=order_id)


def _facts_of(
    charge: Charge, dispute: DisputeFacts, payment: Row[Any] | None, jobs: Sequence[Row[Any]], now: datetime
) -> ChargeDispute:
    return ChargeDispute(
        now=now,
        dispute=dispute,
        charge=charge.facts,
        refund_started=payment is not None and payment.state not in _NOT_STARTED,
        refunded_by_us=payment.refunded if payment is not None else 0,
        jobs=len(jobs),
        delivered=sum(job.status == "succeeded" for job in jobs),
        downloads=sum(job.downloads for job in jobs),
        failed=sum(job.status in {"failed", "incomplete"} for job in jobs),
    )


def _freeze(tx: Tx, ledger: Ledger, case: Case, charge: Charge, dispute: DisputeFacts, now: datetime) -> None:
    purchase_id, occasion = charge.facts.purchase_id, f"dispute.{dispute.dispute_id}"
    frozen = holds.freeze(tx, ledger, purchase_id, occasion=occasion, case_id=case.case_id, now=now)
    case.note("lot.frozen", purchase_id=purchase_id, credits=frozen)


def disputes_heard(tx: Tx, case_id: str) -> list[str]:
    """The disputes that a case was opened for or has heard of since, first to last: a bank may come back to what it decided."""
    lines = case_history.c
    named = select(lines.detail).where(lines.case_id == case_id, lines.event.in_(["case.opened", "dispute.heard"]))
    return [str(row.detail["dispute_id"]) for row in tx.all(named.order_by(lines.id))]


def _unheard(tx: Tx, transaction_id: str, heard: Sequence[str]) -> Sequence[Row[Any]]:
    """The disputes of a charge that its case says nothing of, newest first."""
    of_charge = select(disputes).where(disputes.c.transaction_id == transaction_id, disputes.c.dispute_id.not_in(heard))
    return tx.all(of_charge.order_by(disputes.c.opened_at.desc(), disputes.c.dispute_id))


def _note_heard(case: Case, others: Sequence[Row[Any]]) -> None:
    for row in others:
        # a dispute of its own, or the word of the one that was read first: whoever decides has all of them before him
        read: dict[str, Any] = {"amount": row.amount} if row.amount else {}
        case.note("dispute.heard", dispute_id=row.dispute_id, **read, opened_at=written(row.opened_at))


def _dispute_facts(charge: Charge, unheard: Sequence[Row[Any]], before: int, now: datetime) -> DisputeFacts:
    """The newest dispute that the case has not heard of; `before` is how many it has."""
    transaction_id = charge.transaction_id or ""
    if not unheard:
        # read at Creem as charged back before any webhook told of it
        name = f"read:{transaction_id}" if not before else f"read:{transaction_id}:{before}"
        return DisputeFacts(name, transaction_id, now, charge.facts.amount, charge.facts.currency)
    row = unheard[0]
    # what could not be read of the dispute is taken from its charge: a bank takes all of it
    amount, currency = row.amount or charge.facts.amount, row.currency or charge.facts.currency
    return DisputeFacts(row.dispute_id, transaction_id, row.opened_at, amount, currency)


def _job(row: Row[Any]) -> dict[str, Any]:
    moments = {name: getattr(row, name) for name in ("submitted_at", "downloaded_at", "edited_at")}
    times = {name: None if at is None else written(at) for name, at in moments.items()}
    return {"job_id": row.job_id, "status": row.status, "credits": row.price, "downloads": row.downloads, **times}


def _purchase(charge: Charge) -> dict[str, Any]:
    f = charge.facts
    return {
        "purchase_id": f.purchase_id,
        "kind": f.kind.value,
        "paid_at": written(f.paid_at),
        "amount": f.amount,
        "currency": f.currency,
        "granted": f.granted,
        "remaining": f.remaining,
        "spent": f.spent,
    }
