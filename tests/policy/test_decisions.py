"""Which job gets what, as tables. Every rule has a row; what the rows say is policy.md, sentence by sentence."""

from dataclasses import replace
from datetime import timedelta

import pytest

from policy import JOB_RULES, Output, decide
from policy.rules.remedy import no_rule
from tests.policy.build import NOW, TERMS, a_failed_job, a_job, a_rerun, failed, succeeded, terms
from tests.policy.table import Row, rows

KNOWN_AND_DELIVERED = """
reports                        | facts                              | outcome         | rule                  | owed
1 internal_error               | reversed_credits=5                 | nothing_owed    | already_made_whole    | 0
1 internal_error               | reversed_credits=5; job_known=no   | nothing_owed    | already_made_whole    | 0
1 internal_error               | job_known=no                       | review          | facts_missing         | 0
1 internal_error               | account_known=no                   | review          | facts_missing         | 0
1 internal_error               | debit=0                            | review          | facts_missing         | 0
1 internal_error               | debit=4                            | review          | facts_missing         | 0
1 internal_error               | price=4                            | reverse_credits | server_fault          | 5
1 job_timeout; 2 ok            | rerun=2 asked 30                   | rerun           | rerun_delivered       | 0
1 job_timeout; 2 ok:6/6        | rerun=2 expired -1                 | rerun           | rerun_delivered       | 0
1 job_timeout; 3 ok            | rerun=2 answered 30                | rerun           | rerun_delivered       | 0
1 ok; 1 internal_error         |                                    | review          | contradictory_reports | 0
1 ok; 1 nobody_knows           |                                    | review          | contradictory_reports | 0
1 ok; 1 internal_error; 2 ok   |                                    | nothing_owed    | delivered_anyway      | 0
1 ok; 1 internal_error; 2 ok   | rerun=2 asked 30                   | rerun           | rerun_delivered       | 0
1 ok; 1 short:4/6              |                                    | rerun           | rerun_once            | 0
1 ok; 1 corrupted_download     |                                    | rerun           | rerun_once            | 0
1 ok                           |                                    | nothing_owed    | delivered_anyway      | 0
1 ok:6/6; 2 internal_error     |                                    | nothing_owed    | delivered_anyway      | 0
1 internal_error; 2 ok         |                                    | nothing_owed    | delivered_anyway      | 0
1 job_timeout; 1 ok            | rerun=2 asked 30                   | review          | contradictory_reports | 0
                               |                                    | nothing_owed    | no_failure_reported   | 0
1 job_timeout                  | rerun=2 asked 30                   | rerun           | rerun_in_flight       | 0
1 job_timeout                  | rerun=2 asked 0                    | reverse_credits | timeout_fault         | 5
1 internal_error:6/6           |                                    | review          | nothing_missing       | 0
1 invalid_image:6/6            |                                    | review          | nothing_missing       | 0
1 short:6/6                    |                                    | review          | nothing_missing       | 0
1 ok; 1 short:6/6              |                                    | review          | nothing_missing       | 0
1 short:6/6; 1 internal_error  |                                    | reverse_credits | server_fault          | 5
1 corrupted_download:6/6       |                                    | rerun           | rerun_once            | 0
1 bad_output:6/6               |                                    | reverse_credits | server_fault          | 5
1 short=corrupted_download:6/6 |                                    | rerun           | rerun_once            | 0
1 internal_error:0/0           |                                    | reverse_credits | server_fault          | 5
1 internal_error:0/0           | layers_expected=6                  | reverse_credits | server_fault          | 5
1 short:0/0                    |                                    | rerun           | rerun_once            | 0
1 ok:0/0                       |                                    | rerun           | rerun_once            | 0
1 ok; 1 internal_error         | paid_with=free; debit=0            | nothing_owed    | contradictory_reports | 0
1 ok; 1 internal_error         | price=0; debit=0                   | nothing_owed    | contradictory_reports | 0
1 short:6/6                    | paid_with=pass; debit=0            | nothing_owed    | nothing_missing       | 0
"""

