"""Errors, sorted by what to do next.

Fields are positional so that every error survives pickling (Celery sends them between processes). An exception that is
none of these is a defect: it is never taken for success.
"""

from typing import Literal

Reason = Literal[
    "too_large",
    "not_utf8",
    "not_json",
    "too_deep",
    "duplicate_key",
    "bad_number",
    "not_an_object",
    "wrong_version",
    "unknown_type",
    "missing_field",
    "bad_value",
    "from_the_future",
    "conflicting_content",
    "other_environment",
    "unsigned",
    "bad_signature",
]
"""Why a document was refused. A label of metrics and a column of the dead letters, so the list is closed."""
Unhandled = Literal[
    "unknown_customer",
    "unknown_product",
    "several_accounts",
    "conflicting_purchase",
    "conflicting_job",
    "foreign_job",
    "kills_its_worker",
    "keeps_failing",
]
"""Why a document that can be read cannot be handled. A closed list, like the reasons why one cannot be read."""


class RefundsError(Exception):
    """Root of what this project raises on purpose; `str()` is one line for a person."""


class NoGround(RefundsError):
    """What all work stands on is away or unsafe. No document and no case is at fault: nothing is counted against any, nothing
    is given up, and nobody is called about one.
    """


class Misconfigured(NoGround):
    """The ground is unsafe or a setting is wrong; nothing was done. Commands exit 2."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "; ".join(self.faults)


class Refused(RefundsError):
    """The command was understood and is not allowed or finds nothing; nothing was changed. Commands exit 1."""


class TryLater(NoGround):
    """A service is away; nothing was lost, the sweep repeats the work."""

    def __init__(self, service: str, why: str) -> None:
        super().__init__(service, why)
        self.service, self.why = service, why

    def __str__(self) -> str:
        return f"{self.service} is not reachable: {self.why}"


class OutOfTime(RefundsError):
    """The time that a task may take was over, wherever it stood: at a row that takes too long, or behind many that did not."""

    def __str__(self) -> str:
        return "the time that a task may take was over"


class Unanswered(TryLater, OutOfTime):
    """The time that a task may take was over while it waited: no row is at fault."""

    def __str__(self) -> str:
        return f"{self.service} {self.why}"


class LockedOut(TryLater):
    """A row was held by somebody else for as long as we wait: an open transaction, or a process that stands still."""

    def __str__(self) -> str:
        return f"{self.service}: {self.why}"


class TwoTimes(TryLater):
    """The database says one time and this host another, days away: nothing is decided here until one of them is set."""

    def __str__(self) -> str:
        return f"{self.service}: {self.why}"


class BrokenOff(TryLater):
    """The database ended a statement before it was done: its time was over, or somebody ended it. The database is there."""

    def __str__(self) -> str:
        return f"{self.service} ended a statement before it was done: {self.why}"


class Unread(TryLater):
    """The stream cannot be read, where the books can: what is asked of it is not answered, everything else may be."""

    def __str__(self) -> str:
        return f"{self.service} cannot be read: {self.why}"


class CannotProcess(RefundsError):
    """This document can never be handled as it stands: it goes to the dead letters with this reason."""

    def __init__(self, reason: Reason | Unhandled, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason | Unhandled = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class OfNewerRelease(RefundsError):
    """A row says what only a newer release understands: it is left alone, untouched and uncounted, for a process of that one."""


class Collision(RefundsError):
    """Somebody else wrote the same key between our look and our write; the whole unit of work is repeated."""


class InvariantBroken(RefundsError):
    """Something that cannot be is: this case stops and a person is called."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """The error as one printable line of at most `limit` characters: no newline, no control character, no traceback."""
    return plain_line(str(error) or type(error).__name__, limit)


def plain_line(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters: a text cannot break out of its line or turn the writing direction."""
    cleaned = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(cleaned.split())[:limit]
