# ruff: noqa: E501 - a table is read across
"""The audit is audited: one row, one column of a full book is changed, and the audit names that very row; a clean book has none."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Table, text

from tests.cases.audited_book import a_full_book
from tests.cases.glance import looks_wrong
from tests.requests.world import PeopleWorld
from worker.cases.audit.audit import ALL_CHECKS, audit_books
from worker.cases.chain.links import CHAINED
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.schema import upgrade
from worker.store.tables import metadata

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
postings         | destination = 'lot:ord_2'          | kind = 'void' and purchase_id = 'ord_2' | postings_balance                      | key
postings         | destination = 'lot:ord_2'          | key = 'grant:ord_1'          | postings_balance                      | key
postings         | credits = 51                       | key = 'grant:ord_1'          | lots_follow_postings                  | purchase_id
postings         | credits = 49                       | kind = 'freeze' and purchase_id = 'ord_2' | lots_follow_postings     | purchase_id
postings         | credits = 49                       | kind = 'void' and purchase_id = 'ord_2' | lots_follow_postings                  | purchase_id
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
purchases        | amount = 901                       | purchase_id = 'ord_2'        | claims_are_of_their_purchases         | = select payment_id from payments where transaction_id = 'tran_ord_2'
purchases        | currency = 'EUR'                   | purchase_id = 'ord_2'        | claims_are_of_their_purchases         | = select payment_id from payments where transaction_id = 'tran_ord_2'
purchases        | transaction_id = 'tran_9'          | purchase_id = 'ord_2'        | claims_are_of_their_purchases         | = select payment_id from payments where transaction_id = 'tran_ord_2'
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
cases            | account_id = 'acc_1'               | order_id = 'ord_2'           | claims_are_of_their_cases             | = select payment_id from payments where transaction_id = 'tran_ord_2'
cases            | rule = 'decided_by_person'         | job_id = 'job_1'             | decisions_name_their_people           | case_id
cases            | state = 'declined', closed_at = :old, next_action_at = null, owner = null | kind = 'dispute' | cases_stand_where_history_moved_them | case_id
cases            | subject = 'tran_9'                 | kind = 'dispute'             | disputes_have_cases                   | = 'tran_ord_4'
case_history     | event = 'case.noted'               | event = 'case.opened' and case_id in (select case_id from cases where job_id = 'job_1') | cases_have_history | case_id
case_history     | event = 'case.noted'               | event = 'review.decided' and by = 'ann' and case_id in (select case_id from cases where order_id = 'ord_2') | decisions_name_their_people | case_id
case_history     | event = 'notice.sent', detail = '{"kind": "money_sent"}' | event = 'payment.refunded' and case_id in (select case_id from cases where order_id = 'ord_2') | customers_are_told_once | case_id
effects          | state = 'due', due_at = :old, done_at = null | key = 'rerun:job_3' | effects_are_not_forgotten            | key
effects          | key = 'rerun:job_9'                | key = 'rerun:job_3'          | intents_of_reruns_stand               | = 'job_3'
effects          | done_at = null                     | key = 'rerun:job_3'          | effects_done_say_when                 | key
reruns           | job_id = 'job_9'                   | job_id = 'job_3'             | intents_of_reruns_stand               | = 'job_9'
payments         | refunded = 901                     | transaction_id = 'tran_ord_2' | no_charge_refunded_beyond_what_was_paid | transaction_id
payments         | refunded = 899                     | transaction_id = 'tran_ord_2' | claims_say_what_moved                 | payment_id
payments         | attempts = 2                       | transaction_id = 'tran_ord_2' | claims_count_their_calls              | payment_id
payments         | amount = 899                       | transaction_id = 'tran_ord_2' | claims_are_of_their_purchases         | payment_id
payments         | account_id = 'acc_1'               | transaction_id = 'tran_ord_2' | claims_are_of_their_purchases         | payment_id
payments         | transaction_id = 'tran_ord_1'      | transaction_id = 'tran_ord_2' | claims_are_of_their_purchases         | payment_id
payments         | state = 'unknown'                  | transaction_id = 'tran_ord_2' | claims_say_what_moved                 | payment_id
payments         | state = 'not_needed'               | transaction_id = 'tran_ord_2' | claims_say_what_moved                 | payment_id
payments         | due_at = :old                      | transaction_id = 'tran_ord_2' | claims_take_their_turns               | payment_id
payment_attempts | payment_id = 'pay_9'               | payment_id = (select payment_id from payments where transaction_id = 'tran_ord_2') | proved_claims_were_sent               | = select payment_id from payments where transaction_id = 'tran_ord_2'
payment_attempts | attempt = 2                        | payment_id = (select payment_id from payments where transaction_id = 'tran_ord_2') | calls_are_as_history_tells            | = select case_id from payments where transaction_id = 'tran_ord_2'
payment_attempts | outcome = 'refused'                | payment_id = (select payment_id from payments where transaction_id = 'tran_ord_2') | calls_are_as_history_tells            | = select case_id from payments where transaction_id = 'tran_ord_2'
payments         | case_id = (select case_id from cases where order_id = 'ord_3') | transaction_id = 'tran_ord_2' | calls_are_as_history_tells        | = select case_id from cases where order_id = 'ord_2'
payments         | refunded = 901                     | transaction_id = 'tran_ord_2' | calls_are_as_history_tells            | case_id
payment_attempts | deadline_at = :old                 | payment_id = (select payment_id from payments where transaction_id = 'tran_ord_2') | calls_end_after_they_begin            | payment_id
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
notices          | state = 'sending', due_at = :old, ended_at = null | kind = 'money_sent' and state = 'sent' | notices_are_not_forgotten            | key
notices          | message_id = null                  | kind = 'money_sent' and state = 'sent' | notices_sent_name_their_mail          | key
notices          | sent_to = null                     | kind = 'money_sent' and state = 'sent' | notices_sent_name_their_mail          | key
inbox            | state = 'handled', handled_at = :old | event_id = 'job_8-failed-1' | handled_events_are_in_their_jobs     | event_id
inbox            | state = 'handled', handled_at = :old | event_id = 'job_9-downloaded-0' | handled_events_are_in_their_jobs | event_id
inbox            | state = 'new', due_at = :far       | event_id = 'job_1-failed-1'  | due_before_long                       | event_id
inbox            | due_at = :far                      | event_id = 'job_8-failed-1'  | due_before_long                       | event_id
inbox            | state = 'waiting', due_at = :old   | event_id = 'job_1-failed-1'  | waiting_events_have_no_job            | event_id
inbox            | raw = replace(raw, 'model_error', 'worker_crashed') | event_id = 'job_1-failed-1' | documents_are_as_they_came | event_id
inbox            | sha256 = 'another'                 | event_id = 'job_1-failed-1'  | documents_are_as_they_came            | event_id
dead_letters     | raw = x'7b'                        | reason = 'foreign_job'       | letters_are_as_they_came              | dead_id
dead_letters     | sha256 = 'another'                 | reason = 'foreign_job'       | letters_are_as_they_came              | dead_id
dead_letters     | inbox_id = null                    | reason = 'foreign_job'       | dead_rows_have_letters                | = 'of-another'
dead_letters     | state = 'discarded'                | reason = 'foreign_job'       | letters_closed_say_by_whom            | dead_id
dead_letters     | resolved_by = null                 | state = 'discarded'          | letters_closed_say_by_whom            | dead_id
dead_letters     | resolved_at = null                 | state = 'discarded'          | letters_closed_say_by_whom            | dead_id
dead_letters     | resolution = null                  | state = 'discarded'          | letters_closed_say_by_whom            | dead_id
accounts         | known = false                      | account_id = 'acc_3'         | handled_accounts_are_known            | = select event_id from inbox where type = 'import.account' and account_id = 'acc_3'
layer_jobs       | reports = '[]'                     | job_id = 'job_1'             | handled_events_are_in_their_jobs      | = 'job_1-failed-1'
layer_jobs       | reports = replace(reports, 'incomplete', 'succeeded') | job_id = 'job_10' | handled_events_are_in_their_jobs | = 'job_10-incomplete-1'
layer_jobs       | status = 'running'                 | job_id = 'job_10'            | jobs_stand_as_reported                | job_id
layer_jobs       | status = 'succeeded'               | job_id = 'job_10'            | jobs_stand_as_reported                | job_id
layer_jobs       | downloads = 0                      | job_id = 'job_5'             | handled_events_are_in_their_jobs      | = 'job_5-downloaded-0'
layer_jobs       | edited_at = null                   | job_id = 'job_6'             | handled_events_are_in_their_jobs      | = 'job_6-edited-0'
cases            | next_action_at = :far              | job_id = 'job_3'             | due_before_long                       | case_id
cases            | next_action_at = :far              | kind = 'dispute'             | due_before_long                       | case_id
cases            | due_at = :far                      | job_id = 'job_3'             | due_before_long                       | case_id
cases            | kind = 'dispute'                   | job_id = 'job_3'             | failed_jobs_have_cases                | = 'job_3'
cases            | job_id = 'job_1'                   | job_id = 'job_3'             | cases_are_of_their_accounts           | = select case_id from cases where subject = 'job_3'
cases            | subject = 'job_9'                  | job_id = 'job_3'             | failed_jobs_have_cases                | = 'job_3'
cases            | account_id = 'acc_2'               | job_id = 'job_3'             | cases_are_of_their_accounts           | case_id
cases            | account_id = 'acc_2'               | order_id = 'ord_3'           | cases_are_of_their_accounts           | case_id
cases            | account_id = 'acc_2'               | order_id = 'ord_r1_1'        | cases_are_of_their_accounts           | case_id
cases            | account_id = 'acc_2'               | kind = 'dispute'             | cases_are_of_their_accounts           | case_id
cases            | reruns = 0                         | job_id = 'job_3'             | cases_count_their_reruns              | case_id
cases            | state = 'refunding'                | order_id = 'ord_3'           | cases_say_what_claims_say             | case_id
reruns           | case_id = (select case_id from cases where job_id = 'job_4') | job_id = 'job_3' | cases_count_their_reruns | = select case_id from cases where job_id = 'job_3'
reruns           | deadline_at = :far                 | job_id = 'job_3'             | due_before_long                       | job_id
effects          | state = 'due', due_at = :far, done_at = null | key = 'rerun:job_3' | due_before_long                      | key
payments         | closed_at = :old, due_at = null    | transaction_id = 'tran_r2_1' | cases_say_what_claims_say             | = select case_id from payments where transaction_id = 'tran_r2_1'
payments         | closed_at = :old, due_at = null, state = 'not_needed' | transaction_id = 'tran_ord_6' | cases_say_what_claims_say | = select case_id from payments where transaction_id = 'tran_ord_6'
payments         | due_at = :far                      | transaction_id = 'tran_ord_6' | due_before_long                      | payment_id
payments         | currency = 'EUR'                   | transaction_id = 'tran_ord_6' | claims_are_of_their_purchases        | payment_id
payments         | purchase_id = 'ord_1'              | transaction_id = 'tran_ord_6' | claims_are_of_their_purchases        | payment_id
charges          | due_at = :far                      | transaction_id = 'tran_ord_2' | due_before_long                      | transaction_id
charges          | refunded = 0                       | transaction_id = 'tran_r1_1' | charges_know_what_was_told            | transaction_id
creem_refunds    | amount = 901, transaction_id = 'tran_ord_4' | transaction_id = 'tran_r1_1' | charges_know_what_was_told   | = 'tran_ord_4'
breakers         | open_until = :far                  | true                         | due_before_long                       | name
leases           | until = :far                       | name = (select min(name) from leases) | due_before_long                       | name
wakings          | until = :far                       | true                         | due_before_long                       | case_id
notices          | state = 'sent', ended_at = :old, message_id = 'x', sent_to = 'y' | kind = 'rerun_delivered' | letters_are_as_history_tells | key
notices          | kind = 'question'                  | kind = 'in_review' and state = 'sent' | letters_are_as_history_tells | key
notices          | case_id = (select case_id from cases where job_id = 'job_2') | kind = 'money_sent' and state = 'sent' | letters_are_as_history_tells | key
notices          | due_at = :far                      | kind = 'rerun_delivered'     | due_before_long                       | key
proposals        | proposed_by = 'zoe'                | true                         | proposals_are_as_history_tells        | proposal_id
proposals        | ended_by = 'zoe'                   | true                         | proposals_are_as_history_tells        | proposal_id
proposals        | choice = 'forfeit'                 | true                         | proposals_are_as_history_tells        | proposal_id
proposals        | case_id = (select case_id from cases where job_id = 'job_2') | true | proposals_are_as_history_tells        | proposal_id
requests         | account_id = 'acc_1'               | purchase_id = 'ord_3'        | cases_are_of_their_accounts           | = select case_id from cases where order_id = 'ord_3'
requests         | request_id = 'req_9'               | purchase_id = 'ord_3'        | requests_have_their_mail              | = select case_id from cases where order_id = 'ord_3'
evidence         | request_id = (select request_id from requests where purchase_id = 'ord_2') | name = 'more.png' | evidence_is_of_its_request | evidence_id
purchases        | purchase_id = 'ord_9'              | purchase_id = 'ord_1'        | lots_follow_postings                  | = 'ord_9'
purchases        | subscription_id = 'sub_1'          | purchase_id = 'ord_1'        | purchases_know_their_end              | purchase_id
charges          | transaction_id = 'tran_9'          | transaction_id = 'tran_ord_4' | disputes_mark_their_charges          | = select dispute_id from disputes
layer_jobs       | job_id = 'job_9'                   | job_id = 'job_1'             | handled_events_are_in_their_jobs      | = 'job_1-failed-1'
accounts         | account_id = 'acc_9'               | account_id = 'acc_3'         | handled_accounts_are_known            | = select event_id from inbox where type = 'import.account' and account_id = 'acc_3'
cases            | case_id = 'case_9'                 | job_id = 'job_1'             | cases_have_history                    | = 'case_9'
payments         | payment_id = 'pay_9'               | transaction_id = 'tran_r1_1' | proved_claims_were_sent               | = 'pay_9'
"""
TABLE = [tuple(cell.strip() for cell in line.split(" | ")) for line in CORRUPTIONS.strip().splitlines()]
OLD, FAR = "2020-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"

