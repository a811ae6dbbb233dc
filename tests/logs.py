"""What is logged, for tests that listen."""

import io
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress

from worker.observe import configure_logging
from worker.settings import Settings


@contextmanager
def heard(level: str = "debug", form: str = "json") -> Iterator[io.StringIO]:
    """Everything that is logged meanwhile, from that level on; afterwards only errors are."""
    written = io.StringIO()
    try:
        with redirect_stderr(written):
            configure_logging(Settings.model_validate({"log_level": level, "log_format": form}))
            yield written
    finally:
        configure_logging(Settings(log_level="error", log_format="json"))


def fill(pipe: int) -> None:
    """Nothing more goes into this pipe until somebody has read from it."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"\n" * select.PIPE_BUF)
    os.set_blocking(pipe, True)
