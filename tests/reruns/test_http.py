"""The pipeline asked over HTTP: what each answer, half answer and silence allows us to do next."""

import json
import math
import shutil
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import wait_none

from tests.creem.world import at
from tests.deploy.test_tls import a_certificate
from tests.sockets import NOWHERE, Behaviour, Wire, dripping_head, http, server, silent
from worker.creem.client import CreemAway
from worker.errors import Misconfigured
from worker.reruns import Answer, PipelineHttp, Reply, RerunOrder
from worker.reruns.http import BODY_LIMIT
from worker.sandbox.servers import free_port

ASKED_AT = datetime(2026, 3, 2, 10, 16, tzinfo=UTC)
LIMIT = 0.6
"""Seconds a call may take where the test is about time."""


def an_order(job_id: str = "job_42") -> RerunOrder:
    return RerunOrder(job_id, 2, "case_01", "rerun:job_42", ASKED_AT)


def a_pipeline(url: str, seconds: float = 5.0, slept: list[float] | None = None) -> PipelineHttp:
    return PipelineHttp(url, seconds, sleep=(slept if slept is not None else []).append, wait=wait_none())


def ask(*behaviours: Behaviour | bytes, seconds: float = 5.0) -> tuple[Reply, list[bytes]]:
    with server(*behaviours) as pipeline:
        return a_pipeline(pipeline.url, seconds).ask(an_order(), math.inf), pipeline.whole_requests


def test_order_goes_out_as_the_contract_says() -> None:
    reply, requests = ask(http("202 Accepted"))
    assert reply.answer is Answer.ACCEPTED
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /jobs/job_42/rerun HTTP/1.1")
    assert b"\r\nidempotency-key: case_01" in head.lower()
    assert json.loads(body) == {"job_id": "job_42", "attempt": 2, "case_id": "case_01"}


def test_trace_goes_along_as_a_header_and_no_header_is_made_up() -> None:
    span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for order, header in ((replace(an_order(), traceparent=span), True), (an_order(), False)):
        with server(http("202 Accepted")) as pipeline:
            a_pipeline(pipeline.url).ask(order, math.inf)
            assert (f"\r\ntraceparent: {span}\r\n".encode() in pipeline.whole_requests[0].lower()) is header
            assert (b"traceparent" in pipeline.whole_requests[0].lower()) is header


# status line | answer | tries
ANSWERS = """
200 OK                    | accepted  | 1
202 Accepted              | accepted  | 1
204 No Content            | accepted  | 1
301 Moved Permanently     | not_heard | 1
302 Found                 | not_heard | 1
307 Temporary Redirect    | not_heard | 1
400 Bad Request           | refused   | 1
401 Unauthorized          | not_heard | 1
403 Forbidden             | not_heard | 1
404 Not Found             | refused   | 1
405 Method Not Allowed    | not_heard | 1
407 Proxy Authentication  | not_heard | 1
408 Request Timeout       | not_heard | 3
409 Conflict              | refused   | 1
410 Gone                  | refused   | 1
421 Misdirected Request   | not_heard | 1
422 Unprocessable Content | refused   | 1
425 Too Early             | not_heard | 3
429 Too Many Requests     | not_heard | 3
500 Internal Server Error | not_heard | 3
502 Bad Gateway           | not_heard | 3
503 Service Unavailable   | not_heard | 3
599 Whatever              | not_heard | 3
"""


@pytest.mark.parametrize("row", ANSWERS.strip().splitlines(), ids=lambda row: row[:3])
def test_status_decides_what_is_known(row: str) -> None:
    status, wanted, tries = (part.strip() for part in row.split("|"))
    reply, requests = ask(http(status, b"", "Location: http://elsewhere.invalid/"))
    assert (reply.answer.value, len(requests)) == (wanted, int(tries))
    assert status[:3] in reply.detail
    assert "elsewhere" not in reply.detail


def test_answer_that_is_about_us_says_where_to_look_and_what_was_said() -> None:
    reply, _ = ask(http("403 Forbidden", b'{"detail": "no such token"}'))
    said = 'the pipeline answered 403: {"detail": "no such token"}'
    assert reply.detail == f"{said} (about us, and not about the job: look at REFUNDS_PIPELINE_URL)"


@pytest.mark.parametrize("where", NOWHERE)
def test_redirect_that_leads_nowhere_is_not_heard_and_names_the_setting(where: str) -> None:
    reply, requests = ask(http("302 Found", b"", f"Location: {where}"))
    assert (reply.answer, len(requests)) == (Answer.NOT_HEARD, 1)
    assert reply.detail == "the pipeline answered 302: redirects are not followed, correct REFUNDS_PIPELINE_URL"


