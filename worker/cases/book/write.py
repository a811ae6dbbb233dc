"""Writes the working set back, set-based, in an order that satisfies the foreign keys.

A key that somebody else took meanwhile repeats the whole unit.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from policy.facts import Report, RerunState
from policy.lifecycle import CaseState
from worker.cases.book.book import Book, Case, Job
from worker.cases.book.load import REPORTS
from worker.cases.book.notify import ends, write_effects
from worker.credits.ledger import Ledger
from worker.store.arrays import Written
from worker.store.bulk import Record, Tx
from worker.store.tables import accounts, case_history, cases, doubt_days, layer_jobs, notices, purchases, reruns


def write(tx: Tx, book: Book, ledger: Ledger, by: str, *, told: bool = True) -> None:
    """Makes everything that changed in the book durable within this transaction; notices only where customers are told."""
    with tx.together():
        tx.insert_all(purchases, book.purchases_new, purchases.c.purchase_id)
        tx.update_all(purchases, book.purchases_changed, by=["purchase_id"])
        _write_jobs(tx, book.jobs.values())
        write_cases(tx, book.cases.values(), book.now, by)
        ledger.book(tx, book.postings, book.now)
        _write_accounts(tx, book)
        _write_reruns(tx, book)
        write_effects(tx, book.effects, now=book.now, told=told)
        if book.doubt_spent:
            tx.add(doubt_days, [{"day": book.now.date(), "credits": book.doubt_spent}], by="day")


def _write_jobs(tx: Tx, jobs: Iterable[Job]) -> None:
    tx.insert_all(layer_jobs, [_job_record(job) for job in jobs if job.added], layer_jobs.c.job_id)
    tx.update_all(layer_jobs, [_job_record(job) for job in jobs if job.changed and not job.added], by=["job_id"])


def _job_record(job: Job) -> Record:
    return {
        "job_id": job.job_id,
        "account_id": job.account_id,
        "paid_with": job.paid_with,
        "price": job.price,
        "undebited": job.undebited,
        "layers_expected": job.layers_expected,
        "submitted_at": job.submitted_at,
        "input_expires_at": job.input_expires_at,
        "status": job.status,
        "reports": _written(job.reports),
        "downloads": job.downloads,
        "downloaded_at": job.downloaded_at,
        "edited_at": job.edited_at,
        "ended_at": job.ended_at,
    }


def _written(reports: Iterable[Report]) -> Written:
    return Written(REPORTS.dump_json(sorted(reports, key=lambda r: (r.attempt, r.at, r.kind, r.code))).decode())


def write_cases(tx: Tx, written: Collection[Case], now: datetime, by: str) -> None:
    """Makes cases that are new or changed stand, with their history, and has those told who wait for one that ends. Raises
    `Collision` where one of them moved meanwhile.
    """
    opened = [case for case in written if case.was is None]
    moved = [case for case in written if case.was is not None and case.changed]
    tx.insert_all(cases, [_case_record(case) for case in opened], cases.c.case_id)
    guarded = [{**_case_record(case), "was": case.was.value} for case in moved if case.was is not None]
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


def _case_record(case: Case) -> Record:
    assert case.state is not None, "a case is written only once it has a state"
    return {
        "case_id": case.case_id,
        "kind": case.kind.value,
        "subject": case.subject,
        "account_id": case.account_id,
        "job_id": case.job_id,
        "order_id": case.order_id,
        "state": case.state.value,
        "owner": None if case.state.final else ("person" if case.state is CaseState.REVIEW else "worker"),
        "outcome": case.outcome,
        "rule": case.rule,
        "clause": case.clause,
        "terms": case.terms,
        "reason": case.reason,
        "facts": case.facts,
        "credits_owed": case.credits_owed,
        "credits_reversed": case.credits_reversed,
        "reruns": case.reruns,
        "delivered_late": case.delivered_late,
        "stuck": case.stuck,
        "trace": case.trace,
        "failed_at": case.failed_at,
        "opened_at": case.opened_at,
        "due_at": case.due_at,
        "warn_at": case.warn_at,
        "warned_percent": case.warned_percent,
        "next_action_at": case.next_action_at,
        "closed_at": case.closed_at,
    }


def _write_accounts(tx: Tx, book: Book) -> None:
    changed = [
        {
            "account_id": account.account_id,
            "email": account.email,
            "status": account.status,
            "known": account.known,
            "opened_at": account.opened_at,
            "reversals_day": account.reversals_day,
            "reversals_today": account.reversals_today,
        }
        for account in book.accounts.values()
        if account.changed
    ]
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
