"""The one POST that moves money. Nothing in here repeats anything, and no other module sends one.

httpx cannot tell "never arrived" from "paid, answer lost" (failure-modes.md, finding 4), so a second call is never an answer to
a first one that failed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from worker.clock import Clock
from worker.creem.answers import BODY_LIMIT, Answer, classify, classify_error
from worker.creem.armed import Armed
from worker.creem.envelope import retry_after
from worker.creem.environment import Environment
from worker.creem.wire import Ask, Pace, Trace, Unheard, Wire

PATH = "/v1/refunds"
_CONNECTS = (".connect_tcp.started", ".start_tls.started")
_WRITES = (".send_request_headers.started", ".send_request_body.started")


class Refunds:
    """`POST /v1/refunds`, once for each permission, whole within `seconds`."""

    def __init__(
        self,
        wire: Wire,
        pace: Pace,
        *,
        environment: Environment,
        seconds: float,
        timer: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._wire, self._pace, self._environment = wire, pace, environment
        self._seconds, self._timer, self._clock = seconds, timer, clock

    def send(self, armed: Armed) -> Answer:
        """What became of the call. Nothing of it leaves after `armed.until`, also when this process is frozen on the way.

        Raises `InvariantBroken` or `DeadlinePassed` before any byte where the permission is spent or late, and nothing for
        the network.
        """
        self._pace.wait()
        now = self._timer()
        transaction_id = armed.spend(now)
        ask = Ask(
            "POST",
            PATH,
            content=json.dumps({"transaction_id": transaction_id}, separators=(",", ":")).encode(),
            about=transaction_id,
            trace=_nothing_after(armed.until, self._timer),
        )
        heard = self._wire.once(ask, seconds=min(self._seconds, armed.until - now), most=BODY_LIMIT)
        if isinstance(heard, Unheard):
            return classify_error(heard.error, heard.http_status, hide=self._wire.hide)
        answer = classify(
            heard.response,
            heard.body,
            asked=transaction_id,
            environment=self._environment,
            hide=self._wire.hide,
        )
        return replace(answer, retry_after=retry_after(heard.response, self._clock.now()))


def _nothing_after(until: float, timer: Callable[[], float]) -> Trace:
    """Looks at the time again right before connecting and before each write: the limit of the exchange began to count a
    moment after the permission was checked, and a process can be frozen in that moment.
    """

    def look(step: str, _: Mapping[str, Any]) -> None:
        if step.endswith(_CONNECTS + _WRITES) and timer() >= until:
            over = httpx.ConnectTimeout if step.endswith(_CONNECTS) else httpx.WriteTimeout
            raise over("the permission to send ran out on the way; nothing more was sent")

    return look
