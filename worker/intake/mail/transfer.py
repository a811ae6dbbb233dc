"""Content as it was before it was made fit for the way: base64 and quoted-printable undone, nothing else."""

import binascii
import re

from worker.intake.mail.limits import Problems

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANK = b"\r\n\t"
_FOREIGN = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
_ONE_IN = 20
_MOST_PIECES = 10_000
_BROKEN_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*+(?:\r?\n|\Z))")
_PADDED = re.compile(rb"=[ \t]++(?=\r?\n)")
"""A soft line break with what a relay put behind it (RFC 2045, 6.7); undone as it stands, it splits the word it is in."""
_AS_IS = ("", "7bit", "8bit", "binary")


def decoded(content: bytes, encoding: str, problems: Problems) -> bytes:
    """`content` without its transfer encoding, as far as it can be undone."""
    encoding = encoding.strip().lower()
    if encoding == "base64":
        return _base64(content, problems)
    if encoding == "quoted-printable":
        if _BROKEN_QUOTED.search(content):
            problems.add("the quoted-printable of a part is broken; read as far as it goes")
        return binascii.a2b_qp(_PADDED.sub(b"=", content))
    if encoding not in _AS_IS:
        problems.add(f"the transfer encoding {encoding[:40]} is not known; the part is kept as it came")
    return content


def _base64(content: bytes, problems: Problems) -> bytes:
    foreign = len(content.translate(None, _ALPHABET + _BLANK + b"="))
    if foreign * _ONE_IN > len(content):
        # words with blanks between them: somebody named an encoding and did not use it
        problems.add("a part is not base64, as it claims; read as it came")
        return content
    letters = content.translate(None, _FOREIGN)
    bare = letters.rstrip(b"=")
    padding = len(letters) - len(bare)
    broken = padding > 2 or (padding > 0 and len(letters) % 4 != 0) or len(bare) % 4 == 1
    if b"=" in bare:
        # pieces encoded one by one and put together: each ends in its own padding
        return _pieces(bare, problems)
    if broken or content.translate(None, _ALPHABET + _BLANK + b" ="):
        problems.add("the base64 of a part is broken; read as far as it goes")
    return _whole(bare)


def _pieces(letters: bytes, problems: Problems) -> bytes:
    problems.add("the base64 of a part is broken; read as far as it goes")
    return b"".join(_whole(piece) for piece in letters.split(b"=", _MOST_PIECES)[:_MOST_PIECES] if piece)


def _whole(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
