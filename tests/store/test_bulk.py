"""One statement for a batch, the same on both engines."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Select, Table, Text, bindparam, select, text
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound, StatementError

from tests.servers import ON_POSTGRES, eventually
from tests.store.rows import NOON, a_job, a_purchase, an_account, count, given, given_an_account_with_a_purchase, statements
from tests.threads import at_once
from worker.errors import Collision
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.statements import Among
from worker.store.tables import accounts, dead_letters, inbox, layer_jobs, postings, purchases


def test_insert_new_names_exactly_what_was_new(store: Store) -> None:
    given(store, accounts, an_account("acc_2", email="kept@example.org"))
    batch = [an_account("acc_1"), an_account("acc_2", email="other@example.org"), an_account("acc_3")]
    assert store.write(lambda tx: tx.insert_new(accounts, batch, accounts.c.account_id)) == {"acc_1", "acc_3"}
    assert store.write(lambda tx: tx.insert_new(accounts, batch, accounts.c.account_id)) == set()
    emails = store.read(lambda tx: dict(tuple(row) for row in tx.all(select(accounts.c.account_id, accounts.c.email))))
    assert emails == {"acc_1": None, "acc_2": "kept@example.org", "acc_3": None}


def test_one_row_is_asked_for_and_neither_none_nor_two_are_taken_for_it(store: Store) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc_2"))
    every = select(accounts.c.account_id).order_by(accounts.c.account_id)
    named = every.where(accounts.c.account_id == bindparam("name"))

    def look(tx: Tx) -> None:
        assert (tx.one(named, name="acc_2"), tx.value(named, name="acc_2")) == (("acc_2",), "acc_2")
        assert (tx.first(every), tx.first(named, name="acc_3")) == (("acc_1",), None)
        assert (tx.exists(named, name="acc_1"), tx.exists(named, name="acc_3")) == (True, False)
        for only_one in (tx.one, tx.value):
            with pytest.raises(MultipleResultsFound):
                only_one(every)
            with pytest.raises(NoResultFound):
                only_one(named, name="acc_3")

    store.read(look)


def test_insert_new_takes_the_first_of_two_with_one_key(store: Store) -> None:
    twice = [an_account("acc_1", email="first@example.org"), an_account("acc_1", email="second@example.org")]
    assert store.write(lambda tx: tx.insert_new(accounts, twice, accounts.c.account_id)) == {"acc_1"}
    assert store.read(lambda tx: tx.all(select(accounts.c.email))) == [("first@example.org",)]


@ON_POSTGRES
@pytest.mark.parametrize("ends", ["commits", "rolls back"])
def test_insert_new_waits_for_a_row_that_another_has_not_committed(store: Store, ends: str) -> None:
    first, waiting = threading.Event(), threading.Event()

    def theirs() -> None:
        with store.engine.begin() as connection:
            Tx(connection).insert(accounts, [an_account("acc_1", email="theirs@example.org")])
            first.set()
            assert waiting.wait(20)
            # the other stands in the row's queue by now, or comes to it
            assert eventually(lambda: _somebody_waits(store), within=20)
            if ends == "rolls back":
                connection.rollback()

    def ours() -> set[Any]:
        assert first.wait(20)
        waiting.set()
        return store.write(lambda tx: tx.insert_new(accounts, [an_account("acc_1"), an_account("acc_2")], accounts.c.account_id))

    _, new = at_once(theirs, ours)
    assert new == ({"acc_2"} if ends == "commits" else {"acc_1", "acc_2"})
    assert count(store, accounts) == 2


def _somebody_waits(store: Store) -> bool:
    locks = text("select count(*) from pg_locks where not granted")
    return bool(store.read(lambda tx: tx.connection.execute(locks).scalar_one()))


def test_insert_refuses_what_a_unique_key_forbids_and_writes_nothing(store: Store) -> None:
    given(store, accounts, an_account("acc_2"))
    with pytest.raises(IntegrityError):
        store.write(lambda tx: tx.insert(accounts, [an_account("acc_1"), an_account("acc_2")]))
    assert count(store, accounts) == 1


def test_update_sets_each_row_to_its_own_values(store: Store) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc_2"), an_account("acc_3"))
    moves = [{"account_id": "acc_1", "status": "suspended"}, {"account_id": "acc_3", "status": "deleted"}]
    assert store.write(lambda tx: tx.update(accounts, moves, by=["account_id"])) == {"acc_1", "acc_3"}
    found = store.read(lambda tx: tx.all(select(accounts.c.status).order_by(accounts.c.account_id)))
    assert [row.status for row in found] == ["suspended", "active", "deleted"]


def test_guarded_update_changes_nothing_where_somebody_moved_first(store: Store) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc_2", status="deleted"))
    moves = [{"account_id": name, "status": "suspended", "was": "active"} for name in ("acc_1", "acc_2", "acc_none")]
    assert store.write(lambda tx: tx.update(accounts, moves, by=["account_id"], expect={"status": "was"})) == {"acc_1"}
    found = store.read(lambda tx: tx.all(select(accounts.c.status).order_by(accounts.c.account_id)))
    assert [row.status for row in found] == ["suspended", "deleted"]


def test_add_adds_to_each_row_once(store: Store) -> None:
    given_an_account_with_a_purchase(store, credits=50)
    given(store, purchases, a_purchase("ord_2", credits=9))
    spent = [{"purchase_id": "ord_1", "remaining": -5, "spent": 5}, {"purchase_id": "ord_2", "remaining": -9, "spent": 9}]
    store.write(lambda tx: tx.add(purchases, spent, by="purchase_id"))
    found = store.read(lambda tx: tx.all(select(purchases.c.remaining, purchases.c.spent).order_by(purchases.c.purchase_id)))
    assert [tuple(row) for row in found] == [(45, 5), (0, 9)]


def test_add_refuses_two_records_for_one_row(store: Store) -> None:
    given_an_account_with_a_purchase(store)
    twice = [{"purchase_id": "ord_1", "remaining": -1, "spent": 1}] * 2
    with pytest.raises(ValueError, match="not grouped by purchase_id"):
        store.write(lambda tx: tx.add(purchases, twice, by="purchase_id"))


def test_add_refuses_a_row_that_is_not_there_and_writes_nothing(store: Store) -> None:
    given_an_account_with_a_purchase(store)
    spent = [{"purchase_id": name, "remaining": -1, "spent": 1} for name in ("ord_1", "ord_none")]
    with pytest.raises(ValueError, match="1 rows of purchases to add to do not exist"):
        store.write(lambda tx: tx.add(purchases, spent, by="purchase_id"))
    assert store.read(lambda tx: tx.all(select(purchases.c.spent))) == [(0,)]


def test_what_is_given_together_stands_as_if_each_were_sent_alone(store: Store) -> None:
    given_an_account_with_a_purchase(store, credits=50)

    def work(tx: Tx) -> None:
        with tx.together():
            # a row and what refers to it, and two statements about one table
            tx.insert(accounts, [an_account("acc_2")])
            tx.insert_all(purchases, [a_purchase("ord_2", "acc_2")], purchases.c.purchase_id)
            tx.add(purchases, [{"purchase_id": "ord_2", "remaining": -5, "spent": 5}], by="purchase_id")
            tx.insert_absent(layer_jobs, [a_job("job_1"), a_job("job_2", "acc_2")])
            tx.update_all(accounts, [{"account_id": "acc_1", "status": "suspended"}], by=["account_id"])

    store.write(work)
    lots = store.read(lambda tx: tx.all(select(purchases.c.remaining, purchases.c.spent).order_by(purchases.c.purchase_id)))
    assert [tuple(row) for row in lots] == [(50, 0), (45, 5)]
    standing = store.read(lambda tx: tx.all(select(accounts.c.status).order_by(accounts.c.account_id)))
    assert [row.status for row in standing] == ["suspended", "active"]
    assert count(store, layer_jobs) == 2


@ON_POSTGRES
def test_what_is_given_together_about_several_tables_is_one_round_trip(store: Store) -> None:
    given_an_account_with_a_purchase(store)
    used = {"purchase_id": "ord_1", "remaining": -5, "spent": 5}

    def work(tx: Tx) -> None:
        with tx.together():
            tx.insert_all(layer_jobs, [a_job("job_1")], layer_jobs.c.job_id)
            tx.insert_absent(accounts, [an_account("acc_2")])
            tx.add(purchases, [used], by="purchase_id")

    with statements(store) as sent:
        store.write(work)
    assert len(sent) == 1
    assert [count(store, table) for table in (accounts, layer_jobs)] == [2, 1]


def names(store: Store, column: Column[Any]) -> list[str]:
    """Everything a column holds."""
    return [row[0] for row in store.read(lambda tx: tx.all(select(column)))]


@ON_POSTGRES
def test_tables_of_the_product_may_be_called_like_ours(store: Store) -> None:
    # the parameters of one would be those of the other
    alike = Table("accounts", MetaData(), Column("account_id", Text), schema="shop")
    run_together = Table("accounts_account", MetaData(), Column("id", Text))

    def make(tx: Tx) -> None:
        for sql in (
            "create schema shop",
            "create table shop.accounts (account_id text)",
            "create table accounts_account (id text)",
        ):
            tx.connection.execute(text(sql))

    def work(tx: Tx) -> None:
        with tx.together():
            tx.insert(accounts, [an_account("ours")])
            tx.insert(alike, [{"account_id": "theirs"}])
            tx.insert(run_together, [{"id": "theirs too"}])

    store.write(make)
    store.write(work)
    assert [names(store, column) for column in (accounts.c.account_id, alike.c.account_id, run_together.c.id)] == [
        ["ours"],
        ["theirs"],
        ["theirs too"],
    ]


def test_what_is_read_between_statements_given_together_sees_those_before_it(store: Store) -> None:
    def work(tx: Tx) -> Any:
        with tx.together():
            tx.insert(accounts, [an_account("acc_1")])
            seen = tx.all(select(accounts.c.account_id))
            tx.insert(purchases, [a_purchase()])
            return seen

    assert store.write(work) == [("acc_1",)]
    assert count(store, purchases) == 1


Given = Callable[[Tx], None]
MOVED: dict[str, Given] = {
    "a row that came up meanwhile": lambda tx: tx.insert_all(
        accounts, [an_account("acc_1"), an_account("acc_2")], accounts.c.account_id
    ),
    "a row that moved": lambda tx: tx.update_all(
        accounts,
        [{"account_id": "acc_1", "email": "a@example.org", "was": "deleted"}],
        by=["account_id"],
        expect={"status": "was"},
    ),
    "a row that went": lambda tx: tx.update_all(accounts, [{"account_id": "acc_none", "email": None}], by=["account_id"]),
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "together"])
@pytest.mark.parametrize("moved", MOVED.values(), ids=MOVED)
def test_what_somebody_else_changed_meanwhile_is_a_collision(store: Store, moved: Given, alone: bool) -> None:
    given_an_account_with_a_purchase(store)

    def work(tx: Tx) -> None:
        if alone:
            moved(tx)
            return
        with tx.together():
            tx.insert_all(layer_jobs, [a_job()], layer_jobs.c.job_id)
            moved(tx)
            tx.add(purchases, [{"purchase_id": "ord_1", "remaining": -5, "spent": 5}], by="purchase_id")

    with pytest.raises(Collision, match="1 rows of accounts"):
        store.write(work)
    assert (count(store, accounts), count(store, layer_jobs)) == (1, 0)
    assert store.read(lambda tx: tx.all(select(purchases.c.spent))) == [(0,)]


def test_of_statements_given_together_none_is_sent_where_the_caller_fails(store: Store) -> None:
    def failing(tx: Tx) -> None:
        with tx.together():
            tx.insert(accounts, [an_account()])
            raise ZeroDivisionError

    def work(tx: Tx) -> None:
        with pytest.raises(ZeroDivisionError):
            failing(tx)
        assert tx.all(select(accounts.c.account_id)) == []

    store.write(work)
    assert count(store, accounts) == 0


def test_among_finds_the_rows_that_hold_one_of_the_values(store: Store) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc 'quoted'"), an_account("acc_3"))
    wanted = ["acc 'quoted'", "acc_3", "acc_none", "acc_3"]
    found = store.read(lambda tx: tx.all(select(accounts.c.account_id).where(tx.among(accounts.c.account_id, wanted))))
    assert {row.account_id for row in found} == {"acc 'quoted'", "acc_3"}
    assert store.read(lambda tx: tx.all(select(accounts.c.email).where(tx.among(accounts.c.account_id, [])))) == []


def _opened(among: Among) -> Select[Any]:
    wanted = (
        among(accounts.c.account_id, "names"),
        among(accounts.c.opened_at, "moments"),
        accounts.c.status == bindparam("status"),
    )
    return select(accounts.c.account_id).where(*wanted).order_by(accounts.c.account_id)


@pytest.mark.parametrize("names", [[], ["acc 'quoted'"], ["acc_none"], ["acc_3", "acc 'quoted'", "acc_none"]])
@pytest.mark.parametrize("moments", [[], [NOON], [NOON, NOON + timedelta(1)]])
def test_question_is_answered_for_lists_of_any_length(store: Store, names: list[str], moments: list[datetime]) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc 'quoted'"), an_account("acc_3"), an_account("acc_4"))
    found = store.read(lambda tx: tx.ask(_opened, names=set(names), moments=moments, status="active"))
    there = {"acc 'quoted'", "acc_3"} if NOON in moments else set()
    assert [row.account_id for row in found] == sorted(there & set(names))
    assert store.read(lambda tx: tx.ask(_opened, names=names, moments=moments, status="closed")) == []


@ON_POSTGRES
def test_question_about_one_is_planned_once_and_not_each_time(store: Store) -> None:
    given(store, accounts, an_account("acc_1"))
    # a session that has prepared nothing yet
    store.close()
    kinds = text("select sum(custom_plans), sum(generic_plans) from pg_prepared_statements where statement like '%email%'")

    def work(tx: Tx) -> Any:
        for _ in range(40):
            assert len(tx.ask(_anything_of, names=["acc_1"])) == 1
        return tx.connection.execute(kinds).one()

    anew, kept = store.write(work)
    # the driver prepares it at the sixth, and Postgres looks at five plans
    assert (anew, kept) == (5, 30)


def _anything_of(among: Among) -> Select[Any]:
    # as many tables as a job is read from
    rows = select(accounts.c.email).where(among(accounts.c.account_id, "names"))
    for _ in range(4):
        lots = purchases.alias()
        rows = rows.outerjoin(lots, lots.c.account_id == accounts.c.account_id)
    return rows


def test_among_compares_moments(store: Store) -> None:
    given(store, accounts, an_account("acc_1"), an_account("acc_2", opened_at=NOON + timedelta(microseconds=1)))
    found = store.read(lambda tx: tx.all(select(accounts.c.account_id).where(tx.among(accounts.c.opened_at, [NOON]))))
    assert found == [("acc_1",)]


def test_moment_without_a_zone_is_refused(store: Store) -> None:
    for write in (
        lambda tx: tx.insert(accounts, [an_account(opened_at=NOON.replace(tzinfo=None))]),
        lambda tx: tx.insert_new(accounts, [an_account(opened_at=NOON.replace(tzinfo=None))], accounts.c.account_id),
    ):
        with pytest.raises((ValueError, StatementError), match="without a zone"):
            store.write(write)
    assert count(store, accounts) == 0


def test_moment_comes_back_as_the_same_instant_in_utc(store: Store) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    store.write(lambda tx: tx.insert(accounts, [an_account(opened_at=tokyo)]))
    [row] = store.read(lambda tx: tx.all(select(accounts.c.opened_at)))
    assert row.opened_at == NOON
    assert row.opened_at.utcoffset() == timedelta(0)
    assert isinstance(row.opened_at, datetime)


DOCUMENTS = [
    [],
    {},
    {"nested": {"list": [1, None, True, {"deep": "är 💸"}]}},
    [{"text": "\"quotes\" 'single' \\ back {braces} %s :name"}],
    {"big": 2**53, "control": "tab\tnewline\n"},
    "text alone",
    0,
    False,
]


def test_documents_come_back_as_they_went_in(store: Store) -> None:
    given(store, accounts, an_account())
    jobs = [a_job(f"job_{i}", reports=document) for i, document in enumerate(DOCUMENTS)]
    store.write(lambda tx: tx.insert(layer_jobs, jobs))
    found = store.read(lambda tx: tx.all(select(layer_jobs.c.reports).order_by(layer_jobs.c.job_id)))
    assert [row.reports for row in found] == DOCUMENTS


def test_update_replaces_a_document(store: Store) -> None:
    given(store, accounts, an_account())
    given(store, layer_jobs, a_job(reports=[1]))
    store.write(lambda tx: tx.update(layer_jobs, [{"job_id": "job_1", "reports": {"ö": [None]}}], by=["job_id"]))
    assert store.read(lambda tx: tx.all(select(layer_jobs.c.reports))) == [({"ö": [None]},)]


def test_none_is_null_in_every_kind_of_column(store: Store) -> None:
    given(store, accounts, an_account())
    empty: dict[str, Any] = dict.fromkeys(("layers_expected", "submitted_at", "downloaded_at"))
    store.write(lambda tx: tx.insert(layer_jobs, [a_job(reports=[]) | empty]))
    nulls = select(layer_jobs.c.job_id).where(layer_jobs.c.layers_expected.is_(None), layer_jobs.c.submitted_at.is_(None))
    assert store.read(lambda tx: tx.all(nulls)) == [("job_1",)]


def test_document_that_must_be_there_may_not_be_none(store: Store) -> None:
    given(store, accounts, an_account())
    with pytest.raises(IntegrityError):
        store.write(lambda tx: tx.insert(layer_jobs, [a_job(reports=None)]))


def test_bytes_are_kept_as_they_came(store: Store) -> None:
    raw = bytes(range(256))
    letter = {
        "dead_id": "dead_1",
        "key": "stream:1-0",
        "reason": "not_json",
        "detail": "",
        "raw": raw,
        "sha256": "",
        "state": "open",
    }
    store.write(lambda tx: tx.insert(dead_letters, [letter | {"received_at": NOON}]))
    [row] = store.read(lambda tx: tx.all(select(dead_letters.c.raw)))
    assert bytes(row.raw) == raw


def test_rows_get_their_numbers_in_the_order_of_the_batch(store: Store) -> None:
    base = {"source": "/p", "type": "t", "raw": "{}", "sha256": "", "state": "new", "received_at": NOON, "due_at": NOON}
    events = [base | {"event_id": f"evt-{i}"} for i in range(600)]
    store.write(lambda tx: tx.insert_new(inbox, events[:300], inbox.c.event_id))
    store.write(lambda tx: tx.insert_new(inbox, events[300:], inbox.c.event_id))
    found = store.read(lambda tx: tx.all(select(inbox.c.event_id).order_by(inbox.c.id)))
    assert [row.event_id for row in found] == [f"evt-{i}" for i in range(600)]


EMPTY: dict[str, Callable[[Tx], Any]] = {
    "insert": lambda tx: tx.insert(accounts, []),
    "insert_new": lambda tx: tx.insert_new(accounts, [], accounts.c.account_id),
    "update": lambda tx: tx.update(accounts, [], by=["account_id"]),
    "add": lambda tx: tx.add(accounts, [], by="account_id"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_batch_sends_nothing(store: Store, name: str) -> None:
    def work(tx: Tx) -> Any:
        with statements(store) as sent:
            result = EMPTY[name](tx)
        assert sent == []
        return result

    assert not store.write(work)


def everything(names: list[str]) -> Callable[[Tx], None]:
    """Each kind of statement once, over that many rows."""

    def work(tx: Tx) -> None:
        tx.insert(accounts, [an_account(name) for name in names])
        tx.insert_new(purchases, [a_purchase(f"ord_{name}", name) for name in names], purchases.c.purchase_id)
        tx.update(accounts, [{"account_id": name, "status": "suspended"} for name in names], by=["account_id"])
        tx.add(purchases, [{"purchase_id": f"ord_{name}", "remaining": -5, "spent": 5} for name in names], by="purchase_id")
        tx.all(select(accounts.c.account_id).where(tx.among(accounts.c.account_id, names)))

    return work


def test_statements_are_as_many_for_five_hundred_rows_as_for_one(store: Store) -> None:
    with statements(store) as for_one:
        store.write(everything(["one"]))
    with statements(store) as for_many:
        store.write(everything([f"acc_{i}" for i in range(500)]))
    work = [text for text in for_many if not text.lower().startswith("begin")]
    assert len(work) == 5
    assert for_many == for_one, "the text may not grow with the batch either: it is compiled once"
    assert count(store, accounts) == 501


BAD_LOTS = [
    {"remaining": 49},
    {"remaining": 51, "spent": -1},
    {"spent": 1},
    {"frozen": 50},
    {"granted": 49},
    {"amount": -1},
]


@pytest.mark.parametrize("wrong", BAD_LOTS, ids=str)
def test_lot_that_does_not_add_up_is_refused(store: Store, wrong: dict[str, Any]) -> None:
    given(store, accounts, an_account())
    with pytest.raises(IntegrityError, match="ck_purchases_"):
        store.write(lambda tx: tx.insert(purchases, [a_purchase() | wrong]))
    assert count(store, purchases) == 0


def test_spending_more_than_a_lot_has_is_refused(store: Store) -> None:
    given_an_account_with_a_purchase(store, credits=4)
    with pytest.raises(IntegrityError, match="lot_not_negative"):
        store.write(lambda tx: tx.add(purchases, [{"purchase_id": "ord_1", "remaining": -5, "spent": 5}], by="purchase_id"))


@pytest.mark.parametrize("wrong", [{"credits": 0}, {"credits": -5}, {"destination": "lot"}, {"kind": "gift"}], ids=str)
def test_posting_must_move_credits_from_one_side_to_another(store: Store, wrong: dict[str, Any]) -> None:
    given_an_account_with_a_purchase(store)
    posting = {
        "key": "k",
        "kind": "debit",
        "source": "lot",
        "destination": "spent",
        "credits": 5,
        "purchase_id": "ord_1",
        "at": NOON,
    }
    store.write(lambda tx: tx.insert(postings, [posting]))
    with pytest.raises(IntegrityError, match="ck_postings_"):
        store.write(lambda tx: tx.insert(postings, [posting | {"key": "other"} | wrong]))


def test_what_was_booked_cannot_be_booked_again(store: Store) -> None:
    given_an_account_with_a_purchase(store)
    posting = {
        "key": "k",
        "kind": "debit",
        "source": "lot",
        "destination": "spent",
        "credits": 5,
        "purchase_id": "ord_1",
        "at": NOON,
    }
    assert store.write(lambda tx: tx.insert_new(postings, [posting], postings.c.key)) == {"k"}
    assert store.write(lambda tx: tx.insert_new(postings, [posting | {"credits": 7}], postings.c.key)) == set()


def test_row_about_nobody_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError):
        store.write(lambda tx: tx.insert(purchases, [a_purchase(account="acc_none")]))


def test_record_that_lacks_a_column_of_the_others_is_refused_and_nothing_written(store: Store) -> None:
    whole, lacking = an_account("acc_1", email="a@example.org"), an_account("acc_2", email="b@example.org")
    del lacking["email"]
    for write in (
        lambda tx: tx.insert(accounts, [whole, lacking]),
        lambda tx: tx.insert_new(accounts, [whole, lacking], accounts.c.account_id),
        lambda tx: tx.update(accounts, [whole, lacking], by=["account_id"]),
    ):
        with pytest.raises((KeyError, StatementError)):
            store.write(write)
    assert count(store, accounts) == 0
