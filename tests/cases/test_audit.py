# ruff: noqa: E501 - a table is read across
"""The audit is audited: each corruption of a book is found, and by name; a clean book has none."""

import pytest
from sqlalchemy import select, text

from policy.lifecycle import CaseState
from tests.cases.world import START, World, a_purchase, an_account
from tests.servers import ON_POSTGRES, ON_SQLITE, POSTGRES_AT_NIGHT
from tests.store.rows import statements
from worker.cases.audit.audit import Audit, audit_books, audit_stream
from worker.cases.audit.checks import CHECKS
from worker.cases.book.book import WORKER
from worker.cases.book.casework import go
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.intake.stream import Chunk
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases

# corruption | check that has to name it | row it has to name
CORRUPTIONS = """
update postings set destination = 'job:other' where key = 'debit:job_1:ord_1'          | postings_balance                       | debit:job_1:ord_1
update postings set credits = 4 where key = 'reversal:job_1:ord_1'                     | lots_follow_postings                   | ord_1
update postings set credits = 4 where key = 'reversal:job_1:ord_1'                     | cases_say_what_the_ledger_says         | @job_1
update postings set credits = 50 where key = 'reversal:job_1:ord_1'                    | no_job_got_back_more_than_its_debit    | job_1
delete from postings where key = 'debit:job_2:ord_1'                                   | debits_equal_prices                    | job_2
update postings set credits = 6 where key = 'debit:job_2:ord_1'                        | debits_equal_prices                    | job_2
update purchases set remaining = remaining + 1, granted = granted + 1                  | lots_follow_postings                   | ord_1
update postings set key = 'reversal:job_1:ord_1:again', job_id = 'job_9' where key = 'reversal:job_1:ord_1' | postings_name_jobs | reversal:job_1:ord_1:again
update layer_jobs set account_id = 'acc_2' where job_id = 'job_1'                      | own_lots_only                          | debit:job_1:ord_1
update layer_jobs set status = 'failed' where job_id = 'job_4'                         | failed_jobs_have_cases                 | job_4
update cases set next_action_at = '2020-01-01T00:00:00.000000Z' where job_id = 'job_3' | open_cases_have_owner_and_time         | @job_3
update cases set owner = null where job_id = 'job_3'                                   | open_cases_have_owner_and_time         | @job_3
update cases set next_action_at = null where job_id = 'job_3'                          | open_cases_have_owner_and_time         | @job_3
update cases set credits_reversed = 4 where job_id = 'job_1'                           | cases_say_what_the_ledger_says         | @job_1
update cases set credits_owed = 6 where job_id = 'job_1'                               | refunded_cases_paid_what_they_owed     | @job_1
update cases set reason = null where job_id = 'job_2'                                  | final_cases_are_explained              | @job_2
delete from case_history                                                               | cases_have_history                     | @job_1
update effects set state = 'due', due_at = '2020-01-01T00:00:00.000000Z' where kind = 'rerun' | effects_are_not_forgotten       | rerun:job_3
delete from effects where kind = 'rerun'                                               | intents_of_reruns_stand                | job_3
update inbox set state = 'new', due_at = '2020-01-01T00:00:00.000000Z' where event_id = 'job_1-failed-1' | unhandled_rows_are_young | job_1-failed-1
update inbox set state = 'dead' where event_id = 'job_1-failed-1'                      | dead_rows_have_letters                 | job_1-failed-1
"""
TABLE = [tuple(cell.strip() for cell in line.split("|")) for line in CORRUPTIONS.strip().splitlines()]


def a_book(store: Store) -> World:
    world = World(store)
    world.load(an_account(), an_account("acc_2"), a_purchase())
    world.happen(*(world.submitted(f"job_{n}") for n in (1, 2, 3, 4)))
    world.happen(world.failed("job_1"), world.failed("job_2", code="invalid_image"), world.failed("job_3", code="job_timeout"))
    return world


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize(("corruption", "check", "row"), TABLE, ids=[f"{n}-{row[1]}" for n, row in enumerate(TABLE)])
def test_corruption_is_found_and_named(store: Store, corruption: str, check: str, row: str) -> None:
    world = a_book(store)
    assert world.audit().breaches == []
    store.write(lambda tx: tx.connection.execute(text(corruption)).rowcount)
    case = world.case(row.removeprefix("@")) if row.startswith("@") else None
    named = case["case_id"] if case else row
    assert (check, named) in {(breach["check"], breach["row"]) for breach in world.audit().breaches}


def test_case_that_is_decided_so_again_without_a_move_is_no_breach(store: Store) -> None:
    world = a_book(store)
    world.clock.pass_(minutes=1)
    now = world.clock.now()

    def again(tx: Tx) -> None:
        case = case_of(tx.one(select(cases).where(cases.c.job_id == "job_2")))
        case.note("case.decided", outcome=case.outcome, rule=case.rule, clause=case.clause, terms=case.terms)
        go(case, CaseState.DECLINED, next_action_at=None, now=now)
        write_cases(tx, [case], now, WORKER)

    store.write(again)
    assert world.audit().breaches == []


def test_every_check_the_database_does_not_itself_enforce_has_a_corruption() -> None:
    # what the schema refuses outright cannot be corrupted by one statement; its constraints are tested with the store
    enforced = {"lots_add_up", "no_job_reversed_twice"}
    assert {name for name, _ in CHECKS} - {row[1] for row in TABLE} == enforced


def test_entry_acknowledged_and_in_no_book_is_a_lost_event(store: Store) -> None:
    world = a_book(store)
    lost = world.failed("job_4").encode()
    result = Audit()
    chunks: list[Chunk] = [[("1-0", world.failed("job_1").encode()), ("2-0", lost), ("3-0", b"{"), ("4-0", None)]]
    audit_stream(store, result, chunks, world.clock.now())
    assert [breach["row"] for breach in result.breaches] == ["3-0", "4-0", "2-0"]
    assert result.checked["stream_entries"] == 4


@ON_SQLITE
def test_stream_is_looked_up_in_the_inbox_by_the_index_of_identities(store: Store) -> None:
    """SQLite says which way it goes however few rows there are; without the index every thousand entries read the whole inbox."""
    world = a_book(store)
    entries: Chunk = [("1-0", world.failed("job_1").encode())]
    with statements(store) as sent:
        audit_stream(store, Audit(), [entries], world.clock.now())
    (looked,) = [statement for statement in sent if "FROM inbox" in statement]
    with store.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"explain query plan {looked}", (None,) * looked.count("?")).all()
    assert any("SEARCH inbox USING COVERING INDEX" in row.detail for row in plan)


@ON_POSTGRES
def test_each_check_has_an_hour_and_reads_whole_tables_and_what_comes_after_the_audit_does_neither(store: Store) -> None:
    def settings(tx: Tx) -> tuple[str, ...]:
        return tuple(
            tx.connection.execute(text(f"show {name}")).scalar_one() for name in ("statement_timeout", "random_page_cost")
        )

    def during(tx: Tx) -> set[tuple[str, ...]]:
        heard: set[tuple[str, ...]] = set()
        audit_books(tx, START, lambda check, done, total: heard.add(settings(tx)))
        return heard

    assert store.read(during) == {("1h", "4")}
    assert store.read(settings) == ("1min", "1.1")
