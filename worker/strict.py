"""JSON from outside, read so that no document can mean two things or hurt the reader.

Python's own loader takes the last of two equal keys, accepts `NaN` and `1e999`, and lets RecursionError, the limit on digits
and lone surrogates out where nobody expects them (failure-modes.md 1c "json", P1). Here every such document is `Malformed`
with a reason from a closed list. The size is looked at first: everything after it costs time in proportion to the size.
"""

import json
import math
import re
from hashlib import sha256
from typing import Any, NoReturn

from worker.errors import Reason as Reason

MAX_BYTES = 65_536
"""contract.md, "Events in": 64 KiB."""
MAX_DEPTH = 64
"""Far above what any of our documents needs, far below where the interpreter's own recursion limit can be felt."""


class Malformed(ValueError):
    """The document can never be handled as it stands. `detail` says where, what was there and what would be right."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def loads(raw: bytes, *, most: int = MAX_BYTES) -> dict[str, Any]:
    """The one JSON object that `raw` is, of at most so many bytes. Raises `Malformed` for everything else, and nothing
    but `Malformed`.
    """
    if len(raw) > most:
        raise Malformed("too_large", f"the document has {len(raw):,} bytes; at most {most:,} are taken")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is not UTF-8 ({error.reason})"
        raise Malformed("not_utf8", f"{where}; one JSON object in UTF-8 is expected") from None
    if text.startswith("\ufeff"):
        raise Malformed("not_json", "the document starts with a byte order mark; send UTF-8 without one")
    if not text.strip():
        raise Malformed("not_json", "the document is empty; one JSON object is expected")
    _refuse_depth(raw)
    try:
        document = _DECODER.decode(text)
    except Malformed:
        raise
    except json.JSONDecodeError as error:
        said = "more than one document" if error.msg == "Extra data" else error.msg.removesuffix(" at")
        raise Malformed("not_json", f"{said} at character {error.pos}; one JSON object is expected") from None
    except ValueError:
        # the interpreter's limit on digits, the only other ValueError of the decoder
        raise Malformed("bad_number", "a whole number has thousands of digits; no number here needs more than 15") from None
    if not isinstance(document, dict):
        raise Malformed("not_an_object", f"the document is {shown(document)}; one JSON object is expected")
    return document


def digest(raw: bytes) -> str:
    """The SHA-256 of the bytes as they came, in hexadecimal."""
    return sha256(raw).hexdigest()


def shown(value: object) -> str:
    """The value as JSON on one line of printable ASCII, cut at 60 characters: fit for a sentence, a log and a terminal."""
    text = json.dumps(value, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")
    return text if len(text) <= 60 else text[:57] + "..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Malformed("duplicate_key", f"the key {shown(twice)} stands twice in one object; each key may stand once")
    return found


def _constant(name: str) -> NoReturn:
    raise Malformed("bad_number", f"{name} is not a JSON number; a finite number is expected")


def _fraction(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Malformed("bad_number", f"{shown(text)} is beyond every number we can hold; a finite number is expected")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction)

# A whole string (possessive, its end optional, so that the scan stays linear whatever comes) or one bracket.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)


def _refuse_depth(raw: bytes) -> None:
    # fewer opening brackets than the cap cannot be nested deeper than the cap: true of every honest document, and quick to see
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRUCTURE.finditer(raw):
        if match.lastindex == 1:
            depth += 1
            if depth > MAX_DEPTH:
                where = f"byte {match.start()} opens level {depth}"
                raise Malformed("too_deep", f"{where}; at most {MAX_DEPTH} levels are taken")
        elif match.lastindex == 2:
            depth = max(0, depth - 1)
