"""An address to listen on: where it cannot be had, one line says why and which setting to change."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import Misconfigured

LOOPBACK = "127.0.0.1"


@contextmanager
def taking(host: str, port: int, *, host_named: str, port_named: str) -> Iterator[None]:
    """What is inside takes the address; an `OSError` of it becomes `Misconfigured`, under the name that host or port go by."""
    try:
        yield
    except OSError as error:
        why = (error.strerror or type(error).__name__).partition(" (while")[0]
        named, right = {
            errno.EADDRINUSE: (port_named, "end what listens there, or name another port"),
            errno.EACCES: (port_named, "name a port from 1024 on"),
        }.get(error.errno or 0, (host_named, "name an address of this machine"))
        raise Misconfigured(f"{named}: cannot listen on {host} port {port}: {why}; {right}") from error
