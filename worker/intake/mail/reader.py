"""One mail to support: bytes in, facts out. Whatever the bytes are, there is an answer, and it says what could not be read."""

import re
from dataclasses import dataclass
from hashlib import sha256

from worker.intake.mail.attachments import Attachment, read_attachments
from worker.intake.mail.body import read_body
from worker.intake.mail.characters import cut, cut_bytes, one_line
from worker.intake.mail.headers import Headers, decoded_words, read_headers, split_message
from worker.intake.mail.limits import LIMITS, Limits, Problems
from worker.intake.mail.named import read_names
from worker.intake.mail.parts import Part, read_parts
from worker.intake.mail.results import judge
from worker.intake.mail.sender import SenderVerdict, is_automatic, is_report, named_as_sender, named_behind, sender_of

__all__ = ["LIMITS", "Attachment", "Limits", "Mail", "SenderVerdict", "read_mail"]

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_ACTION = re.compile(rb"^action:[ \t]{0,20}([a-z]{1,20})", re.IGNORECASE | re.MULTILINE)
_REPORTS = ("message/delivery-status", "message/global-delivery-status")
_RECEIPT = "message/disposition-notification"
_OF_WHAT_ARRIVED = (_RECEIPT, "message/global-disposition-notification", "message/feedback-report")
"""That a mail was read, or deleted, or complained about (RFC 8098, RFC 5965)."""
_LONGEST_SUBJECT = 300
_MOST_ANSWERED = 50
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Mail:
    """What one mail says. Nothing in it is proven but what `verdict` says about `sender`."""

    key: str
    """The mail's identity, whatever way it came: a hash of its Message-ID, From, Date, Subject, and of its body as sent."""
    marked: bool
    """Its Message-ID or its Date is part of its key; without both another mail of the same words has the same."""
    message_id: str | None
    """With its angle brackets."""
    answers: tuple[str, ...]
    """The mails it answers, In-Reply-To first; then those that a report brings back."""
    sender: str | None
    """The address of the one From; None where there is not exactly one."""
    verdict: SenderVerdict
    verdict_detail: str
    automatic: bool
    """A machine sent it; it is never answered."""
    report: bool
    """A mail host sent it about another mail, as that it did not arrive."""
    returned: bool
    """It is a report, and does not say that the other mail arrived, was passed on or is still on its way."""
    subject: str
    text: str
    """What the sender wrote, without quoted history; of a forward, what was forwarded as well."""
    addresses: tuple[str, ...]
    """What the text names, where there is no one sender what the From does first; where none do, what the Reply-To does."""
    jobs: tuple[str, ...]
    orders: tuple[str, ...]
    words: tuple[str, ...]
    """What else could be an id, in the quoted history too."""
    references: tuple[str, ...]
    """Our own case references."""
    attachments: tuple[Attachment, ...]
    problems: tuple[str, ...]
    """What could not be read, in plain words."""
    size: int


def read_mail(raw: bytes, *, trusted: frozenset[str] = frozenset(), limits: Limits = LIMITS) -> Mail:
    """What the mail `raw` says; `trusted` are the names under which our own mail host writes what it found about senders.

    Never raises for any bytes, and takes time in proportion to the limits at most.
    """
    problems = Problems()
    try:
        return _read(raw, trusted, limits, problems)
    except Exception as error:
        # a mail is never worth the worker's life: one that shows a fault of the reader goes to a person with the reason
        problems.add(f"the mail could not be read: {type(error).__name__}: {error}")
        return _unread(raw, problems)


