"""Which addresses no other machine can reach; and one that cannot be had: which setting to change, and how."""

import errno
import os
import socket

import pytest

from worker.errors import Misconfigured
from worker.listening import on_loopback, taking


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EADDRINUSE, "PORT: cannot listen on ::1 port 80: {}; end what listens there, or name another port"),
        (errno.EACCES, "PORT: cannot listen on ::1 port 80: {}; name a port from 1024 on"),
        (errno.EADDRNOTAVAIL, "HOST: cannot listen on ::1 port 80: {}; name an address of this machine"),
    ],
)
def test_what_keeps_us_from_an_address_is_one_line_with_what_to_change(number: int, said: str) -> None:
    why = os.strerror(number)
    with pytest.raises(Misconfigured) as refused, taking("::1", 80, host_named="HOST", port_named="PORT"):
        raise OSError(number, f"{why} (while attempting to bind on address ('::1', 80))")
    assert str(refused.value) == said.format(why)


def test_name_that_nobody_knows_is_the_host_s_fault() -> None:
    with (
        pytest.raises(Misconfigured, match=r"^HOST: cannot listen on "),
        taking("no.invalid", 80, host_named="HOST", port_named=""),
    ):
        socket.getaddrinfo("bad host", 80, flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_has_more_than_one_address(address: str) -> None:
    assert on_loopback(address)


@pytest.mark.parametrize("address", ["", "10.0.0.1", "::", "::ffff:10.0.0.1", "localhost.example.org", "127.0.0.1.nip.io"])
def test_what_others_can_reach_is_not_this_machine_s_alone(address: str) -> None:
    assert not on_loopback(address)
