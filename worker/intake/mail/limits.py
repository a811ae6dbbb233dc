"""How much of one mail is read, and the list of what could not be."""

from dataclasses import dataclass, field

from worker.intake.mail.characters import cut, one_line

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What is beyond any of these is left out, and `Mail.problems` says so."""

    raw_bytes: int = 25 * MIB
    attachments: int = 10
    attachment_bytes: int = 10 * MIB
    parts: int = 200
    depth: int = 5
    """Multiparts and messages inside each other, below the mail itself."""
    header_bytes: int = 64 * KIB
    """Of the mail's own headers; a mail with longer ones has no sender, for the From that counts may be in the rest."""
    inner_header_bytes: int = 256 * KIB
    """Of the headers of all parts together."""
    encoded_text_bytes: int = 4 * MIB
    """Of all text parts together, as they came. HTML with pictures inside it is long before it is short."""
    read_text: int = 256 * KIB
    """Characters of text in which ids are looked for."""
    text_bytes: int = 16 * KIB
    """Of `Mail.text`, in UTF-8."""


LIMITS = Limits()


@dataclass(slots=True)
class Problems:
    """What could not be read, in the order found, each said once."""

    most: int = 20
    said: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Makes `problem` known, cleaned and cut, unless it is already or there are too many."""
        problem = cut(one_line(problem), 200)
        if problem not in self.said and len(self.said) < self.most:
            self.said.append(problem)
