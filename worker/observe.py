"""Logs: one line a move, JSON off a terminal, readable on one, to stderr so that stdout stays a document."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import structlog

from worker.errors import one_line
from worker.outlet import outlet_of
from worker.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger("refunds")

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


@contextmanager
def rehearsing() -> Iterator[None]:
    """What is done meanwhile is undone again: no line says that it happened."""
    with structlog.contextvars.bound_contextvars(rehearsed=True):
        yield


def configure_logging(settings: Settings) -> None:
    """Makes our records and those of the libraries come out through one formatter; safe to call again."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if as_json
        # exceptions without locals: a local variable may hold a secret
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback, pad_event_to=24)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info if as_json else _on_its_line,
            renderer,
        ],
    )
    handler = _Patient(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for before in root.handlers:
        if isinstance(before, _Patient):
            before.close()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # the pool of task processes hands nothing on: that one of them was killed would stand on stderr as a bare line
    pool = logging.getLogger("multiprocessing")
    pool.handlers[:], pool.propagate = [handler], False
    for noisy in (
        "httpx",
        "httpcore",
        "kombu",
        "amqp",
        "alembic",
        "celery.app.trace",
        "celery.worker.strategy",
        "celery.beat",
        pool.name,
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("celery.beat").addFilter(_one_line_an_outage)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_why_it_connects_anew)
    logging.getLogger("py.warnings").addFilter(_no_plans)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            _happened,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class _Patient(logging.StreamHandler[Any]):
    """Writes lines; one that cannot be written, or that nobody reads, stops nobody's work."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lost, self._outlet = 0, None
        # a test's stream has no number
        with suppress(OSError, ValueError):
            self._outlet = outlet_of(stream.fileno())

    def emit(self, record: logging.LogRecord) -> None:
        if self._outlet is None:
            return super().emit(record)
        try:
            line = f"{self.format(record)}{self.terminator}".encode(errors="backslashreplace")
            if not self._outlet.take(line):
                self._lost += 1
                return
        except Exception:
            return self.handleError(record)
        if self._lost:
            lost, self._lost = self._lost, 0
            log.warning("log.lines_lost", lines=lost, why="nobody read them")

    def close(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            super().handleError(record)


def _one_line_an_outage(record: logging.LogRecord) -> bool:
    # the schedule says a missing Redis with two stacks, every tick; what is missing is enough
    if record.levelno >= logging.ERROR and record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args, record.exc_info = "schedule.not_sent: %s", (one_line(record.exc_info[1]),), None
    return True


def _why_it_connects_anew(record: logging.LogRecord) -> bool:
    # as redis-py shows an error of the server, it leaves out what the server said
    if isinstance(record.args, tuple):
        record.args = tuple(
            f"{type(one).__name__}: {one_line(one)}" if isinstance(one, Exception) else one for one in record.args
        )
    if str(record.msg).startswith("Frequent restarts"):
        record.exc_info = None
    return True


def _no_plans(record: logging.LogRecord) -> bool:
    # what Celery may change one day, said at each connection that is lost
    return "CPendingDeprecationWarning" not in record.getMessage()


def _happened(_: Any, __: str, event: Any) -> Any:
    if event.pop("rehearsed", False) and event["level"] not in {"error", "critical"}:
        raise structlog.DropEvent
    return event


def _on_its_line(_: Any, __: str, event: Any) -> Any:
    # text of others neither ends the line nor tells a terminal anything; JSON sees to that itself
    return {name: _plain(value) if isinstance(value, str) else value for name, value in event.items()}


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
