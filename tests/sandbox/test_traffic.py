"""The made-up world is the same for a seed, holds every story, and keeps the contract and its own books."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from policy.facts import AccountStatus, Billing, PurchaseKind
from policy.lifecycle import CaseState
from worker.cli.processes import FEWEST_JOBS
from worker.intake.records import AccountRecord, JobRecord, PurchaseRecord, read_record
from worker.intake.wire import Event, EventType, Reported, Submitted, read_event
from worker.sandbox.pipeline import RerunPlan
from worker.sandbox.stories import STORIES
from worker.sandbox.telling import Expectation
from worker.sandbox.traffic import World, make_world
from worker.strict import Malformed

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SEEDS = range(8)
# policy.md, "How a failure code is read"
CODES = {
    "internal_error", "worker_crashed", "model_error", "storage_error", "upstream_unavailable", "bad_output",
    "gpu_out_of_memory", "queue_timeout", "capacity_exceeded", "job_timeout", "stage_timeout",
    "missing_layers", "corrupted_output", "corrupted_download",
    "invalid_image", "unsupported_format", "image_too_large", "corrupted_upload", "content_rejected", "cancelled_by_user",
}  # fmt: skip


def a_world(seed: int = 1, **size: int) -> World:
    return make_world(seed, now=NOW, **size)


def understood(world: World) -> list[Event]:
    events = []
    for document in world.events + world.late:
        try:
            events.append(read_event(document.encode(), NOW))
        except Malformed:
            continue
    return events


def first_of_each_name(world: World) -> list[Event]:
    return list({event.id: event for event in reversed(understood(world))}.values())


def test_same_seed_and_time_make_the_same_world() -> None:
    assert a_world(3) == a_world(3)
    assert a_world(3).events != a_world(4).events


@pytest.mark.parametrize("seed", SEEDS)
def test_every_story_is_told_even_in_the_smallest_world(seed: int) -> None:
    world = a_world(seed, jobs=len(STORIES), accounts=1)
    assert Counter(e.story for e in world.expected.values()) == Counter(story.name for story in STORIES)


def test_world_too_small_for_its_stories_is_refused() -> None:
    with pytest.raises(ValueError, match="stories need at least"):
        a_world(jobs=len(STORIES) - 1)


def test_demo_takes_as_few_jobs_as_there_are_stories() -> None:
    assert len(STORIES) == FEWEST_JOBS


def test_every_story_has_a_line_of_its_own() -> None:
    lines = [story.line for story in STORIES]
    assert len(set(lines)) == len(STORIES)
    assert all(10 < len(line) < 130 for line in lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_event_type_and_every_failure_code_appears(seed: int) -> None:
    events = understood(a_world(seed))
    assert {event.type for event in events} == {kind.value for kind in EventType}
    codes = {event.data.code for event in events if isinstance(event.data, Reported)}
    assert codes >= CODES
    assert codes - CODES - {""}, "an unknown code is missing"


@pytest.mark.parametrize("seed", SEEDS)
def test_import_holds_every_kind_of_record(seed: int) -> None:
    records = [read_record(line.encode()) for line in a_world(seed).import_lines]
    assert {r.status for r in records if isinstance(r, AccountRecord)} == set(AccountStatus)
    bought = {(r.kind, r.billing) for r in records if isinstance(r, PurchaseRecord)}
    assert bought == {(kind, Billing.FIRST) for kind in PurchaseKind} | {(PurchaseKind.SUBSCRIPTION, Billing.RENEWAL)}
    assert any(isinstance(r, JobRecord) for r in records)
    assert len({r.key for r in records}) == len(records)


@pytest.mark.parametrize("seed", SEEDS)
def test_import_lines_hold_the_fields_of_the_contract(seed: int) -> None:
    required = {
        "account": {"id", "email", "status"},
        "purchase": {
            "id", "account_id", "customer_id", "product_id", "kind", "billing", "transaction_id", "request_id", "amount",
            "currency", "credits", "paid_at",
        },
        "layer_job": {"id", "account_id", "credits", "paid_with", "status", "layers_expected", "submitted_at"},
    }  # fmt: skip
    for line in a_world(seed).import_lines:
        record = json.loads(line)
        assert required[record["record"]] <= set(record)


def debits_of(world: World) -> dict[str, list[tuple[datetime, int]]]:
    debits: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for record in (read_record(line.encode()) for line in world.import_lines):
        if isinstance(record, JobRecord):
            debits[record.account_id].append((record.submitted_at, record.credits))
    for event in first_of_each_name(world):
        if isinstance(event.data, Submitted) and event.data.paid_with == "credits":
            debits[str(event.account_id)].append((event.time, event.data.credits))
    return debits


def lots_of(world: World) -> dict[str, list[int]]:
    lots: dict[str, list[int]] = defaultdict(list)
    for record in (read_record(line.encode()) for line in world.import_lines):
        if isinstance(record, PurchaseRecord):
            lots[record.account_id].append(record.credits)
    return lots


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("jobs", [len(STORIES), 300, 1500])
def test_debits_never_exceed_the_lots(seed: int, jobs: int) -> None:
    world = a_world(seed, jobs=jobs)
    lots = lots_of(world)
    for account_id, debits in debits_of(world).items():
        assert sum(credits for _, credits in debits) <= sum(lots[account_id])
        assert all(1 <= credits <= 12 for _, credits in debits)


@pytest.mark.parametrize("seed", SEEDS)
def test_some_job_draws_on_two_lots_whatever_the_order(seed: int) -> None:
    world = a_world(seed)
    lots = lots_of(world)
    crossing = [a for a, debits in debits_of(world).items() if len(lots[a]) > 1 and lots[a][0] < min(c for _, c in debits)]
    assert crossing


@pytest.mark.parametrize("seed", SEEDS)
def test_no_purchase_looks_like_a_charge_made_twice(seed: int) -> None:
    paid: dict[str, list[datetime]] = defaultdict(list)
    for record in (read_record(line.encode()) for line in a_world(seed, jobs=1500).import_lines):
        if isinstance(record, PurchaseRecord):
            paid[record.account_id].append(record.paid_at)
    for times in paid.values():
        assert all(later - earlier > timedelta(hours=48) for earlier, later in pairwise(times))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("jobs", [300, 1500])
def test_no_account_comes_near_the_velocity_limit(seed: int, jobs: int) -> None:
    world = a_world(seed, jobs=jobs)
    owner = {event.job_id: event.account_id for event in understood(world) if event.job_id}
    jobs_of = Counter(owner[job_id] for job_id in world.expected if job_id in owner)
    assert max(jobs_of.values()) <= 12


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_happens_after_now_or_before_the_job(seed: int) -> None:
    world = a_world(seed)
    begun = {event.job_id: event.time for event in understood(world) if isinstance(event.data, Submitted)}
    for event in understood(world):
        assert event.time <= NOW
        assert event.job_id is None or event.time >= begun.get(event.job_id, event.time)


@pytest.mark.parametrize("seed", SEEDS)
def test_dead_letters_are_counted_as_intake_will_find_them(seed: int) -> None:
    world = a_world(seed)
    first: dict[tuple[str, str], str] = {}
    dead = 0
    for document in world.events:
        try:
            event = read_event(document.encode(), NOW)
        except Malformed:
            dead += 1
            continue
        if first.setdefault((event.source, event.id), document) != document:
            dead += 1
    assert dead == world.dead_letters
    assert len(world.events) - len(set(world.events)) == world.noise["repeated documents"] > 20
    assert "\n" not in "".join(world.events)


def test_every_way_of_being_broken_appears() -> None:
    reasons = set()
    for document in a_world().events:
        try:
            read_event(document.encode(), NOW)
        except Malformed as fault:
            reasons.add(fault.reason)
    assert reasons == {
        "too_large", "not_json", "duplicate_key", "bad_number", "not_an_object", "wrong_version", "unknown_type",
        "missing_field", "bad_value", "from_the_future",
    }  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_some_failures_arrive_before_their_job_and_some_jobs_before_their_account(seed: int) -> None:
    events = understood(a_world(seed))
    seen: set[Any] = set()
    early_failures = early_jobs = 0
    opened = {event.account_id for event in events if event.type == EventType.ACCOUNT_OPENED}
    for event in events:
        if isinstance(event.data, Reported) and event.job_id not in seen:
            early_failures += 1
        if isinstance(event.data, Submitted):
            early_jobs += event.account_id in opened - seen
        seen |= {event.job_id} if isinstance(event.data, Submitted) else set()
        seen |= {event.account_id} if event.type == EventType.ACCOUNT_OPENED else set()
    assert early_failures > 10
    assert early_jobs > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_expectations_name_final_states_and_credits_only_where_credits_return(seed: int) -> None:
    world = a_world(seed)
    allowed = {state.value for state in CaseState if state.final} | {CaseState.REVIEW.value}
    for job_id, expected in world.expected.items():
        assert expected.states <= allowed
        assert (expected.credits > 0) == ("refunded" in expected.states), job_id
    assert set(world.plans) <= set(world.expected)
    assert set(world.plans.values()) == set(RerunPlan)
    assert world.plan("job_of_nobody") is RerunPlan.DELIVERS


# states allowed | credits | state found | credits found | holds
HOLDS = """
refunded        | 5 | refunded  | 5 | yes
refunded        | 5 | refunded  | 4 | no
refunded        | 5 | review    | 0 | no
refunded,review | 5 | review    | 0 | yes
refunded,review | 5 | review    | 5 | no
declined        | 0 | declined  | 0 | yes
declined        | 0 | declined  | 1 | no
declined        | 0 | -         | 0 | no
-               | 0 | -         | 0 | yes
-               | 0 | declined  | 0 | no
"""


@pytest.mark.parametrize("row", HOLDS.strip().splitlines())
def test_expectation_holds_for_exactly_what_it_names(row: str) -> None:
    states, owed, state, reversed_credits, holds = (part.strip() for part in row.split("|"))
    expected = Expectation("a story", frozenset() if states == "-" else frozenset(states.split(",")), int(owed))
    assert expected.holds(None if state == "-" else state, int(reversed_credits)) == (holds == "yes")
