"""What an answer says about itself: Creem's message in its three forms, and `Retry-After` in its two."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.creem.world import TRACE, an_error, here, saying
from worker.creem.answers import CallOutcome
from worker.creem.envelope import retry_after


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (["one", "two"], "Creem answered 400: one; two"),
        ("plain", "Creem answered 400: plain"),
        (..., "Creem answered 400: Bad Request"),
        (["line\nbreak\x1b[31m"], "Creem answered 400: line break [31m"),
        ([7, None, {"a": 1}], "Creem answered 400: 7; None; {'a': 1}"),
    ],
)
def test_message_may_be_a_list_a_string_or_missing(message: Any, line: str) -> None:
    world = here(saying(an_error(400) | {"message": message} if message is not ... else an_error(400, message=...), 400))
    answer = world.creem.refund(world.armed())
    assert (answer.outcome, answer.detail, answer.trace_id) == (CallOutcome.REFUSED, line, TRACE)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7.0),
        ("0", None, 0.0),
        (" 12 ", None, 12.0),
        ("Mon, 02 Mar 2026 10:00:30 GMT", "Mon, 02 Mar 2026 10:00:10 GMT", 20.0),
        ("Mon, 02 Mar 2026 10:00:30 GMT", None, 25.0),
        ("Mon, 02 Mar 2026 09:00:00 GMT", None, 0.0),
        ("Mon, 02 Mar 2026 10:00:30 GMT", "yesterday", 25.0),
        ("Mon, 02 Mar 2026 10:00:30", None, 25.0),
        ("-1", None, None),
        ("1e9", None, None),
        ("٣", None, None),
        ("99999999999", None, None),
        ("soon", None, None),
        ("Mon, 99 Mar 2026 10:00:30 GMT", None, None),
        ("", None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, date: str | None, seconds: float | None) -> None:
    headers = {"retry-after": value.encode()} | ({"date": date.encode()} if date else {})
    response = httpx.Response(429, headers=[(name.encode(), text) for name, text in headers.items()])
    now = datetime(2026, 3, 2, 10, 0, 5, tzinfo=UTC)
    assert retry_after(response, now) == seconds
