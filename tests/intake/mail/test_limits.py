"""What is too much: left out and said, at once, and never a surprise."""

import time
from dataclasses import replace

import pytest

from tests.intake.mail.mails import LARGE, TRUSTED, built, faults, file, multipart, nested
from worker.intake.mail.limits import LIMITS, MIB
from worker.intake.mail.reader import read_mail

PLAIN = b"Content-Type: text/plain\r\n\r\njob job_42\r\n"
SECONDS = 2.0


@pytest.mark.parametrize("name", LARGE)
def test_a_mail_made_to_be_slow_is_read_in_time(name: str) -> None:
    mail = LARGE[name]()
    # the processor's time: other people's work on the machine is not the reader's
    start = time.process_time()
    read = read_mail(mail, trusted=TRUSTED)
    assert time.process_time() - start < SECONDS
    assert faults(read) == []


def test_ten_thousand_parts() -> None:
    mail = read_mail(multipart(PLAIN, *[file(f"{n}.bin", b"\x00" * 9) for n in range(10_000)]))
    assert mail.jobs == ("job_42",)
    assert len(mail.attachments) == LIMITS.attachments
    assert mail.problems == ("part 201 and later were left out", "attachment 11 and later were left out")


def test_more_boundaries_than_anybody_looks_at() -> None:
    mail = read_mail(multipart(*[b"\r\nx"] * 30_000))
    assert mail.attachments == ()
    assert "its parts were left out" in mail.problems[0]


@pytest.mark.parametrize(("depth", "is_read"), [(1, True), (5, True), (6, False), (2000, False)])
def test_parts_in_parts(depth: int, is_read: bool) -> None:
    mail = read_mail(nested(depth))
    assert mail.jobs == (("job_42",) if is_read else ())
    assert mail.problems == (() if is_read else ("parts nested deeper than 5 were left out",))


@pytest.mark.parametrize(("depth", "is_read"), [(1, True), (5, True), (6, False), (2000, False)])
def test_mails_in_mails(depth: int, is_read: bool) -> None:
    mail = read_mail(b"From: ann@example.org\n" + b"Content-Type: message/rfc822\n\n" * depth + b"Subject: x\n\njob job_42\n")
    assert mail.jobs == (("job_42",) if is_read else ())
    assert [file.kind for file in mail.attachments] == ["mail"]
    assert mail.problems == (() if is_read else ("parts nested deeper than 5 were left out",))


def test_a_file_too_large() -> None:
    mail = read_mail(multipart(PLAIN, file("small.bin", b"\x00" * 9), file("large.bin", b"\x00" * (LIMITS.attachment_bytes + 1))))
    assert [file.name for file in mail.attachments] == ["small.bin"]
    assert mail.problems == ("the attachment large.bin was left out: it has 10,485,761 bytes",)


def test_a_file_as_large_as_may_be() -> None:
    content = bytes(range(256)) * (LIMITS.attachment_bytes // 256)
    assert read_mail(multipart(PLAIN, file("a.bin", content))).attachments[0].content == content


def test_a_mail_too_large_is_read_to_the_limit_and_known_by_all_of_it() -> None:
    mail = built("Content-Type: text/plain", body=b"job job_42\n" + b"x" * 25 * MIB)
    read, other = read_mail(mail), read_mail(mail + b"y")
    assert read.jobs == ("job_42",)
    assert read.size == len(mail)
    assert read.problems[0].endswith("what is beyond 26,214,400 was left out")
    assert read.key != other.key


def test_a_long_text_is_cut_and_ids_are_found_behind_the_cut() -> None:
    mail = read_mail(built("Content-Type: text/plain; charset=utf-8", body="ä".encode() * 20_000 + b"\njob job_42\n"))
    assert mail.text.endswith("ä…")
    assert len(mail.text.encode()) <= LIMITS.text_bytes
    assert mail.jobs == ("job_42",)


def test_headers_too_long_hide_no_second_sender() -> None:
    mail = read_mail(
        built("Authentication-Results: mx.example.net; dmarc=pass", f"X-Long: {'x' * 70_000}", "From: victim@example.org"),
        trusted=TRUSTED,
    )
    assert mail.sender is None
    assert mail.verdict == "failed"
    assert "the headers are too long; the rest of them was left out" in mail.problems


def test_many_ids_many_words() -> None:
    body = b"".join(b"job job_%d order ord_%d R-AAAAAAAA%04d w_%d me%d@example.org\n" % (n, n, n, n, n) for n in range(500))
    mail = read_mail(built("Content-Type: text/plain", body=body))
    assert faults(mail) == []
    assert [len(found) for found in (mail.jobs, mail.orders, mail.references, mail.addresses, mail.words)] == [10, 10, 10, 10, 60]


def test_other_limits() -> None:
    limits = replace(LIMITS, attachments=1, text_bytes=10, parts=3)
    mail = read_mail(multipart(PLAIN.replace(b"job_42", b"job_4242424242"), file("a", b"a"), file("b", b"b")), limits=limits)
    assert len(mail.text.encode()) == 10
    assert len(mail.attachments) == 1
    assert mail.problems == ("part 4 and later were left out",)


def test_the_last_resort_is_an_answer_too() -> None:
    broken = replace(LIMITS, depth=None)  # type: ignore[arg-type]
    mail = read_mail(multipart(PLAIN), limits=broken)
    assert (mail.sender, mail.text, mail.verdict) == (None, "", "absent")
    assert mail.problems[-1].startswith("the mail could not be read: TypeError")
