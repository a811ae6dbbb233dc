"""What is certain after each trouble, within the time, and without a word of the password."""

import socket
import time
from base64 import b64encode
from collections.abc import Mapping
from email.message import EmailMessage

import pytest

from tests.notices.build import SENDER, mail
from tests.notices.rude_server import RudeServer, Trouble, rude_server
from worker.notices.mail.postbox import Outbox, Posted, SmtpPostbox, postbox_of

SENT, LATER, REFUSED, UNKNOWN = Posted.SENT, Posted.LATER, Posted.REFUSED, Posted.UNKNOWN
CLOSE, SILENT, DRIP, FLOOD, HALF, CUT, LONG = (
    Trouble.CLOSE, Trouble.SILENT, Trouble.DRIP, Trouble.FLOOD, Trouble.HALF, Trouble.CUT, Trouble.LONG
)  # fmt: skip
SECONDS = 0.7
CANARY = "c4nary+Pa/55word"
QUOTED = "c4nary%2BPa%2F55word"
SPELLINGS = [CANARY, QUOTED, *(b64encode(text.encode()).decode() for text in (CANARY, f"\0refunds\0{CANARY}"))]

TABLE: list[tuple[str, str | Trouble, Posted]] = [
    ("CONNECT", CLOSE, LATER),
    ("CONNECT", "421 too busy", LATER),
    ("CONNECT", "554 go away", LATER),
    ("CONNECT", "HTTP/1.1 400 Bad Request", LATER),
    ("CONNECT", SILENT, LATER),
    ("CONNECT", DRIP, LATER),
    ("CONNECT", FLOOD, LATER),
    ("EHLO", CLOSE, LATER),
    ("EHLO", "450 not now", LATER),
    ("EHLO", "502 what", LATER),
    ("EHLO", "250 no extension", LATER),
    ("EHLO", DRIP, LATER),
    ("EHLO", FLOOD, LATER),
    ("AUTH", CLOSE, LATER),
    ("AUTH", "454 not now", LATER),
    ("AUTH", "535 wrong password", LATER),
    ("AUTH", "334 a", LATER),
    ("AUTH", Trouble.ECHO, LATER),
    ("AUTH", DRIP, LATER),
    ("MAIL", CLOSE, LATER),
    ("MAIL", "451 not now", LATER),
    ("MAIL", "550 this sender is unknown", LATER),
    ("MAIL", HALF, LATER),
    ("RCPT", CLOSE, LATER),
    ("RCPT", "421 too busy", LATER),
    ("RCPT", "450 the mailbox is busy", LATER),
    ("RCPT", "550 no such mailbox", REFUSED),
    ("RCPT", "550-no\r\n550 such mailbox", REFUSED),
    ("RCPT", "530 log in first", LATER),
    ("RCPT", "251 will be forwarded", SENT),
    ("RCPT", LONG, LATER),
    ("RCPT", CUT, LATER),
    ("RCPT", SILENT, LATER),
    ("DATA", CLOSE, LATER),
    ("DATA", "451 not now", LATER),
    ("DATA", "554 no valid recipient", REFUSED),
    ("DATA", "250 what", LATER),
    ("DATA", DRIP, LATER),
    ("DOT", "250 taken", SENT),
    ("DOT", "250-taken\r\n250 as 4711", SENT),
    ("DOT", "421 going down", LATER),
    ("DOT", "451 no room", LATER),
    ("DOT", "554 looks like spam", REFUSED),
    ("DOT", "354 more", UNKNOWN),
    ("DOT", "gibberish", UNKNOWN),
    ("DOT", CLOSE, UNKNOWN),
    ("DOT", HALF, UNKNOWN),
    ("DOT", CUT, UNKNOWN),
    ("DOT", LONG, UNKNOWN),
    ("DOT", SILENT, UNKNOWN),
    ("DOT", DRIP, UNKNOWN),
    ("DOT", FLOOD, UNKNOWN),
    ("QUIT", SILENT, SENT),
    ("QUIT", CLOSE, SENT),
]


def _postbox(server: RudeServer, options: str = "", timeout: float = SECONDS) -> SmtpPostbox:
    postbox = postbox_of(f"smtp://refunds:{QUOTED}@127.0.0.1:{server.port}{options}", timeout=timeout)
    assert isinstance(postbox, SmtpPostbox)
    return postbox


