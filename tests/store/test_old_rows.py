"""What is over costs the steps nothing: however many old rows there are, an index leads past them."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.servers import ON_POSTGRES, ON_SQLITE
from tests.store.rows import NOON, a_case, a_job, a_purchase, an_account
from worker.cases.audit.checks import failed_jobs_without_case
from worker.cases.book.load import claimed
from worker.cases.book.woken import wake_about_orders
from worker.cases.effects.notifier import Mailer, _first, _give_up_on_the_dead, notices_late, notices_overview
from worker.cases.money import claims, told, turn
from worker.cases.requests.evidence import _lengthen, _shorten
from worker.cases.review.queue import queued
from worker.cases.sweep import ANYTHING, DUE_CASES, LATE_CASES, OVERTAKEN
from worker.credits import at_creem
from worker.notices.mail.postbox import Outbox
from worker.store import effects, inbox
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import (
    accounts,
    cases,
    charges,
    creem_credits,
    evidence,
    layer_jobs,
    notices,
    payments,
    postings,
    purchases,
    requests,
)
from worker.store.tables import effects as effect_rows
from worker.store.tables import inbox as inbox_rows

OLD = 3000
FEW = 20
NAMES = [str(n) for n in range(OLD)]
LATER = NOON + timedelta(days=1)
READ = """
    select (select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) from pg_stat_xact_user_tables)
         + (select coalesce(sum(pg_stat_get_xact_tuples_returned(indexrelid)), 0) from pg_stat_user_indexes)
"""
Step = Callable[[Tx], Any]


def a_payment(name: str, **over: Any) -> dict[str, Any]:
    """A claim that gave its money back."""
    of = {"case_id": f"case_{name}", "account_id": "acc_1", "purchase_id": f"ord_{name}", "transaction_id": f"tran_{name}"}
    told = {"environment": "test", "amount": 900, "currency": "USD", "state": "refunded", "next_step": "read", "refunded": 900}
    counted = {"turn": 3, "attempts": 1, "probes": 0, "refusals": 0, "created_at": NOON, "armed_at": NOON}
    return {"payment_id": f"pay_{name}", "due_at": None, "closed_at": NOON} | of | told | counted | over


def a_posting(name: str, kind: str) -> dict[str, Any]:
    """What a job took of the one lot, or what came back of it."""
    lot, job = "lot:ord_1", f"job:job_{name}"
    sides = {"source": lot, "destination": job} if kind == "debit" else {"source": job, "destination": lot}
    of = {"purchase_id": "ord_1", "job_id": f"job_{name}", "credits": 5, "at": NOON}
    return {"key": f"{kind}:job_{name}:ord_1", "kind": kind} | sides | of


def a_row(name: str, **over: Any) -> dict[str, Any]:
    """An event that is handled."""
    said = {"source": "/creem", "event_id": f"evt_{name}", "type": "checkout.completed", "raw": "{}", "sha256": name}
    stands = {"received_at": NOON, "state": "handled", "attempts": 1, "due_at": NOON, "handled_at": NOON, "job_id": None}
    return said | stands | over


def a_booking(name: str) -> dict[str, Any]:
    """What Creem has booked of a job's credits."""
    of = {"key": f"reversal:job_{name}:ord_1", "kind": "reversal", "purchase_id": "ord_1", "credits": 5}
    stands = {"state": "done", "booked": 5, "transaction_id": "ctx_1", "attempts": 1}
    return of | stands | {"due_at": NOON, "created_at": NOON, "done_at": NOON}


def a_mail() -> dict[str, Any]:
    """The mail that files came with."""
    read = {"verdict": "pass", "verdict_detail": "", "automatic": False, "named": {}, "problems": []}
    came = {"origin": "maildir", "received_at": NOON, "subject": "", "text": "", "size": 9}
    return {"request_id": "req_1", "key": "1", "case_id": "case_1"} | read | came


def a_file(name: str) -> dict[str, Any]:
    """The receipt of a file that is deleted."""
    of = {"evidence_id": f"file_{name}", "request_id": "req_1", "case_id": "case_1", "name": name, "stored": name}
    was = {"declared_type": "image/png", "kind": "png", "size": 9, "sha256": "0"}
    return of | was | {"state": "deleted", "received_at": NOON, "delete_by": NOON, "deleted_at": NOON}


SOUGHT_OTHERWISE = {
    "webhooks not handled": "SQLite finds them among all webhooks by their source, once for each call that is armed",
    "webhooks put off": "so it does these",
    "the first that wait for a person": "all that wait are old here, and it puts them in their order",
    "those that wait behind one": "so it does these",
}


