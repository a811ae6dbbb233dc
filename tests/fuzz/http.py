"""An application asked as a server asks it, with whatever bytes stand in target, headers and body."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()


def ask(app: ASGIApp, method: str, target: bytes, headers: Headers = (), body: bytes = b"") -> Said:
    """The answer; what the application raises passes. `target` is what stands in the request line, in printable ASCII."""
    path, _, query = target.partition(b"?")
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])
    got: list[Message] = []

    async def receive() -> Message:
        return next(sent, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        got.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path.decode("ascii")), "raw_path": path, "query_string": query, "root_path": "",
        "headers": [(b"content-length", str(len(body)).encode()), *headers],
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    asyncio.run(_run(app, scope, receive, send))
    start = next(message for message in got if message["type"] == "http.response.start")
    whole = b"".join(message.get("body", b"") for message in got if message["type"] == "http.response.body")
    return Said(start["status"], {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}, whole)


async def _run(app: ASGIApp, scope: object, receive: object, send: object) -> None:
    await app(scope, receive, send)  # type: ignore[arg-type]
