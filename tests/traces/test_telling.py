"""The way spans leave: nothing is imported unasked, and no collector holds up the work or the end of a process."""

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cases.world import with_jobs
from tests.logs import heard
from tests.servers import ON_SQLITE, eventually
from tests.traces.collector import Collector
from tests.traces.event import GIVEN, traced
from worker import traces
from worker.cli.doctor.examine import examine
from worker.settings import Settings
from worker.store.engine import Store
from worker.traces.telling import CLOSING_SECONDS

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
WORKING = """
import json, sys
import worker.cli.main, worker.tasks, worker.web.app
from tests.cases.world import World, a_purchase, an_account
from worker.store.engine import Store
from worker.store.schema import upgrade

store = Store(sys.argv[1])
upgrade(store)
world = World(store)
world.load(an_account(), a_purchase())
failed = json.loads(world.failed("job_1")) | {"traceparent": sys.argv[2]}
world.happen(world.submitted("job_1"), json.dumps(failed))
# the rest of OpenTelemetry is imported by redis-py, where it is installed
exporting = ("worker.traces.otlp", "opentelemetry.exporter", "opentelemetry.sdk.trace", "google.protobuf", "requests")
print(world.state("job_1"), *[name for name in exporting if name in sys.modules])
"""


def a_span(number: int) -> traces.Span:
    return traces.Span("case.refunded", traces.within(GIVEN, f"case {number}"), GIVEN, AT, {"case_id": f"case_{number}"})


def doctor(folder: Path) -> tuple[bool, str]:
    """What the doctor says of traces."""
    found = examine(Settings(database_url=f"sqlite:///{folder / 'none.db'}", redis_url="redis://127.0.0.1:1/0"))
    [said] = [finding for finding in found if finding["check"] == "traces"]
    return said["ok"], said["finding"]


@ON_SQLITE
def test_collector_that_never_answers_holds_up_neither_the_work_nor_the_end(
    store: Store, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    collector.free.clear()
    world = with_jobs(store, ["job_1"])
    traces.tell([a_span(number) for number in range(8)], AT)
    assert collector.asked.wait(10), "the first batch is with the collector, which says nothing"
    world.happen(traced(world.failed("job_1")))
    assert world.state("job_1") == "refunded"
    # many times what the queue holds: what it cannot hold is dropped, and nobody waits
    traces.tell([a_span(number) for number in range(1000)], AT)
    assert not collector.free.is_set()
    began = time.monotonic()
    traces.close()
    assert time.monotonic() - began < CLOSING_SECONDS + 1
    assert collector.spans == []


def test_spans_that_are_lost_are_said_once_with_the_host_and_when_they_arrive_again(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv(ENDPOINT, collector.url.replace("//", "//ann:canary-address@"))
    # no header at all, and one that the specification does not know: OpenTelemetry would log both
    monkeypatch.setenv(HEADERS, "canary-header,x-key=canary-value,ü=canary-name")
    collector.status = 400
    with heard() as said:
        for number in range(3):
            collector.asked.clear()
            traces.tell([a_span(number)], AT)
            assert collector.asked.wait(10)
        assert eventually(lambda: "traces.not_exported" in said.getvalue())
        collector.status = 200
        traces.tell([a_span(3)], AT)
        assert eventually(lambda: "traces.exported_again" in said.getvalue())
        traces.close()
    assert said.getvalue().count("traces.not_exported") == 1
    assert f'"to": "{collector.url.removeprefix("http://")}"' in said.getvalue()
    assert "canary" not in said.getvalue()
    assert collector.headers[0]["x-key"] == "canary-value"


def test_wrong_variables_of_opentelemetry_stop_nothing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with heard() as said:
        for number in range(3):
            traces.tell([a_span(number)], AT)
    assert said.getvalue().count("traces.not_exported") == 1


def test_spans_of_many_threads_keep_their_own_ids(collector: Collector) -> None:
    gate = threading.Barrier(4)

    def work(first: int) -> None:
        gate.wait(10)
        for number in range(first, first + 100):
            traces.tell([a_span(number)], AT)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    traces.close()
    ids = {str(span.about["refunds.case_id"]): span.span_id for span in collector.spans}
    assert ids == {f"case_{number}": a_span(number).traceparent.split("-")[2] for number in range(400)}


@pytest.mark.landing
@pytest.mark.parametrize("endpoint", [None, ""], ids=["not set", "empty"])
def test_without_an_address_nothing_that_exports_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    if endpoint is not None:
        monkeypatch.setenv(ENDPOINT, endpoint)
    assert in_a_process(tmp_path) == ["refunded"]


@pytest.mark.landing
def test_spans_are_told_when_a_process_ends(tmp_path: Path, collector: Collector) -> None:
    assert len(in_a_process(tmp_path)) == 6, "what the test above would find"
    assert [span.name for span in collector.spans] == ["case.refunded", "announce.refund.credits_reversed"]


def in_a_process(folder: Path) -> list[str]:
    """Where the job ended, and what was imported on the way that exports."""
    command = [sys.executable, "-c", WORKING, f"sqlite:///{folder / 'refunds.db'}", GIVEN]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1].split()


def test_doctor_says_where_spans_go_without_what_is_secret(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "https://ann:canary@collector.internal:4318/canary?key=canary")
    monkeypatch.setenv(HEADERS, "x-key=canary")
    assert doctor(tmp_path) == (True, "spans of what is done within a trace are exported to collector.internal:4318")


def test_doctor_says_that_the_extra_is_missing(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    where = collector.url.removeprefix("http://")
    assert doctor(tmp_path) == (False, f"no spans are exported to {where}: the extra `telemetry` is not installed")
    traces.tell([a_span(1)], AT)
    traces.close()
    assert collector.spans == []


def test_doctor_says_that_only_one_protocol_is_spoken(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    good, said = doctor(tmp_path)
    assert not good
    assert said.endswith("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken")


def test_doctor_says_that_none_are_exported(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert doctor(tmp_path)[0]
    traces.tell([a_span(1)], AT)
    traces.close()
    assert collector.spans == []
