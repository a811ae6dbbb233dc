"""Credits spent from the lots in the book: oldest purchase first, whole or not at all (policy.md, "To where")."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select, update

from policy.ledger import Lot, PostingKind, allocate
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import Book, Job
from worker.cases.book.load import load_jobs
from worker.credits.ledger import JobCredits, Ledger, Posting
from worker.intake.records import PurchaseRecord
from worker.store.bulk import Tx
from worker.store.tables import cases, layer_jobs, purchases

MOST_OFFERED = 500
"""Most jobs that are read to offer them what came back; the others are offered it when their time comes."""


def add_lot(book: Book, said: PurchaseRecord) -> None:
    """Puts the lot of a new purchase among the open ones, in order of purchase."""
    lots = book.lots.setdefault(said.account_id, [])
    paid_at = {lot.purchase_id: book.purchases_known[lot.purchase_id]["paid_at"] for lot in lots}
    after = (said.paid_at, said.id)
    place = sum((paid_at[lot.purchase_id], lot.purchase_id) < after for lot in lots)
    lots.insert(place, Lot(said.id, said.credits))


def debit_what_waits(book: Book, account_id: str) -> None:
    """Debits the jobs of an account that no lot covered so far, oldest first."""
    waiting = (job for job in book.jobs.values() if job.account_id == account_id and job.undebited)
    for job in sorted(waiting, key=lambda j: (j.submitted_at is None, j.submitted_at, j.job_id)):
        debit(book, job)


def debit_what_is_here(book: Book) -> None:
    """Debits jobs in the book that the lots in it cover: credits may have come back since they were last looked at."""
    for account_id in sorted({job.account_id for job in book.jobs.values() if job.undebited}):
        debit_what_waits(book, account_id)


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
        most = max(sum(lot.remaining for lot in owned) for owned in lots.values())
        load_jobs(tx, book, _uncovered(tx, book, accounts, most), ledger)
    waiting = {job_id for job_id, job in book.jobs.items() if job.undebited}
    for account_id in sorted(accounts):
        debit_what_waits(book, account_id)
    return {job_id for job_id in waiting if not book.jobs[job_id].undebited}


def _lots_once_booked(tx: Tx, book: Book, account_ids: Collection[str]) -> dict[str, list[Lot]]:
    """What can be spent of the lots of these accounts once everything in the book is booked, oldest purchase first."""
    more = Ledger.spendable(book.postings)
    p = purchases.c
    spent_from = or_(p.remaining > 0, tx.among(p.purchase_id, list(more)))
    booked = tx.all(
        select(p.account_id, p.purchase_id, p.remaining, p.paid_at).where(tx.among(p.account_id, account_ids), spent_from)
    )
    found = [(row.paid_at, row.purchase_id, row.account_id, row.remaining) for row in booked]
    found += [(new["paid_at"], new["purchase_id"], new["account_id"], new["remaining"]) for new in book.purchases_new]
    lots: dict[str, list[Lot]] = {account_id: [] for account_id in account_ids}
    for _, purchase_id, account_id, remaining in sorted(found):
        if account_id in lots:
            lots[account_id].append(Lot(purchase_id, remaining + more[purchase_id]))
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
    lots = book.lots.get(job.account_id, [])
    shares = allocate(job.price, lots)
    if shares is None:
        return
    taken = {share.purchase_id: share.credits for share in shares}
    book.lots[job.account_id] = [Lot(lot.purchase_id, lot.remaining - taken.get(lot.purchase_id, 0)) for lot in lots]
    book.postings += [Posting(PostingKind.DEBIT, share.purchase_id, share.credits, job_id=job.job_id) for share in shares]
    job.credits = JobCredits(debits=tuple(shares))
    job.undebited, job.changed = False, True
    book.touched.add(job.job_id)
