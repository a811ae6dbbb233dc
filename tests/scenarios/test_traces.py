"""Spans of real processes: told by the children of a pool, and not lost when they are asked to end."""

import json

import pytest

from tests.scenarios.system import System, a_purchase, an_account, failed, submitted
from tests.servers import ON_SQLITE, eventually
from tests.traces.collector import a_collector

pytestmark = [pytest.mark.slow, ON_SQLITE]
TRACE_ID, EVENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_worker_tells_a_collector_what_it_did_within_the_trace_of_an_event(system: System) -> None:
    with a_collector() as collector:
        system.extra = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        system.load([an_account(), a_purchase()])
        worker = system.worker()
        traced = json.loads(failed("job_1")) | {"traceparent": f"00-{TRACE_ID}-{EVENT}-01"}
        system.emit([submitted("job_1"), json.dumps(traced)])
        assert eventually(lambda: (system.case("job_1") or {}).get("state") == "refunded", within=60), system.logs()
        system.settles(cases=1)
        worker.terminate()
        assert worker.wait(60) == 0, system.logs()
        decided, announced = collector.named("case.refunded"), collector.named("announce.refund.credits_reversed")
        assert (decided.trace_id, decided.parent_id) == (TRACE_ID, EVENT)
        assert (announced.trace_id, announced.parent_id) == (TRACE_ID, decided.span_id)