COSTS_AND_BLAME = """
reports               | facts                                               | outcome         | rule              | owed
1 job_timeout         | paid_with=pass; debit=0                             | rerun           | rerun_pass_job    | 0
1 short:4/6           | paid_with=free; debit=0; price=0                    | rerun           | rerun_pass_job    | 0
1 internal_error      | paid_with=pass; debit=0                             | nothing_owed    | no_credits_spent  | 0
1 content_rejected    | paid_with=free; debit=0                             | nothing_owed    | no_credits_spent  | 0
1 job_timeout         | paid_with=pass; debit=0; account_status=suspended   | nothing_owed    | no_credits_spent  | 0
1 job_timeout         | paid_with=pass; debit=0; rerun=2 refused 30         | nothing_owed    | no_credits_spent  | 0
1 job_timeout         | paid_with=pass; debit=0; pass_given_back=yes        | nothing_owed    | no_credits_spent  | 0
1 job_timeout         | paid_with=pass; debit=0; disputed=yes               | nothing_owed    | no_credits_spent  | 0
1 internal_error      | paid_with=pass                                      | reverse_credits | server_fault      | 5
1 internal_error      | price=0; debit=0                                    | nothing_owed    | no_debit          | 0
1 cancelled_by_user   | price=0; debit=0                                    | nothing_owed    | no_debit          | 0
1 cancelled_by_user   |                                                     | decline         | cancelled_by_user | 0
1 cancelled_by_user@queued     |                                            | review          | cancelled_before_start | 0
1 cancelled_by_user@queued     | price=0; debit=0                           | nothing_owed    | no_debit          | 0
1 cancelled_by_user@queued     | paid_with=pass; debit=0                    | nothing_owed    | no_credits_spent  | 0
1 cancelled_by_user@queued:0/6 |                                            | review          | cancelled_before_start | 0
1 cancelled_by_user@queued:2/6 |                                            | decline         | cancelled_by_user | 0
1 cancelled_by_user@segment    |                                            | decline         | cancelled_by_user | 0
1 invalid_image@queued         |                                            | decline         | input_fault       | 0
1 queue_timeout@queued         | rerun=2 expired -1                         | reverse_credits | capacity_fault    | 5
1 invalid_image       |                                                     | decline         | input_fault       | 0
1 unsupported_format  |                                                     | decline         | input_fault       | 0
1 image_too_large     |                                                     | decline         | input_fault       | 0
1 corrupted_upload    |                                                     | decline         | input_fault       | 0
1 content_rejected    |                                                     | decline         | content_rejected  | 0
1 invalid_image       | reversals_today=20                                  | decline         | input_fault       | 0
"""