# what is taken away | check that has to name what is left | what that is called
DELETIONS = """
accounts where account_id = 'acc_3'            | handled_accounts_are_known         | select event_id from inbox where type = 'import.account' and account_id = 'acc_3'
layer_jobs where job_id = 'job_1'              | handled_events_are_in_their_jobs   | select 'job_1-failed-1'
postings where key = 'debit:job_2:ord_1'       | debits_equal_prices                | select 'job_2'
postings where key = 'reversal:job_1:ord_1'    | cases_say_what_the_ledger_says     | select case_id from cases where job_id = 'job_1'
postings where key = 'grant:ord_1'             | lots_follow_postings               | select 'ord_1'
cases where job_id = 'job_10'                  | failed_jobs_have_cases             | select 'job_10'
cases where job_id = 'job_7'                   | cases_are_tallied                  | select 'nothing_owed'
cases where kind = 'dispute'                   | disputes_have_cases                | select 'tran_ord_4'
case_tallies where id = 1                      | cases_are_tallied                  | select state from case_tallies where id = 1
case_history where event = 'case.opened' and case_id = (select case_id from cases where job_id = 'job_1') | cases_have_history | select case_id from cases where job_id = 'job_1'
reruns where job_id = 'job_3'                  | cases_count_their_reruns           | select case_id from cases where job_id = 'job_3'
effects where key = 'rerun:job_3'              | intents_of_reruns_stand            | select 'job_3'
payments where transaction_id = 'tran_ord_2'   | calls_are_as_history_tells         | select case_id from cases where order_id = 'ord_2'
payments where transaction_id = 'tran_ord_6'   | cases_say_what_claims_say          | select case_id from cases where order_id = 'ord_6'
payments where transaction_id = 'tran_r2_1'    | cases_say_what_claims_say          | select case_id from cases where order_id = 'ord_r2_1'
payment_attempts where payment_id = (select payment_id from payments where transaction_id = 'tran_r1_1') | calls_are_as_history_tells | select case_id from cases where order_id = 'ord_r1_1'
charges where transaction_id = 'tran_ord_4'    | disputes_mark_their_charges        | select dispute_id from disputes
dead_letters where reason = 'foreign_job'      | dead_rows_have_letters             | select 'of-another'
requests where purchase_id = 'ord_3'           | requests_have_their_mail           | select case_id from cases where order_id = 'ord_3'
"""
DELETED = [tuple(cell.strip() for cell in line.split(" | ")) for line in DELETIONS.strip().splitlines()]

