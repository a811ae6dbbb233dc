"""What a failure code is, as a text: what is kept of a producer's, and so what the terms may list."""

import re

LONGEST = 64
# no line of a log or a letter holds these, and NUL and half a character are stored by no database
_IN_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def failure_code(said: str) -> str:
    """The code that a producer's text is: no blanks around it, cut at 64 characters, U+FFFD for each that no text may hold.

    Empty where nothing is left. A code is its own: put in again it comes out the same.
    """
    return _IN_NO_TEXT.sub("\ufffd", said.strip()[:LONGEST].rstrip())
