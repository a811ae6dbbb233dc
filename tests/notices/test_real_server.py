"""Letters handed to a real mail server: what is sent arrives, whole and once; the password goes over TLS only."""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from tests.notices.build import SENDER, about, mail
from tests.notices.real_server import PASSWORD, USER, Taken, certificate, real_server
from worker.notices.mail.letters import NoticeKind
from worker.notices.mail.postbox import Posted, SmtpPostbox, postbox_of
from worker.notices.mail.server import Server, Tls

SECONDS = 10.0


@dataclass(frozen=True)
class Certificate:
    serving: ssl.SSLContext
    trusting: ssl.SSLContext


@pytest.fixture(scope="module")
def cert(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    return Certificate(*certificate(tmp_path_factory.mktemp("certificate")))


@pytest.fixture
def plain() -> Iterator[Taken]:
    with real_server() as server:
        yield server


def test_a_letter_arrives_whole(plain: Taken) -> None:
    message = mail(NoticeKind.CREDITS_RETURNED, about(reason="échoué 失敗"), about(job_id="job_2"))
    receipt = postbox_of(f"smtp://127.0.0.1:{plain.port}", timeout=SECONDS).post(message)
    assert (receipt.outcome, receipt.detail) == (Posted.SENT, f"127.0.0.1:{plain.port} answered 250: taken")
    [envelope] = plain.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["customer@example.net"])
    assert envelope.content == message.as_bytes(policy=policy.SMTP)


def test_dots_and_line_ends_survive(plain: Taken) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = SENDER, "customer@example.net", "<dots@example.org>"
    message.set_content(".\n..\n.hidden\n\nFrom here\nend\n", cte="7bit")
    assert postbox_of(f"smtp://localhost:{plain.port}/", timeout=SECONDS).post(message).outcome is Posted.SENT
    content = plain.envelopes[0].content
    assert isinstance(content, bytes)
    assert content.endswith(b"\r\n\r\n.\r\n..\r\n.hidden\r\n\r\nFrom here\r\nend\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_eight_bits_become_seven(plain: Taken) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, "customer@example.net", "échoué"
    message.set_content("échoué 失敗\n", cte="8bit")
    assert postbox_of(f"smtp://127.0.0.1:{plain.port}", timeout=SECONDS).post(message).outcome is Posted.SENT
    content = plain.envelopes[0].content
    assert isinstance(content, bytes)
    assert content.isascii()
    parsed = message_from_bytes(content, policy=policy.default)
    assert (parsed["Subject"], parsed.get_content().strip()) == ("échoué", "échoué 失敗")


def test_one_postbox_posts_again_and_again(plain: Taken) -> None:
    postbox = postbox_of(f"smtp://127.0.0.1:{plain.port}", timeout=SECONDS)
    assert [postbox.post(mail()).outcome for _ in range(3)] == [Posted.SENT] * 3
    assert len(plain.envelopes) == 3


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.FROM_START])
def test_the_password_goes_over_tls(cert: Certificate, tls: Tls) -> None:
    with _serving(cert, tls) as server:
        postbox = SmtpPostbox(Server("127.0.0.1", server.port, tls, USER, PASSWORD), timeout=SECONDS, context=cert.trusting)
        assert postbox.post(mail()).outcome is Posted.SENT
    assert (server.passwords, server.over_tls) == ([PASSWORD.encode()], [True])


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.FROM_START])
def test_a_wrong_password_waits_for_a_person(cert: Certificate, tls: Tls) -> None:
    with _serving(cert, tls) as server:
        wrong = f"{PASSWORD}-wrong"
        postbox = SmtpPostbox(Server("127.0.0.1", server.port, tls, USER, wrong), timeout=SECONDS, context=cert.trusting)
        receipt = postbox.post(mail())
    assert (receipt.outcome, server.envelopes) == (Posted.LATER, [])
    assert "answered 535 to AUTH" in receipt.detail
    assert PASSWORD not in receipt.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.FROM_START])
def test_a_certificate_has_to_be_trusted_and_the_hosts_own(cert: Certificate, tls: Tls, host: str) -> None:
    # by its address the server is itself but not trusted; by its name it is trusted but somebody else
    context = None if host == "127.0.0.1" else cert.trusting
    with _serving(cert, tls) as server:
        receipt = SmtpPostbox(Server(host, server.port, tls, USER, PASSWORD), timeout=SECONDS, context=context).post(mail())
    assert (receipt.outcome, server.passwords, server.envelopes) == (Posted.LATER, [], [])
    assert "SSLCertVerificationError" in receipt.detail


def _serving(cert: Certificate, tls: Tls) -> AbstractContextManager[Taken]:
    if tls is Tls.FROM_START:
        return real_server(ssl_context=cert.serving, auth_require_tls=False)
    return real_server(tls_context=cert.serving, require_starttls=True)
