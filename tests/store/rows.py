"""Rows with honest defaults, and how to count statements."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import Table, event, func, insert, make_url, select, text

from tests.servers import conninfo, eventually
from worker.store.bulk import Record
from worker.store.engine import Store
from worker.store.tables import accounts, purchases

NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


def an_account(name: str = "acc_1", **over: Any) -> dict[str, Any]:
    """An active account that the product vouches for."""
    return {"account_id": name, "email": None, "status": "active", "known": True, "opened_at": NOON, "reversals_today": 0} | over


def a_purchase(name: str = "ord_1", account: str = "acc_1", credits: int = 50, **over: Any) -> dict[str, Any]:
    """A pack of credits of which none is spent."""
    lot = {"granted": credits, "remaining": credits, "spent": 0, "frozen": 0, "void": 0}
    paid = {"kind": "credit_pack", "billing": "first", "amount": 900, "currency": "USD", "paid_at": NOON}
    return {"purchase_id": name, "account_id": account} | paid | lot | over


def a_job(name: str = "job_1", account: str = "acc_1", reports: Any = (), **over: Any) -> dict[str, Any]:
    """A running job of five credits."""
    job = {"price": 5, "paid_with": "credits", "undebited": False, "status": "running", "downloads": 0}
    return {"job_id": name, "account_id": account, "reports": reports} | job | over


def a_case(name: str = "case_1", job: str = "job_1", account: str = "acc_1", **over: Any) -> dict[str, Any]:
    """A case of a job that is being looked at, nothing decided."""
    nothing = {"credits_owed": 0, "credits_reversed": 0, "reruns": 0, "delivered_late": False, "stuck": 0, "warned_percent": 0}
    moments = {"failed_at": NOON, "opened_at": NOON, "due_at": NOON}
    of = {"case_id": name, "kind": "job", "subject": job, "job_id": job, "account_id": account, "state": "waiting"}
    return of | nothing | moments | over


@contextmanager
def waiting_for_locks(store: Store, *, milliseconds: int) -> Iterator[Store]:
    """The same Postgres by sessions that wait so long for a lock."""
    url = make_url(store.url).update_query_dict({"options": f"-c lock_timeout={milliseconds}"})
    made = Store(url.render_as_string(hide_password=False))
    yield made
    made.close()


def given(store: Store, table: Table, *records: Record) -> None:
    """Puts rows there, one by one, without the code under test."""
    with store.engine.begin() as connection:
        for record in records:
            connection.execute(insert(table).values(record))


def given_an_account_with_a_purchase(store: Store, credits: int = 50) -> None:
    """`acc_1` with `ord_1`."""
    given(store, accounts, an_account())
    given(store, purchases, a_purchase(credits=credits))


def count(store: Store, table: Table) -> int:
    """How many rows the table has."""
    with store.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """The statements sent to the database meanwhile."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(store.engine, "before_cursor_execute", note)


@contextmanager
def before(store: Store, what: str, do: Callable[[], object]) -> Iterator[None]:
    """Right before these sessions send the first statement that says this, something else happens."""
    left = [do]

    def look(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if what in statement and left:
            left.pop()()

    event.listen(store.engine, "before_cursor_execute", look)
    try:
        yield
        assert left == [], f"nothing said {what}"
    finally:
        event.remove(store.engine, "before_cursor_execute", look)


def allow_other_states(store: Store) -> None:
    """Cases may be in states of a newer release from now on: its migration allows them, and takes nothing away."""
    with store.engine.begin() as connection:
        for name in ("ck_cases_state", "ck_cases_closed_when_final"):
            connection.execute(text(f"alter table cases drop constraint {name}"))


def writes_anew(url: str, table: str, change: str) -> Callable[[], None]:
    """Somebody changes the table so that each of its rows is written anew, and commits once another session waits for it."""

    def commit(session: psycopg.Connection) -> None:
        waits = "select count(*) from pg_locks where not granted and relation = cast(%s as regclass)"
        with session:
            assert eventually(lambda: session.execute(waits, (table,)).fetchone() != (0,))

    def begin() -> None:
        session = psycopg.connect(conninfo(url))
        session.execute(f"alter table {table} {change}".encode())
        threading.Thread(target=commit, args=(session,)).start()

    return begin