# what is put in, as a row that is there with other values | check that has to name it | what that is called
INSERTIONS = """
postings where key = 'reversal:job_1:ord_1': id = 9999, key = 'reversal:job_1:again' | no_job_reversed_twice | select 'job_1'
postings where key = 'grant:ord_1': id = 9999, key = 'grant:again' | lots_follow_postings | select 'ord_1'
purchases where purchase_id = 'ord_1': purchase_id = 'ord_9', transaction_id = null | lots_follow_postings | select 'ord_9'
layer_jobs where job_id = 'job_1': job_id = 'job_99' | debits_equal_prices | select 'job_99'
cases where job_id = 'job_1': case_id = 'case_9', subject = 'job_99', job_id = 'job_99' | cases_have_history | select 'case_9'
cases where order_id = 'ord_2': case_id = 'case_9', subject = 'req_9' | requests_have_their_mail | select 'case_9'
case_history where event = 'payment.armed' and case_id = (select case_id from cases where order_id = 'ord_2'): id = 9999, detail = '{"transaction_id": "tran_ord_2", "attempt": 2}' | calls_are_as_history_tells | select case_id from cases where order_id = 'ord_2'
inbox where event_id = 'job_1-failed-1': id = 9999, event_id = 'never', job_id = 'job_99' | handled_events_are_in_their_jobs | select 'never'
inbox where event_id = 'job_1-failed-1': id = 9999, event_id = 'never', type = 'layer_job.incomplete' | handled_events_are_in_their_jobs | select 'never'
payments where transaction_id = 'tran_ord_2': payment_id = 'pay_9', environment = 'live' | claims_count_their_calls | select 'pay_9'
payments where transaction_id = 'tran_ord_6': payment_id = 'pay_9', transaction_id = 'tran_ord_1' | claims_are_of_their_purchases | select 'pay_9'
payment_attempts where payment_id = (select payment_id from payments where transaction_id = 'tran_ord_2'): attempt = 2 | no_charge_refunded_twice | select payment_id from payments where transaction_id = 'tran_ord_2'
creem_refunds where transaction_id = 'tran_r1_1': refund_id = 'ref_9', transaction_id = 'tran_ord_4' | charges_know_what_was_told | select 'tran_ord_4'
disputes where true: dispute_id = 'dis_9', transaction_id = 'tran_ord_1' | disputes_mark_their_charges | select 'dis_9'
reruns where job_id = 'job_3': job_id = 'job_4' | intents_of_reruns_stand | select 'job_4'
effects where key = 'rerun:job_3': key = 'rerun:job_4', state = 'due', done_at = null, due_at = :far | due_before_long | select 'rerun:job_4'
notices where kind = 'money_sent' and state = 'sent': notice_id = 'note_9', key = 'note_9', kind = 'declined' | letters_are_as_history_tells | select 'note_9'
proposals where true: proposal_id = 'prop_9', choice = 'forfeit' | proposals_are_as_history_tells | select 'prop_9'
evidence where name = 'more.png': evidence_id = 'ev_9', stored = 'x', case_id = (select case_id from cases where job_id = 'job_1') | evidence_is_of_its_request | select 'ev_9'
case_tallies where id = 1: id = 9999 | cases_are_tallied | select state from case_tallies where id = 1
"""
INSERTED = [tuple(cell.strip() for cell in line.split(" | ")) for line in INSERTIONS.strip().splitlines()]

