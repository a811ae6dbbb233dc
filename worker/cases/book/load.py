"""Reads one batch's working set, in later statements than the one that locks its accounts.

A sum taken in the statement that waits for a lock does not see what was committed meanwhile (design.md, "Traps"), so nothing
is read before its account is locked.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, not_, or_, select

from policy.duplicates import SHORTEST_PERIOD
from policy.facts import PurchaseKind
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import Book, LotMoney
from worker.cases.book.news import News
from worker.cases.book.rows import case_of, job_of
from worker.cases.book.woken import about_orders
from worker.credits.ledger import BOOKED, JobCredits, Ledger
from worker.intake.records import PurchaseRecord
from worker.store.bulk import Tx
from worker.store.statements import Among
from worker.store.tables import cases, charges, layer_jobs, payments, postings, purchases, reruns

LOTS = purchases.outerjoin(charges, charges.c.transaction_id == purchases.c.transaction_id)
"""Purchases with what is known of their charges."""


def jobs_of_newly_vouched(tx: Tx, news: Sequence[News]) -> set[str]:
    """Jobs whose case may go on because an account or a purchase arrives: those that wait, and those no lot covered so far."""
    vouching = (item for item in news if item.introduces_account or isinstance(item.said, PurchaseRecord))
    vouched = {item.account_id for item in vouching if item.account_id}
    if not vouched:
        return set()
    waiting = select(cases.c.job_id).where(
        tx.among(cases.c.account_id, vouched), cases.c.state == CaseState.WAITING.value, cases.c.kind == CaseKind.JOB.value
    )
    uncovered = select(layer_jobs.c.job_id).where(tx.among(layer_jobs.c.account_id, vouched), layer_jobs.c.undebited)
    return {row.job_id for row in tx.all(waiting.union(uncovered))}  # type: ignore[arg-type]


def load_jobs(tx: Tx, book: Book, job_ids: Iterable[str], ledger: Ledger) -> None:
    """Puts jobs, their one re-run, their postings and their cases into the book."""
    wanted = sorted(set(job_ids))
    if not wanted:
        return
    rows = tx.ask(_jobs, job_ids=wanted, account_ids=sorted(book.accounts))
    book.asked_about = bool(rows[0].asked_about) if rows else True
    book.uncovered = bool(rows[0].uncovered) if rows else True
    booked = ledger.booked(rows)
    # a job with several postings has as many rows
    found = {row.job_id: row for row in rows}
    book.jobs |= {job_id: job_of(row, booked.get(job_id, JobCredits())) for job_id, row in found.items()}
    book.waiting = None
    book.lots_quiet |= {row.booked_lot for row in rows if row.booked_lot is not None and not row.lot_moved}
    known = [row.case_id for row in found.values() if row.case_id is not None]
    unheard_of = [job_id for job_id in wanted if job_id not in found]
    standing = [
        *(tx.ask(_cases, case_ids=known) if known else ()),
        *(tx.ask(_cases_about, jobs=unheard_of) if unheard_of else ()),
    ]
    book.cases |= {row.subject: case_of(row) for row in standing}


def _jobs(among: Among) -> Select[Any]:
    """A job with its re-run and its postings, and whether there is anything to ask about its case and the money of its lots:
    mostly there is not, and round trips are most of what a single event waits for.
    """

    def of_job(column: ColumnElement[str]) -> ColumnElement[bool]:
        # named for each table by itself: joined alone, a table that Postgres has not counted yet would be read whole
        return and_(column == layer_jobs.c.job_id, among(column, "job_ids"))

    # what is asked of each row by itself is looked up in an index, for the same reason
    case: Select[Any] = select(cases.c.case_id).where(cases.c.kind == CaseKind.JOB.value, cases.c.subject == layer_jobs.c.job_id)
    moved: Select[Any] = (
        select(literal_column("1")).select_from(LOTS).where(purchases.c.purchase_id == postings.c.purchase_id, _moved())
    )
    # once for all of them
    asked_about = about_orders(among(purchases.c.account_id, "account_ids"))
    # by the index of those jobs, in which mostly there is none
    other = layer_jobs.alias()
    uncovered = exists().where(
        other.c.undebited, among(other.c.account_id, "account_ids"), not_(among(other.c.job_id, "job_ids"))
    )
    return (
        select(
            layer_jobs,
            reruns.c.attempt.label("rerun_attempt"),
            reruns.c.state.label("rerun_state"),
            reruns.c.deadline_at.label("rerun_deadline_at"),
            *BOOKED,
            moved.scalar_subquery().label("lot_moved"),
            case.scalar_subquery().label("case_id"),
            asked_about.correlate(None).label("asked_about"),
            uncovered.label("uncovered"),
        )
        .outerjoin_from(layer_jobs, reruns, of_job(reruns.c.job_id))
        .outerjoin_from(layer_jobs, postings, of_job(postings.c.job_id))
        .where(among(layer_jobs.c.job_id, "job_ids"))
        .order_by(postings.c.id)
    )


def _cases(among: Among) -> Select[Any]:
    return select(cases).where(among(cases.c.case_id, "case_ids"))


def _cases_about(among: Among) -> Select[Any]:
    return select(cases).where(cases.c.kind == CaseKind.JOB.value, among(cases.c.subject, "jobs"))


def load_purchases(tx: Tx, book: Book, news: Sequence[News], ledger: Ledger) -> None:
    """What purchases and lots the batch needs: the purchases it names, and the open lots of every account that has a job to be
    debited.
    """
    bought = [item.said for item in news if isinstance(item.said, PurchaseRecord)]
    named = [said.id for said in bought]
    if named:
        charged = [said.transaction_id for said in bought if said.transaction_id]
        same = or_(tx.among(purchases.c.purchase_id, named), *_subscribed(tx, bought))
        known = select(purchases, charges.c.amount_paid).select_from(LOTS)
        rows = tx.all(known.where(or_(same, tx.among(purchases.c.transaction_id, charged)) if charged else same))
        for row in rows:
            book.know(dict(row._mapping))
    spending = {item.account_id for item in news if item.introduces_job and item.account_id}
    spending |= {job.account_id for job in book.jobs.values() if job.undebited}
    if spending:
        book.lots |= ledger.open_lots(tx, sorted(spending))


def _subscribed(tx: Tx, bought: Sequence[PurchaseRecord]) -> Iterator[ColumnElement[bool]]:
    """That a purchase may be one of these payments of subscriptions, told of under another name."""
    told = [said for said in bought if said.kind is PurchaseKind.SUBSCRIPTION]
    if told:
        p, times = purchases.c, [said.paid_at for said in told]
        near = p.paid_at.between(min(times) - SHORTEST_PERIOD, max(times) + SHORTEST_PERIOD)
        yield and_(tx.among(p.account_id, {said.account_id for said in told}), near, p.kind == PurchaseKind.SUBSCRIPTION.value)


def load_lots_money(tx: Tx, book: Book) -> None:
    """What is known of the money of the lots that the jobs to be judged drew on: a lot whose money went back, or is disputed,
    is not also made good in credits.
    """
    drawn = {share.purchase_id for job_id in book.touched if job_id in book.jobs for share in book.jobs[job_id].credits.debits}
    if not book.heard:
        # what the jobs were read with still stands
        drawn -= book.lots_quiet
    if not drawn:
        return
    for row in tx.ask(_lots_money, purchase_ids=drawn):
        if row.claimed:
            book.lots_claimed.add(row.purchase_id)
        if row.refunded or row.disputed_at is not None:
            gone = row.refunded >= (row.amount_paid or row.amount) > 0
            book.lots_moved[row.purchase_id] = LotMoney(gone, row.disputed_at is not None)


def _lots_money(among: Among) -> Select[Any]:
    money = (purchases.c.amount, charges.c.amount_paid, func.coalesce(charges.c.refunded, 0).label("refunded"))
    known = select(purchases.c.purchase_id, *money, charges.c.disputed_at, claimed().label("claimed")).select_from(LOTS)
    return known.where(among(purchases.c.purchase_id, "purchase_ids"), _moved())


def _moved() -> ColumnElement[bool]:
    """That some of the money of one of `LOTS` went back, or may be on its way, or is disputed."""
    return or_(charges.c.refunded > 0, charges.c.disputed_at.is_not(None), claimed())


def claimed() -> ColumnElement[bool]:
    """That a claim on the charge of a purchase is open."""
    # by when it is due, which it always is and no other claim ever is: the index of those that are holds no old one
    return exists().where(payments.c.purchase_id == purchases.c.purchase_id, payments.c.due_at.is_not(None))
