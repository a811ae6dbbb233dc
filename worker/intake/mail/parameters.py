"""Values with parameters: `text/plain; charset=utf-8`, `attachment; filename*0*=...` (RFC 2045, 2231)."""

import re
from urllib.parse import unquote_to_bytes

from worker.intake.mail.charsets import as_text

_PARAMETER = re.compile(
    r";[ \t]*+([A-Za-z0-9!#$&+^_`{|}~.%-]{1,60})(?:\*(\d{1,2}))?(\*)?[ \t]*+=[ \t]*+"
    r'(?:"((?:[^"\\]|\\.)*+)"?|([^;"]*+))',
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MOST_READ = 8192


def read_value(value: str) -> tuple[str, dict[str, str]]:
    """What stands before the first `;`, in lower case, and the parameters by their lower-case names; the first of two counts."""
    value = value[:_MOST_READ]
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for found in _PARAMETER.finditer(value):
        name, number, extended = found[1].lower(), found[2], found[3] is not None
        text = _ESCAPED.sub(r"\1", found[4]) if found[4] is not None else (found[5] or "").strip()
        if number is None and not extended:
            plain.setdefault(name, text)
        else:
            pieces.setdefault(name, {}).setdefault(int(number or 0), (text, extended))
    return value.partition(";")[0].strip().lower(), plain | {name: _joined(parts) for name, parts in pieces.items()}


def _joined(pieces: dict[int, tuple[str, bool]]) -> str:
    charset, content = "", b""
    for place, number in enumerate(sorted(pieces)):
        text, extended = pieces[number]
        if extended and place == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        content += unquote_to_bytes(text) if extended else text.encode("utf-8", "replace")
    return as_text(content, charset)[0]
