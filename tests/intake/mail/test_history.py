"""What a mail quotes is no word of its sender's, in whatever language the mailer says so; what people write is."""

# ruff: noqa: RUF001 -- the letters of other languages are meant

import pytest

from worker.intake.mail.history import written

US = "support@layers.example"
SAID = "Please look again, it was ord_2."
LETTER = "Hello,\n\nWe looked at your request and cannot grant it.\n\nThis is about order ord_1."

HEADERS = {
    "Danish": ("Fra", "Sendt", "Til", "Emne"),
    "Norwegian": ("Fra", "Dato", "Til", "Emne"),
    "Swedish": ("Från", "Skickat", "Till", "Ämne"),
    "Finnish": ("Lähettäjä", "Lähetetty", "Vastaanottaja", "Aihe"),
    "Polish": ("Od", "Wysłano", "Do", "Temat"),
    "Czech": ("Od", "Odesláno", "Komu", "Předmět"),
    "Hungarian": ("Feladó", "Elküldve", "Címzett", "Tárgy"),
    "Romanian": ("De la", "Trimis", "Către", "Subiect"),
    "Turkish": ("Gönderen", "Gönderildi", "Kime", "Konu"),
    "Greek": ("Από", "Στάλθηκε", "Προς", "Θέμα"),
    "Ukrainian": ("Від", "Надіслано", "Кому", "Тема"),
    "Arabic": ("من", "تاريخ الإرسال", "إلى", "الموضوع"),
    "Hebrew": ("מאת", "נשלח", "אל", "נושא"),
    "Korean": ("보낸 사람", "보낸 날짜", "받는 사람", "제목"),
    "Taiwanese": ("寄件者", "寄件日期", "收件者", "主旨"),
    "Portuguese": ("De", "Enviada em", "Para", "Assunto"),
}


@pytest.mark.parametrize("language", HEADERS)
def test_header_above_a_quoted_letter_is_known_in_the_language_of_the_mailer(language: str) -> None:
    values = f"Image to Layers <{US}>", "5.1.2026 09:58", "ann@example.org", "Your refund request was declined"
    header = "\n".join(f"{name}: {value}" for name, value in zip(HEADERS[language], values, strict=True))
    assert written(f"{SAID}\n\n________________________________\n{header}\n\n{LETTER}", "Re: Refund") == SAID


@pytest.mark.parametrize(
    "line",
    [
        f"On Mon, Jan 5, 2026 at 9:58 AM Image to Layers <\n{US}> wrote:",
        "Am 05.01.26 um 09:58 schrieb Image to Layers:",
        f"2026年1月5日(月) 9:58 Image to Layers <{US}>:",
        f"2026年1月5日(月) 9:58 Image to Layers <{US}<mailto:{US}>>:",
        f"Image to Layers <{US}>, 5 Oca 2026 Pzt, 09:58 tarihinde şunu\nyazdı:",
        f"man. 5. jan. 2026 kl. 09.58 skrev Image to Layers <{US}>:",
    ],
    ids=["English", "German", "Japanese", "Japanese through Outlook", "Turkish", "Danish"],
)
@pytest.mark.parametrize("mark", ["> ", ""], ids=["marked", "bare"])
def test_line_of_a_mailer_above_a_quoted_letter_ends_what_was_written(line: str, mark: str) -> None:
    quoted = "\n".join(f"{mark}{one}" for one in LETTER.split("\n"))
    assert written(f"{SAID}\n\n{line}\n\n{quoted}", "Re: Refund") == SAID


@pytest.mark.parametrize(
    "line",
    [
        f"ma 5. tammikuuta 2026 klo 9.58 Image to Layers ({US}) kirjoitti:",
        "On Mon, 5 Jan 2026, Image to Layers wrote:",
    ],
    ids=["Finnish", "without a time"],
)
def test_line_above_a_marked_quotation_goes_with_it(line: str) -> None:
    assert written(f"{SAID}\n\n{line}\n> Is it ord_1?", "Re: Refund") == SAID


@pytest.mark.parametrize(
    "sentence",
    [
        "On 28 February 2026 at 10:15 I also paid with ann@example.org for the one below:",
        "On 28 February 2026 at 10:15 I also paid with ann@example.org<mailto:ann@example.org> for this:",
        "Am 28.2.2026 schrieb ich Ihnen schon um 10:15 wegen einer weiteren Bestellung:",
        "On 2 March your support wrote:",
    ],
)
def test_sentence_that_begins_like_the_line_of_a_mailer_ends_nothing(sentence: str) -> None:
    said = f"Please refund ord_1.\n\n{sentence}\n\nord_2\n\nThanks, Ann"
    assert written(said, "Refund") == said
