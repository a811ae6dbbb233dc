"""Credits spent from the lots in the book: oldest purchase first, whole or not at all (policy.md, "To where")."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select, update

from policy.ledger import Lot, PostingKind
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import Book, Job
from worker.cases.book.load import load_jobs
from worker.credits.ledger import JobCredits, Ledger, Posting
from worker.credits.lots import OpenLots
from worker.intake.records import PurchaseRecord
from worker.store.bulk import Tx
from worker.store.tables import cases, layer_jobs, purchases

MOST_OFFERED = 500
"""Most jobs that are read to offer them what came back; the others are offered it when their time comes."""


def add_lot(book: Book, said: PurchaseRecord) -> None:
    """Puts the lot of a new purchase among the open ones, where these are asked for."""
    lots = book.lots.get(said.account_id)
    if lots is not None:
        lots.add(said.paid_at, Lot(said.id, said.credits))


def debit_what_waits(book: Book, account_id: str) -> None:
    """Debits the jobs of an account that no lot covered so far, oldest first."""
    waiting = _waiting(book)
    if account_id not in waiting or account_id not in book.lots:
        return
    lots = book.lots[account_id]
    before = lots.spendable
    for job in waiting[account_id]:
        if not lots.spendable:
            break
        debit(book, job)
    if lots.spendable != before:
        waiting[account_id] = [job for job in waiting[account_id] if job.undebited]


def debit_what_is_here(book: Book) -> None:
    """Debits jobs in the book that the lots in it cover: credits may have come back since they were last looked at."""
    for account_id in sorted(_waiting(book)):
        debit_what_waits(book, account_id)


def _waiting(book: Book) -> dict[str, list[Job]]:
    """Put in order once for all lots that come in, and not for each."""
    if book.waiting is None:
        book.waiting = {}
        undebited = (job for job in book.jobs.values() if job.undebited)
        for job in sorted(undebited, key=lambda j: (j.submitted_at is None, j.submitted_at, j.job_id)):
            book.waiting.setdefault(job.account_id, []).append(job)
    return book.waiting


def offer_what_came_back(tx: Tx, book: Book, ledger: Ledger) -> set[str]:
    """Debits jobs that wait for credits with those that came back in this transaction, and are not booked yet. Returns these
    jobs: their cases may go on, and give back what was taken here.
    """
    accounts, book.returned_to = book.returned_to, set()
    if not accounts or not (book.uncovered or any(job.undebited for job in book.jobs.values())):
        return set()
    lots = _lots_once_booked(tx, book, accounts)
    book.lots |= lots
    if book.uncovered:
        most = max(owned.spendable for owned in lots.values())
        load_jobs(tx, book, _uncovered(tx, book, accounts, most), ledger)
    waiting = {job_id for job_id, job in book.jobs.items() if job.undebited}
    for account_id in sorted(accounts):
        debit_what_waits(book, account_id)
    return {job_id for job_id in waiting if not book.jobs[job_id].undebited}


def _lots_once_booked(tx: Tx, book: Book, account_ids: Collection[str]) -> dict[str, OpenLots]:
    """What can be spent of the lots of these accounts once everything in the book is booked, oldest purchase first."""
    more = Ledger.spendable(book.postings)
    p = purchases.c
    spent_from = or_(p.remaining > 0, tx.among(p.purchase_id, list(more)))
    booked = tx.all(
        select(p.account_id, p.purchase_id, p.remaining, p.paid_at).where(tx.among(p.account_id, account_ids), spent_from)
    )
    found = [(row.paid_at, row.purchase_id, row.account_id, row.remaining) for row in booked]
    found += [(new["paid_at"], new["purchase_id"], new["account_id"], new["remaining"]) for new in book.purchases_new]
    lots = {account_id: OpenLots() for account_id in account_ids}
    for paid_at, purchase_id, account_id, remaining in sorted(found):
        if account_id in lots:
            lots[account_id].append(paid_at, Lot(purchase_id, remaining + more[purchase_id]))
    return lots


def _uncovered(tx: Tx, book: Book, account_ids: Collection[str], most: int) -> list[str]:
    """Jobs of these accounts that wait for credits, of at most that price, and are not in the book; oldest first."""
    j = layer_jobs.c
    waiting = j.undebited, tx.among(j.account_id, account_ids), j.price <= most
    chosen = select(j.job_id).where(*waiting, ~tx.among(j.job_id, list(book.jobs)))
    return [row.job_id for row in tx.all(chosen.order_by(j.submitted_at, j.job_id).limit(MOST_OFFERED))]


def wake_uncovered(tx: Tx, purchase_ids: Collection[str], now: datetime) -> None:
    """Cases of these purchases' accounts that wait for a debit are looked at at once: credits can be spent again."""
    owners = select(purchases.c.account_id).where(tx.among(purchases.c.purchase_id, purchase_ids))
    uncovered = select(layer_jobs.c.job_id).where(layer_jobs.c.undebited, layer_jobs.c.account_id.in_(owners))
    waiting = cases.c.kind == CaseKind.JOB.value, cases.c.state == CaseState.WAITING.value, cases.c.subject.in_(uncovered)
    tx.connection.execute(update(cases).where(*waiting).values(next_action_at=now))


def debit(book: Book, job: Job) -> None:
    """Takes the job's price from the oldest lots, whole or not at all: a job that no lot covers waits for its purchase."""
    lots = book.lots.get(job.account_id)
    shares = None if lots is None else lots.take(job.price)
    if shares is None:
        return
    book.postings += [Posting(PostingKind.DEBIT, share.purchase_id, share.credits, job_id=job.job_id) for share in shares]
    job.credits = JobCredits(debits=shares)
    job.undebited, job.changed = False, True
    book.touched.add(job.job_id)