REMEDIES = """
reports                          | facts                                          | outcome         | rule                  | owed
1 internal_error                 |                                                | reverse_credits | server_fault          | 5
1 model_error                    |                                                | reverse_credits | server_fault          | 5
1 bad_output                     |                                                | reverse_credits | server_fault          | 5
1 internal_error                 | reversed_credits=2                             | reverse_credits | server_fault          | 3
1 internal_error                 | account_status=deleted                         | reverse_credits | server_fault          | 5
1 worker_crashed                 |                                                | rerun           | rerun_once            | 0
1 worker_crashed                 | input_expires_at=1                             | rerun           | rerun_once            | 0
1 worker_crashed                 | input_expires_at=0                             | reverse_credits | server_fault          | 5
1 worker_crashed                 | account_status=suspended                       | reverse_credits | server_fault          | 5
1 worker_crashed                 | account_status=deleted                         | reverse_credits | server_fault          | 5
1 worker_crashed                 | credits_requested=yes                          | reverse_credits | server_fault          | 5
1 worker_crashed                 | rerun_available=no                             | reverse_credits | server_fault          | 5
1 worker_crashed                 | refund_under_way=yes                           | reverse_credits | server_fault          | 5
1 internal_error                 | refund_under_way=yes                           | reverse_credits | server_fault          | 5
1 worker_crashed                 | reversed_credits=1                             | reverse_credits | server_fault          | 4
1 worker_crashed                 | rerun=2 refused 30                             | reverse_credits | server_fault          | 5
1 worker_crashed                 | rerun=2 answered 30                            | reverse_credits | server_fault          | 5
1 worker_crashed; 2 job_timeout  | rerun=2 asked 30                               | reverse_credits | server_fault          | 5
1 worker_crashed                 | reversals_today=20                             | rerun           | rerun_once            | 0
1 gpu_out_of_memory              |                                                | rerun           | rerun_once            | 0
1 gpu_out_of_memory              | rerun=2 expired -1                             | reverse_credits | capacity_fault        | 5
1 queue_timeout                  | input_expires_at=-1                            | reverse_credits | capacity_fault        | 5
1 stage_timeout                  | rerun=2 expired -1                             | reverse_credits | timeout_fault         | 5
1 missing_layers                 |                                                | rerun           | rerun_once            | 0
1 short                          |                                                | rerun           | rerun_once            | 0
1 short:4/6                      |                                                | rerun           | rerun_once            | 0
1 ok:4/6                         |                                                | rerun           | rerun_once            | 0
1 short:4/6                      | rerun=2 refused 30                             | reverse_credits | incomplete_output     | 5
1 internal_error:3               | layers_expected=none                           | reverse_credits | server_fault          | 5
1 internal_error:3/0             | layers_expected=none                           | reverse_credits | server_fault          | 5
1 gpu_out_of_memory:3            | layers_expected=none                           | rerun           | rerun_once            | 0
1 gpu_out_of_memory:3; 2 short:5 | rerun=2 asked 30; layers_expected=none         | reverse_credits | capacity_fault        | 5
1 invalid_image:3                | layers_expected=none                           | decline         | input_fault           | 0
1 short:3                        | layers_expected=none                           | rerun           | rerun_once            | 0
1 short:3/0                      | layers_expected=none                           | rerun           | rerun_once            | 0
1 ok:3; 1 short:3                | layers_expected=none                           | rerun           | rerun_once            | 0
1 short:3                        | layers_expected=3                              | review          | nothing_missing       | 0
1 short:4/6; 2 short:5/6         | rerun=2 asked 30                               | reverse_credits | incomplete_output     | 5
1 short:4/6; 2 ok:5/6            | rerun=2 asked 30                               | reverse_credits | incomplete_output     | 5
1 short:4/6; 2 internal_error    | rerun=2 asked 30                               | reverse_credits | incomplete_output     | 5
1 short:4/6; 2 ok; 2 short:5/6   | rerun=2 asked 30                               | reverse_credits | incomplete_output     | 5
1 short=nobody_knows:4/6         |                                                | rerun           | rerun_once            | 0
1 short=nobody_knows             |                                                | reverse_credits | unknown_code_in_doubt | 5
1 short=invalid_image:4/6        |                                                | decline         | input_fault           | 0
1 nobody_knows                   |                                                | reverse_credits | unknown_code_in_doubt | 5
1 no-code                        |                                                | reverse_credits | unknown_code_in_doubt | 5
1 nobody_knows:4/6               |                                                | reverse_credits | unknown_code_in_doubt | 5
1 nobody_knows                   | doubt_credits_today=495                        | reverse_credits | unknown_code_in_doubt | 5
1 nobody_knows                   | doubt_credits_today=496                        | review          | unknown_code          | 0
1 nobody_knows                   | reversals_today=20                             | review          | velocity              | 0
1 internal_error                 | reversals_today=19                             | reverse_credits | server_fault          | 5
1 internal_error                 | reversals_today=20                             | review          | velocity              | 0
1 internal_error                 | reversals_today=20; service_failure_percent=24 | review          | velocity              | 0
1 internal_error                 | reversals_today=20; service_failure_percent=25 | reverse_credits | server_fault          | 5
1 internal_error                 | disputed=yes                                   | review          | disputed_purchase     | 0
1 job_timeout                    | disputed=yes                                   | review          | disputed_purchase     | 0
1 invalid_image                  | disputed=yes                                   | decline         | input_fault           | 0
1 internal_error                 | partly_refunded=yes                            | review          | purchase_partly_refunded | 0
1 internal_error                 | compensated=5                                  | nothing_owed    | already_made_whole    | 0
1 internal_error                 | compensated=2                                  | reverse_credits | server_fault          | 3
1 internal_error                 | compensated=2; reversed_credits=3              | nothing_owed    | already_made_whole    | 0
1 nobody_knows; 2 internal_error |                                                | reverse_credits | server_fault          | 5
1 invalid_image; 2 nobody_knows  |                                                | reverse_credits | unknown_code_in_doubt | 5
1 invalid_image; 1 model_error   |                                                | reverse_credits | server_fault          | 5
"""

