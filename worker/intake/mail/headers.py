"""The headers of a mail or part: names and values in their order, unfolded."""

import binascii
import re
from dataclasses import dataclass

from worker.intake.mail.charsets import as_text

_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*+:(.*)", re.DOTALL)
_END = re.compile(rb"\n\r?\n")
_WORD = re.compile(r"=\?([A-Za-z0-9_.:()-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([BbQq])\?([^?\r\n]{0,4096})\?=")
_MOST_DECODED = 8192


@dataclass(frozen=True, slots=True)
class Headers:
    """`fields` are the lower-case names and the unfolded values. Not `whole`: something was left out or is no header."""

    fields: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    strange: bool = False

    def all(self, name: str) -> list[str]:
        """Every value of that name, the topmost first."""
        return [value for known, value in self.fields if known == name]

    def first(self, name: str) -> str:
        """The topmost value of that name; empty where there is none."""
        return next((value for known, value in self.fields if known == name), "")


def split_message(raw: bytes) -> tuple[bytes, bytes]:
    """The header block and the body of a message or part."""
    if raw.startswith((b"\n", b"\r\n")):
        return b"", raw[raw.index(b"\n") + 1 :]
    end = _END.search(raw)
    return (raw, b"") if end is None else (raw[: end.start() + 1], raw[end.end() :])


def read_headers(block: bytes, most: int) -> Headers:
    """The headers in the first `most` bytes of `block`."""
    fields: list[tuple[str, list[str]]] = []
    strange, folded_into = False, False
    for number, line in enumerate(block[:most].decode("latin-1").split("\n")):
        line = line.removesuffix("\r")
        if line[:1] in (" ", "\t"):
            if folded_into:
                fields[-1][1].append(line)
            continue
        field = _FIELD.fullmatch(line)
        folded_into = field is not None
        if field is not None:
            fields.append((field[1].lower(), [field[2]]))
        elif line and not (number == 0 and line.startswith("From ")):
            # the envelope line of a mailbox file is nobody's header
            strange = True
    return Headers(tuple((name, _value(pieces)) for name, pieces in fields), len(block) > most, strange)


def _value(pieces: list[str]) -> str:
    value = "".join(pieces).strip(" \t")
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except ValueError:
        return value


def decoded_words(value: str) -> str:
    """`value` with its encoded words (RFC 2047) read; what is not one stays as it is."""
    out: list[str] = []
    pending, pending_charset, at = b"", "", 0
    value = value[:_MOST_DECODED]
    for word in _WORD.finditer(value):
        between = value[at : word.start()]
        at = word.end()
        charset, content = word[1].lower(), _unquoted(word[2], word[3])
        if pending_charset and (between.strip(" \t") or charset != pending_charset):
            out.append(as_text(pending, pending_charset)[0])
            pending = b""
        if between.strip(" \t") or not pending_charset:
            out.append(between)
        # one character can be split over two words, so their bytes come together first
        pending, pending_charset = pending + content, charset
    if pending_charset:
        out.append(as_text(pending, pending_charset)[0])
    return "".join(out) + value[at:]


def _unquoted(kind: str, text: str) -> bytes:
    encoded = text.encode("utf-8", "replace")
    if kind in "Qq":
        return binascii.a2b_qp(encoded, header=True)
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", encoded)
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
