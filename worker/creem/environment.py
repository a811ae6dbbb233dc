"""Which Creem this installation talks to: key, host and the `mode` of every object have to agree (creem-api.md, 1)."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

import httpx

from worker.errors import Misconfigured

TEST_URL, LIVE_URL = "https://test-api.creem.io", "https://api.creem.io"


class Environment(StrEnum):
    """Test and live data are fully separate."""

    TEST = "test"
    LIVE = "live"

    def accepts(self, mode: str) -> bool:
        """True for an object of this environment."""
        return mode in _MODES[self]


_MODES = {Environment.TEST: {"test", "sandbox", "local"}, Environment.LIVE: {"prod", "live"}}


@dataclass(frozen=True, slots=True)
class Address:
    """Where Creem is asked."""

    base_url: str
    environment: Environment


def address_of(api_key: str, base_url: str | None) -> Address:
    """The address that belongs to the key. Raises `Misconfigured`, never naming the key, where key and host disagree."""
    test = api_key.startswith("creem_test_")
    live = api_key.startswith("creem_") and not test
    if base_url is None:
        if not (test or live):
            raise Misconfigured("REFUNDS_CREEM_API_KEY: expected a key that begins with creem_test_ or creem_")
        base_url = TEST_URL if test else LIVE_URL
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        raise Misconfigured("REFUNDS_CREEM_BASE_URL: not an address") from None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment or url.path not in {"", "/"}:
        raise Misconfigured("REFUNDS_CREEM_BASE_URL: expected an address like https://test-api.creem.io, without path or query")
    host, loopback = url.host, _loopback(url.host)
    if url.scheme == "http" and not loopback:
        raise Misconfigured("REFUNDS_CREEM_BASE_URL: the key travels only over https, except to this machine itself")
    if live and host != "api.creem.io":
        raise Misconfigured("REFUNDS_CREEM_BASE_URL: a live key belongs to https://api.creem.io and nowhere else")
    if not live and host == "api.creem.io":
        raise Misconfigured("REFUNDS_CREEM_BASE_URL: a test key belongs to https://test-api.creem.io, not to the live host")
    if not (test or live) and not loopback:
        raise Misconfigured("REFUNDS_CREEM_API_KEY: expected a key that begins with creem_test_ or creem_")
    return Address(str(url).rstrip("/"), Environment.LIVE if live else Environment.TEST)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