def test_nothing_of_one_answer_goes_into_the_next_request() -> None:
    with server(http("202 Accepted", b"", "Set-Cookie: who=canary; Path=/", "Set-Cookie: a=b")) as pipeline:
        asking = a_pipeline(pipeline.url)
        assert [asking.ask(an_order(), math.inf).answer for _ in range(2)] == [Answer.ACCEPTED] * 2
        assert [b"cookie" in request.lower() for request in pipeline.whole_requests] == [False, False]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_pipeline_whose_certificate_is_of_an_authority_that_this_host_believes_is_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = a_certificate(tmp_path, "pipeline")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def guarded(wire: Wire) -> None:
        with context.wrap_socket(wire.socket, server_side=True) as wire.socket:
            wire.hear()
            wire.say(http("202 Accepted"))

    def asked(base: str) -> Reply:
        return a_pipeline(base).ask(an_order(), math.inf)

    with server(guarded) as pipeline:
        base = f"https://localhost:{pipeline.port}"
        stranger = asked(base)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert asked(base).answer is Answer.ACCEPTED
        with pytest.raises(CreemAway, match="CERTIFICATE_VERIFY_FAILED"):
            at(base).transaction("tran_1")
    assert stranger.answer is Answer.NOT_HEARD
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.detail


def slam(wire: Wire) -> None:
    wire.hear()
    wire.reset()


