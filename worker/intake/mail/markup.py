"""HTML as text: what a person would read, with quotations marked as in plain text and links written out.

Not `html.parser`: on markup made for it that one takes time in the square of the length (CVE-2025-6069), and nothing here has
to be understood beyond where text ends and lines begin.
"""

import re
from dataclasses import dataclass, field
from html import unescape

# one `<` costs at most the way to the next one
_TAG = re.compile(
    r"<!--|<[!?][^<>]*+>|</?[a-zA-Z](?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+')*+>|</?[a-zA-Z][^<>]*+>",
)
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_HREF = re.compile(r"[\s\"']href\s{0,5}=\s{0,5}(?:\"([^\"<>]*)\"|'([^'<>]*)'|([^\s<>\"']+))", re.IGNORECASE)
_BLANK = re.compile(r"[ \t\r\n\f\u00a0]+")
# Python refuses to read a number of thousands of digits, and `unescape` lets the refusal out
_ENDLESS = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")
_EMBEDDED = re.compile(r"data:[^\s\"'<>]*+")
_NOT_READ = frozenset({"script", "style", "title", "template", "xml"})
_CLOSE = {name: re.compile(rf"</{name}\b", re.IGNORECASE | re.ASCII) for name in _NOT_READ}
_LINES = re.compile(
    r"address|article|aside|body|center|d[dlt]|div|fieldset|footer|form|head|header|hr|html|li|main|nav|ol|pre|section|tr|ul|br"
)
_PARAGRAPHS = re.compile(r"blockquote|h[1-6]|p|table")
_CELLS = frozenset({"td", "th"})
_DEEPEST_QUOTE = 5
_LONGEST_LINK = 500


@dataclass(slots=True)
class _Page:
    lines: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    quoted: int = 0
    preformatted: int = 0
    link: str = ""
    label: list[str] = field(default_factory=list)

    def text(self, raw: str) -> None:
        text = unescape(_ENDLESS.sub("\ufffd", raw))
        if self.preformatted:
            first, *rest = text.split("\n")
            self.line.append(first)
            for more in rest:
                self.end_line()
                self.line.append(more)
        else:
            self.line.append(_BLANK.sub(" ", text))
        if self.link:
            self.label.append(text)

    def end_line(self) -> None:
        line = "".join(self.line)
        line = line.rstrip() if self.preformatted else _BLANK.sub(" ", line).strip()
        self.line.clear()
        if line or self.preformatted:
            self.lines.append("> " * min(self.quoted, _DEEPEST_QUOTE) + line)

    def gap(self) -> None:
        self.end_line()
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def tag(self, name: str, closing: bool, whole: str) -> None:
        if name == "a":
            self._end_link()
            self.link = "" if closing else _href(whole)
        elif _LINES.fullmatch(name):
            self.end_line()
        elif _PARAGRAPHS.fullmatch(name):
            self.gap()
        elif name in _CELLS and not closing:
            self.line.append(" ")
        if name == "blockquote":
            self.quoted = max(self.quoted + (-1 if closing else 1), 0)
        elif name == "pre":
            self.preformatted = max(self.preformatted + (-1 if closing else 1), 0)

    def _end_link(self) -> None:
        if self.link and self.link.removeprefix("mailto:") not in "".join(self.label):
            self.line.append(f" <{self.link}>")
        self.link = ""
        self.label.clear()

    def whole(self) -> str:
        self._end_link()
        self.end_line()
        return "\n".join(self.lines).strip("\n")


def _href(tag: str) -> str:
    found = _HREF.search(tag)
    target = unescape(_ENDLESS.sub("", found[1] or found[2] or found[3] or "")).strip() if found else ""
    return target if target.lower().startswith(("http://", "https://", "mailto:")) and len(target) <= _LONGEST_LINK else ""


def text_of(html: str) -> str:
    """What a person would read, without scripts, styles and comments; quotations begin with `> `."""
    page, at = _Page(), 0
    while (found := _TAG.search(html, at)) is not None:
        if found.start() > at:
            page.text(html[at : found.start()])
        at = found.end()
        if found[0] == "<!--":
            end = html.find("-->", at)
            at = len(html) if end < 0 else end + 3
            continue
        named = _NAME.match(found[0])
        if named is None:
            continue
        name, closing = named[2].lower(), bool(named[1])
        if name in _NOT_READ:
            close = None if closing else _CLOSE[name].search(html, at)
            at = at if closing else (len(html) if close is None else close.start())
        else:
            page.tag(name, closing, found[0])
    page.text(html[at:])
    return page.whole()


def without_pictures(html: str) -> str:
    """`html` without the pictures written into it, which nobody reads."""
    return _EMBEDDED.sub("", html)
