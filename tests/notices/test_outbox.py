"""The folder: one file for each message, whole or not there."""

from email import message_from_bytes, policy
from pathlib import Path

import pytest

from tests.notices.build import mail
from worker.notices.mail.postbox import Outbox, Posted, postbox_of


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_message_becomes_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there yet"
    message = mail()
    assert postbox_of(folder.as_uri(), timeout=1).post(message).outcome is Posted.SENT
    assert _names(folder) == ["notice_1@example.org.eml"]
    data = (folder / "notice_1@example.org.eml").read_bytes()
    assert data == message.as_bytes()
    assert message_from_bytes(data, policy=policy.default)["Subject"] == message["Subject"]


def test_the_same_message_again_changes_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.post(mail())
    [file] = tmp_path.iterdir()
    before = (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes())
    # also where its words have changed since
    receipt = outbox.post(mail(reference="R-0000000000"))
    assert receipt.outcome is Posted.SENT
    assert "already" in receipt.detail
    assert (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes()) == before
    assert len(_names(tmp_path)) == 1


def test_what_a_crash_left_behind_is_not_the_message(tmp_path: Path) -> None:
    for name in (".notice_1@example.org.eml.tmp", ".notice_1@example.org.eml.abcd1234.tmp", "notice_1@example.org.eml.tmp"):
        (tmp_path / name).write_bytes(b"From: half a mess")
    assert Outbox(tmp_path).post(mail()).outcome is Posted.SENT
    assert (tmp_path / "notice_1@example.org.eml").read_bytes() == mail().as_bytes()
    assert len(_names(tmp_path)) == 4


@pytest.mark.parametrize(
    "message_id", ["<../../etc/x@example.org>", "<.hidden@example.org>", f"<{'a' * 200}@b>", "<a/b@c>", "<a%b@c>"]
)
def test_a_name_stays_in_the_folder(tmp_path: Path, message_id: str) -> None:
    folder = tmp_path / "mails"
    message = mail()
    message.replace_header("Message-ID", message_id)
    for _ in range(2):
        assert Outbox(folder).post(message).outcome is Posted.SENT
    [name] = _names(folder)
    assert _names(tmp_path) == ["mails"]
    assert (name.endswith(".eml"), name.startswith("."), len(name) < 130) == (True, False, True)


def test_ids_that_clean_alike_stay_two(tmp_path: Path) -> None:
    for message_id in ("<a/b@example.org>", "<a%b@example.org>", "<a_b@example.org>"):
        message = mail()
        message.replace_header("Message-ID", message_id)
        Outbox(tmp_path).post(message)
    assert len(_names(tmp_path)) == 3


def test_a_message_without_its_id_is_refused(tmp_path: Path) -> None:
    message = mail()
    del message["Message-ID"]
    with pytest.raises(ValueError, match="needs its Message-ID"):
        Outbox(tmp_path).post(message)
    assert _names(tmp_path) == []


def test_a_disk_that_does_not_take_it_is_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        receipt = Outbox(folder).post(mail())
        assert receipt.outcome is Posted.LATER
        assert "could not be written" in receipt.detail


def test_a_link_to_nowhere_is_not_the_message(tmp_path: Path) -> None:
    (tmp_path / "notice_1@example.org.eml").symlink_to(tmp_path / "nowhere")
    assert Outbox(tmp_path).post(mail()).outcome is Posted.SENT
    assert _names(tmp_path) == ["notice_1@example.org.eml"]
    assert not (tmp_path / "notice_1@example.org.eml").is_symlink()


def test_a_file_that_cannot_be_put_in_place_leaves_no_rest(tmp_path: Path) -> None:
    (tmp_path / "notice_1@example.org.eml").mkdir()
    assert Outbox(tmp_path).post(mail()).outcome is Posted.LATER
    assert _names(tmp_path) == ["notice_1@example.org.eml"]
