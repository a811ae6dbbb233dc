"""What no URL can ask for and a session still refuses."""

import smtplib
import socket

import pytest

from worker.notices.mail.session import Session


class _FarAway(socket.socket):
    """Connected to a host that is not this one, as far as it says."""

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.1", 587

    def send(self, *said: object) -> int:
        raise AssertionError(f"said {said}")


def test_no_password_in_clear_to_another_host() -> None:
    session = Session("example.org", 5)
    with _FarAway() as session.sock, pytest.raises(smtplib.SMTPNotSupportedError, match="not sent without TLS"):
        session.prove("refunds", "c4nary")


def test_nothing_is_said_when_the_time_is_over() -> None:
    moments = iter([0.0, 5.0])
    session = Session("example.org", 5, timer=lambda: next(moments))
    with _FarAway() as session.sock, pytest.raises(TimeoutError, match="the whole conversation is over"):
        session.putcmd("NOOP")
    assert session.sock is None
