"""Addresses: which of them no other machine can reach; and where one cannot be had, a line that says which setting to change."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address

from worker.errors import Misconfigured

LOOPBACK = "127.0.0.1"


def on_loopback(address: str) -> bool:
    """True for an address of this machine that no other can reach: what is sent there does not leave it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address == "localhost"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


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