@pytest.fixture
def old(store: Store) -> Store:
    """Thousands of purchases of one product, all claimed once and given back, with webhooks, notices, and reports of no job.
    Thousands of jobs that failed and were made whole; and behind all these thousands of cases that wait for a person.
    """
    sold: dict[str, Any] = {"product_id": "prod_1"}
    bought = [a_purchase(f"ord_{n}", transaction_id=f"tran_{n}", paid_at=NOON + timedelta(seconds=int(n)), **sold) for n in NAMES]
    over: dict[str, Any] = {"state": "refunded", "closed_at": NOON, "kind": "duplicate_charge", "job_id": None}
    about = {"kind": "credits_returned", "account_id": "acc_1", "payload": {}, "attempts": 1, "due_at": NOON, "created_at": NOON}
    waits = {"source": "/image-pipeline", "type": "layer_job.failed", "state": "waiting", "due_at": LATER}

    def lay(tx: Tx) -> None:
        tx.insert(accounts, [an_account()])
        tx.insert(purchases, bought)
        tx.insert(cases, [a_case(f"case_{n}", f"ord_{n}", **over) for n in NAMES])
        tx.insert(payments, [a_payment(n) for n in NAMES])
        tx.insert(charges, [{"transaction_id": f"tran_{n}", "refunded": 0, "looks": 0} for n in NAMES])
        tx.insert(layer_jobs, [a_job(f"job_{n}", status="failed", ended_at=NOON) for n in NAMES])
        tx.insert(postings, [a_posting(n, kind) for n in NAMES for kind in ("debit", "reversal")])
        tx.insert(cases, [a_case(f"case_job_{n}", f"job_{n}", state="refunded", closed_at=NOON) for n in NAMES])
        # jobs whose facts are missing wait too, and for nobody; then people's, old and new beside one another
        tx.insert(cases, [a_case(f"case_waits_{n}", f"waits_{n}") for n in NAMES])
        asked: dict[str, Any] = {"kind": "request", "state": "review", "rule": "outside_policy"}
        tx.insert(cases, [a_case(f"case_x_{n}", f"mail_{n}", **asked) for n in NAMES])
        tx.insert(inbox_rows, [a_row(n) for n in NAMES])
        # a backlog of events stands in no webhook's way
        tx.insert(inbox_rows, [a_row(f"new_{n}", source="/image-pipeline", state="new", due_at=LATER) for n in NAMES])
        tx.insert(inbox_rows, [a_row(f"never_{n}", job_id=f"never_{n}", **waits) for n in NAMES])
        done = {"kind": "announce", "payload": {}, "state": "done", "attempts": 1, "due_at": NOON, "created_at": NOON}
        tx.insert(effect_rows, [{"effect_id": n, "key": n, "case_id": f"case_{n}", **done} for n in NAMES])
        tx.insert(creem_credits, [a_booking(n) for n in NAMES])
        tx.insert(requests, [a_mail()])
        tx.insert(evidence, [a_file(n) for n in NAMES])
        told = {"state": "sent", "ended_at": NOON, **about}
        tx.insert(notices, [{"notice_id": n, "key": n, "case_id": f"case_{n}", **told} for n in NAMES])

    store.write(lay)
    if store.dialect == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("vacuum (index_cleanup on, analyze)"))
    return store


def newest(tx: Tx) -> list[int]:
    return [row.granted for row in told._newest(tx, ["prod_1", "prod_2"])]


def lots_claimed(tx: Tx) -> Any:
    named = tx.among(purchases.c.purchase_id, ["ord_1", "ord_2"])
    return tx.all(select(purchases.c.purchase_id, claimed().label("claimed")).where(named))


def of_charge(tx: Tx) -> Any:
    return tx.all(select(payments.c.payment_id).where(tx.among(payments.c.transaction_id, ["tran_1"])))


def disputed(tx: Tx) -> Any:
    return tx.all(select(charges.c.transaction_id).where(charges.c.disputed_at.is_not(None)))


