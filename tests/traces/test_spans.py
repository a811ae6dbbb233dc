"""What a collector is told of a case whose event came within a trace: under the event, once for each thing that was done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.cases.world import World, with_jobs
from tests.requests.world import PeopleWorld
from tests.traces.collector import Collector, Received
from tests.traces.event import EVENT, GIVEN, TRACE_ID, traced
from worker import traces
from worker.cases.assess.drain import Drain
from worker.reruns import Answer
from worker.store.engine import Store
from worker.store.tables import cases, effects

CONSUMER, PRODUCER = 5, 4


@pytest.fixture
def world(store: Store) -> World:
    return with_jobs(store, ["job_1"])


@pytest.fixture
def people(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    made.bought_once()
    yield made
    made.close()


def told(collector: Collector) -> list[Received]:
    """Everything that was told, once the process has let go of it."""
    traces.close()
    return collector.spans


def test_each_decision_stands_under_the_event_and_each_effect_under_its_decision(world: World, collector: Collector) -> None:
    world.happen(traced(world.failed("job_1", code="gpu_out_of_memory")))
    world.clock.pass_(minutes=1)
    world.happen(world.failed("job_1", code="gpu_out_of_memory", attempt=2))
    spans = told(collector)
    assert [span.name for span in spans] == ["case.rerunning", "rerun", "case.refunded", "announce.refund.credits_reversed"]
    asked, order, refunded, announced = spans
    assert {span.trace_id for span in spans} == {TRACE_ID}
    assert (asked.parent_id, refunded.parent_id) == (EVENT, EVENT)
    assert (order.parent_id, announced.parent_id) == (asked.span_id, refunded.span_id)
    # what the other side was handed as its parent is there
    assert f"00-{TRACE_ID}-{order.span_id}-01" == world.pipeline.orders[0].traceparent
    assert f"00-{TRACE_ID}-{announced.span_id}-01" == world.announced()[0]["traceparent"]
    assert [span.kind for span in spans] == [CONSUMER, PRODUCER, CONSUMER, PRODUCER]
    assert {span.service for span in spans} == {"layer-refunds"}
    assert all(span.began <= span.ended for span in spans)
    assert refunded.began - asked.began == 60 * 10**9


def test_span_says_which_case_and_what_was_decided_by_which_rule_and_nothing_of_others(
    people: PeopleWorld, collector: Collector
) -> None:
    failure = {"code": "model_error", "message": "canary-message", "stage": "canary-stage"}
    people.happen(people.submitted("job_1"), traced(people.failed("job_1", failure=failure)))
    people.clock.pass_(minutes=2)
    [_] = people.written()
    case = people.case("job_1")
    assert case is not None
    decision = case["decision"]
    names = {"refunds.case_id": case["case_id"], "refunds.job_id": "job_1"}
    decided = {f"refunds.{name}": decision[name] for name in ("outcome", "clause", "rule")} | {"refunds.state": "refunded"}
    assert {span.name: span.about for span in told(collector)} == {
        "case.refunded": names | decided,
        "announce.refund.credits_reversed": names | {"refunds.attempt": 1},
        "notice.credits_returned": names | {"refunds.attempt": 1},
    }
    assert collector.named("notice.credits_returned").parent_id == collector.named("case.refunded").span_id
    sent = b"".join(collector.bodies)
    others = ["canary-message", "canary-stage", "acc_1", "example.org", str(case["reason"])]
    assert [word for word in others if word.encode() in sent] == []


def test_announcement_made_again_after_a_death_is_the_same_span(world: World, collector: Collector) -> None:
    world.happen(traced(world.failed("job_1")))
    # as a process leaves it that dies before it has recorded its announcement
    died = update(effects).values(state="claimed", due_at=world.clock.now())
    world.store.write(lambda tx: tx.connection.execute(died))
    world.clock.pass_(minutes=1)
    world.sweep()
    first, again = [span for span in told(collector) if span.name.startswith("announce.")]
    assert (first.span_id, first.parent_id) == (again.span_id, again.parent_id)
    assert (first.about["refunds.attempt"], again.about["refunds.attempt"]) == (1, 2)


def test_event_told_twice_is_one_decision(world: World, collector: Collector) -> None:
    event = traced(world.failed("job_1"))
    world.happen(event)
    world.happen(event)
    assert [span.name for span in told(collector) if span.name.startswith("case.")] == ["case.refunded"]


def test_case_that_comes_back_to_a_state_is_another_span(world: World, collector: Collector) -> None:
    world.happen(traced(world.failed("job_1", code="gpu_out_of_memory")), world.succeeded("job_1"))
    back = update(cases).values(state="waiting", owner="worker", closed_at=None, next_action_at=world.clock.now())
    world.store.write(lambda tx: tx.connection.execute(back))
    world.clock.pass_(minutes=1)
    world.sweep()
    seen = [span for span in told(collector) if span.name == "case.review"]
    assert len({span.span_id for span in seen}) == len(seen) == 2


@pytest.mark.parametrize("trace", [None, GIVEN[:-1] + "0"], ids=["without a trace", "not sampled"])
def test_no_trace_is_made_up(world: World, collector: Collector, trace: str | None) -> None:
    event = world.failed("job_1")
    world.happen(event if trace is None else traced(event, trace))
    assert world.state("job_1") == "refunded"
    assert told(collector) == []


def test_order_that_nobody_hears_is_told_of_once_it_is_answered(world: World, collector: Collector) -> None:
    answers = [Answer.NOT_HEARD, Answer.NOT_HEARD, Answer.ACCEPTED]
    world.pipeline.answer = lambda order: answers.pop(0)
    world.happen(traced(world.failed("job_1", code="gpu_out_of_memory")))
    for _ in range(3):
        world.clock.pass_(minutes=1)
        world.sweep()
    assert answers == []
    told(collector)
    assert collector.named("rerun").about["refunds.attempt"] == 3
    assert collector.named("rerun").about["refunds.answer"] == "accepted"


def test_decision_of_a_person_is_told_like_any_other(people: PeopleWorld, collector: Collector) -> None:
    people.happen(people.submitted("job_1"), traced(people.failed("job_1")), people.succeeded("job_1"))
    case = people.case("job_1")
    assert case is not None
    people.clock.pass_(minutes=1)
    people.decide(case["case_id"], reason="the log shows a crash")
    people.sweep()
    told(collector)
    asked, decided = collector.named("case.review"), collector.named("case.refunded")
    assert (asked.parent_id, decided.parent_id) == (EVENT, EVENT)
    assert decided.about["refunds.rule"] == "decided_by_person"
    assert collector.named("announce.refund.credits_reversed").parent_id == decided.span_id


def test_rehearsal_that_is_undone_is_not_told(world: World, collector: Collector) -> None:
    world.happen(traced(world.failed("job_1", code="gpu_out_of_memory")), world.succeeded("job_1"))
    back = update(cases).values(state="waiting", owner="worker", closed_at=None)
    world.store.write(lambda tx: tx.connection.execute(back))
    assert world.requeuer.plan("job_1").would_be == "review"
    told(collector)
    assert len([span for span in collector.spans if span.name == "case.review"]) == 1


def test_batch_that_is_drained_is_told_case_by_case(world: World, collector: Collector) -> None:
    jobs = [f"job_{number}" for number in range(2, 22)]
    client = world.redis
    for job in jobs:
        for event in (world.submitted(job, credits=1), traced(world.failed(job))):
            client.xadd("layer-jobs:events", {"event": event})
    drain = Drain(client, "layer-jobs:events", world.desk, world.assessor, world.performer)
    assert drain.turn() is not None
    spans = told(collector)
    refunded = {span.about["refunds.job_id"]: span.span_id for span in spans if span.name == "case.refunded"}
    announced = {span.about["refunds.job_id"]: span.parent_id for span in spans if span.name.startswith("announce.")}
    assert refunded == announced
    assert set(refunded) == set(jobs)
