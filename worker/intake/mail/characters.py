"""Text from outside without the characters that hide, reorder or break what people see."""

import re

_BREAK = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# C0 and C1, soft hyphens, zero-width and bidi marks, annotations, lone surrogates, tag characters. The joiners stay: Persian
# and emoji are wrong without them
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]+"
)


def clean(text: str) -> str:
    """`text` with every kind of line end as a newline, and without unseen characters other than newline and tab."""
    return _UNSEEN.sub("", _BREAK.sub("\n", text))


def one_line(text: str) -> str:
    """`text` cleaned, on one line, every run of white space a single space."""
    return " ".join(clean(text).split())


def cut(text: str, most: int) -> str:
    """`text` of at most so many characters, the last an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def cut_bytes(text: str, most: int) -> str:
    """`text` of at most so many bytes in UTF-8, the last character an ellipsis where something is missing."""
    encoded = text.encode()
    return text if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore").rstrip() + "…"