CHAIN, CREEM, WORK, PAPER, KEYS = (
    "the chain is its own witness: tests/cases/test_chain.py",
    "Creem is the witness: `refunds reconcile` reads it, and no call is armed without a read",
    "how a process gets on with its work: whatever it says, the work is done again or is found by when it is due",
    "for people to read: nothing is decided by it",
    "a key without which nothing is found; foreign keys hold what is of it",
)
REPORTS = "that something was reported is held against the events; its words are the events', which are chained"
MAIL = "what a person reads and decides by: the mail itself lies where mails are kept"
PAID = "what the product or Creem said of the payment lies chained in the inbox; to read every such document again costs more than all checks"
PROMISE = "alarms go by it and no credits: the promise can be told late, and nothing of it is paid otherwise"
UNSEEN = {
    "accounts": {
        "email": "letters go there, and no money: that goes back the way it came; the product's word of it is chained",
        "status": "the product's: the next import shows it; what is owed is booked whatever it says",
        "opened_at": "in which order addresses were told",
        "suspended_here": "who suspended and who reinstated is in the history; whatever it says, what is owed is booked",
        "reversals_day": "with `reversals_today`: a limit of one day that ends in a review",
        "reversals_today": "a limit of one day that ends in a review",
    },
    "breakers": {"*": "what is stopped is seen in `status` and by alerts; claims that wait are found by when they are due"},
    "case_tallies": {
        "id": KEYS,
        "state": "with the numbers: cases_are_tallied",
        "delivered_late": "with the numbers: cases_are_tallied",
    },
    "cases": {
        "order_id": "what people call it: it is about its subject",
        "reason": "letters and announcements take it from the history, which is chained",
        "facts": "`refunds why` asks the policy again with these, and says where the answer is another",
        "delivered_late": "counted, and never debited; in the tally",
        "stuck": WORK,
        "failed_at": PROMISE,
        "opened_at": PROMISE,
        "warn_at": PROMISE,
        "warned_percent": PROMISE,
        "trace": PAPER,
    },
    "chain_links": {"*": CHAIN},
    "charges": {"status": CREEM, "read_at": CREEM, "looks": WORK},
    "creem_credits": {"*": "the home of the balances is asked: balances_follow_postings, tests/credits/test_at_creem.py"},
    "creem_refunds": {
        "refund_id": CREEM,
        "currency": CREEM,
        "status": CREEM,
        "reason": PAPER,
        "created_at": PAPER,
        "heard_at": PAPER,
    },
    "dead_letters": {
        "dead_id": KEYS,
        "key": "where it came from: an entry without its letter is found while the stream has it",
        "reason": PAPER,
        "detail": PAPER,
        "requeues": PAPER,
        "received_at": PAPER,
    },
    "disputes": {"dispute_id": KEYS, "amount": PAPER, "currency": PAPER, "opened_at": CREEM},
    "doubt_days": {"*": "a limit of one day that ends in a review"},
    "effects": {
        "effect_id": "goes with the next release",
        "kind": WORK,
        "case_id": WORK,
        "job_id": WORK,
        "payload": "what is announced: the case itself says what became of it",
        "attempts": WORK,
        "created_at": PAPER,
        "result": PAPER,
    },
    "epochs": {"*": "held against witnesses outside the database: tests/restore"},
    "evidence": {
        "evidence_id": KEYS,
        "name": PAPER,
        "stored": "a file that no row names is an orphan, and is deleted",
        "declared_type": PAPER,
        "kind": PAPER,
        "size": PAPER,
        "sha256": PAPER,
        "state": "a file that has no kept row is an orphan, and is deleted",
        "received_at": "with `delete_by`: the earlier of the two ends it",
        "deleted_at": PAPER,
    },
    "inbox": {
        "stream_id": PAPER,
        "occurred_at": "the document says it, and is read by itself",
        "received_at": "what a time in the document is held against when it is read again",
        "attempts": WORK,
        "last_error": PAPER,
    },
    "installation": {"*": WORK},
    "layer_jobs": {
        "layers_expected": REPORTS,
        "submitted_at": PAPER,
        "input_expires_at": "whether there is a re-run before the credits come back",
        "downloaded_at": REPORTS,
        "ended_at": "by when reconcile looks first; the audit looks at all",
    },
    "leases": {"name": WORK, "holder": WORK},
    "notices": {
        "notice_id": KEYS,
        "key": "with the history: customers_are_told_once",
        "account_id": "letters go to the account's address, and tell of the case",
        "payload": "amounts and words of a letter: the case and its history are what counts",
        "attempts": WORK,
        "created_at": PAPER,
        "detail": PAPER,
    },
    "operators": {"*": "who may sign in: what they do is in the history"},
    "payment_attempts": {
        "armed_at": "with the deadline: calls_end_after_they_begin; the history has when it was armed",
        "http_status": PAPER,
        "status": PAPER,
        "trace_id": PAPER,
        "refund_id": PAPER,
        "detail": PAPER,
        "raw": PAPER,
        "answered_at": PAPER,
    },
    "payments": {
        "environment": "nobody takes a claim of another environment: claims_take_their_turns, an hour later",
        "kept_transaction_id": "holds a call while the other charge goes back; whether that one stands was decided before",
        "next_step": "that something is sent once more the calls on record forbid; a look instead of a call ends with a person",
        "turn": WORK,
        "probes": WORK,
        "refusals": WORK,
        "armed_at": "the calls have it, each its own",
        "deadline_at": "the calls have it, each its own",
        "detail": PAPER,
        "created_at": PAPER,
        "charged": CREEM,
    },
    "proposals": {
        "proposal_id": KEYS,
        "does": PAPER,
        "proposed_at": PAPER,
        "reason": PAPER,
        "ended_at": PAPER,
        "ended_reason": PAPER,
        "state": "one that is open again is agreed to once more, which finds what it gives given",
    },
    "purchases": {
        "kind": PAID,
        "billing": PAID,
        "customer_id": PAID,
        "product_id": PAID,
        "request_id": PAID,
        "order_id": PAID,
        "paid_at": PAID,
        "period_start": PAID,
        "period_end": PAID,
    },
    "requests": {
        "key": "a mail that comes twice is read twice",
        "origin": PAPER,
        **dict.fromkeys(
            ["received_at", "message_id", "sender", "verdict", "verdict_detail", "automatic", "subject", "text", "named"], MAIL
        ),
        **dict.fromkeys(["problems", "size", "job_id", "purchase_id", "confirmed_at"], MAIL),
        "reference": "an answer without it is a mail of its own",
    },
    "reruns": {
        "attempt": "reports name their attempt",
        "state": WORK,
        "asked_at": PAPER,
        "sent_at": PAPER,
        "ended_at": PAPER,
    },
    "sessions": {"*": "who is signed in: what they do is in the history"},
    "sign_ins": {"*": "how long the next try has to wait"},
    "subscriptions": {
        "subscription_id": KEYS,
        "status": CREEM,
        "updated_at": CREEM,
    },
    "wakings": {"case_id": KEYS, "begun": "a case that is due goes alone, or to a person, which its history tells"},
}
"""What of the books nothing witnesses, and why that is left so; a table by its name alone where that goes for all of it."""


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


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_each_column_is_witnessed_or_is_said_why_not(table: Table) -> None:
    """A new column has to be one or the other."""
    unseen = UNSEEN.get(table.name, {})
    changed = {name for row in TABLE if row[0] == table.name for name in re.findall(r"(?:^|, )(\w+) = ", row[1])}
    witnessed = changed | set(CHAINED.get(table, ()))
    there = {column.name for column in table.columns}
    if "*" in unseen:
        assert set(unseen) == {"*"}
        return
    # some are witnessed in part: that something is there, and not what it says
    assert there - witnessed - unseen.keys() == set()
    assert unseen.keys() <= there


