"""A mail server's address, read from one URL."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from worker.listening import on_loopback

EXPECTED = (
    "expected a postbox like file:///path/of/a/folder, smtp://user:password@host:587?starttls=required or "
    "smtps://user:password@host:465, with special characters of the password percent-encoded"
)


class Tls(StrEnum):
    """How the connection is encrypted: from the first byte, by STARTTLS before anything is said, or not."""

    FROM_START = "from the start"
    STARTTLS = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in. The password is in no `repr`."""

    host: str
    port: int
    tls: Tls
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def split(url: str) -> SplitResult | None:
    """The parts of a URL, None for one that is none. The library's own errors quote the URL, and with it the password."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        stands = parts.port is None or parts.port > 0
    except ValueError:
        return None
    return parts if stands and url.isprintable() else None


def server_of(parts: SplitResult) -> Server:
    """The server that a `smtp://` or `smtps://` URL names. Raises `ValueError` in plain words, without quoting the URL.

    STARTTLS is required unless the URL says `starttls=none` or the host is this machine; a password and no TLS go together
    only on this machine.
    """
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not parts.hostname or parts.path not in {"", "/"} or parts.fragment or bool(user) != bool(password):
        raise ValueError(EXPECTED)
    if not all(c.isascii() and c.isprintable() for c in user + password):
        raise ValueError("a mail server's user and password have to be printable ASCII")
    local = on_loopback(parts.hostname)
    tls = Tls.FROM_START if parts.scheme == "smtps" else _starttls(parts.query, Tls.NONE if local else Tls.STARTTLS)
    if parts.scheme == "smtps" and parts.query:
        raise ValueError("smtps:// is encrypted from the start and takes no options")
    if password and tls is Tls.NONE and not local:
        raise ValueError("a password is not sent without TLS: use smtps:// or starttls=required")
    return Server(parts.hostname, parts.port or (465 if tls is Tls.FROM_START else 587), tls, user, password)


def _starttls(query: str, otherwise: Tls) -> Tls:
    options = parse_qsl(query, keep_blank_values=True)
    if not options:
        return otherwise
    if options not in ([("starttls", "required")], [("starttls", "none")]):
        raise ValueError("the only option of smtp:// is starttls=required or starttls=none")
    return Tls(options[0][1])
