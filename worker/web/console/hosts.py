"""Where a request comes from and which name it was sent to: the defence against rebinding and foreign forms."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from worker.listening import on_loopback

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_FORWARDED = ("forwarded", "via", "x-forwarded", "x-original-", "x-real-ip", "x-client-ip", "true-client-ip", "cf-", "x-envoy-")
"""How the headers begin that proxies add."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names this console answers to."""

    names: frozenset[str]

    @classmethod
    def of(cls, web_host: str, console_hosts: Collection[str]) -> "Hosts":
        """Loopback, the address listened on, and the names given."""
        given = (web_host, *console_hosts)
        return cls(LOOPBACK | {f"[{name}]" if ":" in name and not name.startswith("[") else name.lower() for name in given})

    def allow(self, request: Request) -> bool:
        """True when the request was sent to one of the names."""
        return _host(request) in self.names


def stays_here(request: Request) -> bool:
    """True when the request comes from this machine, to a loopback name, and shows no sign of a proxy."""
    peer = request.client.host if request.client else ""
    # what nginx speaks to those behind it, in a loopback name and without a word of its own, where nobody told it otherwise
    through = request.scope["http_version"] == "1.0" or any(name.startswith(_FORWARDED) for name in request.headers)
    return on_loopback(peer) and _host(request) in LOOPBACK and not through


def own_form(request: Request) -> bool:
    """True unless the browser says that another site sent this. What says nothing still has to carry the form's token."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    named = request.headers.get("origin", request.headers.get("referer"))
    return named is None or _netloc(named) == request.headers.get("host", "").lower()


def names_its_site(request: Request) -> bool:
    """True when the browser says which site this was sent from, as every browser does with a form."""
    return "origin" in request.headers or "sec-fetch-site" in request.headers


def over_tls(request: Request) -> bool:
    """True when the browser speaks TLS, to us or to a proxy before us."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _host(request: Request) -> str | None:
    headers = request.headers.getlist("host")
    matched = _HOST.fullmatch(headers[0].lower()) if len(headers) == 1 else None
    return matched[1] if matched else None


def _netloc(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} and parts.netloc else None