def test_each_check_has_a_corruption() -> None:
    assert {name for name, _ in ALL_CHECKS} - {row[3] for row in TABLE} - {row[1] for row in (*DELETED, *INSERTED)} == set()


def test_full_book_that_nobody_touched_has_no_breach(book: PeopleWorld) -> None:
    assert book.audit().breaches == []
    assert not book.store.read(lambda tx: looks_wrong(tx, book.clock.now()))


@pytest.mark.parametrize(
    ("table", "change", "where", "check", "named"), TABLE, ids=[f"{n}-{row[0]}-{row[3]}" for n, row in enumerate(TABLE)]
)
def test_corrupted_row_is_named(book: PeopleWorld, table: str, change: str, where: str, check: str, named: str) -> None:
    expected = f"select {named} from {table} where {where}" if not named.startswith("= ") else _alone(named[2:])
    assert (check, expected) in _found(book, f"update {table} set {change} where {where}", expected)


@pytest.mark.parametrize(("what", "check", "named"), DELETED, ids=[f"{row[0].split()[0]}-{row[1]}" for row in DELETED])
def test_row_that_is_taken_away_is_missed(book: PeopleWorld, what: str, check: str, named: str) -> None:
    assert (check, named) in _found(book, f"delete from {what}", named)


@pytest.mark.parametrize(("what", "check", "named"), INSERTED, ids=[f"{row[0].split()[0]}-{row[1]}" for row in INSERTED])
def test_row_that_is_put_in_is_named(book: PeopleWorld, what: str, check: str, named: str) -> None:
    # unique keys hold most such rows off; a book that was put together by hand may have none
    assert (check, named) in _found(book, _put_in(what), named)


