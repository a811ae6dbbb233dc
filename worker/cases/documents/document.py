"""Cases as documents: what `refunds show --json` and the console print (contract.md, "Case document")."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, literal_column, or_, select

from policy import Editions
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import shown_account
from worker.cases.book.decided import undecided, why
from worker.cases.book.known import accounts_called, no_account, several, what_is_known
from worker.cases.book.rows import KINDS
from worker.cases.documents.correspondence import columns, mails_of, notices_of, receipts_of
from worker.cases.documents.ordered import orders_pending
from worker.cases.documents.suspended import suspended_under
from worker.cases.money import claims
from worker.cases.money.stands import stands
from worker.cases.requests.identify import BESIDE
from worker.clock import moment
from worker.errors import Refused
from worker.store.breakers import standing
from worker.store.bulk import Tx
from worker.store.pages import page
from worker.store.tables import (
    accounts,
    case_history,
    cases,
    disputes,
    evidence,
    layer_jobs,
    payment_attempts,
    payments,
    purchases,
    requests,
)

_KEPT_BEFORE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?\+00:00")


def find(tx: Tx, name: str) -> Row[Any]:
    """The case with this case, job, order or transaction id, or to which a mail with this reference, a file or a dispute of this
    id belongs. Raises `Refused` where there is none, saying what is known of the name.

    Of several, a job's own case comes before all others, then what still needs somebody, a dispute or a duplicate before mails
    about it, the first that came: what anybody writes to us changes no answer.
    """
    p = purchases.c
    found = _named(tx, name)
    if found is not None:
        return found
    of_charge = or_(p.purchase_id == name, p.order_id == name, p.transaction_id == name)
    bought = tx.all(select(p.purchase_id, p.order_id, p.account_id).where(of_charge))
    linked = [row.case_id for row in tx.all(select(payments.c.case_id).where(payments.c.transaction_id == name))]
    linked += [other for row in bought for other in (row.order_id, row.purchase_id) if other not in {None, name}]
    linked += _of_what_hangs_on_cases(tx, name)
    found = next((row for other in linked if (row := _named(tx, other)) is not None), None)
    if found is None:
        raise Refused(what_is_known(tx, name, bought) + _asked_beside(tx, name, bought))
    return found


def find_alone(tx: Tx, name: str) -> Row[Any]:
    """The case with this id, to be changed. Raises `Refused` where there is none, and where the id is a job's and an order's."""
    row = find(tx, name)
    if others := of_the_order(tx, row, name):
        raise Refused(f"{name} is a job, of {row.case_id}, and an order, of {', '.join(others)}: name the case")
    return row


def of_the_order(tx: Tx, row: Row[Any], name: str) -> list[str]:
    """The cases of an order that has the id of this job, which `find` puts after the job's own."""
    c = cases.c
    if row.kind != CaseKind.JOB.value or row.subject != name:
        return []
    of_others = c.order_id == name, or_(c.job_id.is_(None), c.job_id != name)
    return [one.case_id for one in tx.all(select(c.case_id).where(*of_others, c.kind.in_(KINDS)).order_by(c.case_id))]


def _of_what_hangs_on_cases(tx: Tx, name: str) -> list[str]:
    """The case of a mail with this reference or of a customer's file of this id; the order whose charge this dispute is about."""
    r, e, d, p = requests.c, evidence.c, disputes.c, purchases.c
    of_mail = tx.first(select(r.case_id.label("id")).where(r.reference == name))
    of_file = tx.first(select(e.case_id.label("id")).where(e.evidence_id == name))
    charged = purchases.join(disputes, p.transaction_id == d.transaction_id)
    of_dispute = tx.first(select(p.purchase_id.label("id")).select_from(charged).where(d.dispute_id == name))
    return [row.id for row in (of_mail, of_file, of_dispute) if row is not None]


