"""Real processes and a collector: every process tells what it did within a trace, at the latest when it ends."""

from collections.abc import Iterator

import pytest

from tests.scenarios.system import System, a_purchase, a_system, an_account, failed, submitted, succeeded
from tests.servers import ON_POSTGRES, eventually
from tests.traces.collector import Collector, a_collector
from tests.traces.event import EVENT, TRACE_ID, traced
from worker.sandbox.servers import RunningRedis

pytestmark = [pytest.mark.landing, ON_POSTGRES]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as made:
        yield made


@pytest.fixture
def system(database_url: str, own_redis: RunningRedis, collector: Collector) -> Iterator[System]:
    # longer than the test: what is told is told by the end of a process
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with a_system(database_url, own_redis.url, **told) as made:
        yield made


def test_task_processes_and_commands_tell_what_they_did_when_they_end(system: System, collector: Collector) -> None:
    system.load([an_account(), a_purchase()])
    system.worker(1)
    system.emit([submitted("job_1"), submitted("job_2"), succeeded("job_2"), traced(failed("job_1")), traced(failed("job_2"))])
    ended = [("job_1", "refunded"), ("job_2", "review")]
    assert eventually(lambda: all((system.case(job) or {}).get("state") == state for job, state in ended), within=60), (
        system.logs()
    )
    assert eventually(lambda: system.json("status")["effects_due"] == {}, within=30), system.json("status")
    assert collector.spans == []
    system.stop()
    case = str((system.case("job_2") or {})["case_id"])
    system.refunds("review", "approve", case, "--reason", "the log shows a crash")
    decided = {(span.about["refunds.job_id"], span.name): span for span in collector.spans if span.name.startswith("case.")}
    assert {("job_1", "case.refunded"), ("job_2", "case.review"), ("job_2", "case.refunded")} <= decided.keys()
    assert {(span.trace_id, span.parent_id) for span in decided.values()} == {(TRACE_ID, EVENT)}
    made = next(span for span in collector.spans if span.name == "announce.refund.credits_reversed")
    assert made.parent_id == decided["job_1", "case.refunded"].span_id