def _read(raw: bytes, trusted: frozenset[str], limits: Limits, problems: Problems) -> Mail:
    block, body = split_message(raw)
    headers = read_headers(block, limits.header_bytes)
    if not headers.fields:
        problems.add("the mail has no headers")
        headers, body, block = Headers(), raw if block else body, b""
    key = _key(headers, body)
    if len(raw) > limits.raw_bytes:
        problems.add(f"the mail has {len(raw):,} bytes; what is beyond {limits.raw_bytes:,} was left out")
        body = body[: max(limits.raw_bytes - len(block), 0)]
    subject = cut(one_line(decoded_words(headers.first("subject"))), _LONGEST_SUBJECT)
    sender = sender_of(headers)
    if sender is None:
        problems.add("the From does not name exactly one plain address")
    verdict, detail = judge(headers, sender, trusted)
    tree = read_parts(headers, body, limits, problems)
    said = read_body(tree, subject, limits, problems)
    names = read_names(subject, said.written, said.whole)
    ids, report = _MESSAGE_ID.findall(headers.first("message-id")), is_report(headers, sender)
    return Mail(
        key=key,
        marked=bool(headers.first("message-id") or headers.first("date")),
        message_id=ids[0] if ids else None,
        answers=(*_answers(headers), *(_brought_back(tree, limits) if report else ())),
        sender=sender,
        verdict=verdict,
        verdict_detail=detail,
        automatic=is_automatic(headers, sender),
        report=report,
        returned=report and _failed(tree, limits),
        subject=subject,
        text=cut_bytes(said.written, limits.text_bytes),
        addresses=_addresses(headers, sender, names.addresses),
        jobs=names.jobs,
        orders=names.orders,
        words=names.words,
        references=names.references,
        attachments=read_attachments(tree, limits, problems),
        problems=tuple(problems.said),
        size=len(raw),
    )


def _key(headers: Headers, body: bytes) -> str:
    """What relays change or add is left out: other headers, the kind of line ends, blank lines at the end."""
    hashed = sha256()
    for name in ("message-id", "from", "date", "subject", "content-type", "content-transfer-encoding"):
        for value in headers.all(name):
            said = f"{name}:{' '.join(value.split())}".encode("utf-8", "replace")
            hashed.update(b"%d:%b" % (len(said), said))
    hashed.update(b"\n" + body.replace(b"\r\n", b"\n").rstrip())
    return hashed.hexdigest()


def _addresses(headers: Headers, sender: str | None, in_text: tuple[str, ...]) -> tuple[str, ...]:
    named = () if sender else named_as_sender(headers)
    return tuple(dict.fromkeys([*named, *in_text]))[:_MOST_NAMED] or named_behind(headers)


def _answers(headers: Headers) -> tuple[str, ...]:
    replied = _MESSAGE_ID.findall(" ".join(headers.all("in-reply-to")))
    thread = _MESSAGE_ID.findall(" ".join(headers.all("references")))
    # the end of a long thread is nearer than its beginning
    return tuple(dict.fromkeys([*replied[:_MOST_ANSWERED], *thread[-_MOST_ANSWERED:]]))[:_MOST_ANSWERED]


def _brought_back(report: Part, limits: Limits) -> tuple[str, ...]:
    """The mails that a report has with it, whole or by their headers alone; of a receipt the one that it is for."""
    whole = [part.message.headers for part in report.parts if part.message is not None]
    heads = [part.content for part in report.parts if part.type in ("text/rfc822-headers", _RECEIPT)]
    brought = [*whole, *(read_headers(head, limits.inner_header_bytes) for head in heads)]
    named = [headers.first("message-id") or headers.first("original-message-id") for headers in brought]
    return tuple(found for name in named for found in _MESSAGE_ID.findall(name))[:_MOST_ANSWERED]


def _failed(report: Part, limits: Limits) -> bool:
    """Whether it says of any of its recipients that the mail failed (RFC 3464), or says nothing of the kind of any; what is about
    a mail that arrived never does.
    """
    if any(part.type in _OF_WHAT_ARRIVED for part in report.parts):
        return False
    said = [part.content[: limits.inner_header_bytes] for part in report.parts if part.type in _REPORTS]
    actions = [action.lower() for status in said for action in _ACTION.findall(status)]
    return not actions or b"failed" in actions


def _unread(raw: bytes, problems: Problems) -> Mail:
    return Mail(
        key=sha256(raw).hexdigest(),
        marked=False,
        message_id=None,
        answers=(),
        sender=None,
        verdict=SenderVerdict.ABSENT,
        verdict_detail="the mail could not be read",
        automatic=False,
        report=False,
        returned=False,
        subject="",
        text="",
        addresses=(),
        jobs=(),
        orders=(),
        words=(),
        references=(),
        attachments=(),
        problems=tuple(problems.said),
        size=len(raw),
    )
