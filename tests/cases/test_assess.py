"""One event after another through the real steps: what the customer ends up with."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from policy.codes import failure_code
from tests.cases.world import World, a_job, a_purchase, an_account, moves
from worker.clock import moment
from worker.credits.ledger import Ledger, Posting
from worker.reruns import Answer, Reply, RerunOrder
from worker.settings import DEFAULT_TERMS, Mode
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases, reruns


@pytest.fixture
def world(store: Store) -> World:
    made = World(store)
    made.load(an_account(), a_purchase(credits=100))
    return made


def test_failed_job_gets_its_credits_back_once(world: World) -> None:
    world.happen(world.submitted("job_1"))
    assert world.credits() == 95
    world.happen(world.failed("job_1"))
    assert world.credits() == 100
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["credits_owed"], case["credits_reversed"]) == ("refunded", 5, 5)
    assert case["decision"]["clause"] == "failed-job"
    assert case["decision"]["terms"] == "2025-12-03"
    assert moves(case) == ["case.opened", "case.decided", "credits.reversed"]
    assert world.audit().breaches == []


def test_what_came_of_events_begins_with_the_outcome(world: World) -> None:
    def told(*documents: str) -> str:
        world.arrive(*documents)
        return str(world.assessor.assess())

    assert told(world.submitted("job_1")) == "noted 1", "no case moved"
    case = told(world.failed("job_1"))
    assert case == f"refunded {(world.case('job_1') or {})['case_id']} job_1"
    assert told(world.failed("job_2")).startswith("waiting case_")
    assert told() == "nothing due"
    several = [each for job in ("job_3", "job_4") for each in (world.submitted(job), world.failed(job))]
    assert told(*several) == "refunded 2 of 4 events"


def test_same_event_a_hundred_times_is_one_fact(world: World) -> None:
    world.happen(world.submitted("job_1"))
    for _ in range(100):
        world.arrive(world.failed("job_1"))
    world.sweep()
    assert world.credits() == 100
    assert world.dead() == []


def test_same_fact_under_other_ids_is_one_case(world: World) -> None:
    world.happen(world.submitted("job_1"), *(world.failed("job_1", id=f"other-{n}") for n in range(5)))
    world.happen(world.failed("job_1", id="late"))
    assert world.credits() == 100
    assert world.state("job_1") == "refunded"


def test_same_id_with_other_content_keeps_the_first(world: World) -> None:
    world.happen(world.submitted("job_1", id="one", credits=5))
    world.happen(world.submitted("job_2", id="one", credits=50))
    world.happen(world.submitted("job_3", id="two"), world.submitted("job_4", id="two"))
    assert world.credits() == 90
    assert world.dead() == [("conflicting_content", "open")] * 2


def test_reserialised_event_is_a_repeat_and_no_conflict(world: World) -> None:
    document = world.submitted("job_1")
    world.happen(document)
    world.happen(document.replace(",", ", "))
    assert world.dead() == []


def test_failure_before_submission_waits_and_is_then_made_whole(world: World) -> None:
    world.happen(world.failed("job_1"))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"], case["reason"]) == ("waiting", None, "waiting for the job's submission")
    world.happen(world.submitted("job_1"))
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


def test_case_waiting_too_long_goes_to_a_person_and_still_finds_home(world: World) -> None:
    world.happen(world.failed("job_1"))
    world.clock.pass_(hours=73)
    world.sweep()
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("review", "facts_missing")
    world.happen(world.submitted("job_1"))
    assert world.state("job_1") == "refunded"
    assert world.audit().breaches == []


def test_unknown_account_waits_until_something_vouches_for_it(world: World) -> None:
    world.happen(world.submitted("job_9", "acc_9"), world.failed("job_9", "acc_9"))
    assert world.state("job_9") == "waiting"
    world.load(an_account("acc_9"))
    assert world.state("job_9") == "waiting"
    world.load(a_purchase("ord_9", "acc_9", credits=7))
    assert world.state("job_9") == "refunded"
    assert world.credits("acc_9") == 7


def test_job_of_another_account_is_refused_and_changes_nothing(world: World) -> None:
    world.load(an_account("acc_2"))
    world.happen(world.submitted("job_1"))
    world.happen(world.failed("job_1", "acc_2"))
    assert world.state("job_1") is None
    assert world.dead() == [("foreign_job", "open")]
    assert world.credits() == 95
    assert world.audit().breaches == []


def test_foreign_failure_that_came_first_owes_nothing_once_the_job_is_known(world: World) -> None:
    world.happen(world.failed("job_1", "acc_2"))
    world.happen(world.submitted("job_1"))
    assert world.state("job_1") == "nothing_owed"
    world.happen(world.failed("job_1", id="the-true-one"))
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


class _Meanwhile(Ledger):
    """Runs something in another transaction just before the first booking of this one commits."""

    def __init__(self) -> None:
        self.then: Callable[[], object] | None = None

    def book(self, tx: Tx, wanted: Sequence[Posting], at: datetime) -> None:
        then, self.then = self.then, None
        if then is not None:
            then()
        super().book(tx, wanted, at)


def test_foreign_failure_and_its_job_handled_at_the_same_time_do_not_miss_each_other(store: Store) -> None:
    if store.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time: nothing is handled meanwhile")
    ledger = _Meanwhile()
    world = World(store, ledger=ledger, batch=1)
    world.load(an_account(), an_account("acc_2"), a_purchase())
    world.arrive(world.submitted("job_1"), world.failed("job_1", "acc_2"))
    ledger.then = world.assessor.assess
    world.assessor.assess()
    assert world.dead() == []
    world.sweep()
    assert world.dead() == [("foreign_job", "open")]
    world.happen(world.failed("job_1", id="the-true-one"))
    assert (world.state("job_1"), world.credits()) == ("refunded", 100)
    assert world.audit().breaches == []


def test_rerun_that_delivers_closes_the_case_without_credits(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
    assert world.state("job_1") == "rerunning"
    assert [(order.job_id, order.attempt) for order in world.pipeline.orders] == [("job_1", 2)]
    world.happen(world.succeeded("job_1", attempt=2))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"]["outcome"], case["reruns"], case["credits_reversed"]) == ("delivered", "rerun", 1, 0)
    assert world.credits() == 95


@pytest.mark.parametrize(("first", "state", "back"), [("result", "delivered", 0), ("deadline", "refunded", 5)])
def test_result_and_deadline_at_one_instant_leave_one_remedy(world: World, first: str, state: str, back: int) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
    delivered = world.succeeded("job_1", attempt=2)
    world.clock.pass_(minutes=60)
    if first == "result":
        world.happen(delivered)
    else:
        world.sweep()
        world.happen(delivered)
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["credits_reversed"], case["delivered_late"]) == (state, back, first == "deadline")
    assert world.credits() == 95 + back
    assert world.audit().breaches == []


@pytest.mark.parametrize("answer", ["failed", "incomplete", "silence"])
def test_rerun_that_does_not_mend_it_gives_all_credits_back(world: World, answer: str) -> None:
    world.happen(world.submitted("job_1"), world.incomplete("job_1"))
    assert world.state("job_1") == "rerunning"
    if answer == "failed":
        world.happen(world.failed("job_1", attempt=2, code="model_error"))
    elif answer == "incomplete":
        world.happen(world.incomplete("job_1", attempt=2, delivered=5))
    else:
        world.clock.pass_(minutes=61)
        world.sweep()
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["credits_reversed"], case["reruns"]) == ("refunded", 5, 1)
    assert case["decision"]["clause"] == "incomplete-output"
    assert world.credits() == 100


def test_success_after_the_reversal_is_goodwill_and_never_debited_again(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    world.clock.pass_(minutes=61)
    world.sweep()
    world.happen(world.succeeded("job_1", attempt=2))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["delivered_late"]) == ("refunded", True)
    assert world.credits() == 100
    assert world.audit().breaches == []


def test_late_failure_of_the_first_attempt_leaves_a_delivery_alone(world: World) -> None:
    world.happen(world.submitted("job_1"), world.incomplete("job_1"))
    world.happen(world.succeeded("job_1", attempt=2))
    world.happen(world.failed("job_1", attempt=1, code="storage_error"))
    assert world.state("job_1") == "delivered"
    assert world.credits() == 95


def test_job_is_rerun_once_ever(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    world.happen(world.succeeded("job_1", attempt=2))
    world.happen(world.incomplete("job_1", attempt=2, failure={"code": "corrupted_download"}))
    assert len(world.pipeline.orders) == 1
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


def test_later_proof_of_our_fault_overturns_a_no(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="invalid_image"))
    assert world.state("job_1") == "declined"
    world.happen(world.failed("job_1", code="internal_error", id="later"))
    assert world.state("job_1") == "refunded"
    world.happen(world.failed("job_1", code="content_rejected", id="latest"))
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


def test_debit_draws_on_the_oldest_lot_and_comes_back_to_the_same_lots(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase("new", credits=50, paid_at="2026-03-01T10:00:00Z"), a_purchase("old", credits=3))
    world.happen(world.submitted("job_1", credits=5))
    assert [(lot["purchase_id"], lot["remaining"]) for lot in world.account("acc_1")["lots"]] == [("old", 0), ("new", 48)]
    world.happen(world.failed("job_1"))
    assert [(lot["purchase_id"], lot["remaining"]) for lot in world.account("acc_1")["lots"]] == [("old", 3), ("new", 50)]
    assert world.audit().breaches == []


def test_debit_waits_for_its_purchase_oldest_job_first(store: Store) -> None:
    world = World(store)
    world.load(an_account())
    world.happen(world.submitted("job_1", credits=6))
    world.clock.pass_(minutes=1)
    world.happen(world.submitted("job_2", credits=6), world.failed("job_2"))
    assert world.state("job_2") == "waiting"
    world.load(a_purchase("ord_1", credits=10))
    assert world.credits() == 4
    assert world.state("job_2") == "waiting"
    world.load(a_purchase("ord_2", credits=10, paid_at="2026-03-01T11:00:00Z"))
    assert world.state("job_2") == "refunded"
    assert world.credits() == 14
    assert world.audit().breaches == []


@pytest.mark.parametrize("status", ["suspended", "deleted"])
def test_reversal_is_booked_whatever_the_standing_of_the_account(world: World, status: str) -> None:
    world.happen(world.submitted("job_1"))
    world.load(an_account(status=status))
    world.happen(world.failed("job_1", code="job_timeout"))
    assert world.pipeline.orders == []
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


@pytest.mark.parametrize("paid_with", ["pass", "free"])
def test_job_that_took_no_credits_is_rerun_or_owed_nothing(world: World, paid_with: str) -> None:
    world.happen(world.submitted("job_1", paid_with=paid_with), world.failed("job_1", code="model_error"))
    assert world.state("job_1") == "nothing_owed"
    world.happen(world.submitted("job_2", paid_with=paid_with), world.failed("job_2", code="job_timeout"))
    assert world.state("job_2") == "rerunning"
    assert world.credits() == 100


def test_unknown_code_is_the_customers_favour_while_the_days_budget_lasts(world: World) -> None:
    world.load(a_purchase("big", credits=2000, paid_at="2026-03-01T12:00:00Z"))
    for name in ("job_1", "job_2", "job_3"):
        world.happen(world.submitted(name, credits=200), world.failed(name, code="gremlins"))
    assert [world.state(name) for name in ("job_1", "job_2", "job_3")] == ["refunded", "refunded", "review"]
    world.clock.pass_(days=1)
    world.happen(world.submitted("job_4", credits=200), world.failed("job_4", code="gremlins"))
    assert world.state("job_4") == "refunded"


@pytest.mark.parametrize("code", ["CUDA OOM", "a.b-c/d:1", "\u663e\u5b58\u4e0d\u8db3", "x" * 65, "half\ud800\x00", "<b>\u202e"])
def test_promise_runs_for_a_code_that_nobody_used_before(world: World, code: str) -> None:
    """policy.md: class `unknown` is anything else. Once these were refused as dead letters, and the customer had nothing."""
    world.happen(world.submitted("job_1"), world.failed("job_1", code=code), world.failed("job_1", code=f" {code}", id="again"))
    assert world.dead() == []
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"]["rule"], case["credits_reversed"]) == ("refunded", "unknown_code_in_doubt", 5)
    assert f"the job failed with {failure_code(code)} and delivered" in case["decision"]["reason"]
    assert world.audit().breaches == []


def test_more_reversals_than_the_daily_limit_go_to_a_person_unless_the_service_is_down(world: World) -> None:
    good = [f"good_{n}" for n in range(80)]
    world.load(a_purchase("big", "acc_2", credits=500))
    world.happen(*(world.submitted(name, "acc_2", credits=1) for name in good))
    world.happen(*(world.succeeded(name, "acc_2") for name in good))
    names = [f"job_{n:02d}" for n in range(22)]
    for name in names:
        world.happen(world.submitted(name, credits=1), world.failed(name))
    states = [world.state(name) for name in names]
    assert states == ["refunded"] * 20 + ["review"] * 2
    bad = [f"bad_{n}" for n in range(60)]
    world.happen(*(world.submitted(name, "acc_2", credits=1) for name in bad))
    world.happen(*(world.failed(name, "acc_2") for name in bad))
    world.happen(world.submitted("job_99", credits=1), world.failed("job_99"))
    assert world.state("job_99") == "refunded"
    assert world.audit().breaches == []


@pytest.mark.parametrize(("well", "ends"), [(0, {"refunded": 30}), (100, {"refunded": 20, "review": 10})])
def test_jobs_of_a_batch_count_towards_the_failures_of_the_service(world: World, well: int, ends: dict[str, int]) -> None:
    """One by one the twenty-first would have met twenty failures before it; in the first batch of an outage it does too."""
    world.load(a_purchase("big", "acc_2", credits=500))
    names = [f"job_{n}" for n in range(30)]
    good = [f"good_{n}" for n in range(well)]
    world.happen(
        *(world.submitted(name, credits=1) for name in names),
        *(world.submitted(name, "acc_2", credits=1) for name in good),
        *(world.succeeded(name, "acc_2") for name in good),
        *(world.failed(name) for name in names),
    )
    assert Counter(map(world.state, names)) == ends
    assert world.audit().ok


def test_refused_rerun_gives_the_credits_back_without_waiting(world: World) -> None:
    world.pipeline.answer = lambda order: Answer.REFUSED
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


def test_answer_about_one_rerun_is_none_about_another(world: World) -> None:
    """Two jobs that are asked for at the same moment have an answer each: one may still come to something."""
    world.pipeline.answer = lambda order: Answer.REFUSED if order.job_id == "job_2" else Answer.ACCEPTED
    names = ["job_1", "job_2", "job_3"]
    world.happen(*map(world.submitted, names), *(world.failed(name, code="job_timeout") for name in names[:2]))
    assert [world.state(name) for name in names[:2]] == ["rerunning", "refunded"]
    world.clock.pass_(minutes=1)
    world.happen(world.failed("job_3", code="job_timeout"))
    asked = world.store.read(lambda tx: tx.all(select(reruns).order_by(reruns.c.job_id)))
    assert [row.state for row in asked] == ["asked", "refused", "asked"]
    assert [row.sent_at for row in asked] == [world.clock.now() - timedelta(minutes=1), None, world.clock.now()]


@pytest.mark.parametrize("tells", ["succeeded", "failed"])
def test_refusal_that_comes_after_the_end_of_the_rerun_changes_nothing(world: World, tells: str) -> None:
    """What the first call for it began was told of while a later one was answered."""
    stands: list[Any] = []

    def late(order: RerunOrder) -> Answer:
        world.happen(world.succeeded("job_1", attempt=2) if tells == "succeeded" else world.failed("job_1", attempt=2))
        stands.extend(ends())
        return Answer.REFUSED

    def ends() -> list[Any]:
        c, r = cases.c, reruns.c
        asked = select(c.state, c.next_action_at, r.state.label("rerun"), r.ended_at).join(reruns, r.job_id == c.job_id)
        return list(world.store.read(lambda tx: tx.all(asked)))

    world.pipeline.answer = late
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    assert ends() == stands
    assert [row.rerun for row in stands] == ["answered"]
    assert world.credits() == (95 if tells == "succeeded" else 100)


def test_rerun_nobody_hears_is_asked_again_with_the_same_order_until_its_deadline(world: World) -> None:
    asked_at: list[datetime] = []

    def nobody(order: RerunOrder) -> Answer:
        asked_at.append(world.clock.now())
        return Answer.NOT_HEARD

    world.pipeline.answer = nobody
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    for _ in range(40):
        world.clock.pass_(minutes=2)
        world.sweep()
    assert len({order.sent_as for order in world.pipeline.orders}) == 1
    waits = [later - earlier for earlier, later in pairwise(asked_at)]
    assert (waits[0], max(waits)) == (timedelta(minutes=2), timedelta(minutes=6)), "five minutes at most, and a sweep"
    found = world.case("job_1")
    assert found is not None
    assert found["state"] == "refunded"
    assert [entry["event"] for entry in found["history"]].count("rerun.expired") == 1
    asked = len(world.pipeline.orders)
    world.clock.pass_(hours=2)
    world.sweep()
    assert len(world.pipeline.orders) == asked
    assert world.audit().breaches == []


def test_rerun_that_delivered_though_nobody_heard_of_its_order_is_not_ordered_again(world: World) -> None:
    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    assert world.state("job_1") == "rerunning"
    asked = len(world.pipeline.orders)
    world.happen(world.succeeded("job_1", attempt=2))
    assert world.state("job_1") == "delivered"
    world.clock.pass_(minutes=2)
    world.sweep()
    assert len(world.pipeline.orders) == asked, "it would be a second re-run, of a job that is done"
    found = world.case("job_1")
    assert found is not None
    [dropped] = [entry for entry in found["history"] if entry["event"] == "rerun.dropped"]
    assert dropped["detail"] == {"answer": "the case is delivered"}
    assert world.audit().breaches == []


@pytest.mark.parametrize(
    ("asks_after", "stands_still"),
    [(timedelta(0), timedelta(hours=2)), (timedelta(minutes=59, seconds=55), timedelta(seconds=10))],
    ids=["past claim and deadline", "past the deadline alone"],
)
def test_process_that_stood_still_asks_for_no_rerun_of_what_came_back_as_credits(
    world: World, asks_after: timedelta, stands_still: timedelta
) -> None:
    class Freezes:
        @staticmethod
        def ask(order: RerunOrder, until: float) -> Reply:
            world.clock.at += stands_still
            world.sweep()
            assert world.state("job_1") == "refunded"
            return world.pipeline.ask(order, until)

    world.arrive(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    world.assessor.assess()
    world.clock.at += asks_after
    assert replace(world.performer, reruns=Freezes()).rerun() == ["not_sent job_1"]
    world.clock.pass_(hours=1)
    world.sweep()
    assert (world.pipeline.orders, world.credits()) == ([], 100)
    assert world.audit().breaches == []


def test_rerun_that_its_process_held_up_is_asked_for_by_another(world: World) -> None:
    class Freezes:
        @staticmethod
        def ask(order: RerunOrder, until: float) -> Reply:
            world.clock.pass_(seconds=31)
            world.sweep()
            return world.pipeline.ask(order, until)

    world.arrive(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    world.assessor.assess()
    assert replace(world.performer, reruns=Freezes()).rerun() == ["not_sent job_1"]
    world.happen(world.succeeded("job_1", attempt=2))
    assert (len(world.pipeline.orders), world.state("job_1")) == (1, "delivered")
    assert world.audit().breaches == []


def test_open_breaker_of_the_pipeline_turns_reruns_into_credits(world: World) -> None:
    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    names = [f"job_{n}" for n in range(6)]
    for name in names:
        world.happen(world.submitted(name), world.failed(name, code="job_timeout"))
    assert [world.state(name) for name in names] == ["rerunning"] * 5 + ["refunded"]


def test_reruns_that_nobody_hears_keep_no_announcement_back(store: Store) -> None:
    """Once a sweep looked at a batch of what was due longest, which in an outage of the pipeline were re-runs alone."""
    world = World(store, batch=5)
    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    world.load(an_account(), a_purchase())
    names = [f"job_{n}" for n in range(8)]
    world.happen(*map(world.submitted, names), world.submitted("made_whole"))
    world.arrive(*(world.failed(name, code="job_timeout") for name in names))
    while world.assessor.assess().busy:
        pass
    world.clock.pass_(seconds=1)
    world.arrive(world.failed("made_whole"))
    world.assessor.assess()
    world.sweeper.sweep()
    assert [note["data"]["job_id"] for note in world.announced()] == ["made_whole"]


def test_one_answer_of_the_pipeline_between_those_that_nobody_hears_keeps_reruns_going(world: World) -> None:
    world.pipeline.answer = lambda order: Answer.ACCEPTED if order.job_id == "job_4" else Answer.NOT_HEARD
    names = [f"job_{n}" for n in range(9)]
    for name in names:
        world.happen(world.submitted(name), world.failed(name, code="job_timeout"))
    assert {world.state(name) for name in names} == {"rerunning"}


def test_expired_input_is_not_rerun(world: World) -> None:
    world.happen(world.submitted("job_1", input_expires_at="2026-03-02T09:59:00Z"), world.failed("job_1", code="job_timeout"))
    assert world.pipeline.orders == []
    assert world.state("job_1") == "refunded"


def test_observe_decides_and_does_nothing(store: Store) -> None:
    world = World(store, mode=Mode.OBSERVE)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"]["outcome"]) == ("review", "reverse_credits")
    assert world.credits() == 95
    world.happen(world.submitted("job_2"), world.failed("job_2", code="invalid_image"))
    assert world.state("job_2") == "declined"
    world.clock.pass_(minutes=10)
    world.sweep()
    assert (world.announced(), world.pipeline.orders) == ([], [])
    live = World(store, clock=world.clock)
    live.requeuer.requeue("job_1", by="tester", reason="now for real")
    live.sweep()
    assert live.state("job_1") == "refunded"
    assert live.credits() == 95, "and the declined job keeps its price"


def test_plan_of_a_requeue_names_what_would_be_begun_outside(store: Store) -> None:
    """Once "outside" was only what had been begun already: "nothing", of a re-run and of money that would go back."""
    world = World(store, mode=Mode.OBSERVE)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    plan = World(store, clock=world.clock).requeuer.plan("job_1")
    assert (plan.would_be, plan.effects) == ("rerunning", ("rerun (rerun:job_1)",))


def test_what_was_intended_before_observe_waits_for_its_end(store: Store) -> None:
    before = World(store)
    before.load(an_account(), a_purchase())
    before.pipeline.answer = lambda order: Answer.NOT_HEARD
    before.happen(before.submitted("job_1"), before.failed("job_1", code="job_timeout"))
    observing = World(store, mode=Mode.OBSERVE)
    observing.clock.pass_(minutes=2)
    observing.sweep()
    assert (observing.state("job_1"), observing.pipeline.orders) == ("rerunning", [])
    after = World(store)
    after.clock.pass_(minutes=2)
    after.sweep()
    assert [order.job_id for order in after.pipeline.orders] == ["job_1"]


def test_each_ending_is_announced_once_under_a_stable_identity(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1"))
    world.happen(world.submitted("job_2"), world.failed("job_2", code="invalid_image"))
    world.happen(world.submitted("job_3"), world.failed("job_3", code="job_timeout"))
    world.happen(world.succeeded("job_3", attempt=2))
    told = {(one["subject"], one["type"]) for one in world.announced()}
    assert told == {
        ("job_1", "refund.credits_reversed"),
        ("job_2", "refund.declined"),
        ("job_3", "refund.rerun_delivered"),
    }
    assert len({one["id"] for one in world.announced()}) == len(world.announced()) == 3


def test_short_success_is_incomplete_output(world: World) -> None:
    world.happen(world.submitted("job_1"), world.succeeded("job_1", delivered=4))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"]["clause"]) == ("rerunning", "incomplete-output")


@pytest.mark.parametrize("told_last", [False, True])
def test_short_success_is_incomplete_output_whenever_it_is_told_what_was_expected(world: World, told_last: bool) -> None:
    whole = json.loads(world.submitted("job_1"))
    bare = {**whole, "id": "bare", "data": {k: v for k, v in whole["data"].items() if k != "layers_expected"}}
    said = json.loads(world.succeeded("job_1", delivered=4))
    del said["data"]["output"]["layers_expected"]
    told = [bare, said, whole] if told_last else [whole, bare, said]
    for one in told:
        world.happen(json.dumps(one))
    assert world.state("job_1") == "rerunning"


@pytest.mark.parametrize(("status", "state"), [("incomplete", "rerunning"), ("failed", "review")])
def test_fault_that_only_the_history_of_the_product_tells_of_is_not_passed_over(world: World, status: str, state: str) -> None:
    world.happen(world.submitted("job_1"), world.succeeded("job_1"))
    for _ in range(2):
        world.load(a_job(status=status, layers_delivered=4, finished_at="2026-03-02T09:05:00Z"))
        world.sweep()
    assert world.state("job_1") == state
    assert len([move for move in moves(world.case("job_1")) if move == "case.decided"]) == 1


def test_history_that_says_less_than_the_pipeline_changes_nothing(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_out_of_memory"))
    world.happen(world.succeeded("job_1", attempt=2))
    assert world.state("job_1") == "delivered"
    for status in ("failed", "succeeded", "running"):
        world.load(a_job(status=status, finished_at="2026-03-02T09:05:00Z"))
        world.sweep()
    assert (world.state("job_1"), world.credits()) == ("delivered", 95)


def test_outage_of_short_successes_is_no_abuse(world: World) -> None:
    limit = world.bench.terms_at(world.clock.now()).auto_reversals_per_account_per_day
    names = [f"job_{number}" for number in range(limit + 1)]
    for name in names:
        world.happen(world.submitted(name, credits=1), world.succeeded(name, delivered=4))
        world.happen(world.succeeded(name, delivered=4, attempt=2))
    assert {world.state(name) for name in names} == {"refunded"}


def test_failure_told_of_late_and_again_is_of_its_first_telling(world: World) -> None:
    submitted, first = world.submitted("job_1"), world.failed("job_1", id="first")
    at = world.clock.now()
    world.clock.pass_(days=2)
    world.happen(world.failed("job_1", id="again"))
    late = world.case("job_1")
    world.happen(first)
    early = world.case("job_1")
    assert late is not None
    assert early is not None
    assert late["state"] == early["state"] == "waiting"
    assert (early["failed_at"], early["due_at"]) == (moment(at), "2026-03-05T12:00:00Z")
    assert early["due_at"] < late["due_at"]
    world.happen(submitted)
    assert world.state("job_1") == "refunded"


def test_contradicting_reports_go_to_a_person(world: World) -> None:
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.failed("job_1"))
    assert world.state("job_1") == "review"
    assert world.credits() == 95


def test_promise_is_warned_about_at_its_marks_and_its_breach_is_noted_once(world: World) -> None:
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.failed("job_1"))
    for _ in range(10):
        world.clock.pass_(hours=12)
        world.sweep()
    history = [row["event"] for row in world.case("job_1")["history"]]  # type: ignore[index]
    assert history.count("promise.warned") == 2
    assert history.count("promise.breached") == 1
    assert world.audit().breaches == []


def test_promise_is_watched_while_every_call_outside_ends_the_sweep(world: World) -> None:
    def hang(order: RerunOrder) -> Answer:
        raise TimeoutError(f"the sweep of {order.job_id} was ended")

    world.pipeline.answer = hang
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.failed("job_1"))
    world.arrive(world.submitted("job_2"), world.failed("job_2", code="job_timeout"))
    world.clock.pass_(days=5)
    with pytest.raises(TimeoutError):
        world.sweeper.sweep()
    assert "promise.breached" in moves(world.case("job_1"))


def test_imported_history_is_judged_like_events(store: Store) -> None:
    world = World(store)
    done = world.load(
        an_account(),
        a_purchase(credits=50),
        a_job("running"),
        a_job("good", status="succeeded", layers_delivered=6),
        a_job("bad", status="failed", finished_at="2026-03-02T09:30:00Z"),
        a_job("short", status="incomplete", layers_delivered=3),
        a_job("gone", status="cancelled"),
    )
    assert done.refused == []
    assert {name: world.state(name) for name in ("running", "good", "bad", "short", "gone")} == {
        "running": None,
        "good": None,
        "bad": "refunded",
        "short": "rerunning",
        "gone": "declined",
    }
    assert world.credits() == 30
    assert world.audit().breaches == []


def test_import_repeated_changes_nothing_and_a_newer_export_brings_what_is_new(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase(), a_job())
    again = world.load(an_account(), a_purchase(), a_job())
    assert again.repeated == 3
    assert world.credits() == 95
    world.load(an_account(), a_purchase(), a_job(status="failed"))
    assert world.state("job_1") == "refunded"
    assert world.credits() == 100


def test_import_that_contradicts_the_books_is_refused_by_name(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase(credits=100), a_job(credits=5))
    done = world.load(a_purchase(credits=1000), a_job(credits=50))
    assert [key for key, _ in done.refused] == ["purchase:ord_1", "layer_job:job_1"]
    assert world.credits() == 95


def test_whole_batch_ends_like_its_events_one_by_one(store: Store) -> None:
    together = World(store)
    together.load(an_account(), a_purchase())
    documents = [
        document
        for n in range(30)
        for document in (
            together.failed(f"b{n}", code=("model_error", "job_timeout", "invalid_image")[n % 3]),
            together.submitted(f"b{n}", credits=1 + n % 3),
        )
    ]
    together.happen(*documents)
    batched = together.digest()
    alone = World(store)
    alone.load(an_account("acc_2"), a_purchase("ord_2", "acc_2"))
    for document in documents:
        alone.happen(document.replace('"b', '"s').replace("acc_1", "acc_2"))
    singles = [("b" + job[1:], *rest) for job, *rest in alone.digest() if job.startswith("s")]
    assert singles == batched
    assert together.credits() == alone.credits("acc_2")


def test_rerun_seen_by_a_person_meanwhile_is_not_asked_for_again(world: World) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="job_timeout"))
    world.happen(world.succeeded("job_1"))
    assert world.state("job_1") == "review", "success and failure of one attempt contradict each other"
    world.clock.pass_(hours=25)
    world.sweep()
    world.happen(world.succeeded("job_1", attempt=2))
    assert world.state("job_1") == "delivered"
    assert len(world.pipeline.orders) == 1
    assert world.audit().breaches == []


def test_code_that_only_a_later_edition_knows_is_judged_by_the_edition_of_its_failure(store: Store, tmp_path: Path) -> None:
    shipped = DEFAULT_TERMS / "2025-12-03.toml"
    (tmp_path / shipped.name).write_text(shipped.read_text())
    later = shipped.read_text().replace('"2025-12-03"', '"2026-06-01"').replace('"bad_output"', '"bad_output", "gpu_melted"')
    (tmp_path / "2026-06-01.toml").write_text(later)
    world = World(store, terms_dir=tmp_path)
    world.load(an_account(), a_purchase())
    world.happen(world.submitted("job_1"), world.failed("job_1", code="gpu_melted"))
    case = world.case("job_1")
    assert case is not None
    assert (case["state"], case["decision"]["rule"]) == ("refunded", "unknown_code_in_doubt")
    assert case["decision"]["terms"] == "2025-12-03"
    assert world.audit().breaches == []
