"""One mail, one line of the table: what comes out is what must."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from tests.intake.mail.mails import EXPECTED, HERE, TRUSTED, faults, raw
from worker.intake.mail.reader import Mail, SenderVerdict, read_mail


def test_the_table_and_the_files_name_the_same_mails() -> None:
    assert sorted(path.stem for path in HERE.glob("*.eml")) == sorted(EXPECTED)
    assert len(EXPECTED) >= 70
    assert sum(path.stat().st_size for path in HERE.iterdir()) < 400_000


@pytest.mark.parametrize("name", EXPECTED)
def test_a_mail_says_what_the_table_says(name: str) -> None:
    expected, mail = EXPECTED[name], read_mail(raw(name), trusted=TRUSTED)
    assert faults(mail) == []
    assert (mail.sender or "") == expected["sender"]
    assert mail.verdict.value == expected["verdict"], mail.verdict_detail
    assert expected.get("detail", "") in mail.verdict_detail
    assert mail.automatic is expected.get("automatic", False)
    for field in ("jobs", "orders", "references"):
        assert list(getattr(mail, field)) == expected.get(field, []), field
    for field in ("addresses", "answers", "subject", "text", "words"):
        if field in expected:
            said = getattr(mail, field)
            assert (said if isinstance(said, str) else list(said)) == expected[field], field
    assert expected.get("has", "") in mail.text
    assert "hasnt" not in expected or expected["hasnt"] not in mail.text
    assert set(expected.get("words_has", [])) <= set(mail.words)
    assert (mail.message_id or "") == expected.get("message_id", mail.message_id or "")
    assert mail.size == len(raw(name))
    _files_are(mail, expected.get("kinds", []), expected.get("names"))
    _problems_are(mail, expected.get("problem"), expected.get("problems", 1 if "problem" in expected else 0))


def _files_are(mail: Mail, kinds: list[str], names: list[str] | None) -> None:
    assert [file.kind for file in mail.attachments] == kinds
    assert names is None or [file.name for file in mail.attachments] == names


def _problems_are(mail: Mail, problem: str | None, count: int) -> None:
    assert len(mail.problems) == count, mail.problems
    assert problem is None or any(problem in said for said in mail.problems), mail.problems


@pytest.mark.parametrize("name", EXPECTED)
def test_without_a_host_of_ours_nobody_is_verified(name: str) -> None:
    assert read_mail(raw(name)).verdict is not SenderVerdict.VERIFIED


WELL_FORMED = [name for name, expected in EXPECTED.items() if "problem" not in expected and "history" not in name]


@pytest.mark.parametrize(
    "name", [name for name in WELL_FORMED if name.startswith(("plain", "german", "japanese-iso", "russian", "spanish", "korean"))]
)
def test_a_plain_mail_reads_as_the_standard_library_reads_it(name: str) -> None:
    message = message_from_bytes(raw(name), policy=default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain",))
    assert body is not None
    mail = read_mail(raw(name), trusted=TRUSTED)
    assert mail.text == body.get_content().replace("\r\n", "\n").strip()
    assert mail.subject == message["Subject"]
    assert mail.sender == message["From"].addresses[0].addr_spec.lower()


@pytest.mark.parametrize(
    "name", [name for name in WELL_FORMED if EXPECTED[name].get("kinds") and not name.startswith(("bounce", "forward", "digest"))]
)
def test_files_are_those_the_standard_library_finds(name: str) -> None:
    message = message_from_bytes(raw(name), policy=default)
    theirs = [part.get_payload(decode=True) for part in message.walk() if _is_file(part)]
    assert [file.content.replace(b"\r\n", b"\n").strip() for file in read_mail(raw(name)).attachments] == [
        content.replace(b"\r\n", b"\n").strip() for content in theirs if isinstance(content, bytes)
    ]


def _is_file(part: object) -> bool:
    assert isinstance(part, EmailMessage)
    is_text = part.get_content_type() in ("text/plain", "text/html") and part.get_filename() is None
    return not part.is_multipart() and (part.is_attachment() or not is_text)
