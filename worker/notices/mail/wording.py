"""What the templates are given: every value already in words, cleaned, and no more than the letter may tell."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from policy import Clause, clause_text
from policy.words import count, money
from worker.errors import plain_line
from worker.notices.mail.notice import About, Letter, NoticeKind

LISTED = 50
"""How many cases one letter lists. The rest is counted."""
REASON_LIMIT, ID_LIMIT = 600, 100

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
"""Not from `strftime`, which follows the locale of the host."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_ACCOUNT = {NoticeKind.SUSPENSION, NoticeKind.FORFEITURE, NoticeKind.REINSTATED}
_FITS = {
    NoticeKind.CREDITS_RETURNED: {Clause.FAILED_JOB, Clause.INCOMPLETE_OUTPUT},
    NoticeKind.MONEY_SENT: {Clause.DUPLICATE_CHARGE, Clause.REQUEST_WINDOW, Clause.ORIGINAL_METHOD},
    NoticeKind.DECLINED: {
        Clause.WINDOW_PASSED,
        Clause.PASS_USED,
        Clause.RENEWAL_NOT_CANCELLED,
        Clause.OUTPUT_USED,
        Clause.DISPUTE_HOLD,
    },
}
"""What of the policy bears out a person's decision; the clause of the case is that of the policy's own, which may differ."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case in a letter. `why` is empty where the whole letter has one reason."""

    what: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Group:
    """The cases that rest on one clause, in its words; empty where they rest on none, or all in the letter on the same."""

    clause: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A letter's values in words; a text that does not apply is empty."""

    reference: str = ""
    size: str = ""
    many: bool = False
    asked: bool = True
    credits: str = ""
    are: str = "are"
    money: str = ""
    what: str = ""
    groups: tuple[Group, ...] = ()
    more: int = 0
    why: str = ""
    clause: str = ""
    due: str = ""
    late: bool = False


def view_of(letter: Letter) -> View:
    """What the letter says. Raises `ValueError` for a letter that would say nothing, or something that cannot be true."""
    reference = letter.reference or ""
    if letter.kind is NoticeKind.QUESTION:
        if not reference:
            raise ValueError("a question needs a reference: an answer could not be told to its request")
        # the address may not be the account's owner: nothing of the case goes into the letter
        return View(reference)
    if not letter.about:
        raise ValueError(f"a letter of kind {letter.kind} has to be about something")
    for about in letter.about:
        _check(letter.kind, about)
    if letter.kind is NoticeKind.CREDITS_RETURNED and not any(about.credits for about in letter.about):
        raise ValueError("a letter about returned credits needs credits")
    if letter.kind is NoticeKind.MONEY_SENT and not any(about.amount for about in letter.about):
        raise ValueError("a letter about sent money needs an amount")
    reasons = [_clean(about.reason or "", REASON_LIMIT) for about in letter.about]
    why = reasons[0] if len(set(reasons)) == 1 else ""
    value = _VALUE.get(letter.kind, _no_value)
    quotes = _quotes(letter)
    clause = quotes[0] if len(set(quotes)) == 1 else ""
    listed: dict[str, list[Row]] = {"": []}
    for about, reason, quote in zip(letter.about[:LISTED], reasons, quotes, strict=False):
        # what rests on no clause comes first, where nothing is quoted above it
        listed.setdefault("" if clause else quote, []).append(Row(_what(about), value(about), "" if why else reason))
    credits = sum(about.credits for about in letter.about)
    due = [about.due_at for about in letter.about if about.due_at]
    ahead = [moment for moment in due if moment > letter.at]
    return View(
        reference=reference,
        size=_size(letter.about),
        many=len(letter.about) > 1,
        asked=all(about.asked for about in letter.about),
        credits=count(credits, "credit") if credits else "",
        are="is" if credits == 1 else "are",
        money=_total(letter.about),
        what=_what(letter.about[0]),
        groups=tuple(Group(quote, tuple(rows)) for quote, rows in listed.items() if rows),
        more=max(0, len(letter.about) - LISTED),
        why=why,
        clause=clause,
        due=in_words(max(ahead)) if ahead else "",
        late=bool(due) and not ahead,
    )


def subject_of(kind: NoticeKind, view: View) -> str:
    """The subject line, with the reference in brackets before it where the letter has one."""
    subject = _SUBJECT[kind](view)
    return f"[{view.reference}] {subject}" if view.reference else subject


