"""Files that come with a mail: named safely, recognised by their first bytes, never opened."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.intake.mail.characters import clean, cut, one_line
from worker.intake.mail.limits import Limits, Problems
from worker.intake.mail.parts import Part
from worker.intake.mail.transfer import decoded

_LONGEST_NAME = 120
_LONGEST_TYPE = 100
_LONGEST_ENDING = 12
_NAMELESS = "attachment"
_SNIFFED = 4096

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"(\xb5/\xfd", "zstd"),
    (b"7z\xbc\xaf'\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"MZ", "exe"),
    (b"\x7fELF", "elf"),
    (b"\xcf\xfa\xed\xfe", "macho"),
    (b"\xca\xfe\xba\xbe", "macho"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"\x78\x9f\x3e\x22", "tnef"),
    (b"8BPS", "psd"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"{\\rtf", "rtf"),
    (b"#!", "script"),
)
_MARKUP = re.compile(
    rb"<(?:!doctype\s{1,20}html|html|head|body|script|iframe|meta|title|table|div|p|a|img|form)[\s>/]", re.IGNORECASE
)
_MAIL = re.compile(
    rb"(?:received|from|return-path|delivered-to|message-id|mime-version|content-type|date|subject|to|dkim-signature):",
    re.IGNORECASE,
)
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file. Its name and declared type are fit for showing and prove nothing; `kind` is what its first bytes say."""

    name: str
    declared_type: str
    kind: str
    content: bytes = field(repr=False)


def read_attachments(mail: Part, limits: Limits, problems: Problems) -> tuple[Attachment, ...]:
    """The files of a mail, in their order, the first `limits.attachments` of those that are not too large."""
    found: list[Attachment] = []
    for number, part in enumerate(_files(mail), 1):
        if number > limits.attachments:
            problems.add(f"attachment {number} and later were left out")
            break
        name = file_name(part)
        content = decoded(part.content, part.encoding, problems)
        if len(content) > limits.attachment_bytes:
            problems.add(f"the attachment {name} was left out: it has {len(content):,} bytes")
            continue
        found.append(Attachment(name, cut(one_line(part.type), _LONGEST_TYPE), kind_of(content), content))
    return tuple(found)


def _files(part: Part) -> Iterator[Part]:
    if part.type.startswith("multipart/"):
        for child in part.parts:
            yield from _files(child)
    elif not part.is_text:
        yield part


def file_name(part: Part) -> str:
    """The name of a part's file: no path, nothing unseen, nothing that a file system or a browser would take amiss."""
    name = one_line(clean(part.name).replace("\\", "/").rpartition("/")[2])
    name = re.sub(r'[<>:"|?*]', "_", name).strip(". ")
    if len(name) > _LONGEST_NAME:
        stem, dot, ending = name.rpartition(".")
        name = (
            cut(stem, _LONGEST_NAME - len(ending) - 1) + dot + ending
            if 0 < len(ending) <= _LONGEST_ENDING
            else cut(name, _LONGEST_NAME)
        )
    return name or _NAMELESS


def kind_of(content: bytes) -> str:
    """What the first bytes say this is."""
    head = content[:_SNIFFED]
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return "heif" if head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis") else "mp4"
    if not head:
        return "empty"
    return _text_kind(head)


def _text_kind(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text"
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = bare[:1024].lower()
    if b"<svg" in lower and lower.startswith(b"<"):
        return "svg"
    if lower.startswith(b"<?xml") and b"<html" not in lower:
        return "xml"
    if _MARKUP.search(lower):
        return "html"
    if b"%pdf-" in lower:
        # readers of PDF look for it anywhere in the beginning
        return "pdf"
    if _NOT_TEXT.search(head):
        return "unknown"
    return "mail" if _MAIL.match(bare) else "text"