EVERY_ROW = [*rows(KNOWN_AND_DELIVERED), *rows(COSTS_AND_BLAME), *rows(REMEDIES)]
OUTSIDE_THE_TABLES = {"outside_automatic_window", "no_rule"}


@pytest.mark.parametrize("row", EVERY_ROW, ids=lambda row: row.text)
def test_decision_is_what_the_table_says(row: Row) -> None:
    decision = decide(row.facts, TERMS)
    assert (decision.outcome, decision.rule, decision.credits) == (row.outcome, row.rule, row.credits)


@pytest.mark.parametrize("row", EVERY_ROW, ids=lambda row: row.text)
def test_counterfactual_never_claims_the_outcome_there_was(row: Row) -> None:
    decision = decide(row.facts, TERMS)
    other = decision.counterfactual
    assert other is None or other.outcome is not decision.outcome


def test_tables_have_a_row_for_every_rule() -> None:
    assert {row.rule for row in EVERY_ROW} | OUTSIDE_THE_TABLES == {rule.__name__ for rule in JOB_RULES}


def test_decision_of_reports_alike_but_for_their_figures_does_not_depend_on_their_order() -> None:
    one, other = failed(output=Output(1, 6)), failed(output=Output(2, 6))
    assert decide(a_job(one, other), TERMS) == decide(a_job(other, one), TERMS)


def test_no_rule_hands_to_a_person_what_nothing_covers() -> None:
    verdict = no_rule(a_failed_job(), TERMS)
    assert (verdict.outcome, verdict.reason) == ("review", "no rule of the policy covers this job")


def test_no_rule_is_asked_last() -> None:
    assert JOB_RULES[-1] is no_rule


def test_automatic_window_binds_only_where_the_terms_set_one() -> None:
    old = a_job(failed(at=NOW - timedelta(days=90)))
    assert decide(old, TERMS).rule == "server_fault"
    assert decide(old, terms(automatic_window_days=7)).rule == "outside_automatic_window"


def test_automatic_window_is_open_to_the_end_of_its_last_day() -> None:
    # noon in UTC is midnight at UTC-12: the failure's day began at noon of the 23rd, its seventh day ends at noon of March 3
    facts = a_job(failed(at=NOW - timedelta(days=7)))
    in_a_week = terms(automatic_window_days=7)
    closes = NOW + timedelta(days=1)
    assert decide(replace(facts, now=closes - timedelta(microseconds=1)), in_a_week).rule == "server_fault"
    assert decide(replace(facts, now=closes), in_a_week).rule == "outside_automatic_window"


def test_stages_at_which_a_job_waits_are_a_term() -> None:
    facts = a_job(failed("cancelled_by_user", stage="parked"))
    assert decide(facts, TERMS).rule == "cancelled_by_user"
    assert decide(facts, terms(waiting_stages=("parked",))).rule == "cancelled_before_start"


def test_decision_of_reports_alike_but_for_their_stage_does_not_depend_on_their_order() -> None:
    one, other = failed("cancelled_by_user", stage="queued"), failed("cancelled_by_user", stage="segment")
    assert decide(a_job(one, other), TERMS) == decide(a_job(other, one), TERMS)


def test_decision_is_signed_with_the_edition() -> None:
    assert decide(a_failed_job(), TERMS).terms == "2025-12-03"


def test_rerun_is_settled_only_once_it_delivered() -> None:
    running = a_job(failed("job_timeout"), rerun=a_rerun())
    assert not decide(running, TERMS).settled
    assert decide(replace(running, reports=(*running.reports, succeeded(2))), TERMS).settled
