"""Which Creem this installation talks to: key, host and the `mode` of every object have to agree (creem-api.md, 1).

A test key at the live host, or a live key anywhere else, is how fake refunds come to be shown as real ones, and real ones happen
in tests (failure-modes.md, TM18). Nothing starts on such a pair.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

import httpx

from worker.errors import Misconfigured
from worker.listening import on_loopback

TEST_URL, LIVE_URL = "https://test-api.creem.io", "https://api.creem.io"
TEST_PREFIX, PREFIX = "creem_test_", "creem_"
_HOST = re.compile(rb"[a-z0-9.-]+")
_KEY, _URL = "REFUNDS_CREEM_API_KEY", "REFUNDS_CREEM_BASE_URL"
_OTHER_KEY = f"{_KEY}: expected a key that begins with {TEST_PREFIX} or {PREFIX}; a double on this machine takes any"


class Environment(StrEnum):
    """Test and live data are fully separate: keys, ids, customers."""

    TEST = "test"
    LIVE = "live"

    def accepts(self, mode: str) -> bool:
        """True for the `mode` of an object of this environment; a word that is not known belongs to neither."""
        return mode in _MODES[self]


_MODES = {Environment.TEST: {"test", "sandbox", "local"}, Environment.LIVE: {"prod", "live"}}


@dataclass(frozen=True, slots=True)
class Address:
    """Where Creem is asked: scheme and host, without a slash at the end."""

    base_url: str
    environment: Environment


def address_of(api_key: str, base_url: str | None) -> Address:
    """The address that belongs to the key. Raises `Misconfigured` where key and host disagree; it never names the key."""
    environment = _environment(api_key)
    if base_url is None:
        base_url = LIVE_URL if environment is Environment.LIVE else TEST_URL
    url = _address(base_url)
    faults = [*_key_faults(api_key)]
    if url is None:
        # whose key it would be there cannot be said, and only a double takes any other
        faults += [_OTHER_KEY] if environment is None and not faults else []
        faults.append(f"{_URL}: expected an address like {TEST_URL}, without path, query or user name")
    else:
        faults += _pair_faults(environment, url)
    if url is None or faults:
        raise Misconfigured(*faults)
    return Address(str(url).rstrip("/"), environment or Environment.TEST)


def _environment(api_key: str) -> Environment | None:
    # keys of the test environment begin with both prefixes: the longer one first
    if api_key.startswith(TEST_PREFIX):
        return Environment.TEST
    return Environment.LIVE if api_key.startswith(PREFIX) else None


def _address(base_url: str) -> httpx.URL | None:
    try:
        url = httpx.URL(base_url)
        # what the resolver and the socket would choke on later, with errors that are no network errors
        url.host.encode("idna")
        plain = _HOST.fullmatch(url.raw_host) is not None or bool(ip_address(url.host))
    except (httpx.InvalidURL, ValueError):
        return None
    port_stands = url.port is None or 0 < url.port < 65_536
    bare = not url.userinfo and url.path in {"", "/"} and "?" not in base_url and "#" not in base_url
    # the dot at the end is the same host under another name
    named = plain and not url.host.endswith(".")
    return url if url.scheme in {"http", "https"} and named and port_stands and bare else None


def _key_faults(api_key: str) -> Iterator[str]:
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        yield f"{_KEY}: expected one word of plain characters, without space or line break"


def _pair_faults(environment: Environment | None, url: httpx.URL) -> Iterator[str]:
    at_live, loopback = url.host == httpx.URL(LIVE_URL).host, on_loopback(url.host)
    if url.scheme == "http" and not loopback:
        yield f"{_URL}: the key travels over https only, except on this machine itself"
    if environment is Environment.LIVE:
        if str(url).rstrip("/") != LIVE_URL:
            yield f"{_URL}: a live key belongs to {LIVE_URL} and nowhere else"
    elif at_live:
        yield f"{_URL}: {LIVE_URL} is the live host; this is no live key"
    elif environment is None and not loopback:
        yield _OTHER_KEY