@pytest.mark.parametrize(
    ("step", "trouble", "outcome"), TABLE, ids=[f"{at}-{does if isinstance(does, str) else does.name}" for at, does, _ in TABLE]
)
def test_what_is_certain_after(
    step: str, trouble: str | Trouble, outcome: Posted, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with rude_server({step: trouble}) as server:
        postbox = _postbox(server)
        begun = time.monotonic()
        receipt = postbox.post(mail())
        took = time.monotonic() - begun
    assert receipt.outcome is outcome, receipt.detail
    assert took < SECONDS + 2
    assert receipt.detail.isprintable()
    assert (b"\r\nSubject: " in server.heard) == (step in {"DOT", "QUIT"} or outcome is SENT)
    everything = [repr(postbox), str(postbox), repr(receipt), *capfd.readouterr(), caplog.text]
    assert [spelling for spelling in SPELLINGS for text in everything if spelling in text] == []


@pytest.mark.parametrize(
    "troubles",
    [
        {"EHLO": "250 nothing offered"},
        {"EHLO": "250-rude\r\n250 AUTH PLAIN"},
        {"STARTTLS": "454 not now"},
        {"STARTTLS": "501 no"},
        {"STARTTLS": CLOSE},
        {"STARTTLS": "220 go on\r\n250-rude\r\n250 AUTH PLAIN"},
        {"STARTTLS": DRIP},
        # agrees, and goes on in clear
        {},
    ],
)
def test_no_password_without_the_tls_that_is_required(troubles: Mapping[str, str | Trouble]) -> None:
    with rude_server(troubles) as server:
        receipt = _postbox(server, "?starttls=required").post(mail())
    assert receipt.outcome is LATER
    assert b"AUTH" not in server.heard
    assert b"MAIL" not in server.heard
    assert not any(spelling.encode() in server.heard for spelling in SPELLINGS)


def test_tls_from_the_start_says_nothing_in_clear() -> None:
    with rude_server({}) as server:
        receipt = postbox_of(f"smtps://refunds:{QUOTED}@127.0.0.1:{server.port}", timeout=SECONDS).post(mail())
    assert receipt.outcome is LATER
    assert "at the connection" in receipt.detail
    assert b"EHLO" not in server.heard.upper()


@pytest.mark.parametrize("trouble", [Trouble.DEAF, CLOSE])
def test_a_message_that_is_not_out_was_not_taken(trouble: Trouble) -> None:
    large = EmailMessage()
    large["From"], large["To"] = SENDER, "customer@example.net"
    large.set_content("x" * 70 + "\n", cte="7bit")
    # more than the buffers between two programs hold
    large.set_payload(("x" * 998 + "\n") * 12_000)
    with rude_server({"DATA": trouble}) as server:
        receipt = _postbox(server, timeout=1.5).post(large)
    assert receipt.outcome is LATER
    assert "at DATA" in receipt.detail


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    receipt = postbox_of(f"smtp://127.0.0.1:{port}", timeout=SECONDS).post(mail())
    assert receipt.outcome is LATER
    assert "at the connection" in receipt.detail


def test_a_host_that_does_not_exist() -> None:
    receipt = postbox_of("smtp://no-such-host.invalid:2525?starttls=none", timeout=SECONDS).post(mail())
    assert receipt.outcome is LATER
    assert "no-such-host.invalid:2525, at the connection" in receipt.detail


@pytest.mark.parametrize(
    "changed",
    [{"To": None}, {"From": None}, {"To": "a@example.net, b@example.net"}, {"Cc": "b@example.net"}, {"To": "ü@example.net"}],
)
def test_a_message_has_one_sender_and_one_recipient(changed: dict[str, str | None]) -> None:
    message = mail()
    for header, value in changed.items():
        del message[header]
        if value is not None:
            message[header] = value
    with rude_server({}) as server, pytest.raises(ValueError, match="one"):
        _postbox(server).post(message)
    assert not server.heard


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://mail.example.org", "SmtpPostbox('mail.example.org:587')"),
        (f"smtp://u:{QUOTED}@mail.example.org:2525?starttls=required", "SmtpPostbox('mail.example.org:2525')"),
        ("smtp://relay:25?starttls=none", "SmtpPostbox('relay:25')"),
        (f"smtps://u%40example.org:{QUOTED}@mail.example.org", "SmtpPostbox('mail.example.org:465')"),
        (f"smtp://u:{QUOTED}@[::1]:2525?starttls=none", "SmtpPostbox('::1:2525')"),
        ("file:///var/spool/mails%20out", "Outbox('/var/spool/mails out')"),
        ("file://localhost/var/mails", "Outbox('/var/mails')"),
    ],
)
def test_a_url_names_a_postbox(url: str, shown: str) -> None:
    postbox = postbox_of(url, timeout=SECONDS)
    assert repr(postbox) == str(postbox) == shown
    assert isinstance(postbox, Outbox) == url.startswith("file:")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "expected a postbox"),
        ("mails", "expected a postbox"),
        ("http://mail.example.org", "expected a postbox"),
        ("file://elsewhere/mails", "expected a postbox"),
        ("file:mails", "expected a postbox"),
        ("file:///mails?x=1", "expected a postbox"),
        ("file:///ma%00ils", "expected a postbox"),
        ("smtp://", "expected a postbox"),
        ("smtp://user@mail.example.org", "expected a postbox"),
        (f"smtp://:{QUOTED}@mail.example.org", "expected a postbox"),
        (f"smtp://user:{CANARY}@mail.example.org", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail.example.org:mail", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail.example.org:0", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail.example.org:99999", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail.example.org/path", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail.example.org#x", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail..example.org", "expected a postbox"),
        (f"smtp://user:{QUOTED}@[mail.example.org", "expected a postbox"),
        (f"smtp://user:{QUOTED}@ma\u2100il.example.org", "expected a postbox"),
        (f"smtp://user:{QUOTED}@mail.example.org\n", "expected a postbox"),
        (f"smtp://user:{QUOTED}%00@mail.example.org", "printable ASCII"),
        (f"smtp://user:{QUOTED}é@mail.example.org", "printable ASCII"),
        (f"smtp://user:{QUOTED}@mail.example.org?starttls=none", "not sent without TLS"),
        (f"smtp://user:{QUOTED}@mail.example.org?starttls=maybe", "the only option"),
        (f"smtp://user:{QUOTED}@mail.example.org?starttls=none&starttls=required", "the only option"),
        (f"smtp://user:{QUOTED}@mail.example.org?password={QUOTED}", "the only option"),
        (f"smtps://user:{QUOTED}@mail.example.org?starttls=none", "encrypted from the start"),
    ],
)
def test_any_other_url_is_refused_unquoted(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        postbox_of(url, timeout=SECONDS)
    # the library's own errors quote the URL: not even behind ours may one stand
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not any(part in str(caught.value) for part in [*SPELLINGS, "c4nary"])


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(ValueError, match="seconds above 0"):
        postbox_of("smtp://mail.example.org", timeout=timeout)
