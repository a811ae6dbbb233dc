"""A collector that this process is told to export to, and nothing left of it afterwards."""

from collections.abc import Iterator

import pytest

from tests.traces.collector import Collector, a_collector
from worker import traces


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where this process exports to; what is held is sent by `traces.close()`, and by nothing else."""
    with a_collector() as made:
        traces.close()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        yield made
        made.free.set()
        traces.close()
        monkeypatch.undo()
        traces.close()
