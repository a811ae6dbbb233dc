"""The text of a mail, out of the parts that hold it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.intake.mail import history
from worker.intake.mail.characters import clean, one_line
from worker.intake.mail.charsets import as_text
from worker.intake.mail.headers import decoded_words
from worker.intake.mail.limits import Limits, Problems
from worker.intake.mail.markup import text_of, without_pictures
from worker.intake.mail.named import read_names
from worker.intake.mail.parts import Part
from worker.intake.mail.transfer import decoded

_SHORT = 200
"""Characters below which a mail says little of its own, and what it brings along says the rest."""
_PLACEHOLDER = 500
"""Characters up to which a plain text may only say that there is another one."""


@dataclass(frozen=True, slots=True)
class Body:
    """`written` is what the sender wrote; `whole` has the quoted history and the subjects of mails brought along as well."""

    written: str
    whole: str


@dataclass(slots=True)
class _Reading:
    problems: Problems
    encoded_left: int
    text_left: int

    def text(self, part: Part) -> str:
        """The text of a mail or part: of alternatives the plain one, unless it is short and only another names anything; of other
        parts each in turn.
        """
        if part.type == "multipart/alternative":
            plain = self._joined(child for child in part.parts if child.type == "text/plain")
            others = (self.text(child) for child in part.parts if child.type != "text/plain")
            if len(plain) > _PLACEHOLDER or _names_anything(plain):
                return plain
            other = next((text for text in others if text.strip()), "")
            return other if not plain or _names_anything(other) else plain
        if part.parts:
            return self._joined(part.parts)
        return self._leaf(part) if part.is_text else ""

    def files(self, part: Part) -> str:
        """The texts that are files as well, and are there to be shown with the mail."""
        return "\n\n".join(text for leaf in _shown(part) if (text := self._leaf(leaf).strip()))

    def _joined(self, parts: Iterable[Part]) -> str:
        texts: list[str] = []
        for part in parts:
            text = self.text(part).strip("\n")
            if text.strip() and text not in texts:
                texts.append(text)
        return "\n\n".join(texts)

    def _leaf(self, part: Part) -> str:
        encoded = part.content[: self.encoded_left]
        self.encoded_left -= len(encoded)
        if len(encoded) < len(part.content):
            self.problems.add("the text is too long; the rest was left out")
            # a cut in the middle of a character would look like a wrong charset
            encoded = encoded.rpartition(b"\n")[0] or encoded
        text, wrong = as_text(decoded(encoded, part.encoding, self.problems), _charset(part))
        if wrong:
            self.problems.add(wrong)
        if part.type == "text/html":
            text = without_pictures(text)
        if len(text) > self.text_left:
            self.problems.add("the text is too long; the rest was left out")
            text = text[: self.text_left]
        self.text_left -= len(text)
        return clean(text_of(text) if part.type == "text/html" else text)


def _names_anything(text: str) -> bool:
    return bool(read_names("", text, text).ids)


def _shown(part: Part) -> Iterator[Part]:
    for child in part.parts:
        yield from _shown(child)
    if part.type in ("text/plain", "text/html") and part.disposition == "inline":
        yield part


def _charset(part: Part) -> str:
    words = part.parameters.get("charset", "").strip(" \t'\"").split()
    return words[0] if words else ""


def read_body(mail: Part, subject: str, limits: Limits, problems: Problems) -> Body:
    """What the mail says, and what it quotes. A mail that says little is read with the mails attached to it."""
    reading = _Reading(problems, limits.encoded_text_bytes, limits.read_text)
    whole = reading.text(mail)
    if not whole.strip():
        whole = reading.files(mail)
    written = history.written(whole, subject)
    if len(written) >= _SHORT:
        return Body(written, whole)
    inner = [(decoded_words(m.headers.first("subject")), reading.text(m).strip()) for m in _messages(mail)]
    texts = [text for _, text in inner if text]
    return Body(
        "\n\n".join([written, *texts]).strip(),
        "\n\n".join([whole, *(one_line(about) for about, _ in inner), *texts]),
    )


def _messages(part: Part) -> Iterator[Part]:
    for child in part.parts:
        yield from _messages(child)
    if part.message is not None:
        yield part.message
        yield from _messages(part.message)
