"""The shipped terms, and the editions in force."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest

from policy import Editions, FaultClass, UnknownEdition, load_editions
from tests.policy.build import SHIPPED, TERMS, terms

# fault class, then its codes; a star marks those that get a re-run first (policy.md, "How a failure code is read")
FAULTS = """
server    internal_error worker_crashed* model_error storage_error* upstream_unavailable* bad_output
capacity  gpu_out_of_memory* queue_timeout* capacity_exceeded*
timeout   job_timeout* stage_timeout*
output    missing_layers* corrupted_output* corrupted_download*
input     invalid_image unsupported_format image_too_large corrupted_upload
safety    content_rejected
cancelled cancelled_by_user
unknown   anything_else no_such_code
"""
CODES = [(line.split()[0], code) for line in FAULTS.strip().splitlines() for code in line.split()[1:]]


@pytest.mark.parametrize(("fault", "code"), CODES)
def test_terms_read_a_code_as_the_table_says(fault: str, code: str) -> None:
    assert TERMS.fault_of(code.rstrip("*")) is FaultClass(fault)
    assert TERMS.rerunnable(code.rstrip("*")) is code.endswith("*")


def test_terms_list_no_code_beyond_the_table() -> None:
    listed = {code for codes in TERMS.faults.values() for code in codes}
    assert listed == {code.rstrip("*") for fault, code in CODES if fault != "unknown"}


def test_terms_hold_the_numbers_of_the_policy() -> None:
    numbers = {name: getattr(TERMS, name) for name in TERMS.__slots__} | {
        "faults": None,
        "rerunnable_codes": None,
        "digest": None,
    }
    assert numbers == {
        "edition": "2025-12-03",
        "zone": ZoneInfo("Etc/GMT+12"),
        "holiday_calendar": "US",
        "promise_business_days": 3,
        "promise_warn_percent": (50, 80),
        "request_window_days": 7,
        "automatic_window_days": None,
        "approval_second_person_above_credits_per_day": 1000,
        "approval_second_person_above_minor_units_per_day": 50_000,
        "content_codes": ("bad_output",),
        "waiting_stages": ("queue", "queued", "waiting", "pending"),
        "activation_second_person_above_credits": None,
        "activation_second_person_above_minor_units": None,
        "rerun_deadline_minutes": 60,
        "wait_for_facts_hours": 72,
        "auto_reversals_per_account_per_day": 20,
        "outage_failure_percent": 25,
        "doubt_credits_per_day": 500,
        "duplicate_window_hours": 24,
        "duplicate_auto_minutes": 10,
        "money_per_hour_minor_units": 200_000,
        "money_per_day_minor_units": 1_000_000,
        "unproved_payment_hours": 24,
        "refused_payment_days": 14,
        "pass_jobs_min": 2,
        "pass_downloads_min": 1,
        "evidence_hours_after_decision": 24,
        "evidence_days_max": 30,
        "approval_second_person_above_minor_units": 10_000,
        "faults": None,
        "rerunnable_codes": None,
        "digest": None,
    }


def test_terms_carry_the_digest_of_their_file() -> None:
    assert TERMS.digest == sha256(SHIPPED.read_bytes()).hexdigest()


def test_terms_survive_pickling_and_can_be_a_key() -> None:
    copy = pickle.loads(pickle.dumps(TERMS))
    assert copy == TERMS
    assert {copy: 1}[TERMS] == 1


OLD, NEW = TERMS, replace(terms(edition="2026-06-01"), zone=ZoneInfo("Europe/Berlin"))
BOTH = Editions((OLD, NEW))


def test_edition_begins_with_its_date_in_its_own_zone() -> None:
    begins = datetime(2026, 5, 31, 22, 0, tzinfo=UTC)
    assert NEW.starts_at == begins
    assert BOTH.at(begins - timedelta(microseconds=1)) is OLD
    assert BOTH.at(begins) is NEW


def test_edition_before_the_first_is_the_first() -> None:
    assert BOTH.at(datetime(2020, 1, 1, tzinfo=UTC)) is OLD


def test_case_keeps_its_edition_where_it_is_there() -> None:
    assert BOTH.judging("2026-06-01", OLD.starts_at) is NEW
    assert BOTH.judging("2030-01-01", NEW.starts_at) is NEW
    assert BOTH.judging(None, OLD.starts_at) is OLD


def test_edition_is_found_by_name() -> None:
    assert BOTH.by_name("2026-06-01") is NEW
    with pytest.raises(UnknownEdition, match="no edition 2030-01-01 of the terms is here; there are 2025-12-03, 2026-06-01"):
        BOTH.by_name("2030-01-01")


def test_edition_takes_the_place_of_the_one_before_it() -> None:
    assert BOTH.before(NEW) is OLD
    assert BOTH.before(OLD) is None
    last = replace(NEW, edition="2027-01-01")
    assert Editions((OLD, NEW, last)).before(last) is NEW


@pytest.mark.parametrize(
    ("credits", "cents", "by_people"), [(None, None, False), (0, None, True), (None, 0, True), (1000, 50_000, True)]
)
def test_next_edition_waits_for_people_where_the_terms_name_either_limit(
    credits: int | None, cents: int | None, by_people: bool
) -> None:
    limits = {"activation_second_person_above_credits": credits, "activation_second_person_above_minor_units": cents}
    assert terms(**limits).activated_by_people is by_people


def test_editions_are_listed_oldest_first() -> None:
    assert [edition.edition for edition in BOTH] == ["2025-12-03", "2026-06-01"]


def test_shipped_editions_are_sound() -> None:
    assert load_editions(SHIPPED.parent).by_name("2025-12-03") == TERMS
