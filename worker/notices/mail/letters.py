"""Letters to customers: a notice made into a mail with a plain text and an HTML side."""

import re
from datetime import UTC
from email.headerregistry import Address, HeaderRegistry, MessageIDHeader
from email.message import EmailMessage
from email.policy import default
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from worker.domains import as_hosts_write
from worker.notices.mail.notice import About, Letter, NoticeKind
from worker.notices.mail.wording import subject_of, view_of

__all__ = ["SENDER_NAME", "About", "Letter", "NoticeKind", "compose"]

SENDER_NAME = "Image to Layers"

_TEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_TEXT}+(?:\.{_TEXT}+)*@{_LABEL}(?:\.{_LABEL})*")
_MESSAGE_ID = re.compile(rf"(?=.{{5,250}}\Z)<(?:{_TEXT}|\.)+@(?:{_TEXT}|\.)+>")
_REFERENCE = re.compile(r"R-[0-9A-Z]{6,20}")

_headers = HeaderRegistry()
# as plain text a long id would be folded into encoded words, and no mail program would find its thread; the types want a
# base class that the registry itself adds
_headers.map_to_type("in-reply-to", MessageIDHeader)  # type: ignore[arg-type]
_headers.map_to_type("references", MessageIDHeader)  # type: ignore[arg-type]
_POLICY = default.clone(header_factory=_headers)

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(enabled_extensions=("html.j2",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def compose(letter: Letter, *, sender: str, reply_to: str | None = None) -> EmailMessage:
    """The letter as a mail; the same letter gives the same bytes. Raises `ValueError`, in plain words and without quoting the
    value, for an address, id or reference that cannot stand in a header, and for a letter that would say nothing.
    """
    if letter.at.tzinfo is None:
        raise ValueError("the letter's time needs its zone")
    view = view_of(letter)
    subject = subject_of(letter.kind, view)
    _expect(_MESSAGE_ID, letter.message_id, "the Message-ID", "like <id@example.org>")
    if letter.reference is not None:
        _expect(_REFERENCE, letter.reference, "the reference", "like R-7K2M9QX4ZP")

    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(SENDER_NAME, addr_spec=_address(sender, "the sender's address"))
    message["To"] = Address(addr_spec=_address(as_hosts_write(letter.to), "the customer's address"))
    if reply_to is not None:
        message["Reply-To"] = Address(addr_spec=_address(reply_to, "the address for answers"))
    message["Subject"] = subject
    message["Date"] = letter.at.astimezone(UTC)
    message["Message-ID"] = letter.message_id
    if letter.answers is not None and _MESSAGE_ID.fullmatch(letter.answers):
        message["In-Reply-To"] = message["References"] = letter.answers
    # RFC 3834: no out-of-office note comes back
    message["Auto-Submitted"] = "auto-replied" if letter.kind is NoticeKind.QUESTION else "auto-generated"
    # Exchange's own: all of them but NDR, or nobody would hear of a letter that did not arrive (decision 56)
    message["X-Auto-Response-Suppress"] = "DR, RN, NRN, OOF, AutoReply"

    text = _templates.get_template(f"{letter.kind}.txt.j2").render(view=view)
    html = _templates.get_template(f"{letter.kind}.html.j2").render(view=view, subject=subject)
    # quoted-printable: seven bits and short lines, whatever a reason holds
    message.set_content(re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    # instead of a random one, which would make the same letter different each time
    message.set_boundary(f"=_{sha256(letter.message_id.encode()).hexdigest()[:32]}")
    return message


def _address(value: str, what: str) -> str:
    _expect(_ADDRESS, value, what, "a plain ASCII mail address like name@example.org")
    return value


def _expect(pattern: re.Pattern[str], value: str, what: str, like: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{what} cannot stand in a mail: expected {like}, without line breaks or control characters")
