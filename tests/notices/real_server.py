"""aiosmtpd in a thread, with a certificate of its own where a test wants TLS."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

USER, PASSWORD = "refunds", "c4nary+Pa/55word"


@dataclass
class Taken:
    """Every envelope that the server took, and what it was told for a password."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    passwords: list[bytes] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        assert server.transport is not None, "there is a client"
        self.over_tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"

    def check(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, said: Any) -> AuthResult:
        self.passwords.append(said.password)
        # not handled: the server itself says so
        return AuthResult(success=(said.login, said.password) == (USER.encode(), PASSWORD.encode()), handled=False)


class _AnyPort(Controller):
    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server), "it listens by now"
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def real_server(**options: Any) -> Iterator[Taken]:
    """A server on this machine that takes everything."""
    taken = Taken()
    controller = _AnyPort(taken, hostname="127.0.0.1", port=0, authenticator=taken.check, **options)
    controller.start()
    taken.port = controller.port
    try:
        yield taken
    finally:
        controller.stop()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side and the side that trusts it, for a certificate made for 127.0.0.1 alone."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)
    return serving, ssl.create_default_context(cafile=str(cert))
