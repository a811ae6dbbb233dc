"""Postboxes: where a letter is handed over, and what is then certain about it."""

import re
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote

from worker import disk
from worker.errors import one_line, plain_line
from worker.notices.mail.server import EXPECTED, Server, server_of, split
from worker.notices.mail.session import Phase, Session, Unwelcome

R = TypeVar("R")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,119}")
_OURS = {530, 534, 535, 538}
"""Refusals that ask for a login or a better one: the customer's address is not at fault."""


class Posted(StrEnum):
    """What is certain after handing a letter over."""

    SENT = "sent"
    LATER = "later"
    """Nothing was taken: it may be tried again."""
    REFUSED = "refused"
    """Nothing was taken, and another try would bring the same."""
    UNKNOWN = "unknown"
    """It may have been taken: the message was out, and no answer to it came back."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome, and one line about it for a person."""

    outcome: Posted
    detail: str


class Postbox(Protocol):
    """Where letters are handed over."""

    def post(self, message: EmailMessage) -> Receipt:
        """Hands the letter over once. Trouble with the network or the disk is an outcome, never an exception."""
        ...


class Outbox:
    """A folder in which every message is a file: for development, to be read with any editor or mail program."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"Outbox({str(self._folder)!r})"

    def post(self, message: EmailMessage) -> Receipt:
        """Makes the file; where this Message-ID has its file already, changes nothing. Either is `SENT`. Raises `ValueError`
        for a message without Message-ID.
        """
        name = _file_name(str(message["Message-ID"] or ""))
        try:
            if (self._folder / name).is_file():
                return Receipt(Posted.SENT, f"{name} was there already")
            disk.put(self._folder / name, message.as_bytes())
        except OSError as error:
            return Receipt(Posted.LATER, f"{name} could not be written: {one_line(error)}")
        return Receipt(Posted.SENT, f"written as {name}")

    def trouble(self, sender: str) -> str | None:
        """Why no letter could be handed over now; None where one could."""
        why = disk.refusal(self._folder)
        return f"{self._folder}: {why}" if why else None


class SmtpPostbox:
    """A mail server. One connection for each letter; `timeout` seconds cover all of it, from connecting to the last answer.

    Certificates are verified, with the host's trusted authorities unless a `context` brings others.
    """

    def __init__(self, server: Server, *, timeout: float, context: ssl.SSLContext | None = None) -> None:
        """Raises `ValueError` for a timeout that is none."""
        if not (isfinite(timeout) and timeout > 0):
            raise ValueError("the timeout of a mail server has to be a number of seconds above 0")
        self._server, self._timeout = server, timeout
        self._context = context or ssl.create_default_context()
        self._secrets = _spellings(server)

    def __repr__(self) -> str:
        return f"SmtpPostbox('{self._server}')"

    def post(self, message: EmailMessage) -> Receipt:
        """Hands the letter to the server. Raises `ValueError` for a message that has not one sender and one recipient."""
        sender, recipient = _one_address(message, "From"), _one_address(message, "To")
        if message["Cc"] or message["Bcc"]:
            raise ValueError("a letter goes to one recipient, so that one answer is its outcome")
        # seven bits, so that no extension of the server is needed
        text = message.as_bytes(policy=SMTP.clone(cte_type="7bit")).decode("ascii")

        def hand_in(session: Session) -> Receipt:
            code, said = session.hand_in(sender, recipient, text)
            return self._receipt(Posted.SENT, f"{self._server} answered {code}: {said.decode(errors='replace')}")

        return self._signed_in(sender, hand_in)

    def trouble(self, sender: str) -> str | None:
        """Why no letter of this sender could be handed over now, found out by greeting the server and signing in."""
        refused = self._signed_in(sender, lambda _: None)
        return refused.detail if refused else None

    def _signed_in(self, sender: str, then: Callable[[Session], R]) -> R | Receipt:
        """What `then` returns with a session in which letters may be handed in; a receipt of what went wrong until it did."""
        session = Session(sender.rpartition("@")[2], self._timeout)
        try:
            session.begin(self._server, self._context)
            if self._server.password:
                session.prove(self._server.user, self._server.password)
            return then(session)
        except Unwelcome as answer:
            return self._receipt(_judged(answer), f"{self._server} answered {answer.code} to {answer.phase}: {answer.said}")
        except OSError as error:
            outcome = Posted.UNKNOWN if session.phase is Phase.DOT else Posted.LATER
            return self._receipt(outcome, f"{self._server}, at {session.phase}: {error} ({type(error).__name__})")
        finally:
            session.leave()

    def _receipt(self, outcome: Posted, line: str) -> Receipt:
        # a server may echo what it was sent
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return Receipt(outcome, plain_line(line))


def postbox_of(url: str, *, timeout: float) -> Outbox | SmtpPostbox:
    """The postbox that a URL names. Raises `ValueError` as `place_of` does."""
    place = place_of(url)
    return Outbox(place) if isinstance(place, Path) else SmtpPostbox(place, timeout=timeout)


def place_of(url: str) -> Server | Path:
    """The server or the folder that a URL names: `file:///path`, `smtp://` or `smtps://`. Raises `ValueError` in plain words,
    without quoting the URL, for anything else.
    """
    parts = split(url)
    if parts is not None and parts.scheme in {"smtp", "smtps"}:
        return server_of(parts)
    if parts is not None and parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        folder = unquote(parts.path)
        if folder.startswith("/") and folder.isprintable() and not parts.query and not parts.fragment:
            return Path(folder)
    raise ValueError(EXPECTED)


def _judged(answer: Unwelcome) -> Posted:
    if answer.phase is Phase.DOT and not 400 <= answer.code < 600:
        return Posted.UNKNOWN
    # before RCPT a refusal is about us and not about the customer's address
    of_this_letter = answer.phase in {Phase.RCPT, Phase.DATA, Phase.DOT} and answer.code not in _OURS
    return Posted.REFUSED if of_this_letter and 500 <= answer.code < 600 else Posted.LATER


def _one_address(message: EmailMessage, header: str) -> str:
    addresses: tuple[Address, ...] = getattr(message[header], "addresses", ())
    if len(addresses) != 1 or not addresses[0].domain or not addresses[0].addr_spec.isascii():
        raise ValueError(f"a letter needs exactly one plain address in {header}")
    return addresses[0].addr_spec


def _file_name(message_id: str) -> str:
    bare = message_id.strip().removeprefix("<").removesuffix(">")
    if not bare:
        raise ValueError("a letter needs its Message-ID")
    if _SAFE_NAME.fullmatch(bare):
        return f"{bare}.eml"
    # two ids that clean to the same name stay two files
    return f"{'_'.join(re.findall('[A-Za-z0-9@+-]+', bare))[:80]}-{sha256(bare.encode()).hexdigest()[:16]}.eml"


def _spellings(server: Server) -> tuple[str, ...]:
    """The password in every form in which it is said or written."""
    if not server.password:
        return ()
    plain = f"\0{server.user}\0{server.password}"
    encoded = [b64encode(text.encode()).decode() for text in (plain, server.password)]
    # the longest first: none is cut in two by another
    return tuple(sorted({*encoded, quote(server.password, safe=""), server.password}, key=len, reverse=True))
