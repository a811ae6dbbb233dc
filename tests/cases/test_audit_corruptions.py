# ruff: noqa: E501 - a table is read across
"""The audit is audited: one row, one column of a full book is changed, and the audit names that very row; a clean book has none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cases.audited_book import a_full_book
from tests.requests.world import PeopleWorld
from worker.cases.audit.audit import audit_books
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.schema import upgrade

# what is set | where | check that has to name it | what the named row is called in that table
CORRUPTIONS = """
inbox            | state = 'new', due_at = :old       | event_id = 'job_1-failed-1'  | unhandled_rows_are_young              | event_id
inbox            | state = 'dead'                     | event_id = 'job_1-failed-1'  | dead_rows_have_letters                | event_id
inbox            | handled_at = null                  | event_id = 'job_1-failed-1'  | handled_rows_say_when                 | event_id
postings         | source = 'lot:ord_2'               | key = 'debit:job_1:ord_1'    | postings_balance                      | key
postings         | destination = 'job:job_9'          | key = 'debit:job_1:ord_1'    | postings_balance                      | key
postings         | kind = 'release'                   | key = 'debit:job_1:ord_1'    | postings_balance                      | key
postings         | credits = -5                       | key = 'debit:job_1:ord_1'    | postings_balance                      | key
postings         | source = 'frozen:ord_2'            | kind = 'freeze' and purchase_id = 'ord_2' | postings_balance         | key
postings         | destination = 'lot:ord_2'          | kind = 'void'                | postings_balance                      | key
postings         | destination = 'lot:ord_2'          | key = 'grant:ord_1'          | postings_balance                      | key
postings         | credits = 51                       | key = 'grant:ord_1'          | lots_follow_postings                  | purchase_id
postings         | credits = 49                       | kind = 'freeze' and purchase_id = 'ord_2' | lots_follow_postings     | purchase_id
postings         | credits = 49                       | kind = 'void'                | lots_follow_postings                  | purchase_id
postings         | credits = 6                        | key = 'reversal:job_1:ord_1' | no_job_got_back_more_than_its_debit   | job_id
postings         | credits = 4                        | key = 'debit:job_2:ord_1'    | debits_equal_prices                   | job_id
postings         | job_id = 'job_9'                   | key = 'debit:job_2:ord_1'    | postings_name_jobs                    | key
postings         | case_id = null                     | key = 'reversal:job_1:ord_1' | cases_say_what_the_ledger_says        | = select case_id from cases where job_id = 'job_1'
postings         | purchase_id = 'ord_3'              | key = 'debit:job_1:ord_1'    | own_lots_only                         | key
purchases        | remaining = remaining + 1          | purchase_id = 'ord_1'        | lots_add_up                           | purchase_id
purchases        | spent = spent - 1                  | purchase_id = 'ord_1'        | lots_add_up                           | purchase_id
purchases        | void = void + 1                    | purchase_id = 'ord_2'        | lots_add_up                           | purchase_id
purchases        | granted = 0                        | purchase_id = 'ord_3'        | lots_add_up                           | purchase_id
purchases        | frozen = 1                         | purchase_id = 'ord_1'        | frozen_for_a_reason                   | purchase_id
purchases        | remaining = 1                      | purchase_id = 'ord_2'        | lots_follow_their_money               | purchase_id
purchases        | account_id = 'acc_2'               | purchase_id = 'ord_1'        | own_lots_only                         | = 'debit:job_1:ord_1'
purchases        | amount = 901                       | purchase_id = 'ord_2'        | claims_are_of_their_purchases         | = select payment_id from payments
purchases        | currency = 'EUR'                   | purchase_id = 'ord_2'        | claims_are_of_their_purchases         | = select payment_id from payments
purchases        | transaction_id = 'tran_9'          | purchase_id = 'ord_2'        | claims_are_of_their_purchases         | = select payment_id from payments
purchases        | cancelled_at = null                | transaction_id = 'tran_m1'   | purchases_know_their_end              | purchase_id
subscriptions    | cancelled_at = :old                | true                         | purchases_know_their_end              | = 'tran_m1'
layer_jobs       | account_id = 'acc_2'               | job_id = 'job_1'             | own_lots_only                         | = 'debit:job_1:ord_1'
layer_jobs       | price = 6                          | job_id = 'job_1'             | debits_equal_prices                   | job_id
layer_jobs       | paid_with = 'rerun_pass'           | job_id = 'job_1'             | debits_equal_prices                   | job_id
layer_jobs       | undebited = true                   | job_id = 'job_1'             | debits_equal_prices                   | job_id
layer_jobs       | status = 'failed'                  | job_id = 'job_5'             | failed_jobs_have_cases                | job_id
case_tallies     | cases = cases + 1                  | id = 1                       | cases_are_tallied                     | state
case_tallies     | credits_reversed = 1               | id = 1                       | cases_are_tallied                     | state
cases            | owner = null                       | job_id = 'job_3'             | open_cases_have_owner_and_time        | case_id
cases            | next_action_at = null              | job_id = 'job_3'             | open_cases_have_owner_and_time        | case_id
cases            | next_action_at = :old              | job_id = 'job_3'             | open_cases_have_owner_and_time        | case_id
cases            | credits_reversed = 4               | job_id = 'job_1'             | cases_say_what_the_ledger_says        | case_id
cases            | credits_owed = 6                   | job_id = 'job_1'             | refunded_cases_paid_what_they_owed    | case_id
cases            | clause = null                      | job_id = 'job_2'             | final_cases_are_explained             | case_id
cases            | reason = null                      | job_id = 'job_2'             | final_cases_are_explained             | case_id
cases            | facts = null                       | job_id = 'job_2'             | final_cases_are_explained             | case_id
cases            | terms = null                       | job_id = 'job_2'             | final_cases_are_explained             | case_id
cases            | closed_at = null                   | job_id = 'job_2'             | final_cases_are_closed                | case_id
cases            | closed_at = :old                   | job_id = 'job_3'             | final_cases_are_closed                | case_id
cases            | outcome = 'decline'                | job_id = 'job_1'             | decisions_are_as_history_tells        | case_id
cases            | rule = 'another'                   | job_id = 'job_1'             | decisions_are_as_history_tells        | case_id
cases            | rule = 'another'                   | order_id = 'ord_2'           | decisions_are_as_history_tells        | case_id
cases            | clause = 'another'                 | job_id = 'job_2'             | decisions_are_as_history_tells        | case_id
cases            | terms = 'another'                  | job_id = 'job_2'             | decisions_are_as_history_tells        | case_id
cases            | state = 'declined'                 | order_id = 'ord_2'           | cases_stand_where_history_moved_them  | case_id
cases            | state = 'declined', closed_at = :old, next_action_at = null, owner = null | order_id = 'ord_3' | cases_stand_where_history_moved_them | case_id
cases            | subject = 'req_9'                  | order_id = 'ord_2'           | requests_have_their_mail              | case_id
cases            | account_id = 'acc_1'               | order_id = 'ord_2'           | claims_are_of_their_cases             | = select payment_id from payments
cases            | rule = 'decided_by_person'         | job_id = 'job_1'             | decisions_name_their_people           | case_id
cases            | state = 'declined', closed_at = :old, next_action_at = null, owner = null | kind = 'dispute' | cases_stand_where_history_moved_them | case_id
cases            | subject = 'tran_9'                 | kind = 'dispute'             | disputes_have_cases                   | = 'tran_ord_4'
case_history     | event = 'case.noted'               | event = 'case.opened' and case_id in (select case_id from cases where job_id = 'job_1') | cases_have_history | case_id
case_history     | event = 'case.noted'               | event = 'review.decided' and by = 'ann' | decisions_name_their_people | case_id
effects          | state = 'due', due_at = :old, done_at = null | key = 'rerun:job_3' | effects_are_not_forgotten            | key
effects          | key = 'rerun:job_9'                | key = 'rerun:job_3'          | intents_of_reruns_stand               | = 'job_3'
effects          | done_at = null                     | key = 'rerun:job_3'          | effects_done_say_when                 | key
reruns           | job_id = 'job_9'                   | job_id = 'job_3'             | intents_of_reruns_stand               | = 'job_9'
payments         | refunded = 901                     | true                         | no_charge_refunded_beyond_what_was_paid | transaction_id
payments         | refunded = 899                     | true                         | claims_say_what_moved                 | payment_id
payments         | attempts = 2                       | true                         | claims_count_their_calls              | payment_id
payments         | amount = 899                       | true                         | claims_are_of_their_purchases         | payment_id
payments         | account_id = 'acc_1'               | true                         | claims_are_of_their_purchases         | payment_id
payments         | transaction_id = 'tran_ord_1'      | true                         | claims_are_of_their_purchases         | payment_id
payments         | state = 'unknown'                  | true                         | claims_say_what_moved                 | payment_id
payments         | state = 'not_needed'               | true                         | claims_say_what_moved                 | payment_id
payments         | due_at = :old                      | true                         | claims_take_their_turns               | payment_id
payment_attempts | payment_id = 'pay_9'               | true                         | proved_claims_were_sent               | = select payment_id from payments
payment_attempts | attempt = 2                        | true                         | calls_are_as_history_tells            | = select case_id from payments
payment_attempts | outcome = 'refused'                | true                         | calls_are_as_history_tells            | = select case_id from payments
payments         | case_id = (select case_id from cases where order_id = 'ord_3') | true | calls_are_as_history_tells        | = select case_id from cases where order_id = 'ord_2'
payments         | refunded = 901                     | true                         | calls_are_as_history_tells            | case_id
payment_attempts | deadline_at = :old                 | true                         | calls_end_after_they_begin            | payment_id
charges          | refunded = 901                     | transaction_id = 'tran_ord_2' | no_charge_refunded_beyond_what_was_paid | transaction_id
charges          | refunded = 0                       | transaction_id = 'tran_ord_2' | charges_show_our_refunds             | transaction_id
charges          | amount_paid = 1                    | transaction_id = 'tran_ord_2' | no_charge_refunded_beyond_what_was_paid | transaction_id
charges          | disputed_at = null                 | transaction_id = 'tran_ord_4' | disputes_mark_their_charges          | = select dispute_id from disputes
charges          | disputed_at = :old                 | transaction_id = 'tran_ord_1' | disputes_have_cases                  | transaction_id
charges          | amount_paid = 900, refunded = 900  | transaction_id = 'tran_ord_1' | credits_go_with_their_money          | = 'ord_1'
disputes         | transaction_id = 'tran_9'          | true                         | disputes_mark_their_charges           | dispute_id
disputes         | transaction_id = 'tran_ord_2', heard_at = :old | true             | none_refunded_under_dispute           | = 'tran_ord_2'
requests         | case_id = (select case_id from cases where job_id = 'job_1') | purchase_id = 'ord_2' | requests_have_their_mail | = select case_id from cases where order_id = 'ord_2'
evidence         | delete_by = :old                   | name = 'more.png'            | no_evidence_kept_too_long             | evidence_id
evidence         | case_id = (select case_id from cases where job_id = 'job_1') | name = 'more.png' | evidence_is_of_its_request | evidence_id
proposals        | ended_by = proposed_by             | true                         | two_people_agreed                     | proposal_id
proposals        | ended_by = null                    | true                         | two_people_agreed                     | proposal_id
notices          | state = 'sending', due_at = :old, ended_at = null | kind = 'money_sent' | notices_are_not_forgotten            | key
notices          | message_id = null                  | kind = 'money_sent'          | notices_sent_name_their_mail          | key
notices          | sent_to = null                     | kind = 'money_sent'          | notices_sent_name_their_mail          | key
"""
TABLE = [tuple(cell.strip() for cell in line.split(" | ")) for line in CORRUPTIONS.strip().splitlines()]
OLD = "2020-01-01T00:00:00.000000Z"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeopleWorld]:
    folder: Path = tmp_path_factory.mktemp("book")
    store = Store(f"sqlite:///{folder / 'book.db'}")
    upgrade(store)
    world = a_full_book(store, folder)
    yield world
    world.close()
    store.close()


def test_there_are_at_least_sixty_corruptions() -> None:
    assert len(set(TABLE)) == len(TABLE) >= 60


def test_full_book_that_nobody_touched_has_no_breach(book: PeopleWorld) -> None:
    assert book.audit().breaches == []


@pytest.mark.parametrize(
    ("table", "change", "where", "check", "named"), TABLE, ids=[f"{n}-{row[0]}-{row[3]}" for n, row in enumerate(TABLE)]
)
def test_corrupted_row_is_named(book: PeopleWorld, table: str, change: str, where: str, check: str, named: str) -> None:
    values = {"old": OLD} if ":old" in change else {}
    with book.store.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        # what the schema itself refuses can still happen to a restored or hand-mended book
        for pragma in ("foreign_keys=off", "ignore_check_constraints=on"):
            raw.cursor().execute(f"pragma {pragma}")
        with connection.begin() as transaction:
            expected = f"select {named} from {table} where {where}" if not named.startswith("= ") else _alone(named[2:])
            row = connection.execute(text(expected)).scalar_one()
            touched = connection.execute(text(f"update {table} set {change} where {where}"), values).rowcount
            found = audit_books(Tx(connection), book.clock.now()).breaches
            transaction.rollback()
        for pragma in ("foreign_keys=on", "ignore_check_constraints=off"):
            raw.cursor().execute(f"pragma {pragma}")
    assert touched == 1
    assert (check, str(row)) in {(breach["check"], breach["row"]) for breach in found}, found


def _alone(query: str) -> str:
    return query if query.startswith("select ") else f"select {query}"
