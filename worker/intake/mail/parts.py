"""A mail as the tree of its parts, each still as it came."""

import re
from dataclasses import dataclass, field

from worker.intake.mail.headers import Headers, decoded_words, read_headers, split_message
from worker.intake.mail.limits import Limits, Problems
from worker.intake.mail.parameters import read_value
from worker.intake.mail.transfer import decoded

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}")
_LONGEST_BOUNDARY = 200
"""The standard allows 70."""
_MOST_LIKE_BOUNDARIES = 20_000
_MESSAGES = ("message/rfc822", "message/global")


@dataclass(frozen=True, slots=True)
class Part:
    """A mail, a multipart or a leaf. `content` is a leaf's, without its transfer encoding undone."""

    headers: Headers
    type: str
    parameters: dict[str, str]
    disposition: str
    name: str
    content: bytes = field(repr=False)
    parts: "tuple[Part, ...]" = ()
    message: "Part | None" = None
    """The mail inside a part that is one."""

    @property
    def encoding(self) -> str:
        """The transfer encoding it claims."""
        return self.headers.first("content-transfer-encoding").partition(";")[0].strip(" \t\"'")

    @property
    def is_text(self) -> bool:
        """Whether it is there to be read with the mail, and not a file."""
        return self.type in ("text/plain", "text/html") and self.disposition != "attachment" and not self.name


@dataclass(slots=True)
class _Walk:
    limits: Limits
    problems: Problems
    count: int = 0
    header_bytes: int = 0

    def part(self, headers: Headers, body: bytes, depth: int, default: str = "text/plain") -> Part:
        self.count += 1
        self._complain(headers)
        type, parameters = read_value(headers.first("content-type"))
        disposition, more = read_value(headers.first("content-disposition"))
        name = more.get("filename", "")
        if not _TYPE.fullmatch(type):
            if type:
                self.problems.add(f"the content type {type[:60]} is none")
            type = "application/octet-stream" if parameters.get("name") else default
        if not name and not (type.startswith("text/") and disposition != "attachment"):
            # many mailers name the text of a mail after itself; only of other parts is this the name of a file
            name = parameters.get("name", "")
        parts: tuple[Part, ...] = ()
        message: Part | None = None
        if type.startswith("multipart/"):
            pieces = self._pieces(body, parameters.get("boundary", "").rstrip(), depth)
            if pieces is None:
                type = "text/plain"
            else:
                default = "message/rfc822" if type == "multipart/digest" else "text/plain"
                parts, body = self._children(pieces, depth + 1, default), b""
        elif type in _MESSAGES:
            message = self._message(headers, body, depth + 1)
        return Part(headers, type, parameters, disposition, decoded_words(name), body, parts, message)

    def _complain(self, headers: Headers) -> None:
        if headers.cut:
            self.problems.add("the headers are too long; the rest of them was left out")
        if headers.strange:
            self.problems.add("a line among the headers is none; it was left out")
        if len(headers.all("content-type")) > 1:
            self.problems.add("a part has several content types; the first counts")

    def _headers(self, block: bytes) -> Headers:
        headers = read_headers(block, max(self.limits.inner_header_bytes - self.header_bytes, 0))
        self.header_bytes += len(block)
        return headers

    def _pieces(self, body: bytes, boundary: str, depth: int) -> list[bytes] | None:
        """The pieces between the boundaries; None where the body has to be read as one text."""
        if not boundary or len(boundary) > _LONGEST_BOUNDARY:
            self.problems.add("a multipart names no usable boundary; read as text")
            return None
        if depth >= self.limits.depth:
            self.problems.add(f"parts nested deeper than {self.limits.depth} were left out")
            return []
        if body.count(b"\n--" + boundary.encode("utf-8", "replace")) > _MOST_LIKE_BOUNDARIES:
            # looking at each would take a second at every depth
            self.problems.add("a multipart has a hundred times the lines that a boundary may have; its parts were left out")
            return []
        pieces, closed = between(body, boundary.encode("utf-8", "replace"), self.limits.parts - self.count)
        if not pieces and not closed:
            self.problems.add("a multipart has no parts; read as text")
            return None
        if not closed:
            self.problems.add("a multipart is not closed; its last part is read to the end")
        return pieces

    def _children(self, pieces: list[bytes], depth: int, default: str) -> tuple[Part, ...]:
        found: list[Part] = []
        for piece in pieces:
            if self.count >= self.limits.parts:
                self.problems.add(f"part {self.limits.parts + 1} and later were left out")
                break
            head, body = split_message(piece)
            found.append(self.part(self._headers(head), body, depth, default))
        return tuple(found)

    def _message(self, headers: Headers, body: bytes, depth: int) -> Part | None:
        if depth > self.limits.depth:
            self.problems.add(f"parts nested deeper than {self.limits.depth} were left out")
            return None
        if self.count >= self.limits.parts:
            self.problems.add(f"part {self.limits.parts + 1} and later were left out")
            return None
        encoding = headers.first("content-transfer-encoding").strip()
        head, inner = split_message(decoded(body, encoding, self.problems).lstrip(b"\r\n"))
        return self.part(self._headers(head), inner, depth)


def between(body: bytes, boundary: bytes, most: int) -> tuple[list[bytes], bool]:
    """The first `most` + 1 pieces of `body` between the lines of `boundary`, and whether the last line closes them."""
    line = re.compile(rb"\n--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r?\n|\Z)")
    body = b"\n" + body
    pieces: list[bytes] = []
    start: int | None = None
    for mark in line.finditer(body):
        if start is not None:
            pieces.append(_lines(body[start : mark.start()]))
        if mark[1] is not None or len(pieces) > most:
            return pieces, True
        start = mark.end()
    if start is not None:
        pieces.append(_lines(body[start:]))
    return pieces, False


def _lines(piece: bytes) -> bytes:
    """A piece without the line end that belongs to the boundary before it, and the one that belongs to the one after."""
    return piece.removeprefix(b"\r").removeprefix(b"\n").removesuffix(b"\r")


def read_parts(headers: Headers, body: bytes, limits: Limits, problems: Problems) -> Part:
    """The tree of the mail with these headers and this body."""
    return _Walk(limits, problems).part(headers, body, 0)
