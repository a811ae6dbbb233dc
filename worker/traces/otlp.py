"""Spans exported by OpenTelemetry, over HTTP. It comes with the extra `telemetry`: imported only where spans are asked for."""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from worker.observe import log
from worker.traces.span import Span

SERVICE = "layer-refunds"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# their words hold headers and addresses, which may be secrets; what matters of them is said by `_Watched`
_SILENT = ("opentelemetry", "urllib3")


class Exporting:
    """A queue, a thread that empties it into the collector, and one that waits to end both."""

    def __init__(self, to: str) -> None:
        for name in _SILENT:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._ids = _Ids()
        self._provider = TracerProvider(resource=_resource(), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Watched(OTLPSpanExporter(), to)))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._ending, self._ended = threading.Event(), threading.Event()
        # begun now: no thread can be once the interpreter ends
        threading.Thread(target=self._end, name="traces-end", daemon=True).start()

    def tell(self, span: Span, ended: datetime) -> None:
        """Puts the span into the queue; one whose trace is not sampled, or has no valid id, is left out."""
        parent = _context(span.parent)
        if not (parent.is_valid and parent.trace_flags.sampled):
            return
        self._ids.given.span_id = int(span.traceparent.split("-")[2], 16)
        self._tracer.start_span(
            span.name,
            context=set_span_in_context(NonRecordingSpan(parent)),
            kind=SpanKind.PRODUCER if span.leaves else SpanKind.CONSUMER,
            attributes={f"refunds.{name}": value for name, value in span.about.items()},
            start_time=_nanoseconds(span.began),
        ).end(_nanoseconds(ended))

    def close(self, seconds: float) -> bool:
        """True where everything held was handed to the collector, or given up, in time."""
        self._ending.set()
        return self._ended.wait(seconds)

    def _end(self) -> None:
        self._ending.wait()
        self._provider.shutdown()
        self._ended.set()


class _Ids(IdGenerator):
    """Gives the next span of a thread the id it is to have."""

    def __init__(self) -> None:
        self.given = threading.local()

    def generate_span_id(self) -> int:
        """The id given."""
        return int(self.given.span_id)

    def generate_trace_id(self) -> int:
        """Never asked for: nobody's trace is made up."""
        raise AssertionError("a span stands under a parent")


class _Watched(SpanExporter):
    """Says when spans begin to be lost, and when they arrive again."""

    def __init__(self, exporter: SpanExporter, to: str) -> None:
        self._exporter, self._to, self._lost = exporter, to, 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """What the collector made of them."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("traces.exported_again", to=self._to, lost=self._lost)
            self._lost = 0
        else:
            if not self._lost:
                log.warning("traces.not_exported", to=self._to, why="the collector did not take them", spans=len(spans))
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        """Ends what is tried again."""
        self._exporter.shutdown()


def _resource() -> Resource:
    found = Resource.create()
    named = not str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found if named else found.merge(Resource({SERVICE_NAME: SERVICE}))


def _context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
