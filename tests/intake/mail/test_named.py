"""An id is found wherever the mail holds it, and however a mailer wrote it."""

from tests.intake.mail.mails import built
from worker.intake.mail.reader import read_mail

QUOTED = "\n".join(f"> https://layers.example/a{n}b c{n}d" for n in range(80))


def test_id_below_a_long_quotation_is_found() -> None:
    text = f"{QUOTED}\n\nThis is about ord_1, please refund."
    assert "ord_1" in read_mail(built("Content-Type: text/plain", body=text.encode())).words
