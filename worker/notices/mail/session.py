"""One conversation with a mail server that ends when its time is over, whatever the server does.

smtplib limits every single read: a server that sends one byte a second holds it for ever. Here every read and write gets only
what is left of the whole conversation's time. What that cannot cut short is the host's name resolver.
"""

import io
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from worker.listening import on_loopback
from worker.notices.mail.server import Server, Tls

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

REPLIES_LIMIT = 64 * 1024
"""Bytes a server may say in one conversation. It needs a few hundred."""


class Phase(StrEnum):
    """How far a conversation has come, in the words of a receipt."""

    CONNECT = "the connection"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    DOT = "the message"


class Unwelcome(Exception):
    """The server gave a whole answer, and not the one that lets the conversation go on."""

    def __init__(self, phase: Phase, code: int, said: bytes | str) -> None:
        super().__init__(phase, code, said)
        self.phase, self.code = phase, code
        self.said = said.decode(errors="replace") if isinstance(said, bytes) else said


class Session(smtplib.SMTP):
    """smtplib's conversation, step by step. `phase` is the step last begun. Each step raises `Unwelcome`, or `OSError` (which
    smtplib's own errors are) where there is no whole answer.
    """

    phase = Phase.CONNECT

    def __init__(self, name: str, seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        # without a host it does not connect yet; without a name it would ask the resolver for one
        super().__init__(local_hostname=name)
        self._ends, self._timer = timer() + seconds, timer

    def left(self) -> float:
        """Seconds until the conversation has to be over. Raises `TimeoutError` when there are none."""
        left = self._ends - self._timer()
        if left <= 0:
            raise TimeoutError("the time for the whole conversation is over")
        return left

    def begin(self, server: Server, context: ssl.SSLContext) -> None:
        """Connects, greets and encrypts as the server's URL says; verifies the certificate."""
        self.sock = self._connected(server)
        if server.tls is Tls.FROM_START:
            self._encrypt(server, context)
        self._expect(Phase.CONNECT, self.getreply, range(220, 221))
        self._expect(Phase.EHLO, self.ehlo, range(250, 251))
        if server.tls is Tls.STARTTLS:
            self.phase = Phase.STARTTLS
            if not self.has_extn("starttls"):
                raise smtplib.SMTPNotSupportedError("the server does not offer STARTTLS, which is required")
            self._expect(Phase.STARTTLS, lambda: self.docmd("STARTTLS"), range(220, 221))
            self._encrypt(server, context)
            # what was said before the encryption is worth nothing
            self._expect(Phase.EHLO, self.ehlo, range(250, 251))

    def prove(self, user: str, password: str) -> None:
        """Logs in; says no word of the password where others on the way could read it."""
        self.phase = Phase.AUTH
        assert self.sock is not None, "begin() comes first"
        if not isinstance(self.sock, ssl.SSLSocket) and not on_loopback(self.sock.getpeername()[0]):
            raise smtplib.SMTPNotSupportedError("the password is not sent without TLS")
        try:
            self.login(user, password)
        except smtplib.SMTPResponseException as error:
            raise Unwelcome(Phase.AUTH, error.smtp_code, error.smtp_error) from None
        except ValueError:
            # smtplib decodes the server's challenge unguarded
            raise smtplib.SMTPException("the server's challenge cannot be understood") from None

    def hand_in(self, sender: str, recipient: str, text: str) -> tuple[int, bytes]:
        """Hands in one message, and returns the server's answer to it. While `phase` is not yet `DOT`, it has not taken it."""
        self._expect(Phase.MAIL, lambda: self.mail(sender), range(200, 300))
        self._expect(Phase.RCPT, lambda: self.rcpt(recipient), range(200, 300))
        self._expect(Phase.DATA, lambda: self.docmd("DATA"), range(354, 355))
        body = smtplib.quotedata(text)
        self.send(body if body.endswith("\r\n") else f"{body}\r\n")
        self.left()
        # from here on the server may have it
        return self._expect(Phase.DOT, lambda: self.docmd("."), range(200, 300))

    def leave(self) -> None:
        """Says goodbye without waiting for an answer, and closes the connection."""
        if self.sock is not None:
            with suppress(OSError):
                self.putcmd("QUIT")
        self.close()

    def send(self, s: "ReadableBuffer | str") -> None:
        """smtplib's, within the time. `sendall` on a TLS connection would start its time again with every piece."""
        rest = memoryview(s.encode("ascii") if isinstance(s, str) else s)
        try:
            while rest:
                if self.sock is None:
                    raise smtplib.SMTPServerDisconnected("the connection is closed")
                self.sock.settimeout(self.left())
                rest = rest[self.sock.send(rest) :]
        except OSError:
            self.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """smtplib's, read within the time and the limit."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Replies(self.sock, self.left))
        return super().getreply()

    def _expect(self, phase: Phase, ask: Callable[[], tuple[int, bytes]], wanted: range) -> tuple[int, bytes]:
        self.phase = phase
        code, said = ask()
        if code not in wanted:
            raise Unwelcome(phase, code, said)
        return code, said

    def _connected(self, server: Server) -> socket.socket:
        addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        failed = OSError("the host has no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            connection = socket.socket(family, kind, protocol)
            try:
                # each address gets its share: the first may be one that nothing comes back from
                connection.settimeout(self.left() / (len(addresses) - tried))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failed = error
            else:
                # the final dot follows the message at once
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        raise failed

    def _encrypt(self, server: Server, context: ssl.SSLContext) -> None:
        assert self.sock is not None, "there is a connection"
        self.sock.settimeout(self.left())
        # also drops what somebody on the way may have said in clear before the handshake
        self.file = None
        self.sock = context.wrap_socket(self.sock, server_hostname=server.host)


class _Replies(io.RawIOBase):
    """What the server says, each read within what is left of the time."""

    def __init__(self, connection: socket.socket, left: Callable[[], float]) -> None:
        self._connection, self._left, self._read = connection, left, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._read > REPLIES_LIMIT:
            raise OSError("the server says too much")
        self._connection.settimeout(self._left())
        got = self._connection.recv_into(buffer)
        self._read += got
        return got
