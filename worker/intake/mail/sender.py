"""Who a mail says it is from, read strictly, and whether a machine sent it.

Not `email.utils.parseaddr`: it finds an address where there is none or another than the one people see (CVE-2023-27043).
"""

import re
from enum import StrEnum

from worker.intake.mail.headers import Headers


class SenderVerdict(StrEnum):
    """What our own mail host says about the sender."""

    VERIFIED = "verified"
    FAILED = "failed"
    ABSENT = "absent"


_LONGEST = 254
_LONGEST_FROM = 1000
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*+@(?:{_LABEL}\.)+(?=[A-Za-z])(?:{_LABEL})")
# a display name holds nothing that could be an address or end one: quoted text, ordinary words, comments without what either
# begins with
_WORDS = r'[^()<>@,;:\\"\[\]\x00-\x08\x0a-\x1f\x7f]'
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*+"'
_COMMENT = r'\([^()<>@\\"\x00-\x08\x0a-\x1f\x7f]*+\)'
_NAMED = re.compile(rf"(?:{_QUOTED}|{_COMMENT}|{_WORDS})*+<[ \t]*+([^<> \t]*+)[ \t]*+>(?:[ \t]*+{_COMMENT})*+")
_BEFORE_COMMENT = re.compile(rf"([^\s()<>]++)(?:[ \t]++{_COMMENT})++")
_BESIDE_ADDRESS = re.compile(r"[\s<>()\[\],;:\"]+")
_MOST_NAMED = 10
_MACHINES = ("mailer-daemon", "postmaster")
_MACHINE = re.compile(r"(?:^|[<\s\"])(?:mailer-daemon|postmaster)(?=[@>\s\"]|$)", re.IGNORECASE)
_BULK = frozenset({"bulk", "junk", "auto_reply"})
_ANSWERS_ITSELF = frozenset({"x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-mail-autoreply"})


def address(text: str) -> str | None:
    """`text` in lower case, if it is one plain ASCII address and nothing else."""
    return text.lower() if len(text) <= _LONGEST and _ADDRESS.fullmatch(text) else None


def sender_of(headers: Headers) -> str | None:
    """The address of the one From; None where there is not exactly one From that names exactly one address, strictly."""
    values = headers.all("from")
    if len(values) != 1 or headers.cut or len(values[0]) > _LONGEST_FROM:
        return None
    value = values[0].strip(" \t")
    named = _NAMED.fullmatch(value) or _BEFORE_COMMENT.fullmatch(value)
    return address(value if named is None else named[1])


def named_as_sender(headers: Headers) -> tuple[str, ...]:
    """Every address in the From, however it stands there: nobody is the sender for that, but may be asked."""
    return _named_in(headers, "from")


def named_behind(headers: Headers) -> tuple[str, ...]:
    """Every address that a form or a group, which write their own into the From, names as whom they write for: may be asked."""
    return _named_in(headers, "reply-to", "x-original-from", "x-original-sender")


def _named_in(headers: Headers, *fields: str) -> tuple[str, ...]:
    values = (value for field in fields for value in headers.all(field))
    words = (word for value in values for word in _BESIDE_ADDRESS.split(value[:_LONGEST_FROM]))
    return tuple(dict.fromkeys(found for word in words if (found := address(word)) is not None))[:_MOST_NAMED]


def is_automatic(headers: Headers, sender: str | None) -> bool:
    """Whether a machine sent it. That a list or a group handed it on, or that no machine is to answer it, makes it none's."""
    submitted = headers.first("auto-submitted").partition(";")[0].strip().lower()
    return (
        submitted not in ("", "no")
        or any(value.strip().lower() in _BULK for value in headers.all("precedence"))
        or any(name in _ANSWERS_ITSELF for name, _ in headers.fields)
        or _without_return(headers)
        or is_report(headers, sender)
        or _is_machine(headers, sender)
    )


def is_report(headers: Headers, sender: str | None) -> bool:
    """Whether it is a mail host's report about a mail, as that it did not arrive; a postmaster may write as a person too."""
    if headers.first("content-type").lower().startswith("multipart/report"):
        return True
    return _without_return(headers) and _is_machine(headers, sender)


def _without_return(headers: Headers) -> bool:
    return any("".join(value.split()) == "<>" for value in headers.all("return-path"))


def _is_machine(headers: Headers, sender: str | None) -> bool:
    if sender is not None:
        return sender.partition("@")[0] in _MACHINES
    return any(_MACHINE.search(value) is not None for value in headers.all("from"))
