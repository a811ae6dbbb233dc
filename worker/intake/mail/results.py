"""What our own mail host says about the sender: the topmost Authentication-Results (RFC 8601), and nothing else.

Everything below the topmost one, and everything another host says, may have been written by the sender. That the topmost one
was not is for the host to see to: it has to take away, before it writes its own, what came in under its name.
"""

import re

from worker.intake.mail.characters import cut, one_line
from worker.intake.mail.headers import Headers
from worker.intake.mail.sender import SenderVerdict

_LONGEST = 16_384
_TOKEN = re.compile(r'[ \t]++|"(?:[^"\\]|\\.)*+"|[;=()]|[^ \t;=()"]++', re.DOTALL)
_IN_COMMENT = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_SIGN = ("=", ";")

Judged = tuple[SenderVerdict, str]


class _Unreadable(Exception):
    """The header is not what the standard says."""


def judge(headers: Headers, sender: str | None, trusted: frozenset[str]) -> Judged:
    """The verdict on the sender, and in plain words why."""
    said = headers.all("authentication-results")
    if not said:
        return SenderVerdict.ABSENT, "no Authentication-Results of our own mail host"
    try:
        host, *results = _statements(said[0])
    except _Unreadable as error:
        return SenderVerdict.ABSENT, f"the topmost Authentication-Results cannot be read: {error}"
    if not _is_ours(host, trusted):
        return SenderVerdict.ABSENT, "no Authentication-Results of our own mail host; the topmost is another's"
    failure = _failure(headers, sender, results)
    if failure is not None:
        return SenderVerdict.FAILED, cut(one_line(failure), 200)
    return SenderVerdict.VERIFIED, f"our mail host says that DMARC passed for {(sender or '').rpartition('@')[2]}"


def _is_ours(host: list[str], trusted: frozenset[str]) -> bool:
    # a name, perhaps followed by the version of the format
    plain = len(host) == 1 or (len(host) == 2 and host[1] == "1")
    return plain and _bare(host[0]).casefold() in {name.casefold() for name in trusted}


def _failure(headers: Headers, sender: str | None, results: list[list[str]]) -> str | None:
    """Why the sender is not verified; None if nothing speaks against it."""
    if sender is None:
        return "the mail names no single sender whom a result could be about"
    if any(_has_length(value) for value in headers.all("dkim-signature")):
        return "a DKIM signature covers only part of the body (it has an l= tag)"
    ours = [result for result in results if _method(result) == "dmarc"]
    if len(ours) != 1:
        return "our mail host says nothing about DMARC" if not ours else "our mail host names several results for DMARC"
    (_, result), *properties = _pairs(ours[0])
    if result.lower() != "pass":
        return f"our mail host says that DMARC did not pass: {result}"
    return _misaligned(properties, sender.rpartition("@")[2])


def _misaligned(properties: list[tuple[str, str]], domain: str) -> str | None:
    about = {_bare(value).rpartition("@")[2].lower() for name, value in properties if name.lower() == "header.from"}
    if any(not name for name, _ in properties):
        return "the DMARC result of our mail host cannot be read"
    if about - {domain}:
        return f"DMARC passed for {', '.join(sorted(about))}, and the mail says it is from {domain}"
    return None


def _method(result: list[str]) -> str:
    return result[0].partition("/")[0].lower() if len(result) > 1 and result[1] == "=" else ""


def _pairs(result: list[str]) -> list[tuple[str, str]]:
    """The statements `name=value` of one result; one that is none has no name."""
    pairs: list[tuple[str, str]] = []
    for at in range(0, len(result), 3):
        triple = result[at : at + 3]
        is_pair = len(triple) == 3 and triple[1] == "=" and not {triple[0], triple[2]} & set(_SIGN) and triple[0][0] != '"'
        pairs.append((triple[0], triple[2]) if is_pair else ("", ""))
    return pairs


def _bare(value: str) -> str:
    return value[1:-1].replace("\\", "") if value.startswith('"') else value


def _has_length(signature: str) -> bool:
    return any(tag.partition("=")[0].strip().lower() == "l" for tag in signature.split(";"))


def _statements(value: str) -> list[list[str]]:
    """The tokens between the semicolons, comments left out, quoted strings as one token with its quotes."""
    if len(value) > _LONGEST:
        raise _Unreadable("it is too long")
    statements: list[list[str]] = [[]]
    at = 0
    while at < len(value):
        token = _TOKEN.match(value, at)
        if token is None:
            raise _Unreadable("a quotation does not end")
        at = token.end()
        if token[0] == "(":
            at = _after_comment(value, at)
        elif token[0] == ")":
            raise _Unreadable("a comment ends that did not begin")
        elif token[0] == ";":
            statements.append([])
        elif not token[0].isspace():
            statements[-1].append(token[0])
    return statements


def _after_comment(value: str, at: int) -> int:
    depth = 1
    while depth:
        piece = _IN_COMMENT.match(value, at)
        if piece is None:
            raise _Unreadable("a comment does not end")
        at = piece.end()
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
    return at
