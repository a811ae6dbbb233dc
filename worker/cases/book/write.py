"""Writes the working set back, set-based, in an order that satisfies the foreign keys.

A key that somebody else took meanwhile repeats the whole unit.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from policy.facts import RerunState
from worker.cases.book.book import Book, Case, Job
from worker.cases.book.notify import ends, write_effects
from worker.cases.book.rows import account_record, case_record, job_record
from worker.credits.ledger import Ledger
from worker.store.bulk import Record, Tx
from worker.store.tables import accounts, case_history, cases, doubt_days, layer_jobs, notices, purchases, reruns


def write(tx: Tx, book: Book, ledger: Ledger, by: str, *, told: bool = True) -> None:
    """Makes everything that changed in the book durable within this transaction; notices only where customers are told."""
    with tx.together():
        tx.insert_all(purchases, book.purchases_new, purchases.c.purchase_id)
        tx.update_all(purchases, list(book.purchases_changed.values()), by=["purchase_id"])
        _write_jobs(tx, book.jobs.values())
        write_cases(tx, book.cases.values(), book.now, by)
        ledger.book(tx, book.postings, book.now)
        _write_accounts(tx, book)
        _write_reruns(tx, book)
        write_effects(tx, book.effects, now=book.now, told=told)
        if book.doubt_spent:
            tx.add(doubt_days, [{"day": book.now.date(), "credits": book.doubt_spent}], by="day")


def _write_jobs(tx: Tx, jobs: Iterable[Job]) -> None:
    tx.insert_all(layer_jobs, [job_record(job) for job in jobs if job.added], layer_jobs.c.job_id)
    tx.update_all(layer_jobs, [job_record(job) for job in jobs if job.changed and not job.added], by=["job_id"])


def write_cases(tx: Tx, written: Collection[Case], now: datetime, by: str) -> None:
    """Makes cases that are new or changed stand, with their history, and has those told who wait for one that ends. Raises
    `Collision` where one of them moved meanwhile.
    """
    opened = [case for case in written if case.was is None]
    moved = [case for case in written if case.was is not None and case.changed]
    tx.insert_all(cases, [case_record(case) for case in opened], cases.c.case_id)
    guarded = [{**case_record(case), "was": case.was.value} for case in moved if case.was is not None]
    tx.update_all(cases, guarded, by=["case_id"], expect={"state": "was"})
    tx.insert(
        case_history,
        [
            {"case_id": case.case_id, "at": now, "event": event, "by": by, "detail": detail}
            for case in written
            for event, detail in case.history
        ],
    )
    tx.insert_absent(notices, ends(tx, moved, now))


def _write_accounts(tx: Tx, book: Book) -> None:
    changed = [account_record(account) for account in book.accounts.values() if account.changed]
    tx.update_all(accounts, changed, by=["account_id"])


def _write_reruns(tx: Tx, book: Book) -> None:
    asked: list[Record] = []
    ended: list[Record] = []
    for job in book.jobs.values():
        if not job.rerun_changed or job.rerun is None:
            continue
        if job.rerun.state is RerunState.ASKED:
            asked.append(
                {
                    "job_id": job.job_id,
                    "case_id": book.cases[job.job_id].case_id,
                    "attempt": job.rerun.attempt,
                    "state": job.rerun.state.value,
                    "asked_at": book.now,
                    "deadline_at": job.rerun.deadline_at,
                }
            )
        else:
            ended.append({"job_id": job.job_id, "state": job.rerun.state.value, "ended_at": book.now})
    tx.insert_all(reruns, asked, reruns.c.job_id)
    tx.update_all(reruns, ended, by=["job_id"])
