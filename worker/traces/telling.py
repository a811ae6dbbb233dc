"""The way spans leave a process: opened with the first one told, in the process that tells it.

Only where OTEL_EXPORTER_OTLP_ENDPOINT, or its namesake for traces, says where to; without it nothing that exports is
imported. Spans are told after the commit and wait in a queue that drops what it cannot hold: a collector that is slow or away
costs spans, a process that dies costs those it held, and neither costs anything else.
"""

import atexit
import importlib.util
import os
import threading
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.errors import one_line
from worker.observe import log
from worker.traces.span import Span

if TYPE_CHECKING:
    from worker.traces.otlp import Exporting

CLOSING_SECONDS = 2.0
"""How long the end of a process waits for the collector."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"

_opening = threading.Lock()
_opened = False
_exporting: "Exporting | None" = None


@cache
def destination() -> str | None:
    """Host and port that spans are to go to; None where nobody asks for any."""
    url = _first(_ENDPOINTS)
    if not url or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None:
        return "an address that cannot be read"
    return host if port is None else f"{host}:{port}"


def unmet() -> str | None:
    """What is asked for and stands in the way of exporting, in words; None where nothing does."""
    try:
        found = importlib.util.find_spec(_EXPORTER)
    except ModuleNotFoundError:
        found = None
    if found is None:
        return "the extra `telemetry` is not installed"
    asked = _first(_PROTOCOLS)
    return f"OTEL_EXPORTER_OTLP_PROTOCOL: only {_SPOKEN} is spoken" if asked and asked != _SPOKEN else None


def tell(spans: Iterable[Span], ended: datetime) -> None:
    """Hands over spans that ended at this moment, where they are exported: waits for nobody and raises nothing."""
    to = destination()
    if to is None:
        return
    try:
        exporting = _open(to)
        if exporting is not None:
            for span in spans:
                exporting.tell(span, ended)
    except Exception as error:
        log.warning("traces.not_told", error=one_line(error))


def close() -> None:
    """What is still held is sent, if the collector takes it in time. What is told later finds a new way."""
    global _opened, _exporting
    with _opening:
        ending, _opened, _exporting = _exporting, False, None
        destination.cache_clear()
    if ending is not None:
        ending.close(CLOSING_SECONDS)


def _open(to: str) -> "Exporting | None":
    global _opened, _exporting
    if _opened:
        return _exporting
    with _opening:
        if not _opened:
            _exporting, _opened = _begin(to), True
    return _exporting


def _begin(to: str) -> "Exporting | None":
    why = unmet()
    try:
        if why is None:
            from worker.traces.otlp import Exporting

            begun = Exporting(to)
            atexit.register(close)
            return begun
    except Exception as error:
        # wrong variables of OpenTelemetry's own; some of them are secrets
        why = f"{type(error).__name__}: look at the OTEL_ variables"
    log.warning("traces.not_exported", to=to, why=why)
    return None


def _first(names: Iterable[str]) -> str:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")
