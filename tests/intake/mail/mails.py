"""The corpus, the mails too large to keep as files, and what is true of everything that is read."""

import re
import tomllib
import unicodedata
from base64 import encodebytes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.intake.mail.limits import LIMITS, MIB
from worker.intake.mail.reader import Mail

HERE = Path(__file__).parent / "corpus"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((HERE / "expected.toml").read_text("utf-8"))
TRUSTED = frozenset({"mx.example.net"})

_CLEAN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def raw(name: str) -> bytes:
    """The mail of that name in the corpus."""
    return (HERE / f"{name}.eml").read_bytes()


def every() -> dict[str, bytes]:
    """All mails of the corpus."""
    return {name: raw(name) for name in EXPECTED}


def built(*lines: str, body: bytes = b"", sender: str = "ann@example.org") -> bytes:
    """A mail with these header lines besides its From."""
    return "\r\n".join([f"From: {sender}", *lines, "", ""]).encode() + body


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    """A mail of parts, each with its own headers and blank line."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return built(f"Content-Type: multipart/mixed; boundary={boundary.decode()}", body=body + b"--" + boundary + b"--\r\n")


def file(name: str, content: bytes) -> bytes:
    """A part that is a file."""
    kind = f'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="{name}"'
    headers = f"{kind}\r\nContent-Transfer-Encoding: base64"
    return headers.encode() + b"\r\n\r\n" + encodebytes(content)


def nested(depth: int, innermost: bytes = b"Content-Type: text/plain\r\n\r\njob job_42\r\n") -> bytes:
    """A mail of multiparts inside each other, `depth` of them."""
    part = innermost
    for level in range(depth):
        name = b"level%d" % level
        part = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n%b\r\n--%b--\r\n" % (name, name, part, name)
    return b"From: ann@example.org\r\n" + part


def faults(mail: Mail) -> list[str]:
    """What is wrong with `mail` whatever it was read from: too much of something, or something unclean."""
    lines = [
        mail.subject,
        mail.verdict_detail,
        *mail.problems,
        *(name for a in mail.attachments for name in (a.name, a.declared_type)),
    ]
    texts = [mail.text, *lines, mail.sender or "", mail.message_id or "", *mail.answers, *mail.addresses]
    ids = [*mail.jobs, *mail.orders, *mail.words, *mail.references]
    checks = {
        "a key that is no hash": re.fullmatch("[0-9a-f]{64}", mail.key) is None,
        "unclean text": any(_CLEAN.fullmatch(text) is None for text in texts),
        "text that cannot be written": any(unicodedata.category(c) == "Cs" for text in texts for c in text),
        "a line that is several": any("\n" in line or "\t" in line for line in lines),
        "too long a text": len(mail.text.encode("utf-8", "replace")) > LIMITS.text_bytes,
        "too long a subject": len(mail.subject) > 300,
        "too long a name": any(not 0 < len(a.name) <= 120 or len(a.declared_type) > 100 for a in mail.attachments),
        "a path": any(set(a.name) & set('/\\:<>"|?*') or a.name in (".", "..") for a in mail.attachments),
        "too many files": len(mail.attachments) > LIMITS.attachments,
        "too large a file": any(len(a.content) > LIMITS.attachment_bytes for a in mail.attachments),
        "too many names": max(len(n) for n in (mail.jobs, mail.orders, mail.addresses, mail.references)) > 10,
        "too many words": len(mail.words) > 60 or len(mail.answers) > 50,
        "too many problems": len(mail.problems) > 20 or any(len(problem) > 200 for problem in mail.problems),
        "an id that is none": any(_ID.fullmatch(one) is None for one in ids),
        "an address that is none": any(
            not one.isascii() or one != one.lower() or one.count("@") != 1 or len(one) > 254
            for one in (*mail.addresses, mail.sender or "a@b.c")
        ),
        "a sender verified who is none": mail.sender is None and mail.verdict == "verified",
        "the last resort": any("could not be read:" in problem for problem in mail.problems),
    }
    return [fault for fault, is_so in checks.items() if is_so]


def _plain(type: str, piece: bytes, *more: str) -> Callable[[], bytes]:
    # of text a few MiB are read; the rest would only cost the test its time
    return lambda: built(f"Content-Type: {type}", *more, body=_filled(piece, 5 * MIB))


def _filled(piece: bytes, size: int = 25 * MIB - 200) -> bytes:
    return piece * (size // len(piece))


_MULTI, _PNG = "Content-Type: multipart/mixed; boundary=b", "Content-Type: image/png"
_MARKUP = (
    b"<",
    b"<a ",
    b'<a "',
    b"<a href='",
    b"<!--",
    b"<!-- -->",
    b"<b>",
    b"<td>x",
    b"<pre>\n",
    b"<script></",
    b"&#x",
    b"&#9",
    b"&a",
)
_WORDS = (
    *(b"On 1 wrote:\n", b":\n", b"1 11:11:\n", b"From:\n", b">\n", b"a@", b"a@a.", b"job ids: a1,", b"job ", b"job #  ", b"job:"),
    *(b"-", b"_", b" ", b"x", b"x\n", b"R-AAAAAAAAAA", b"\xe2\x80\xae"),
)
LARGE: dict[str, Callable[[], bytes]] = {
    "blank lines": lambda: built("Content-Type: text/plain", body=_filled(b"\n")),
    "headers alone": lambda: _filled(b"a: b\n"),
    "lines alone": lambda: _filled(b"a\n"),
    "parts": lambda: built(_MULTI, body=_filled(b"--b\n")),
    "almost boundaries": lambda: built(_MULTI, body=_filled(b"--bx\n")),
    "blanks after a boundary": lambda: built(_MULTI, body=b"--b" + _filled(b" ")),
    "boundaries in boundaries": lambda: nested(6, _filled(b"--level0x\r\n")),
    "lines in boundaries": lambda: nested(6, _filled(b"--\r\n")),
    "a message in a message": lambda: built("Content-Type: message/rfc822", body=_filled(b"Content-Type: message/rfc822\n\n")),
    "headers of parts": lambda: built(_MULTI, body=_filled(b"--b\n" + b"a:\n" * 40_000 + b"\n")),
    "texts": lambda: built(_MULTI, body=_filled(b"--b\nContent-Type: text/html\n\n" + b"<p>x" * 30_000 + b"\n")),
    "base64": lambda: built(_PNG, "Content-Transfer-Encoding: base64", body=_filled(b"QUJD" * 19 + b"\n")),
    "base64 in pieces": lambda: built(_PNG, "Content-Transfer-Encoding: base64", body=_filled(b"=A")),
    "quoted-printable": lambda: built(_PNG, "Content-Transfer-Encoding: quoted-printable", body=_filled(b"= ")),
    "quoted-printable blanks": lambda: built(_PNG, "Content-Transfer-Encoding: quoted-printable", body=b"=" + _filled(b" ")),
    "words in the subject": lambda: b"From: a@b.cc\nSubject: " + _filled(b"=?a?q?") + b"\n\n",
    "comments in the From": lambda: b"From: " + b"(" * 60_000 + b"\n\n",
    "comments in results": lambda: built("Authentication-Results: mx.example.net; " + "(" * 16_000),
    "parameters": lambda: built("Content-Type: text/plain" + ' ;a*0*="' * 7_000),
    "references": lambda: built("References: " + "<" * 60_000),
    **{f"html {piece!r}": _plain("text/html", piece) for piece in _MARKUP},
    **{f"text {piece!r}": _plain("text/plain", piece) for piece in _WORDS},
    **{
        f"{name} of any bytes": _plain(f"text/html; charset={name}", bytes(range(256)))
        for name in ("iso-2022-jp", "hz", "utf-16", "big5")
    },
}
"""Mails of up to 25 MiB, each made to cost its reader as much as it can."""
