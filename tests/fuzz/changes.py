"""What is done to honest input to make it dishonest: by its bytes, by its lines, by the places of a JSON document."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

LONGEST = 8 * 1024 * 1024
Change = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""Input changed by chance; the other inputs are there to be mixed in."""

# fmt: off
TRICKS = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\n\n", b"\x1b[31m", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b":", b",", b";", b"=",
    b"%00", b"%2e%2e%2f", b"%ff", b"../", b"//", b"?", b"#", b"&", b"+", b"'", b"<script>", b"{{7*7}}", b"${x}", b"NaN", b"-0",
    b"1e999", b"9" * 400, b"true", b"null", b"0x", b"1_0", b"inf", b"2026-02-30", b"=CMD()", b"--", b"' or 1=1 --",
)
MAIL_TRICKS = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\n\n", b"--", b"=", b"=?utf-8?b?", b"?=", b"=?x?q?", b"(", b")", b'"', b"\\", b";",
    b"<", b">", b"@", b":", b"&#x", b"&#9999999999", b"<!--", b"-->", b"<script>", b"<a href='", b"<blockquote>", b"\x1b$B",
    b"\xff\xfe", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\nFrom: x@example.org", b"\nContent-Type: message/rfc822\n\n",
    b"\nContent-Type: text/html\n\n", b"; boundary=a", b"\n--a\n", b"\nContent-Transfer-Encoding: base64",
    b"\nContent-Transfer-Encoding: quoted-printable", b"; charset=utf-16", b"; charset=hz", b"; charset=unicode_escape",
    b"; filename*0*=utf-8''%2e%2e%2f", b"; filename*99=x", b"\nOn 1 Jan 2026 wrote:\n", b"\n> ", b"job id: ",
    b"R-AAAAAAAAAA", b" a@b.cc ",
)
TOML_TRICKS = (
    *TRICKS, b"\nx = " + b"[" * 3000, b"\nx = " + b"9" * 5000, b"\n[faults]\n", b"\n[[faults]]\n", b"\nfaults.server.x = 1\n",
    b"\n\"\\u001b[31m\" = 1\n",
    b" = '''", b' = \"\"\"', b"\n# \x1b[2J\n", b" = nan", b" = inf", b" = 0x7f", b" = 2026-01-01", b" = {a = [{b = 1}]}",
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 5.0, 0.1, -0.0, 1e308, 10**12, 10**18, 10**30, 2**63, "", " ", "0", "5", ".", "..", "a" * 129,
    "a" * 257, "x" * 70_000, "\x00", "\x1b[31m", "\u2028", "\u202e", "\ud800", "\ufeff", "\u0660", "é", "\U0001f600",
    "a\nb", "../../admin",
    "@evil", "=HYPERLINK()", "<script>alert(1)</script>", "' or 1=1 --", "2026-02-30T00:00:00Z", "2026-03-02T10:15:00",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "1999-12-31T23:59:60Z", 1794319327551, 1794319327, -1794319327551,
    [], {}, [[]], [None], {"": None}, {"id": None}, {"id": "x"}, [{}] * 50, {"a": {"b": {"c": [1, 2, {"d": "e"}]}}},
)
# fmt: on


