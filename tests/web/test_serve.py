"""Where the web process may listen, and with which password for the console."""

import threading

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from worker.errors import Misconfigured
from worker.sandbox.servers import free_port
from worker.settings import Settings
from worker.web.serve import check, serve, weak_password

OUTSIDE = "::"


@pytest.mark.parametrize(
    ("host", "hosts", "password", "starts", "weak"),
    [
        ("127.0.0.1", "", None, True, False),
        ("127.0.0.1", "", "x", True, False),
        ("127.0.0.1", "refunds.example.org", None, True, False),
        ("127.0.0.1", "refunds.example.org", "eleven char", True, True),
        ("127.0.0.1", "refunds.example.org", "twelve chars", True, False),
        (OUTSIDE, "", None, False, False),
        (OUTSIDE, "", "eleven char", True, True),
        (OUTSIDE, "", "twelve chars", True, False),
    ],
)
def test_console_that_others_can_reach_has_a_password_and_a_long_one_or_says_so(
    host: str, hosts: str, password: str | None, starts: bool, weak: bool
) -> None:
    settings = Settings(web_host=host, console_hosts=hosts, console_password=SecretStr(password) if password else None)
    if starts:
        check(settings)
    else:
        with pytest.raises(Misconfigured, match="REFUNDS_WEB_HOST"):
            check(settings)
    assert (weak_password(settings) is not None) is weak


def test_process_that_was_told_to_end_before_it_listened_answers_nobody() -> None:
    told = threading.Event()
    told.set()
    serve(Starlette(), Settings(web_port=free_port()), told)
