"""Accounts are locked in order of id, by everybody: two batches over the same accounts queue, they never deadlock."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, select

from worker.cases.book.book import Account, Book
from worker.cases.book.rows import account_of
from worker.store.breakers import PIPELINE
from worker.store.bulk import Tx
from worker.store.statements import Among
from worker.store.tables import accounts, breakers


def lock_accounts(tx: Tx, book: Book, account_ids: Iterable[str]) -> None:
    """Locks the accounts in order of id, making rows for those never heard of, and puts them into the book."""
    wanted = sorted(set(account_ids) - book.accounts.keys())
    if not wanted:
        return
    found = _locked(tx, book, wanted)
    missing = [account_id for account_id in wanted if account_id not in found]
    if missing:
        stubs = [{"account_id": account_id, "status": "active", "known": False, "opened_at": book.now} for account_id in missing]
        tx.insert_absent(accounts, stubs)
        found |= _locked(tx, book, missing)
    book.accounts |= found


def _locked(tx: Tx, book: Book, account_ids: Sequence[str]) -> dict[str, Account]:
    rows = tx.ask(_lock, account_ids=account_ids)
    if rows:
        until = rows[0].pipeline_away_until
        book.rerun_available = until is None or until <= book.now
    return {row.account_id: account_of(row) for row in rows}


def _lock(among: Among) -> Select[Any]:
    # in one order for everybody; read along is until when no new re-run is started: nobody's verdict hangs on its last moment
    away = select(breakers.c.open_until).where(breakers.c.name == PIPELINE).scalar_subquery()
    chosen = select(accounts, away.label("pipeline_away_until")).where(among(accounts.c.account_id, "account_ids"))
    return chosen.order_by(accounts.c.account_id).with_for_update()


_ONE = select(accounts.c.account_id).where(accounts.c.account_id == bindparam("account_id")).with_for_update()


def lock_account(tx: Tx, account_id: str) -> None:
    """Locks one account, as everybody does before what belongs to it."""
    tx.all(_ONE, account_id=account_id)


def lock_owners(tx: Tx, rows: Iterable[Row[Any]]) -> None:
    """Locks the accounts of these rows, as everybody does before what belongs to them."""
    owners = sorted({row.account_id for row in rows})
    locked = select(accounts.c.account_id).where(tx.among(accounts.c.account_id, owners)).order_by(accounts.c.account_id)
    tx.all(locked.with_for_update())


def held_accounts(tx: Tx, account_ids: Iterable[str]) -> set[str]:
    """Those whose row somebody else has locked at this moment."""
    named = tx.among(accounts.c.account_id, sorted(set(account_ids)))
    rows = select(accounts.c.account_id).where(named)
    there = {row.account_id for row in tx.all(rows)}
    return there - {row.account_id for row in tx.all(rows.with_for_update(skip_locked=True))}
