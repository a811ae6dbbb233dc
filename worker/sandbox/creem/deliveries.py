"""Webhooks as Creem sends them (creem-api.md, 11.6 and 11.7): signed over the raw bytes, five attempts, in no promised order."""

import hashlib
import heapq
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from worker.errors import Misconfigured
from worker.sandbox.creem.documents import milliseconds
from worker.sandbox.creem.names import Names
from worker.sandbox.creem.switches import Switches

Deliver = Callable[[bytes, dict[str, str]], int]
"""Takes body and headers, returns the HTTP status; 0, an `OSError` or an `httpx.HTTPError` is an endpoint that is down."""

HEADER = "creem-signature"
GAPS = (timedelta(), timedelta(seconds=30), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=6))
"""[D] The wait before each attempt, from the one before it: 6 h 35 min 30 s in all, so nothing is sent after 24 h."""
HELD_AT_MOST = timedelta(minutes=1)
"""How long an event waits for a later one to overtake it, where they are swapped."""


def signature(secret: str, body: bytes) -> str:
    """What `creem-signature` carries: HMAC-SHA256 over the bytes as they are, in lower-case hexadecimal."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post_to(url: str, timeout: float = 10.0) -> Deliver:
    """Delivers by HTTP; the time limit of an attempt is not documented ([U]). Raises `Misconfigured` for what is no address."""
    wrong = f"--webhooks: expected an address like http://127.0.0.1:8080/webhooks/creem, not {url!r}"
    try:
        endpoint = httpx.URL(url)
    except httpx.InvalidURL:
        raise Misconfigured(wrong) from None
    if endpoint.scheme not in {"http", "https"} or not endpoint.host:
        raise Misconfigured(wrong)

    def deliver(body: bytes, headers: dict[str, str]) -> int:
        with httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client:
            return client.post(endpoint, content=body, headers=headers).status_code

    return deliver


@dataclass(frozen=True, slots=True)
class Event:
    """One event with the bytes that are signed."""

    id: str
    type: str
    transaction_id: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery as it went. `status` is 0 when nobody answered."""

    at: datetime
    event: Event
    number: int
    status: int


class Deliveries:
    """What is to be delivered, and when. The lock is the book's; no attempt is made while it is held."""

    def __init__(self, lock: threading.RLock, names: Names, secret: str, deliver: Deliver | None) -> None:
        self.events: list[Event] = []
        self.attempts: list[Attempt] = []
        self._lock, self._names, self._secret, self._deliver = lock, names, secret, deliver
        self._agenda: list[tuple[datetime, int, Event, int]] = []
        self._count = 0
        self._held: Event | None = None
        self._busy = False

    def announce(self, kind: str, transaction_id: str, thing: dict[str, Any], at: datetime, switches: Switches) -> None:
        """Makes an event of the document as it is now, and plans its first attempt. Without an endpoint it is only kept."""
        first = at + timedelta(seconds=switches.webhook_delay)
        for copies in (switches.webhook_copies, 1) if switches.webhook_new_id else (switches.webhook_copies,):
            event = self._event(self._names.new("evt"), kind, transaction_id, thing, at)
            self.events.append(event)
            if self._deliver is not None:
                self._plan_first(event, copies, first, switches.webhook_swapped)

    def _event(self, event_id: str, kind: str, transaction_id: str, thing: dict[str, Any], at: datetime) -> Event:
        envelope = {"id": event_id, "eventType": kind, "created_at": milliseconds(at), "object": thing}
        body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", HEADER: signature(self._secret, body)}
        return Event(event_id, kind, transaction_id, body, headers)

    def _plan_first(self, event: Event, copies: int, at: datetime, swapped: bool) -> None:
        waits = swapped and self._held is None
        for _ in range(copies):
            self._plan(event, 1, at + HELD_AT_MOST if waits else at)
        if waits:
            self._held = event
        elif self._held is not None:
            self._release(self._held, at)
            self._held = None

    def _release(self, held: Event, at: datetime) -> None:
        waiting = [entry for entry in self._agenda if entry[2] is held and entry[0] > at]
        self._agenda = [entry for entry in self._agenda if entry not in waiting]
        heapq.heapify(self._agenda)
        for _, _, event, number in waiting:
            self._plan(event, number, at)

    def _plan(self, event: Event, number: int, at: datetime) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at, self._count, event, number))

    @property
    def next_due(self) -> datetime | None:
        """When the next attempt is due; None while another thread, or a caller further up, is in the middle of one."""
        return self._agenda[0][0] if self._agenda and not self._busy else None

    def attempt(self) -> None:
        """Makes the next attempt and plans another if it was not taken. To be called with the lock not held.

        Errors that are not of the network go to the caller, with the next attempt planned: a receiver in this process may die.
        """
        with self._lock:
            if self._busy or not self._agenda or self._deliver is None:
                return
            at, _, event, number = heapq.heappop(self._agenda)
            if self._held is event:
                self._held = None
            self._busy = True
        status = 0
        try:
            status = self._deliver(event.body, dict(event.headers))
        except (httpx.HTTPError, OSError):
            pass
        finally:
            with self._lock:
                self._busy = False
                self.attempts.append(Attempt(at, event, number, status))
                if not 200 <= status < 300 and number < len(GAPS):
                    self._plan(event, number + 1, at + GAPS[number])
