"""Bytes as text, whatever charset they claim."""

import codecs
import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:()-]{0,39}")
# what mails are written in, by Python's own names. Not any codec Python has: some of them are no charsets (rot13), some cost
# time in the square of the length (punycode), some warn or raise
_KNOWN = re.compile(
    r"ascii|utf-8|utf-8-sig|utf-(?:16|32)(?:-[bl]e)?|iso8859-\d+|cp\d+|koi8-[rut]|kz1048|ptcp154|mac-[a-z]+|tis-620"
    r"|iso2022_(?:kr|jp(?:_[a-z0-9]+)?)|euc_[a-z0-9_]+|shift_jis(?:_2004|x0213)?|gb2312|gbk|gb18030|hz|big5|big5hkscs|johab"
)
# a mail that names the left often holds what only the right can say
_WIDER = {
    "iso8859-1": "cp1252",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
}
_ALSO = {
    "windows-874": "cp874",
    "x-sjis": "cp932",
    "x-windows-949": "cp949",
    "x-gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "cp-850": "cp850",
    "x-mac-roman": "mac-roman",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    **{f"iso-8859-{part}-{way}": f"iso8859-{part}" for part in (6, 8) for way in "ei"},
}
"""What mailers call a charset beside the names that Python knows it by."""
_SEVEN_BITS = ("iso2022", "hz")
_MANY_BYTES = re.compile(r"iso2022|euc_|shift_jis|gb|hz|big5|johab|cp9(?:32|49|50)|utf-(?:16|32)")


def known(charset: str) -> str | None:
    """Python's name of the codec for this charset; None where it is none that is read."""
    if not _NAME.fullmatch(charset):
        return None
    try:
        name = codecs.lookup(_ALSO.get(charset.lower(), charset)).name
    except (LookupError, ValueError):
        return None
    return _WIDER.get(name, name) if _KNOWN.fullmatch(name) else None


def as_text(content: bytes, charset: str = "") -> tuple[str, str | None]:
    """What `content` says and what was wrong with the charset it claims, if anything was."""
    name = known(charset) if charset else "ascii"
    if name is not None:
        try:
            return content.decode(name), None
        except ValueError:
            pass
    wrong = _wrong(charset, name)
    if name is not None and name.startswith(_SEVEN_BITS) and content.isascii():
        # UTF-8 would take its shifts for letters, and glue the last of each to the id behind it
        return content.decode(name, "replace"), f"{wrong}; what does not fit was replaced"
    try:
        text, read_as = content.decode("utf-8"), "utf-8"
    except ValueError:
        if name is not None and _MANY_BYTES.match(name):
            return content.decode(name, "replace"), f"{wrong}; what does not fit was replaced"
        text, read_as = content.decode("cp1252", "replace"), "latin-1"
    if read_as == "utf-8" and name == "ascii":
        return text, None
    return text, f"{wrong}; read as {read_as}"


def _wrong(charset: str, name: str | None) -> str:
    if not charset:
        return "no charset is named and the text is not ASCII"
    return f"the charset {charset[:40]} is not known" if name is None else f"the text is not {charset[:40]}, as it claims"