def _asked_beside(tx: Tx, name: str, bought: Sequence[Row[Any]]) -> str:
    """What is said of a job or a purchase that an open request names beside what its case is about."""
    j, r, c = layer_jobs.c, requests.c, cases.c
    owners = {row.account_id for row in [*bought, *tx.all(select(j.account_id).where(j.job_id == name))]}
    mails = select(c.case_id, r.named).join(requests, r.request_id == c.subject).where(c.kind == CaseKind.REQUEST.value)
    rows = tx.all(mails.where(tx.among(c.account_id, owners), c.closed_at.is_(None)).order_by(c.case_id)) if owners else ()
    ids = {name, *(row.purchase_id for row in bought)}
    found = next((row.case_id for row in rows if not ids.isdisjoint(row.named.get(BESIDE, ()))), None)
    return f"; the mail of {found} asks for it beside another thing" if found else ""


def _named(tx: Tx, name: str) -> Row[Any] | None:
    c = cases.c
    # each of these by an index of its own: a case of a job is found by its subject
    of_others: ColumnElement[str] = literal_column(f"'{CaseKind.JOB.value}'")
    by_subject = and_(c.kind.in_(KINDS), c.subject == name)
    named = or_(c.case_id == name, by_subject, and_(c.kind != of_others, c.job_id == name), c.order_id == name)
    its_own = and_(c.kind == CaseKind.JOB.value, c.subject == name)
    first_come = case((c.closed_at.is_(None), c.opened_at))
    by_need = (its_own.desc(), c.closed_at.is_not(None), c.kind == CaseKind.REQUEST.value, first_come, c.opened_at.desc())
    return tx.first(select(cases).where(named).order_by(*by_need).limit(1))


def document(tx: Tx, row: Row[Any], now: datetime) -> dict[str, Any]:
    """One case, whole, with its history."""
    history = tx.all(select(case_history).where(case_history.c.case_id == row.case_id).order_by(case_history.c.id))
    return {
        **with_money(tx, [row], now)[0],
        "requests": mails_of(tx, row.case_id),
        "evidence": receipts_of(tx, row.case_id),
        "notices": notices_of(tx, row.case_id),
        "history": [{"at": moment(h.at), "event": h.event, "by": h.by, "detail": _one_zone(h.detail)} for h in history],
    }


def _one_zone(detail: Any) -> Any:
    """A detail with its moments as documents write them: earlier releases kept them with `+00:00`."""
    if isinstance(detail, dict):
        return {name: _one_zone(part) for name, part in detail.items()}
    if isinstance(detail, list):
        return [_one_zone(part) for part in detail]
    return f"{detail[:-6]}Z" if isinstance(detail, str) and _KEPT_BEFORE.fullmatch(detail) else detail


def explained(tx: Tx, editions: Editions, name: str, now: datetime) -> dict[str, Any]:
    """The case document and, under `why`, its explanation; None there while nothing is decided. Raises `Refused`."""
    row = find(tx, name)
    return document(tx, row, now) | {"why": why(row, editions), "undecided": undecided(row)}


def summary(row: Row[Any]) -> dict[str, Any]:
    """One case without what hangs on it."""
    decision = None
    if row.outcome is not None:
        decision = columns(row, ("outcome", "rule", "clause", "terms", "reason"))
    what = columns(row, ("case_id", "kind", "job_id", "account_id", "order_id", "state", "owner", "reason"))
    moments = ("failed_at", "opened_at", "due_at", "next_action_at", "closed_at")
    rest = columns(row, ("credits_owed", "credits_reversed", "reruns", "delivered_late"), moments)
    return what | {"account_id": shown_account(row.account_id), "decision": decision} | rest


_IN_FLIGHT = {CaseState.REFUNDING.value, CaseState.UNKNOWN.value}


def with_money(tx: Tx, rows: Sequence[Row[Any]], now: datetime) -> list[dict[str, Any]]:
    """Cases with their claims, each with why it is where it is."""
    claimed, ordered = payments_of(tx, [row.case_id for row in rows], now), orders_pending(tx, rows)
    return [_with_money(row, claimed[row.case_id], ordered.get(row.case_id)) for row in rows]


