"""A mail's identity: the same by every way it may come, another for every other thing it may say."""

import pytest

from tests.intake.mail.mails import EXPECTED, built, every, raw
from worker.intake.mail.reader import read_mail

SAID = (
    b"Message-ID: <one@example.org>\nFrom: ann@example.org\nDate: Mon, 05 Jan 2026 10:00:00 +0000\nSubject: Refund\n\n"
    b"job job_42\n"
)


def key(mail: bytes) -> str:
    return read_mail(mail).key


@pytest.mark.parametrize(
    "name", [name for name, expected in EXPECTED.items() if expected.get("problem") != "the mail has no headers"]
)
def test_what_relays_add_changes_nothing(name: str) -> None:
    mail = raw(name)
    if mail.startswith(b"From "):
        mail = mail.partition(b"\n")[2]
    above = b"Return-Path: <ann@example.org>\r\nReceived: from a.example\r\n\tby b.example; now\r\nX-Spam-Score: 0\r\n"
    assert key(above + mail) == key(mail)


@pytest.mark.parametrize(
    "same",
    [
        SAID.replace(b"\n", b"\r\n"),
        SAID + b"\n\n",
        SAID.rstrip(b"\n"),
        SAID.replace(b"Subject: Refund", b"Subject:  Refund"),
        SAID.replace(b"Date: Mon, 05", b"Date: Mon,\n 05"),
        b"From ann@example.org Mon Jan  5 10:00:00 2026\n" + SAID,
        b"Authentication-Results: mx.example.net; dmarc=pass\n" + SAID,
    ],
)
def test_the_same_mail_another_way(same: bytes) -> None:
    assert key(same) == key(SAID)


@pytest.mark.parametrize(
    "other",
    [
        SAID.replace(b"job_42", b"job_43"),
        SAID.replace(b"<one@", b"<two@"),
        SAID.replace(b"From: ann@", b"From: bob@"),
        SAID.replace(b"Refund", b"Refunds"),
        SAID.replace(b"10:00:00", b"10:00:01"),
        SAID.replace(b"\n\n", b"\nContent-Transfer-Encoding: base64\n\n"),
        SAID.replace(b"\n\n", b"\nFrom: bob@example.org\n\n"),
    ],
)
def test_another_mail(other: bytes) -> None:
    assert key(other) != key(SAID)


@pytest.mark.parametrize("changed", [b"ann@", b"Mon, 05", b"Refund", b"job_42"])
def test_without_a_message_id_everything_else_says_which_mail_it_is(changed: bytes) -> None:
    bare = SAID.partition(b"\n")[2]
    assert key(bare.replace(changed, b"x" + changed)) != key(bare)


def test_what_stands_in_one_header_cannot_stand_for_another() -> None:
    assert key(built("Date: a", "Subject: b")) != key(built("Date: a subject:b"))


def test_no_two_mails_of_the_corpus_are_the_same_and_reading_twice_gives_the_same() -> None:
    keys = [key(mail) for mail in every().values()]
    assert len(set(keys)) == len(keys)
    assert all(read_mail(mail) == read_mail(mail) for mail in every().values())