def by_bytes(tricks: Sequence[bytes] = TRICKS, head: int = 900) -> Change:
    """One to six changes of bytes and lines; half of them within the first `head` bytes, where most is decided."""

    def change(chance: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
        for _ in range(chance.randint(1, 6)):
            raw = chance.choice(_CHANGES)(_Cut(chance, head, tricks, others), raw)
        return raw[:LONGEST]

    return change


def by_places(chance: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """A JSON document with one to four of its places changed and, one time in three, bytes of it too; anything else by bytes."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return _BYTES(chance, raw, others)
    for _ in range(chance.randint(1, 4)):
        document = _changed(chance, document, others)
    ascii_only = chance.random() < 0.5
    text = json.dumps(document, ensure_ascii=ascii_only, separators=(",", ":") if chance.random() < 0.5 else None)
    made = text.encode("utf-8", "surrogatepass")
    return _BYTES(chance, made, others) if chance.random() < 0.34 else made


class _Cut:
    """What one change works with."""

    def __init__(self, chance: Random, head: int, tricks: Sequence[bytes], others: Sequence[bytes]) -> None:
        self.chance, self.head, self.tricks, self.others = chance, head, tricks, others

    def place(self, raw: bytes) -> int:
        end = len(raw) if self.chance.random() < 0.5 else min(len(raw), self.head)
        return self.chance.randint(0, end)


def _flip(cut: _Cut, raw: bytes) -> bytes:
    changed = bytearray(raw or b"x")
    for _ in range(cut.chance.randint(1, 20)):
        changed[cut.place(raw) % len(changed)] = cut.chance.randrange(256)
    return bytes(changed)


def _drop(cut: _Cut, raw: bytes) -> bytes:
    start = cut.place(raw)
    return raw[:start] + raw[start + cut.chance.randint(1, 200) :]


def _end(cut: _Cut, raw: bytes) -> bytes:
    return raw[: cut.place(raw)]


def _splice(cut: _Cut, raw: bytes) -> bytes:
    other = cut.chance.choice(cut.others)
    return raw[: cut.place(raw)] + other[cut.place(other) :]


def _insert(cut: _Cut, raw: bytes) -> bytes:
    at = cut.place(raw)
    return raw[:at] + cut.chance.choice(cut.tricks) + raw[at:]


def _repeat(cut: _Cut, raw: bytes) -> bytes:
    start = cut.place(raw)
    chunk = raw[start : start + cut.chance.randint(1, 120)]
    return raw[:start] + chunk * cut.chance.choice((2, 10, 100, 5_000)) + raw[start:]


def _head_lines(cut: _Cut, raw: bytes) -> bytes:
    lines = raw.split(b"\n", 15)
    for _ in range(cut.chance.randint(1, 5)):
        lines.insert(cut.chance.randrange(len(lines)), cut.chance.choice(lines))
    return b"\n".join(lines)


def _shuffle(cut: _Cut, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    cut.chance.shuffle(lines)
    return b"\n".join(lines)


def _line_ends(cut: _Cut, raw: bytes) -> bytes:
    return raw.replace(b"\r\n", cut.chance.choice((b"\n", b"\r", b"\n\r", b"\r\r\n")))


_CHANGES = (_flip, _drop, _end, _splice, _insert, _insert, _repeat, _head_lines, _shuffle, _line_ends)
_BYTES = by_bytes()


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document, a few levels deep."""
    found: list[tuple[Any, Any]] = []
    level = [document]
    for _ in range(6):
        below: list[Any] = []
        for each in level:
            keys: Any = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
            found += [(each, key) for key in keys]
            below += [each[key] for key in keys]
        level = below
    return found


def _changed(chance: Random, document: Any, others: Sequence[bytes]) -> Any:
    places = _places(document)
    if not places or chance.random() < 0.03:
        return deepcopy(chance.choice(ODD))
    holder, key = chance.choice(places)
    how = chance.randrange(6)
    if how == 0 and isinstance(holder, dict):
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[chance.choice((key + "s", key.upper(), "", "id", "__class__", "é", "x" * 300))] = deepcopy(holder[key])
    elif how == 2:
        holder[key] = _borrowed(chance, others)
    elif how == 3 and isinstance(holder[key], str):
        holder[key] = _text(chance, holder[key])
    elif how == 4 and isinstance(holder[key], int):
        holder[key] += chance.choice((-1, 1, -(10**6), 10**6, 10**13))
    else:
        holder[key] = deepcopy(chance.choice(ODD))
    return document


def _borrowed(chance: Random, others: Sequence[bytes]) -> Any:
    try:
        places = _places(json.loads(chance.choice(others)))
    except (ValueError, RecursionError):
        return deepcopy(chance.choice(ODD))
    holder, key = chance.choice(places) if places else ({"": None}, "")
    return holder[key]


def _text(chance: Random, text: str) -> str:
    at = chance.randint(0, len(text))
    odd = chance.choice([each for each in ODD if isinstance(each, str)])
    return chance.choice((text[:at] + odd + text[at:], text[:at], text * 2, text.upper(), odd))