NO_ANSWERS: dict[str, Behaviour | bytes] = {
    "closes_without_a_word": b"",
    "resets": slam,
    "half_a_status_line": b"HTTP/1.1 20",
    "half_a_head": b"HTTP/1.1 202 Accepted\r\nContent-Le",
    "garbage": b"\x16\x03\x01\x02\x00\xff\xfe nothing of HTTP\r\n\r\n",
    "another_protocol": b"-ERR unknown command 'POST'\r\n",
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_broken_answer_is_not_heard_and_tried_three_times(name: str) -> None:
    reply, requests = ask(NO_ANSWERS[name])
    assert (reply.answer, len(requests)) == (Answer.NOT_HEARD, 3)


def test_connection_refused_is_not_heard() -> None:
    slept: list[float] = []
    reply = a_pipeline(f"http://127.0.0.1:{free_port()}", slept=slept).ask(an_order(), math.inf)
    assert reply.answer is Answer.NOT_HEARD
    assert "ConnectError" in reply.detail
    assert len(slept) == 2


def test_same_key_goes_out_on_every_try_and_a_late_yes_counts() -> None:
    reply, requests = ask(b"", http("503 Service Unavailable"), http("202 Accepted"))
    assert reply.answer is Answer.ACCEPTED
    assert len(requests) == 3
    assert len({request.lower().split(b"idempotency-key: ")[1].split(b"\r\n")[0] for request in requests}) == 1


def timed(behaviour: Behaviour) -> tuple[Reply, float]:
    with server(behaviour) as pipeline:
        asking = a_pipeline(pipeline.url, LIMIT)
        started = time.monotonic()
        return asking.ask(an_order(), math.inf), time.monotonic() - started


def test_silence_ends_with_the_whole_time_limit() -> None:
    reply, took = timed(silent)
    assert reply.answer is Answer.NOT_HEARD
    assert LIMIT * 0.8 < took < LIMIT * 2


def test_dripping_head_ends_with_the_whole_time_limit() -> None:
    reply, took = timed(dripping_head)
    assert reply.answer is Answer.NOT_HEARD
    assert LIMIT * 0.8 < took < LIMIT * 2


def test_dripping_body_ends_with_the_time_limit_and_the_status_counts() -> None:
    def answer_then_drip(wire: Wire) -> None:
        wire.hear()
        wire.say(b"HTTP/1.1 409 Conflict\r\nContent-Length: 500\r\n\r\n")
        wire.drip(b"x" * 500, 0.05)

    reply, took = timed(answer_then_drip)
    assert reply.answer is Answer.REFUSED
    assert took < LIMIT * 2


def test_body_that_breaks_off_leaves_the_status_standing() -> None:
    reply, requests = ask(b'HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"sta')
    assert (reply.answer, len(requests)) == (Answer.ACCEPTED, 1)


def test_huge_body_is_read_no_further_than_the_limit() -> None:
    sent = 0

    def flood(wire: Wire) -> None:
        nonlocal sent
        wire.hear()
        wire.say(b"HTTP/1.1 404 Not Found\r\n\r\n")
        while sent < 200 * BODY_LIMIT:
            sent += wire.socket.send(b"x" * 65_536)

    reply, _ = ask(flood)
    assert reply.answer is Answer.REFUSED
    assert len(reply.detail) <= 300
    # what the socket buffers of both sides hold comes on top
    assert sent < 150 * BODY_LIMIT


def test_short_retry_after_is_waited_for() -> None:
    slept: list[float] = []
    with server(http("429 Too Many Requests", b"", "Retry-After: 1"), http("202 Accepted")) as pipeline:
        assert a_pipeline(pipeline.url, slept=slept).ask(an_order(), math.inf).answer is Answer.ACCEPTED
    assert slept == [1.0]


@pytest.mark.parametrize("pause", ["3", "60"])
def test_long_retry_after_is_left_to_the_sweep(pause: str) -> None:
    reply, requests = ask(http("503 Service Unavailable", b"", f"Retry-After: {pause}"), seconds=1e6)
    assert (reply.answer, len(requests)) == (Answer.NOT_HEARD, 1)


@pytest.mark.parametrize("pause", ["soon", "-1", "1e9", "٣", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_unreadable_retry_after_is_no_obstacle(pause: str) -> None:
    reply, _ = ask(
        http("503 Service Unavailable", b"").replace(b"\r\n\r\n", f"\r\nRetry-After: {pause}\r\n\r\n".encode()),
        http("202 Accepted"),
    )
    assert reply.answer is Answer.ACCEPTED


def test_no_try_begins_when_the_pause_would_outlast_the_limit() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with server(http("429 Too Many Requests", b"", "Retry-After: 2")) as pipeline:
        asking = PipelineHttp(pipeline.url, 3.0, sleep=sleep, timer=lambda: now[0], wait=wait_none())
        assert asking.ask(an_order(), math.inf).answer is Answer.NOT_HEARD
        assert len(pipeline.whole_requests) == 2
    assert now[0] <= 3.0


def test_nothing_is_sent_once_its_time_is_over() -> None:
    now = [10.0]
    with server(http("202 Accepted")) as pipeline:
        asking = PipelineHttp(pipeline.url, 5.0, timer=lambda: now[0], wait=wait_none())
        assert asking.ask(an_order(), 10.0).answer is Answer.NOT_SENT
        assert pipeline.whole_requests == []


def test_no_try_begins_after_its_time_however_long_the_process_stood_still() -> None:
    now = [0.0]

    def stands_still(_: float) -> None:
        now[0] += 100.0

    with server(http("503 Service Unavailable")) as pipeline:
        asking = PipelineHttp(pipeline.url, 5.0, sleep=stands_still, timer=lambda: now[0], wait=wait_none())
        assert asking.ask(an_order(), 20.0).answer is Answer.NOT_HEARD
        assert len(pipeline.whole_requests) == 1


def test_detail_is_one_line_and_holds_no_credential() -> None:
    echo = http("409 Conflict", b"you\nsent\x1b[31m s3cret-word and b3BlcmF0b3I6czNjcmV0LXdvcmQ=")
    with server(echo) as pipeline:
        reply = a_pipeline(pipeline.url.replace("//", "//operator:s3cret-word@")).ask(an_order(), math.inf)
        assert b"Basic b3BlcmF0b3I6czNjcmV0LXdvcmQ=" in pipeline.whole_requests[0]
    assert reply.answer is Answer.REFUSED
    assert reply.detail == "the pipeline answered 409: you sent [31m *** and ***"


def test_no_credential_in_the_detail_when_nobody_answers() -> None:
    reply = a_pipeline(f"http://operator:s3cret-word@127.0.0.1:{free_port()}").ask(an_order(), math.inf)
    assert "s3cret" not in reply.detail
    assert "operator" not in reply.detail


def test_proxy_of_the_environment_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(http("202 Accepted"))[0].answer is Answer.ACCEPTED


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pipeline",
        "ftp://host",
        "http://",
        "http://host?x=1",
        "http://host/#a",
        "http://u:s3cret@[::1",
        "http://h:99999",
        "http://h:0",
        f"http://{'a' * 70}.example",
    ],
)
def test_wrong_address_is_refused_at_the_start_without_showing_it(url: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        PipelineHttp(url, 1)
    assert "REFUNDS_PIPELINE_URL" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("job_id", ["", ".", "..", "\ud800"])
def test_job_id_that_no_address_can_hold_is_refused_without_a_call(job_id: str) -> None:
    reply = a_pipeline(f"http://127.0.0.1:{free_port()}").ask(an_order(job_id), math.inf)
    assert reply.answer is Answer.REFUSED
    assert "not sent" in reply.detail


@given(
    job_id=st.text(max_size=60)
    | st.sampled_from(["../../admin", "@evil", "a/b", "%2f..%2f", "%2e%2e", "a\r\nX: y", "a?b#c", "\\..\\", "//evil", ".%2e"])
)
def test_no_job_id_leaves_host_or_depth(job_id: str) -> None:
    pipeline = PipelineHttp(
        "http://user:pw@pipeline.example/v1", 1, httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(202)))
    )
    url = pipeline.url_of(job_id)
    if url is None:
        assert job_id in {"", ".", ".."}
        return
    assert (url.scheme, url.host, url.port, url.query, url.fragment, url.userinfo) == (
        "http",
        "pipeline.example",
        None,
        b"",
        "",
        b"",
    )
    parts = url.raw_path.split(b"/")
    assert (parts[:3], parts[4:]) == ([b"", b"v1", b"jobs"], [b"rerun"])
    assert parts[3] not in {b"", b".", b".."}
    assert not set(parts[3]) & set(b"\\?#@\r\n \x00")
