"""The web process: uvicorn on one socket, with limits on everything a client can send."""

import socket
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from worker.errors import Misconfigured, Refused
from worker.listening import on_loopback, taking
from worker.observe import log
from worker.operators.passwords import check_strength
from worker.settings import Settings
from worker.web.connections import MOST, Connection

GRACE_SECONDS = 15
BACKLOG = 2048
"""Connections that wait to be taken."""


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The webhook secrets that are taken: one, or two with a comma while one replaces the other. Raises `Misconfigured`."""
    if settings.creem_webhook_secret is None:
        return ()
    return _secrets_in(settings.creem_webhook_secret.get_secret_value())


def unfit(values: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with settings, not yet validated, that only the web process goes by (contract.md, "HTTP"): an address that
    others can reach while no console password is set, and secrets of webhooks that are none.
    """
    host = values.get("web_host") or Settings.model_fields["web_host"].default
    if not values.get("console_password", "").strip() and not on_loopback(host):
        right = "set REFUNDS_CONSOLE_PASSWORD or listen on 127.0.0.1"
        yield f"REFUNDS_WEB_HOST: {host} can be reached from outside; {right}"
    try:
        if secrets := values.get("creem_webhook_secret"):
            _secrets_in(secrets)
    except Misconfigured as error:
        yield from error.faults


def _secrets_in(text: str) -> tuple[str, ...]:
    named = tuple(part.strip() for part in text.split(","))
    if not all(named) or len(named) > 2:
        raise Misconfigured("REFUNDS_CREEM_WEBHOOK_SECRET: expected one secret, or two with a comma while one replaces the other")
    return named


def check(settings: Settings) -> None:
    """Raises `Misconfigured` for all that is wrong with the settings that only the web process goes by."""
    secret = settings.creem_webhook_secret
    values = {"web_host": settings.web_host, "console_password": _password(settings)}
    faults = [*unfit(values | {"creem_webhook_secret": secret.get_secret_value() if secret else ""})]
    if faults:
        raise Misconfigured(*faults)


def weak_password(settings: Settings) -> str | None:
    """What is weak about the console's password where others can reach the console; None where nothing is."""
    password, outside = _password(settings), settings.console_hosts or not on_loopback(settings.web_host)
    if not password or not outside:
        return None
    try:
        check_strength(password)
    except Refused as error:
        return f"REFUNDS_CONSOLE_PASSWORD: others can reach the console, and can guess it: {error}"
    return None


def _password(settings: Settings) -> str:
    return settings.console_password.get_secret_value() if settings.console_password else ""


def meant_for_outside(settings: Settings) -> bool:
    """True where others than this machine are to reach the process, if only by a proxy: under names of the console, or as
    Creem with its webhooks, unless that is a double on this machine.
    """
    double = on_loopback(urlsplit(settings.creem_base_url or "").hostname or "")
    return bool(settings.console_hosts) or (settings.creem_webhook_secret is not None and not double)


def listen(settings: Settings) -> list[socket.socket]:
    """A socket for every address of the host. Raises `Misconfigured`, with what to do, where one cannot be had."""
    host, port = settings.web_host, settings.web_port
    found: list[socket.socket] = []
    try:
        with taking(host, port, host_named="REFUNDS_WEB_HOST", port_named="REFUNDS_WEB_PORT"):
            asked = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(asked):
                found.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except Misconfigured:
        for one in found:
            one.close()
        raise
    return found


def serve(app: ASGIApp, settings: Settings, stop: threading.Event) -> None:
    """Answers until SIGTERM or SIGINT, then finishes what is in hand; not at all where `stop` is set by the time it listens.
    Raises `Misconfigured` where it cannot listen.
    """
    listening = listen(settings)
    config = config_of(app)
    log.info("web.listening", addresses=[f"{at[0]} port {at[1]}" for at in (one.getsockname() for one in listening)])
    server = uvicorn.Server(config)
    # what a signal said before it has handlers of its own
    server.should_exit = stop.is_set()
    server.run(sockets=listening)


def config_of(app: ASGIApp) -> uvicorn.Config:
    """How requests are taken: the limits."""
    return uvicorn.Config(
        app,
        # one implementation, the strict one; its own limit on the head of a request
        http=Connection,
        h11_max_incomplete_event_size=16 * 1024,
        ws="none",
        lifespan="off",
        limit_concurrency=MOST,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        # our own lines say what happened; these would carry query strings
        access_log=False,
        log_config=None,
    )