def in_words(moment: datetime) -> str:
    """A moment as people write it: `Friday, 12 December 2025, 17:00 UTC`. Raises `ValueError` for one without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a time in a letter needs its zone")
    utc = moment.astimezone(UTC)
    return f"{_DAYS[utc.weekday()]}, {utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M} UTC"


_SUBJECT: dict[NoticeKind, Callable[[View], str]] = {
    NoticeKind.CREDITS_RETURNED: lambda view: f"{view.credits} {view.are} back on your account",
    NoticeKind.RERUN_DELIVERED: lambda view: f"We ran your {'jobs' if view.many else 'job'} again, free of charge",
    NoticeKind.DECLINED: lambda view: (
        f"Your {_called(view)} {'were' if view.many else 'was'} declined"
        if view.asked
        else f"Your {_called(view)}: no refund is due"
    ),
    NoticeKind.IN_REVIEW: lambda view: f"A person will look at your {'cases' if view.many else 'case'}",
    NoticeKind.MONEY_SENT: lambda view: f"We sent you a refund of {view.money}",
    NoticeKind.QUESTION: lambda view: "Did you send us an email?",
    NoticeKind.SUSPENSION: lambda view: "Your account was suspended",
    NoticeKind.FORFEITURE: lambda view: "The remaining credits on your account were forfeited",
    NoticeKind.REINSTATED: lambda view: "Your account is open again",
    NoticeKind.SETTLED: lambda view: f"Your {_called(view)}: nothing more is owed",
}
_VALUE: dict[NoticeKind, Callable[[About], str]] = {
    NoticeKind.CREDITS_RETURNED: lambda about: count(about.credits, "credit") if about.credits else "",
    NoticeKind.MONEY_SENT: lambda about: money(about.amount, about.currency) if about.amount else "",
}


def _called(view: View) -> str:
    """What the customer calls it: a request only where they wrote."""
    called = "refund request" if view.asked else "case"
    return f"{called}s" if view.many else called


def _no_value(about: About) -> str:
    return ""


def _check(kind: NoticeKind, about: About) -> None:
    if about.credits < 0 or about.amount < 0:
        raise ValueError("credits and money in a letter are never negative")
    if about.due_at is not None and about.due_at.tzinfo is None:
        raise ValueError("a time in a letter needs its zone")
    if about.amount and not _CURRENCY.fullmatch(about.currency):
        raise ValueError("a currency is three capital letters, like USD")
    if kind is NoticeKind.DECLINED and not (about.clause and _clean(about.reason or "", REASON_LIMIT)):
        raise ValueError("a letter that declines needs the reason and the clause of every case")


def _quotes(letter: Letter) -> list[str]:
    """For each case the clause that is quoted of it, in words; empty where none is."""
    try:
        return [_quote(letter.kind, about) for about in letter.about]
    except ValueError:
        raise ValueError("the policy has no such clause") from None


def _quote(kind: NoticeKind, about: About) -> str:
    if about.clause and _is_quoted(kind, about):
        return clause_text(Clause(about.clause), about.terms)
    # the only clause under which an account is touched
    return clause_text(Clause.DISPUTE_ABUSE, about.terms) if kind in _ACCOUNT else ""


def _is_quoted(kind: NoticeKind, about: About) -> bool:
    """Whether the clause of the case bears out what the letter says; one that says the opposite is not quoted."""
    if kind is NoticeKind.RERUN_DELIVERED:
        # of a job that failed the policy says that its credits come back
        return about.clause != Clause.FAILED_JOB
    if kind is NoticeKind.SETTLED and about.clause == Clause.REQUEST_WINDOW:
        # within the time or after it, nothing is owed
        return False
    return not about.by_person or kind in _ACCOUNT or about.clause in _FITS.get(kind, ())


def _what(about: About) -> str:
    job, order = _clean(about.job_id or "", ID_LIMIT), _clean(about.order_id or "", ID_LIMIT)
    if job:
        return f"job {job} (order {order})" if order else f"job {job}"
    return f"order {order}" if order else f"case {_clean(about.case_id, ID_LIMIT)}"


def _size(about: tuple[About, ...]) -> str:
    if all(each.job_id for each in about):
        return count(len(about), "job")
    orders = all(each.order_id and not each.job_id for each in about)
    return count(len(about), "order" if orders else "case")


def _total(about: tuple[About, ...]) -> str:
    sums: Counter[str] = Counter()
    for each in about:
        sums[each.currency] += each.amount
    return " and ".join(money(amount, currency) for currency, amount in sorted(sums.items()) if amount)


def _clean(text: str, limit: int) -> str:
    """One printable line that does not flood the letter."""
    line = plain_line(text, limit + 1)
    return line if len(line) <= limit else f"{line[:limit]}..."
