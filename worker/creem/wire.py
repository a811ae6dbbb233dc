"""One exchange with Creem: bounded in time and size, paced, on record, and without the key in anything that is kept."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from pydantic import SecretStr

from worker.creem.envelope import Understood, told_time, understand
from worker.observe import log

AGENT = "layer-refunds"
HIDDEN = "***"
Trace = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole answer, or as much of its body as was wanted, and what it says."""

    response: httpx.Response
    body: bytes
    said: Understood


@dataclass(frozen=True, slots=True)
class Unheard:
    """No answer, or one that broke off after its status."""

    error: Exception
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `about` is the transaction id, for the log; other ids may be a customer's and stay out of it.

    `trace` hears of every step on the wire before it is taken, and may raise instead.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    about: str | None = None
    trace: Trace | None = None


class Pace:
    """At most so many requests a second, whoever asks for them."""

    def __init__(self, per_second: float, sleep: Callable[[float], None], timer: Callable[[], float]) -> None:
        self._gap, self._sleep, self._timer = 1 / per_second, sleep, timer
        self._free_at, self._lock = float("-inf"), threading.Lock()

    def wait(self) -> None:
        """Returns when the next request may leave."""
        with self._lock:
            now = self._timer()
            mine = max(now, self._free_at)
            self._free_at = mine + self._gap
        if mine > now:
            self._sleep(mine - now)


class Wire:
    """Sends a request once and hears what comes. The key is in the headers of the request and nowhere else."""

    def __init__(self, base_url: str, key: SecretStr, client: httpx.Client, timer: Callable[[], float]) -> None:
        self._base_url, self._key, self._client, self._timer = base_url, key, client, timer
        self.time: datetime | None = None
        """What Creem took for the present when it last answered."""

    def once(self, ask: Ask, *, seconds: float, most: int, attempt: int = 1) -> Heard | Unheard:
        """One request, whole within so many `seconds`, its answer read a little beyond `most` at the most."""
        began = self._timer()
        heard = self._exchange(ask, seconds, most)
        known: dict[str, object]
        if isinstance(heard, Unheard):
            known = {"status": heard.http_status, "error": type(heard.error).__name__}
        else:
            trace_id = heard.said.trace_id
            known = {"status": heard.said.http_status, "trace_id": self.hide(trace_id) if trace_id is not None else None}
        took = round(self._timer() - began, 3)
        log.info(
            "creem.asked", method=ask.method, path=ask.path, transaction_id=ask.about, attempt=attempt, seconds=took, **known
        )
        return heard

    def hide(self, text: str) -> str:
        """The text without the key: a server may echo what it was sent."""
        return text.replace(self._key.get_secret_value(), HIDDEN)

    def _exchange(self, ask: Ask, seconds: float, most: int) -> Heard | Unheard:
        http_status = None
        try:
            with self._client.stream(
                ask.method,
                f"{self._base_url}{ask.path}",
                params=ask.query or None,
                content=ask.content,
                headers=self._headers(ask),
                auth=None,
                follow_redirects=False,
                timeout=seconds,
                extensions={"trace": ask.trace} if ask.trace is not None else None,
            ) as response:
                http_status, self.time = response.status_code, told_time(response)
                # so far beyond that a key that is echoed at the limit is seen whole, and hidden
                body = _bounded(response.iter_raw(), most + len(self._key))
                return Heard(response, body, understand(response, body, most))
        except (httpx.HTTPError, OSError) as error:
            return Unheard(error, http_status)

    def _headers(self, ask: Ask) -> dict[str, str]:
        kind = {"content-type": "application/json"} if ask.content is not None else {}
        return kind | {
            "x-api-key": self._key.get_secret_value(),
            "accept": "application/json",
            # nothing is unpacked here: a small body may be a large one in disguise
            "accept-encoding": "identity",
            "user-agent": AGENT,
        }


def _bounded(chunks: Iterator[bytes], most: int) -> bytes:
    read = b""
    for chunk in chunks:
        read += chunk
        if len(read) > most:
            break
    return read
