"""An HTTP exchange that ends when its time is over, whatever the other side does.

httpx limits every single read: a server that sends one byte a second keeps a call with a one-second limit alive for ever
(failure-modes.md, 1c). Here the limit given to httpx covers the whole exchange, from connecting to the last byte of the body.
What it cannot cut short is the host's name resolver.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

Headers = list[tuple[bytes, bytes]]
_SAME_NAME: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}
_RAISED = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except _RAISED as error:
        raise _SAME_NAME.get(type(error), httpx.TransportError)(str(error)) from error


def bounded_client(timer: Callable[[], float] = time.monotonic, *, own_authorities: bool = False) -> httpx.Client:
    """Sends what it is given to where it is told, and nothing else: nothing of the environment (proxies, .netrc) is trusted, and
    no cookie of one answer goes into the next request. With `own_authorities` it believes whom this host believes (its trusted
    certificates, `SSL_CERT_FILE`), beside the public ones.
    """
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    transport = DeadlineTransport(timer, own_authorities=own_authorities)
    return httpx.Client(transport=transport, trust_env=False, cookies=no_cookies)


class DeadlineTransport(httpx.BaseTransport):
    """One fresh connection a request, HTTP/1.1, no proxy; the smallest of the request's time limits is its whole time.

    A fresh connection because one that dies on reuse gives an error that says nothing about the new request.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic, *, own_authorities: bool = False) -> None:
        self._timer = timer
        self._ssl = httpx.create_ssl_context(trust_env=False)
        if own_authorities:
            self._ssl.load_default_certs()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The response with its body still to be read; closing the response closes the connection."""
        limits = [float(limit) for limit in request.extensions.get("timeout", {}).values() if limit is not None]
        if not limits:
            raise ValueError("a request without a time limit could last for ever")
        pool = httpcore.ConnectionPool(
            ssl_context=self._ssl,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=_Network(_Until(self._timer() + min(limits), self._timer)),
        )
        url = request.url
        assert isinstance(request.stream, httpx.SyncByteStream)
        wanted = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            with _as_httpx():
                got = pool.handle_request(wanted)
        except BaseException:
            pool.close()
            raise
        return httpx.Response(got.status, headers=_unled(got.headers), stream=_Body(got, pool), extensions=got.extensions)


def _unled(headers: Headers) -> Headers:
    """The headers without the word where a redirect leads. Nobody here follows one, but httpx reads the word all the same, and
    what it cannot read (`javascript:`, a name that is none) becomes an error that is none of the network's.
    """
    return [(name, value) for name, value in headers if name.lower() != b"location"]


class _Until:
    """A moment in time, and how far it is away."""

    def __init__(self, moment: float, timer: Callable[[], float]) -> None:
        self._moment, self._timer = moment, timer

    def left(self, limit: float | None, over: type[httpcore.TimeoutException]) -> float:
        """Seconds this operation may take. Raises `over` when the time of the whole exchange has passed."""
        left = self._moment - self._timer()
        if left <= 0:
            raise over("the time for the whole exchange is over")
        return left if limit is None else min(limit, left)


def _addresses(host: str, port: int) -> list[str]:
    """Where the host is, as its resolver has it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return [str(address[0]) for *_, address in found]


class _Network(httpcore.NetworkBackend):
    def __init__(self, until: _Until) -> None:
        self._until, self._network = until, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Tries one address of the host after the other. Each has an equal share of what is left of the time: were one that
        nobody answers given all of it, as an IPv6 address without a way there, those behind it would never be tried in time.
        """
        addresses = _addresses(host, port)
        for tried, address in enumerate(addresses, 1):
            left = self._until.left(timeout, httpcore.ConnectTimeout)
            share = left / (1 + len(addresses) - tried)
            try:
                return _Stream(self._network.connect_tcp(address, port, share, local_address, socket_options), self._until)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if tried == len(addresses):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, until: _Until) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._until.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._until.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._until.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response, pool: httpcore.ConnectionPool) -> None:
        self._response, self._pool = response, pool

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()
        self._pool.close()
