"""Applications on real sockets, in a thread of the test's own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.servers import eventually
from worker.sandbox.servers import free_port


@contextmanager
def listening(app: ASGIApp) -> Iterator[int]:
    """The port at which this application answers."""
    port = free_port()
    with running(uvicorn.Server(uvicorn.Config(app, port=port, http="h11", lifespan="off", log_config=None))):
        yield port


@contextmanager
def running(server: uvicorn.Server, **options: Any) -> Iterator[None]:
    """The server runs for as long as it is needed."""
    thread = threading.Thread(target=server.run, kwargs=options, daemon=True)
    thread.start()
    assert eventually(lambda: server.started)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
