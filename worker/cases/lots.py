"""Credits spent from the lots in the book: oldest purchase first, whole or not at all (policy.md, "To where")."""

from policy.ledger import Lot, PostingKind, allocate
from worker.cases.book import Book, Job
from worker.credits.ledger import JobCredits, Posting
from worker.intake.records import PurchaseRecord


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
