"""Forms: bounded, read strictly, every field at most once."""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from worker.web.body import BODY_SECONDS, body_of

MAX_BYTES = 16 * 1024
MAX_FIELDS = 50
LONGEST_REASON = 1000
KIND = "application/x-www-form-urlencoded"
_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of the form. Raises `HTTPException`: 400, 408, 413 or 415 with what would be right."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        raise HTTPException(415, f"Send a form as {KIND}.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await body_of(request, MAX_BYTES)
    except TimeoutError:
        raise HTTPException(408, "The form did not arrive in time.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The form did not arrive.") from None
    if body is None:
        raise HTTPException(413, f"The form is too large: at most {MAX_BYTES // 1024} KiB are taken.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise HTTPException(400, "The form could not be read.") from None
    form = {name: value.replace("\r\n", "\n") for name, value in pairs}
    if len(form) != len(pairs):
        raise HTTPException(400, "A field of the form came twice.")
    if any(_UNWANTED.search(text) for pair in form.items() for text in pair):
        raise HTTPException(400, "The form holds control characters.")
    return form


def reason_of(form: Mapping[str, str]) -> str:
    """The reason given. Raises `HTTPException` where there is none or it is too long."""
    reason = form.get("reason", "").strip()
    if not reason:
        raise HTTPException(400, "A reason is needed: it goes on record with your name.")
    if len(reason) > LONGEST_REASON:
        raise HTTPException(400, f"The reason has {len(reason)} characters; at most {LONGEST_REASON} are taken.")
    return reason
