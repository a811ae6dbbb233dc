"""A client of Creem with everything that surrounds it in the test's hands: transport, timer, chance."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from worker.creem.client import Armed, CreemHttp
from worker.creem.environment import Address, Environment, address_of
from worker.errors import InvariantBroken

KEY = "creem_test_canary7Qd2mVx0aLkR9sYw1HtBnC"
TEST = Address("https://test-api.creem.io", Environment.TEST)
TRACE = "b1c7f0a2-5c1e-4d0e-9a77-3f3f6a0c2d11"


def a_transaction(**changes: Any) -> dict[str, Any]:
    """The sample of creem-api.md, 4.3, with so many fields changed; a field that is `...` is left out."""
    document = {
        "id": "tran_1", "mode": "test", "object": "transaction", "amount": 4900, "amount_paid": 5831, "discount_amount": None,
        "currency": "EUR", "type": "invoice", "tax_country": "DE", "tax_amount": 931, "status": "paid", "refunded_amount": None,
        "order": "ord_1", "subscription": "sub_1", "customer": "cust_1", "description": "Team plan",
        "period_start": 1793697330000, "period_end": 1796289330000, "created_at": 1793697342318,
    } | changes  # fmt: skip
    return {name: value for name, value in document.items() if value is not ...}


def an_error(status: int, *message: str, **changes: Any) -> dict[str, Any]:
    """Creem's error body (12.1); a field that is `...` is left out."""
    document = {"trace_id": TRACE, "status": status, "error": "Bad Request", "message": list(message), "timestamp": 1794319327600}
    return {name: value for name, value in (document | changes).items() if value is not ...}


def saying(document: Any, status: int = 200, **headers: str) -> httpx.Response:
    """An answer in JSON; `retry_after` becomes `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=json.dumps(document).encode(), headers={"content-type": "application/json"} | named)


Reply = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class HandTimer:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


@dataclass
class Script(httpx.BaseTransport):
    """Gives each request the next reply, the last one for ever."""

    replies: tuple[Reply, ...]
    requests: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    timer: Callable[[], float] = lambda: 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
        self.requests.append(request)
        self.times.append(self.timer())
        if isinstance(reply, Exception):
            raise reply
        if not isinstance(reply, httpx.Response):
            reply = reply(request)
        # a reply may be given more than once, and a stream is read once
        return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(reply.content))


@dataclass
class Here:
    """A client, what it meets, and its time."""

    creem: CreemHttp
    script: Script
    timer: HandTimer

    @property
    def sent(self) -> list[httpx.Request]:
        return self.script.requests

    def armed(self, transaction_id: str = "tran_1", seconds: float = 60.0) -> Armed:
        return Armed(transaction_id, self.timer() + seconds)

    @property
    def pauses(self) -> list[float]:
        """What was slept between tries, without what the pace took."""
        return [round(seconds, 6) for seconds in self.timer.slept if seconds == 0 or seconds > 1e-6]


def here(*replies: Reply, per_second: float = 1e9, chance: float = 1.0, **more: Any) -> Here:
    """A client whose answers are a script; `chance` 1 makes every pause between tries as long as it can be."""
    timer = HandTimer()
    script = Script(replies, timer=timer)
    creem = CreemHttp(
        TEST,
        KEY,
        client=httpx.Client(transport=script),
        sleep=timer.sleep,
        timer=timer,
        per_second=per_second,
        chance=lambda: chance,
        **more,
    )
    return Here(creem, script, timer)


def at(url: str, **more: Any) -> CreemHttp:
    """A client on real sockets that waits for nothing between tries."""
    return CreemHttp(address_of(KEY, url), KEY, sleep=lambda _: None, per_second=1e9, **more)


def spent(armed: Armed) -> bool:
    """Whether the permission was used; uses it up."""
    try:
        armed.spend(float("-inf"))
    except InvariantBroken:
        return True
    return False