MAILER = Mailer(Outbox(Path()), "support@layers.example", None, repeatable=True)
STEPS: dict[str, Step] = {
    "the newest purchase of a product": newest,
    "whether a lot is claimed": lots_claimed,
    "the claim on a charge": of_charge,
    "claims not proved": lambda tx: tx.all(select(payments.c.payment_id).where(claims.unproved())),
    "webhooks not handled": lambda tx: inbox.unhandled_from(tx, "/creem", NOON),
    "webhooks put off": lambda tx: inbox.put_off_from(tx, "/creem", NOON, 5),
    "reports to look at": lambda tx: inbox.any_awaited(tx, NOON),
    "events to be handled": lambda tx: inbox.any_due(tx, NOON),
    "effects to be done": lambda tx: effects.kinds_due(tx, NOON),
    "notices by state": notices_overview,
    "notices tried in vain": notices_late,
    "the next notice": lambda tx: _first(tx, MAILER, NOON),
    "notices whose sender died": lambda tx: _give_up_on_the_dead(tx, MAILER, NOON),
    "the claim that is longest due": lambda tx: turn.take(tx, "test", now=NOON, lease=timedelta(seconds=60)),
    "what is still to be done for a case": lambda tx: tx.all(select(effect_rows).where(effects.about("case_1"), effects.UNDONE)),
    "the next entry of credits at Creem": lambda tx: at_creem.claim(tx, NOON, timedelta(seconds=60)),
    "files whose case is decided": lambda tx: _shorten(tx, timedelta(hours=1)),
    "files whose case is open again": lambda tx: _lengthen(tx, timedelta(days=90), NOON),
    "reports whose time it is": lambda tx: inbox.look_at_waiting(tx, NOON, NOON, 5),
    "what a person has about an account's orders": lambda tx: wake_about_orders(tx, ["acc_9"], NOON),
    "charges under dispute": disputed,
    "the first that wait for a person": lambda tx: tx.all(queued(None, FEW // 2)),
    "those that wait behind one": lambda tx: tx.all(queued("case_x_500", FEW // 2)),
    "cases that are due": lambda tx: tx.all(DUE_CASES, now=NOON, limit=5),
    "promises that go by": lambda tx: tx.all(LATE_CASES, now=NOON, limit=5),
    "whether a sweep would find anything": lambda tx: tx.all(ANYTHING, now=NOON, by=NOON, limit=5),
    "mails whose job has ended": lambda tx: tx.all(OVERTAKEN, now=NOON, limit=5),
    "jobs that failed of late and have no case": lambda tx: tx.all(failed_jobs_without_case(LATER)),
}


@ON_POSTGRES
def test_no_step_reads_old_rows(old: Store) -> None:
    def rows_read(tx: Tx, step: Step) -> int:
        def read() -> int:
            return int(tx.connection.execute(text(READ)).scalar_one())

        before, _ = read(), step(tx)
        return read() - before

    # again and again: after some times a server may plan for whatever it is asked with
    for _ in range(8):
        found = {name: old.rehearse(lambda tx, step=step: rows_read(tx, step)) for name, step in STEPS.items()}  # type: ignore[misc]
        assert {name: rows for name, rows in found.items() if rows > FEW} == {}


@ON_SQLITE
def test_no_step_works_through_old_rows_on_sqlite(old: Store) -> None:
    """Measured in steps of its virtual machine: a thousand are what some fifty rows cost it."""

    def worked(tx: Tx, step: Step) -> int:
        thousands = count()
        file: Any = tx.connection.connection.driver_connection
        file.set_progress_handler(lambda: next(thousands) < 0, 1000)
        step(tx)
        file.set_progress_handler(None, 0)
        return next(thousands)

    found = {name: old.rehearse(lambda tx, step=step: worked(tx, step)) for name, step in STEPS.items()}  # type: ignore[misc]
    assert {name: thousands for name, thousands in found.items() if thousands > 4 and name not in SOUGHT_OTHERWISE} == {}


def test_newest_purchase_of_a_product_says_what_it_grants(store: Store) -> None:
    def bought(name: str, product: str | None, day: int, credits: int) -> dict[str, Any]:
        return a_purchase(name, credits=credits, product_id=product, paid_at=NOON + timedelta(days=day))

    store.write(lambda tx: tx.insert(accounts, [an_account()]))
    sold = [("a", "one", 1, 10), ("b", "one", 3, 30), ("c", "one", 2, 20), ("d", "two", 1, 7), ("e", None, 9, 9)]
    store.write(lambda tx: tx.insert(purchases, [bought(*one) for one in sold]))
    rows = store.read(lambda tx: told._newest(tx, ["one", "two", "three"]))
    assert {row.product_id: row.granted for row in rows} == {"one": 30, "two": 7}
    assert store.read(lambda tx: told._newest(tx, [])) == []


def test_report_that_waits_is_looked_at_again_after_twice_as_long(store: Store) -> None:
    """Two handled at once may have missed each other, so one look is too few; and of most no job ever comes."""
    store.write(lambda tx: tx.insert(inbox_rows, [a_row("1", job_id="job_1", state="waiting")]))

    def look(**after: float) -> int:
        now = NOON + timedelta(**after)
        return store.write(lambda tx: inbox.look_at_waiting(tx, now, now, 10))

    looks = [second for second in range(3600) if look(seconds=second)]
    assert looks == [0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    store.write(lambda tx: tx.insert(accounts, [an_account()]))
    store.write(lambda tx: tx.insert(layer_jobs, [a_job("job_1")]))
    assert look(seconds=5119) == 0
    assert look(seconds=5120) == 1
    assert [row.state for row in store.read(lambda tx: tx.all(select(inbox_rows.c.state)))] == ["new"]