def _with_money(row: Row[Any], claimed: list[dict[str, Any]], ordered: str | None) -> dict[str, Any]:
    """A case with its claims, and in `stands` why it is where it is: of money in flight, what its claims wait for; of a re-run
    that nobody has heard of, what its order waits for, which is in `rerun_stands` too.
    """
    found = summary(row) | {"rerun_stands": ordered}
    waiting = [claim["stands"] for claim in claimed if claim["closed_at"] is None]
    decided = found["decision"]["reason"] if found["decision"] else row.reason
    if waiting and row.state in _IN_FLIGHT:
        decided = "; ".join(waiting)
    return found | {"payments": claimed, "stands": ordered or decided}


def payments_of(tx: Tx, case_ids: Sequence[str], now: datetime) -> dict[str, list[dict[str, Any]]]:
    """The claims of each case, with where each stands and every call that was armed and its answer (contract.md, "Case
    document").
    """
    claimed = tx.all(select(payments).where(tx.among(payments.c.case_id, case_ids)).order_by(payments.c.created_at))
    ids = [row.payment_id for row in claimed]
    order = (payment_attempts.c.payment_id, payment_attempts.c.attempt)
    calls = tx.all(select(payment_attempts).where(tx.among(payment_attempts.c.payment_id, ids)).order_by(*order)) if ids else []
    found: dict[str, list[dict[str, Any]]] = {case_id: [] for case_id in case_ids}
    breakers = standing(tx, now) if claimed else []
    for row in claimed:
        found[row.case_id].append(
            _payment(row, [call for call in calls if call.payment_id == row.payment_id], stands(row, breakers))
        )
    return found


def _payment(row: Row[Any], calls: Sequence[Row[Any]], where: str) -> dict[str, Any]:
    what = ("payment_id", "transaction_id", "kept_transaction_id", "amount", "currency", "state", "detail")
    of_call = ("attempt", "outcome", "http_status", "status", "trace_id", "refund_id", "detail")
    return {
        **columns(row, what),
        "amount": row.refunded or row.amount,
        "stands": where,
        "next_step": None if row.closed_at else row.next_step,
        **columns(row, (), ("due_at", "closed_at")),
        "calls": [columns(call, of_call, ("armed_at", "answered_at")) for call in calls],
    }


def listing(
    tx: Tx,
    now: datetime,
    *,
    state: str | None,
    account: str | None,
    kind: str | None,
    limit: int,
    after: str | None,
    unproved: bool = False,
) -> tuple[list[dict[str, Any]], str | None]:
    """Cases, newest first, and the id to continue after, or None at the end. `account` is an id or a mail address; `unproved`:
    only those with a refund call of which nobody knows what came, whoever has the case by now.
    """
    wanted: list[ColumnElement[bool]] = []
    for column, value in ((cases.c.state, state), (cases.c.kind, kind)):
        if value is not None:
            wanted.append(column == value)
    if account is not None:
        wanted.append(tx.among(cases.c.account_id, accounts_called(tx, account)))
    if unproved:
        wanted.append(cases.c.case_id.in_(select(payments.c.case_id).where(claims.unproved())))
    if after is not None:
        wanted.append(cases.c.case_id < after)
    rows = tx.all(select(cases).where(*wanted).order_by(cases.c.case_id.desc()).limit(limit + 1))
    shown, following = page(rows, limit, "case_id")
    return with_money(tx, shown, now), following


def account_document(tx: Tx, name: str) -> dict[str, Any]:
    """Balance, lots and standing of the account with this id or address (contract.md, "Account document"). Raises `Refused`
    where there is none, and where several have the address.
    """
    called = accounts_called(tx, name)
    if len(called) != 1:
        raise Refused(several(name, called) if called else no_account(tx, name))
    account_id = called[0]
    account = tx.one(select(accounts).where(accounts.c.account_id == account_id))
    lots = tx.all(
        select(purchases).where(purchases.c.account_id == account_id).order_by(purchases.c.paid_at, purchases.c.purchase_id)
    )
    return {
        "account_id": account_id,
        "email": account.email,
        "status": account.status,
        "known": account.known,
        "suspended_under": suspended_under(tx, account_id),
        "credits": sum(lot.remaining for lot in lots),
        "frozen": sum(lot.frozen for lot in lots),
        "lots": [columns(lot, ("purchase_id", "granted", "remaining", "frozen", "void", "spent")) for lot in lots],
    }
