"""The pipeline asked over HTTP (contract.md, "Commands out").

The call may be repeated: it carries an idempotency key that is the case's own. So everything that is not plainly a yes or a
plainly meant no counts as not heard, and is asked again, first at once, then by the sweep.
"""

import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result, wait_random_exponential

from worker.deadline import bounded_client
from worker.errors import Misconfigured, plain_line
from worker.reruns.order import TOO_LATE, Answer, Reply, RerunOrder

TRIES = 3
BODY_LIMIT = 64 * 1024
LONGEST_PAUSE = 2.0
"""Seconds. Who asks for a longer pause gets it from the sweep; a task does not sleep that long."""
_AGAIN = {408, 425, 429}
"""The 4xx that say "not now" and not "no"."""
_NOT_OF_THE_JOB = frozenset({401, 403, 405, 407, 421})
"""The 4xx that say who may come in, and where: a gateway's words as often as the pipeline's, and the same about every job."""

Wait = Callable[[RetryCallState], float]


@dataclass(frozen=True, slots=True)
class _Try:
    reply: Reply
    again: bool = False
    pause: float = 0.0


class PipelineHttp:
    """`POST {base_url}/jobs/{job_id}/rerun` with the case id as `Idempotency-Key`.

    `timeout_seconds` covers all tries of one `ask` together. Nothing of the environment (proxies, .netrc) is trusted and no
    redirect is followed, so an order never reaches a host that the setting does not name.
    """

    def __init__(
        self,
        base_url: str,
        timeout_seconds: float,
        client: httpx.Client | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
        wait: Wait | None = None,
    ) -> None:
        """Raises `Misconfigured` for an address that is none, or that has a query or a fragment."""
        self._base, self._auth, self._secrets = parts_of(base_url)
        self._seconds, self._sleep, self._timer = timeout_seconds, sleep, timer
        self._wait: Wait = wait or wait_random_exponential(multiplier=0.1, max=1)
        self._client = client or client_of(timer)

    def ask(self, order: RerunOrder, until: float) -> Reply:
        """Asks at most three times within the time limit and not after `until`; see `Answer` for what each answer allows."""
        url = self.url_of(order.job_id)
        if url is None:
            return Reply(Answer.REFUSED, "not sent: this job id cannot stand in an address")
        now = self._timer()
        if now >= until:
            return TOO_LATE
        until = min(until, now + self._seconds)

        def wait(state: RetryCallState) -> float:
            return max(self._wait(state), _last(state).pause)

        def stop(state: RetryCallState) -> bool:
            out_of_time = self._timer() + state.upcoming_sleep >= until
            return state.attempt_number >= TRIES or out_of_time or _last(state).pause > LONGEST_PAUSE

        retrying = Retrying(
            retry=retry_if_result(lambda tried: tried.again),
            wait=wait,
            stop=stop,
            sleep=self._sleep,
            retry_error_callback=_last,
        )
        done: _Try = retrying(self._once, url, order, until)
        return done.reply

    def url_of(self, job_id: str) -> httpx.URL | None:
        """Where this job's re-run is asked for, always on the host and at the depth that the setting names; None where no
        such address exists.
        """
        if job_id in {"", ".", ".."}:
            return None
        try:
            return httpx.URL(f"{self._base}/jobs/{quote(job_id, safe='')}/rerun")
        except (UnicodeEncodeError, httpx.InvalidURL):
            return None

    def _once(self, url: httpx.URL, order: RerunOrder, until: float) -> _Try:
        left = until - self._timer()
        if left <= 0:
            # the stop rule left time for this try, and the process stood still
            return _Try(Reply(Answer.NOT_HEARD, "the time for an answer is over"))
        traced = {} if order.traceparent is None else {"traceparent": order.traceparent}
        try:
            with self._client.stream(
                "POST",
                url,
                json={"job_id": order.job_id, "attempt": order.attempt, "case_id": order.case_id},
                headers={"Idempotency-Key": order.case_id, "Accept-Encoding": "identity", **traced},
                auth=self._auth,
                follow_redirects=False,
                timeout=left,
            ) as response:
                return self._understand(response, _body(response))
        except httpx.TransportError as error:
            return _Try(Reply(Answer.NOT_HEARD, self._line(f"no answer ({type(error).__name__}): {error}")), again=True)

    def _understand(self, response: httpx.Response, body: str) -> _Try:
        status = response.status_code
        said = self._line(f"the pipeline answered {status}" + (f": {body}" if body.strip() else ""))
        if 200 <= status < 300:
            return _Try(Reply(Answer.ACCEPTED, said))
        if 300 <= status < 400:
            # asking at once would bring the same redirect
            line = f"the pipeline answered {status}: redirects are not followed, correct REFUNDS_PIPELINE_URL"
            return _Try(Reply(Answer.NOT_HEARD, line))
        if status in _NOT_OF_THE_JOB:
            # asking at once would bring the same answer
            return _Try(Reply(Answer.NOT_HEARD, f"{said} (about us, and not about the job: look at REFUNDS_PIPELINE_URL)"))
        if 400 <= status < 500 and status not in _AGAIN:
            return _Try(Reply(Answer.REFUSED, said))
        return _Try(Reply(Answer.NOT_HEARD, said), again=True, pause=_retry_after(response))

    def _line(self, text: str) -> str:
        # a server may echo what it was sent
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return plain_line(text)


def _last(state: RetryCallState) -> _Try:
    assert state.outcome is not None, "tenacity asks only after a try"
    tried: _Try = state.outcome.result()
    return tried


def client_of(timer: Callable[[], float] = time.monotonic) -> httpx.Client:
    """As orders are sent: a pipeline within one's own walls has a certificate of one's own authority."""
    return bounded_client(timer, own_authorities=True)


def parts_of(base_url: str) -> tuple[str, httpx.Auth | None, tuple[str, ...]]:
    """Its base, how we sign in there, and what must be in no log. Raises `Misconfigured` for what is no such address."""
    wrong = "REFUNDS_PIPELINE_URL: expected an address like https://pipeline.example.org, without query or fragment"
    try:
        url = httpx.URL(base_url)
        # what the resolver and the socket would choke on later, with errors that are no network errors
        url.host.encode("idna")
        port_stands = url.port is None or 0 < url.port < 65_536
    except (httpx.InvalidURL, UnicodeError):
        # without the cause: its text may hold the password
        raise Misconfigured(wrong) from None
    if url.scheme not in {"http", "https"} or not url.host or not port_stands or "?" in base_url or "#" in base_url:
        raise Misconfigured(wrong)
    base = str(url.copy_with(userinfo=b"")).rstrip("/")
    if not url.userinfo:
        return base, None, ()
    token = b64encode(f"{url.username}:{url.password}".encode()).decode()
    secrets = (token, url.userinfo.decode(), url.password)
    return base, httpx.BasicAuth(url.username, url.password), tuple(secret for secret in secrets if secret)


def _body(response: httpx.Response) -> str:
    """The beginning of the body. The status has been heard: a body that breaks off, drips or floods changes nothing."""
    read = b""
    try:
        for chunk in response.iter_raw():
            read += chunk
            if len(read) >= BODY_LIMIT:
                break
    except httpx.TransportError:
        pass
    return read[:BODY_LIMIT].decode(errors="replace")


def _retry_after(response: httpx.Response) -> float:
    """Seconds the pipeline asks us to stay away; 0 where it does not say, and for the date form, which the quick tries do
    not need.
    """
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0.0
