"""An id is found wherever the mail holds it, and however a mailer wrote it."""

import pytest

from tests.intake.mail.mails import built, multipart
from worker.intake.mail.reader import Mail, read_mail

QUOTED = "\n".join(f"> https://layers.example/a{n}b c{n}d" for n in range(80))
SAFELINK = "https://nam02.safelinks.example/?url=https%3A%2F%2Flayers.example%2Forders%2Ford_1&data=05%7C02%7Csupport%40x.example"


def said(text: str, type: str = "text/plain; charset=utf-8") -> Mail:
    return read_mail(built(f"Content-Type: {type}", body=text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        f"{QUOTED}\n\nThis is about ord_1, please refund.",
        "Please refund \uff4f\uff52\uff44\uff3f\uff11.",
        "Please refund ord\\_1.",
        f"Please refund {SAFELINK}",
        "Please refund _ord_1_.",
        "Please refund https://gate.example/v3/__https://layers.example/orders/ord_1__;!!AbC",
    ],
    ids=["below a long quotation", "full width", "escaped for Markdown", "inside a link", "underlined", "inside a gate's link"],
)
def test_id_is_found_however_it_is_written(text: str) -> None:
    assert "ord_1" in said(text).words


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Please refund my order bG1.", ("bG1",)),
        ("Please refund orders a1, b_2 and ord_33.", ("a1", "b_2", "ord_33")),
        ("My job 4k failed, and order 24h too.", ("4k",)),
        ("My order 77 and the 2nd of my jobs", ()),
        ("Please refund my 2nd one.", ()),
        ("Which was it?\n\n> Your order bG1", ()),
    ],
)
def test_short_id_is_a_word_to_be_looked_up_where_the_sender_calls_it_one(text: str, names: tuple[str, ...]) -> None:
    mail = said(text)
    assert (mail.words, mail.jobs, mail.orders) == (names, (), ())


@pytest.mark.parametrize(
    "text",
    [
        "Job ID: kXqWzRtBpL\nIt failed.",
        "My job kXqWzRtBpL failed.",
        "Please refund orders ord_1 and kXqWzRtBpL.",
        "Bestellnummer: kXqWzRtBpL",
    ],
)
def test_letters_alone_are_a_word_to_be_looked_up_where_the_sender_calls_them_an_id(text: str) -> None:
    """Of random ids of ten letters and digits every sixth has no digit."""
    mail = said(text)
    assert "kXqWzRtBpL" in mail.words
    assert "kXqWzRtBpL" not in {*mail.jobs, *mail.orders}
    assert said("Please refund kXqWzRtBpL.").words == ()


@pytest.mark.parametrize(
    "text",
    [
        "Please refund my orders:\nord_1\nord_2\nord_3\n\nThanks",
        "Please refund the following orders:\n\n- ord_1,\n- ord_2,\n- ord_3",
        "Orders\n1. ord_1\n2. ord_2\n3. ord_3\n",
        "Order IDs:\n1. ord_1\n2. ord_2\n3. ord_3\n",
        "Please refund orders ord_1/ord_2 / ord_3.",
    ],
    ids=["lines", "bullets", "numbered", "called ids", "slashes"],
)
def test_each_of_a_list_is_called_an_order(text: str) -> None:
    assert said(text).orders == ("ord_1", "ord_2", "ord_3")


def test_number_that_ends_a_sentence_is_no_item_of_a_list() -> None:
    mail = said("Please refund order no.\n77. It failed with job no. 12. ord_1 is another.")
    assert (mail.jobs, mail.orders) == (("12",), ("77",))


@pytest.mark.parametrize(
    "text", ["Please refund order ord_1\nRTX4090 is what I use.", "My order:\n\n\nbuild_77", "My order ord_1 model_2 failed"]
)
def test_what_stands_below_or_beside_an_order_and_is_no_item_of_a_list_is_none(text: str) -> None:
    assert set(said(text).orders) <= {"ord_1"}


def test_link_in_html_names_what_it_leads_to() -> None:
    assert "ord_1" in said(f'<p>Please refund <a href="{SAFELINK}">this</a></p>', "text/html").words


def test_link_names_no_address_that_is_written_in_it() -> None:
    assert said(f"account {SAFELINK}").addresses == ()


PLAIN = b"Content-Type: text/plain\r\n\r\n"
HTML = b"Content-Type: text/html\r\n\r\n<p>Please refund ord_1</p>"


def alternative(*parts: bytes) -> bytes:
    return multipart(*parts).replace(b"multipart/mixed", b"multipart/alternative")


@pytest.mark.parametrize("plain", [b"Your mailer cannot show this message.", b"Your order follows as HTML."])
def test_plain_text_that_only_points_to_another_is_read_over(plain: bytes) -> None:
    mail = read_mail(alternative(PLAIN + plain, HTML))
    assert (mail.text, mail.words) == ("Please refund ord_1", ("ord_1",))


@pytest.mark.parametrize(
    "plain", [b"Please refund ord_2", b"Please refund what I bought. " * 20], ids=["names something", "long"]
)
def test_plain_text_that_says_something_is_what_the_mail_says(plain: bytes) -> None:
    assert read_mail(alternative(PLAIN + plain, HTML)).text == plain.decode().strip()


def test_plain_text_stays_where_no_other_names_anything() -> None:
    other = HTML.replace(b"ord_1", b"my <b>order</b>")
    assert read_mail(alternative(PLAIN + b"Please refund my *order*", other)).text == "Please refund my *order*"


INLINE = b'Content-Type: text/plain\r\nContent-Disposition: inline; filename="mail.txt"\r\n\r\nPlease refund ord_1'


def test_text_that_is_shown_as_a_file_is_read_where_there_is_no_other() -> None:
    mail = read_mail(multipart(INLINE))
    assert (mail.text, [file.name for file in mail.attachments]) == ("Please refund ord_1", ["mail.txt"])


@pytest.mark.parametrize(
    ("parts", "text"),
    [((PLAIN + b"See the file.", INLINE), "See the file."), ((INLINE.replace(b"inline", b"attachment"),), "")],
    ids=["beside a text", "attached"],
)
def test_file_is_no_text_of_the_mail(parts: tuple[bytes, ...], text: str) -> None:
    assert read_mail(multipart(*parts)).text == text