def corruptions() -> Iterator[tuple[str, dict[str, str]]]:
    """Every statement of these, with its values."""
    changed = (f"update {table} set {change} where {where}" for table, change, where, _, _ in TABLE)
    taken = (f"delete from {what}" for what, _, _ in DELETED)
    for statement in (*changed, *taken, *(_put_in(what) for what, _, _ in INSERTED)):
        yield statement, _values(statement)


def _put_in(what: str) -> str:
    copied, changes = what.split(": ", 1)
    table, where = copied.split(" where ", 1)
    values = dict(change.split(" = ", 1) for change in re.split(r", (?=\w+ = )", changes))
    names = [column.name for column in metadata.tables[table].columns]
    chosen = ", ".join(values.get(name, name) for name in names)
    return f"insert into {table} ({', '.join(names)}) select {chosen} from {table} where {where}"


def _values(statement: str) -> dict[str, str]:
    return {name: at for name, at in (("old", OLD), ("far", FAR)) if f":{name}" in statement}


def _found(book: PeopleWorld, statement: str, expected: str) -> set[tuple[str, str]]:
    """What the audit names once the statement has done its one row, with `expected` for the row that this finds beforehand."""
    with book.store.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        # what the schema itself refuses can still happen to a restored or hand-mended book
        for pragma in ("foreign_keys=off", "ignore_check_constraints=on"):
            raw.cursor().execute(f"pragma {pragma}")
        with connection.begin() as transaction:
            row = connection.execute(text(expected)).scalar_one()
            touched = connection.execute(text(statement), _values(statement)).rowcount
            found = audit_books(Tx(connection), book.clock.now()).breaches
            seen = looks_wrong(Tx(connection), book.clock.now())
            transaction.rollback()
        for pragma in ("foreign_keys=on", "ignore_check_constraints=off"):
            raw.cursor().execute(f"pragma {pragma}")
    assert touched == 1
    assert seen == bool(found), "the simulation looks at all of it at once"
    return {(breach["check"], expected if breach["row"] == str(row) else breach["row"]) for breach in found}


def _alone(query: str) -> str:
    return query if query.startswith("select ") else f"select {query}"
