"""The body of a request, read no further than is taken of it."""

from starlette.requests import Request

BODY_SECONDS = 10.0
"""How long one may take to arrive."""


async def body_of(request: Request, most: int) -> bytes | None:
    """The raw body; None where it is larger than that many bytes, found out before reading on."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most:
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return body
