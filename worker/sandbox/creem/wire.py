"""The double as an httpx transport: same behaviour as over HTTP, thousands of runs a minute."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import httpx

from worker.sandbox.creem.answers import Answer, Reply
from worker.sandbox.creem.words import Fault


class Api(Protocol):
    """What the transport needs of the double."""

    def tick(self) -> int:
        """Does what is due."""
        ...

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answers one request."""
        ...


class InProcess(httpx.BaseTransport):
    """Hands requests over by a call. What is due happens first, webhooks too: a receiver in here hears before the caller."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer; raises the error httpx has when none comes."""
        self._api.tick()
        reply = self._api.request(request.method, request.url.raw_path.decode(), request.headers, request.read())
        if isinstance(reply, Answer):
            return httpx.Response(reply.status, headers=_headers(reply), stream=_Body(reply))
        match reply.how:
            case Fault.NOT_SENT:
                raise httpx.ConnectError("connection refused", request=request)
            case Fault.RESET:
                raise httpx.ReadError("connection reset by peer", request=request)
            case Fault.DISCONNECTED:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
            case _:
                raise httpx.ReadTimeout("timed out", request=request)


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        if not self._answer.cut_short:
            yield self._answer.body
            return
        yield self._answer.body[: len(self._answer.body) // 2]
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _headers(answer: Answer) -> dict[str, str]:
    return answer.headers | {"content-length": str(len(answer.body))}
