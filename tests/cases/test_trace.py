"""One trace from the event to what follows from it (W3C Trace Context, carried as CloudEvents say)."""

import pytest

from tests.cases.world import World, with_jobs
from tests.traces.event import GIVEN, TRACE_ID, traced
from worker.store.engine import Store


@pytest.fixture
def world(store: Store) -> World:
    return with_jobs(store, ["job_1"])


def test_trace_of_the_failure_goes_to_the_pipeline_and_to_the_product(world: World) -> None:
    world.happen(traced(world.failed("job_1", code="gpu_out_of_memory")))
    world.happen(world.failed("job_1", code="gpu_out_of_memory", attempt=2))
    [order], [told] = world.pipeline.orders, world.announced()
    assert order.traceparent is not None
    spans = [GIVEN, order.traceparent, told["traceparent"]]
    assert [span.split("-")[1] for span in spans] == [TRACE_ID] * 3
    assert len({span.split("-")[2] for span in spans}) == 3, "a span each"
    assert all(span.split("-")[3] == "01" for span in spans)
    assert "traceparent" not in told["data"]
    case = world.case("job_1")
    assert case is not None
    assert case["history"][0]["detail"]["trace"] == GIVEN


def test_order_that_is_asked_again_is_the_same_span(world: World) -> None:
    from worker.reruns import Answer

    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    world.happen(traced(world.failed("job_1", code="gpu_out_of_memory")))
    for _ in range(3):
        world.clock.pass_(minutes=1)
        world.sweep()
    assert len(world.pipeline.orders) > 1
    assert len({order.traceparent for order in world.pipeline.orders}) == 1


def test_what_came_without_a_trace_goes_on_without_one(world: World) -> None:
    world.happen(world.failed("job_1"))
    [told] = world.announced()
    assert "traceparent" not in told
    case = world.case("job_1")
    assert case is not None
    assert "trace" not in case["history"][0]["detail"]
