"""Whatever the bytes: an answer, bounded and clean, never an exception."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.changes import MAIL_TRICKS, by_bytes
from tests.intake.mail.mails import TRUSTED, every, faults
from worker.intake.mail.headers import Headers
from worker.intake.mail.markup import text_of
from worker.intake.mail.reader import SenderVerdict, read_mail
from worker.intake.mail.results import judge
from worker.intake.mail.sender import address, sender_of

CORPUS = list(every().values())
CHANGE = by_bytes(MAIL_TRICKS)
HEADERS = st.sampled_from(
    [b"From: ", b"Subject: ", b"Content-Type: ", b"Authentication-Results: mx.example.net; ", b"Content-Disposition: "]
)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=80)


def changed(seed: int) -> bytes:
    """A mail of the corpus, changed by chance."""
    chance = Random(seed)
    return CHANGE(chance, chance.choice(CORPUS), CORPUS)


@given(st.binary(max_size=3000))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_bytes(raw: bytes) -> None:
    assert faults(read_mail(raw, trusted=TRUSTED)) == []


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=80)), max_size=8), st.binary(max_size=500))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_headers(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    raw = b"".join(name + value + b"\r\n" for name, value in headers) + b"\r\n" + body
    assert faults(read_mail(raw, trusted=TRUSTED)) == []


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_change_to_a_mail_of_the_corpus(seed: int) -> None:
    assert faults(read_mail(changed(seed), trusted=TRUSTED)) == []


@given(PRINTABLE, PRINTABLE)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_sender_is_an_address_that_stands_in_the_header(before: str, after: str) -> None:
    for value in (before + after, f"{before}<ann@example.org>{after}", f'"{before}" <{after}@example.org>'):
        sender = sender_of(Headers((("from", value),)))
        assert sender is None or (sender == address(sender) and sender in value.lower())


@given(st.text(max_size=120))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_nothing_said_in_quotes_or_comments_verifies(text: str) -> None:
    quoted = text.replace("\\", "").replace('"', "")
    plain = text.replace("\\", "").replace("(", "").replace(")", "")
    for hidden in (f'reason="{quoted} ; dmarc=pass"', f"({plain} ; dmarc=pass)"):
        headers = Headers((("authentication-results", f"mx.example.net; dkim=fail {hidden}"),))
        assert judge(headers, "ann@example.org", TRUSTED)[0] is not SenderVerdict.VERIFIED


@given(st.text(st.sampled_from("<>/!-ab&#x;\"'= \npscript"), max_size=300))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_markup_is_text_in_the_end(html: str) -> None:
    assert len(text_of(html)) <= 12 * len(html)
