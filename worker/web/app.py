"""The routes: webhooks of the payment provider, whether this installation is alive and ready, and the operators' console.

Everything before the signature holds is answered alike, so that nobody learns anything from the answers. A signed delivery is
stored before it is answered; what it means is found out later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import redis
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.clock import Clock
from worker.creem.receive import Received, Receiver
from worker.creem.webhooks import MAX_BYTES, signature_holds
from worker.errors import Misconfigured, TryLater, one_line, plain_line
from worker.intake.stream import takes_no_writes
from worker.observe import log
from worker.patience import Patience
from worker.settings import GROUP
from worker.store import inbox
from worker.store.engine import Store
from worker.store.schema import require_current
from worker.web.body import BODY_SECONDS, body_of
from worker.web.console.console import Console
from worker.web.metrics import Figures

HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
MACHINES = ("/webhooks/", "/healthz", "/readyz", "/metrics")
"""Paths that programs ask for: their faults are answered in JSON. They need no sign-in: the address listened on or a proxy in
front guards them, and none of them tells of a customer."""
SIGNATURE = "creem-signature"
CHECKS = ("database", "redis", "backlog_age")
"""What `/readyz` looks at."""
Hint = Callable[[list[int]], None]


@dataclass(frozen=True, slots=True)
class Web:
    """What the routes work with. `hint` says that inbox rows are there, and may fail without harm."""

    store: Store
    redis: redis.Redis
    receiver: Receiver
    secrets: Sequence[str] = field(repr=False)
    clock: Clock
    hint: Hint
    backlog_limit: timedelta
    body_seconds: float = BODY_SECONDS
    figures: Figures | None = None
    unread_since: Callable[[], datetime | None] = lambda: None
    """Since when the oldest entry of the stream waits to be taken in; None where none does."""
    group: str = GROUP
    patience: Mapping[str, Patience] = field(default_factory=lambda: {name: Patience() for name in CHECKS}, repr=False)
    hints: Patience = field(default_factory=Patience, repr=False)
    """One hint at a time, and none is begun while one hangs: whoever sends one waits some seconds for it at most."""

    async def webhook(self, request: Request) -> Response:
        """One delivery: 200 once it is stored, and every repeat of it."""
        if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            return self.turned_away(request, 415, "send the body as it is: no content encoding is taken")
        try:
            async with asyncio.timeout(self.body_seconds):
                body = await body_of(request, MAX_BYTES)
        except TimeoutError:
            return self.turned_away(request, 408, "the body did not arrive in time")
        except ClientDisconnect:
            return self.turned_away(request, 400, "the body did not arrive")
        if body is None:
            return self.turned_away(request, 413, f"at most {MAX_BYTES} bytes are taken")
        signatures = request.headers.getlist(SIGNATURE)
        if len(signatures) != 1 or not self._signed(body, signatures[0]):
            log.warning("webhook.unsigned", bytes=len(body), signatures=len(signatures))
            self._count("unsigned")
            return _said(401, "no valid signature")
        try:
            received, row_id = await run_in_threadpool(self.receiver.receive, body)
        except (TryLater, Misconfigured) as error:
            log.error("webhook.not_stored", error=one_line(error))
            self._count("not_stored")
            return _said(503, "not stored; send it again later", {"retry-after": "30"})
        log.info("webhook.received", outcome=received.value, inbox_id=row_id)
        self._count("taken")
        answer = JSONResponse({"status": received.value})
        if received is Received.STORED and row_id is not None:
            # whoever delivers waits for no hint: where Redis stands still one takes as long as Celery waits for it
            answer.background = BackgroundTask(self._hint, [row_id])
        return answer

    def turned_away(self, request: Request, status: int, why: str) -> Response:
        """The answer to what may be a delivery and came so that its signature could not be looked at, told to who is on call:
        nobody else hears of a proxy that changes what Creem sends, or where to.
        """
        log.warning("webhook.turned_away", status=status, path=plain_line(request.url.path), why=why)
        self._count("unsigned")
        return _said(status, why)

    def _signed(self, body: bytes, header: str) -> bool:
        # every secret is tried, so that the time taken does not say which one it was
        held = [signature_holds(secret, body, header) for secret in self.secrets]
        return any(held)

    def _count(self, answer: str) -> None:
        if self.figures is not None:
            self.figures.deliveries[answer] += 1

    def _hint(self, row_ids: list[int]) -> None:
        try:
            self.hints.look(partial(self.hint, row_ids))
        except Exception as error:
            # the sweep finds the row; the delivery is stored and that is what was promised
            log.warning("hint.dropped", error=error.strerror if isinstance(error, TimeoutError) else one_line(error))

    async def alive(self, request: Request) -> Response:
        """200 while the process answers at all."""
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """200 when database and Redis take writes and nothing has waited too long; 503 with what is wrong otherwise, also where
        one of them stands still and says nothing.
        """
        looks = zip(CHECKS, (self._database, self._redis, self._backlog), strict=True)
        faults = await asyncio.gather(*(run_in_threadpool(self._seen, name, look) for name, look in looks))
        checks = {name: {"ok": fault is None, "fault": fault} for name, fault in zip(CHECKS, faults, strict=True)}
        good = all(check["ok"] for check in checks.values())
        return JSONResponse({"ready": good, "checks": checks}, status_code=200 if good else 503)

    async def metrics(self, request: Request) -> Response:
        """The figures for Prometheus; 404 where this process was given none."""
        if self.figures is None:
            return _said(404, "no figures here")
        return Response(await run_in_threadpool(self.figures.text), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _seen(self, name: str, look: Callable[[], str | None]) -> str | None:
        try:
            return self.patience[name].look(look)
        except TimeoutError as error:
            return error.strerror

    def _database(self) -> str | None:
        try:
            require_current(self.store)
        except (TryLater, Misconfigured) as error:
            return one_line(error)
        return None

    def _redis(self) -> str | None:
        try:
            return takes_no_writes(self.redis, self.group)
        except (redis.RedisError, OSError) as error:
            return f"Redis is not reachable: {type(error).__name__}"

    def _backlog(self) -> str | None:
        now = self.clock.now()
        try:
            waiting, oldest = self.store.read(inbox.backlog)
            unread = self.unread_since()
        except (TryLater, Misconfigured, redis.RedisError, OSError) as error:
            return one_line(error)
        if unread is not None and now - unread > self.backlog_limit:
            return f"the oldest entry of the stream waits for {(now - unread).total_seconds():.0f} s; is intake running?"
        if oldest is None or now - oldest <= self.backlog_limit:
            return None
        return f"{waiting} events wait, the oldest for {(now - oldest).total_seconds():.0f} s; is a worker running?"


def make_app(web: Web, console: Console | None = None) -> Starlette:
    """The application; with a console, what people ask for is answered in pages."""
    routes = [
        Route("/webhooks/creem", web.webhook, methods=["POST"]),
        Route("/healthz", web.alive, methods=["GET"]),
        Route("/readyz", web.ready, methods=["GET"]),
        Route("/metrics", web.metrics, methods=["GET"]),
        *(console.routes if console else []),
    ]

    async def http_fault(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for nothing else"
        if SIGNATURE in request.headers:
            web.turned_away(request, error.status_code, "webhooks are taken at POST /webhooks/creem")
        if console and not request.url.path.startswith(MACHINES):
            return await console.fault(request, error.status_code)
        return _said(error.status_code, error.detail, dict(error.headers or {}))

    async def defect(request: Request, error: Exception) -> Response:
        if console and not request.url.path.startswith(MACHINES):
            return await console.fault(request, 500)
        return _said(500, "this should not have happened; it is in the log")

    faults: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {HTTPException: http_fault, Exception: defect}
    outermost = [Middleware(SafeHeaders), Middleware(CutShort)]
    app = Starlette(routes=routes, middleware=outermost, exception_handlers=faults)
    # the router's own redirect would send a browser to whatever name the request gives, before the guard looks at that name
    app.router.redirect_slashes = False
    return app


class SafeHeaders:
    """Puts the headers on every answer that keep browsers from making more of it than it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and completes the answer."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((n, v) for n, v in HEADERS.items() if n not in named)]
            await send(message)

        await self._app(scope, receive, complete)


class CutShort:
    """Answers what the process could not finish by its end, for which uvicorn, having said so, would log a defect and say 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; whoever still waits when the process ends is told to come again."""
        answered = False

        async def note(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:
            if not answered:
                told = "the process ends before it can say what became of this; send it again later"
                await _said(503, told, {"retry-after": "30"})(scope, receive, send)


def _said(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": detail}, status_code=status, headers=headers)
