"""What a mail is about in our own books: the account, its job, its purchase, the request it answers.

The mail only names; what it names counts where our books have it. Whose the account is decides who is asked and answered: always
the address of the account, never the sender's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, case, func, or_, select

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.known import accounts_at
from worker.cases.book.rows import FINAL
from worker.cases.money.used import paid_for
from worker.intake.mail.named import SHORTEST, read_names
from worker.intake.mail.reader import Mail
from worker.intake.mail.sender import SenderVerdict
from worker.store.bulk import Tx
from worker.store.tables import accounts, cases, layer_jobs, purchases, requests

_MOST_EARLIER = 200
"""Most earlier mails that are looked through for the one that a further mail joins."""
BESIDE = "beside"
"""Where a request keeps, among what it names, what it names of our books beside what it is about."""
UNKNOWN = "unknown"
"""And where what it calls a job or an order and our books do not hold as the account's, or not yet."""
SAID = "said"
"""And all of both that this very mail named: answers add to the other two."""
DENIED = "denied"
"""And that the account's own mailbox says that it did not write it."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a mail names, kept with it so that it can be looked up again when more is known."""

    jobs: tuple[str, ...]
    orders: tuple[str, ...]
    words: tuple[str, ...]
    addresses: tuple[str, ...]
    own: tuple[str, ...] = ()
    """Those of the words that its sender wrote, and did not only quote."""

    @classmethod
    def by(cls, mail: Mail) -> "Named":
        """What this mail names."""
        own = set(read_names(mail.subject, mail.text, mail.text).words)
        return cls(mail.jobs, mail.orders, mail.words, mail.addresses, tuple(word for word in mail.words if word in own))

    @classmethod
    def stored(cls, document: dict[str, Any]) -> "Named":
        """What a stored mail named."""
        return cls(*(tuple(document.get(name, ())) for name in ("jobs", "orders", "words", "addresses", "own")))

    def document(self) -> dict[str, list[str]]:
        """As it is stored."""
        lists = {"jobs": self.jobs, "orders": self.orders, "words": self.words, "addresses": self.addresses, "own": self.own}
        return {name: list(values) for name, values in lists.items()}

    def spelled(self, book: Mapping[str, str]) -> "Named":
        """What the mail names, spelled as our books do."""
        lists = (self.jobs, self.orders, self.words, self.addresses, self.own)
        return Named(*(tuple(dict.fromkeys(book.get(one, one) for one in ones)) for ones in lists))

    def written(self, *ids: str | None) -> bool:
        """True where the sender wrote one of these; labels count only where they did."""
        return any(one in written for written in (self.jobs, self.orders, self.own) for one in ids)

    @property
    def ids(self) -> list[str]:
        """Everything that may be an id of ours, what the mail calls one first."""
        return list(dict.fromkeys([*self.jobs, *self.orders, *self.words]))

    @property
    def telling(self) -> frozenset[str]:
        """Those that tell whose the mail is: not what is short and not called an id, which anybody may write of anything."""
        return frozenset({*self.jobs, *self.orders, *(word for word in self.words if len(word) >= SHORTEST)})


@dataclass(frozen=True, slots=True)
class About:
    """What was found. `own`: the sender's address is the account's own."""

    account_id: str | None = None
    own: bool = False
    job_id: str | None = None
    purchase_id: str | None = None
    jobs: tuple[str, ...] = ()
    bought: tuple[str, ...] = ()
    """Every job and every purchase of the account that the sender wrote of; where it is none, every one that is quoted."""
    kept: str | None = None
    """The purchase that stays valid, where it is about the duplicate of that: whoever names both means the later one."""
    unknown: tuple[str, ...] = ()
    """What the sender called a job or an order, and is none of the account's that our books hold."""
    by_name: bool = False
    """The sender wrote of one of these jobs or purchases by name; else they are only quoted."""

    @property
    def things(self) -> frozenset[str]:
        """Every job and every purchase that it names."""
        return frozenset({*self.jobs, *self.bought})

    @property
    def said(self) -> list[str]:
        """Everything that it names, known or not."""
        ids = (self.job_id, self.purchase_id, *self.jobs, *self.bought, *self.unknown)
        return list(dict.fromkeys(one for one in ids if one is not None))

    def without(self, ids: Collection[str]) -> "About":
        """What the mail is about without these ids: then about the first of what is left."""
        jobs, bought = (tuple(one for one in ones if one not in ids) for ones in (self.jobs, self.bought))
        job_id, purchase_id = (
            next(iter(left), None) if one in ids else one for one, left in ((self.job_id, jobs), (self.purchase_id, bought))
        )
        return replace(self, job_id=job_id, purchase_id=purchase_id, jobs=jobs, bought=bought)

    def only(self, ids: Collection[str]) -> "About":
        """What the mail is about, of these ids alone."""
        return self.without([one for one in (*self.things, self.job_id, self.purchase_id) if one is not None and one not in ids])

    def beside(self, tx: Tx, job_id: str | None, purchase_id: str | None) -> list[str]:
        """What the mail names beside this job, or this purchase. A mail about a job may name its order (policy.md,
        `request-by-mail`): the two are one thing where the purchase paid for the job.
        """
        named = [one for one in (*self.jobs, *self.bought) if one not in (job_id, purchase_id)]
        if job_id is None or purchase_id is None or paid_for(tx, purchase_id, job_id):
            return named
        return [purchase_id, *named]

    def others(self, tx: Tx) -> list[str]:
        """What the mail names beside what it is taken to be about, known or not."""
        return [*(one for one in self.beside(tx, self.job_id, self.purchase_id) if one != self.kept), *self.unknown]


def identify(tx: Tx, sender: str | None, named: Named) -> About:
    """The account by the sender's address, else by an address or an id that the mail names; then its job and its purchase."""
    jobs = _jobs(tx, named)
    bought = _purchases(tx, named)
    owners = accounts_at(tx, [sender] if sender else [])
    own = bool(owners)
    if not owners:
        telling = [row.account_id for row in [*jobs, *bought] if not named.telling.isdisjoint(row[:-1])]
        owners = accounts_at(tx, named.addresses) or telling
    owner = _one(tx, owners, [row.account_id for row in [*jobs, *bought]])
    if owner is None:
        return About()
    spelled = named.spelled(_spelling(tx, owner, named))
    if spelled != named:
        named, jobs, bought = spelled, _jobs(tx, spelled), _purchases(tx, spelled)
    theirs = [row for row in bought if row.account_id == owner]
    their_jobs = [row.job_id for row in jobs if row.account_id == owner]
    wrote_jobs = [job_id for job_id in their_jobs if named.written(job_id)]
    wrote_of = [row.purchase_id for row in theirs if named.written(*row[:3])]
    by_name = bool(wrote_jobs or wrote_of)
    if not by_name:
        # "both orders below": what is quoted is then what the sender means, and none of it goes before the rest
        wrote_jobs, wrote_of = their_jobs, [row.purchase_id for row in theirs]
    kept = duplicates(tx, owner) if len(wrote_of) > 1 else {}
    later = [one for one in wrote_of if kept.get(one) in wrote_of]
    # a job that is only quoted goes along with an order that was written of
    job = next(iter([*wrote_jobs, *their_jobs]), None)
    # of several orders beside a job its own; one that is only quoted beside what was written is none of the mail's, unless it is
    # the job's
    its_own = [row.purchase_id for row in theirs if job is not None and paid_for(tx, row.purchase_id, job)]
    purchase = next(iter([*its_own, *later, *wrote_of]), None)
    known = {*their_jobs, *(one for row in theirs for one in row[:3])}
    unknown = tuple(one for one in dict.fromkeys([*named.jobs, *named.orders]) if one not in known)
    return About(owner, own, job, purchase, tuple(wrote_jobs), tuple(wrote_of), kept.get(purchase or ""), unknown, by_name)


def duplicates(tx: Tx, account_id: str) -> dict[str, str]:
    """The account's charges that are taken for duplicates or were, each with the one that stays valid, as purchases. Not those of
    which it was said that they are none.
    """
    none = (CaseState.DECLINED.value, CaseState.NOTHING_OWED.value)
    ours = cases.c.account_id == account_id, cases.c.kind == CaseKind.DUPLICATE_CHARGE.value
    rows = tx.all(select(cases.c.subject, cases.c.facts).where(*ours, cases.c.state.not_in(none)).order_by(cases.c.case_id))
    first = {row.subject: (row.facts or {}).get("first") for row in rows}
    return {later: kept["purchase_id"] for later, kept in first.items() if kept is not None}


def charged_again(first_of: Mapping[str, str], purchase_id: str) -> tuple[str, ...]:
    """The duplicates of this purchase, which stays valid, of the account's `duplicates`."""
    return tuple(later for later, first in first_of.items() if first == purchase_id)


def open_case_of(tx: Tx, about: About, *, confirmed: bool) -> Row[Any] | None:
    """The open case that the mail belongs to, if any.

    A mail about one thing belongs to the open case of that job, or of that purchase as a duplicate charge. Failing that,
    or where it names several things, it joins an earlier mail about the same that waits for a person or is parked for this very
    word; but only if it is confirmed.
    """
    wanted = []
    if about.others(tx):
        return next(iter(_earlier(tx, about)), None) if confirmed else None
    if about.job_id is not None:
        wanted.append((cases.c.kind == CaseKind.JOB.value) & (cases.c.subject == about.job_id))
    elif about.purchase_id is not None:
        wanted.append((cases.c.kind == CaseKind.DUPLICATE_CHARGE.value) & (cases.c.subject == about.purchase_id))
    if not wanted:
        return None
    still_open = cases.c.state.not_in(FINAL)
    rows = tx.all(select(cases).where(or_(*wanted), still_open)) or (_earlier(tx, about) if confirmed else ())
    return rows[0] if rows else None


def _earlier(tx: Tx, about: About) -> Sequence[Row[Any]]:
    """The case of an earlier mail that this one joins: one that a person has and that names as much, else the first that is
    parked with the same, for it is the time of that one that counts; none that the account says it did not write.
    """
    same = requests.c.job_id == about.job_id
    if about.job_id is None:
        same = requests.c.job_id.is_(None) & (requests.c.purchase_id == about.purchase_id)
    opened = requests.c.request_id == cases.c.subject
    asked = select(cases).join(requests, opened).where(cases.c.kind == CaseKind.REQUEST.value, same)
    by_people, parked = cases.c.state == CaseState.REVIEW.value, cases.c.state == CaseState.WAITING.value
    waits = or_(by_people, parked & requests.c.automatic.is_(False))
    theirs = asked.where(cases.c.account_id == about.account_id, waits).add_columns(requests.c.named)
    rows = tx.all(theirs.order_by(case((by_people, 0), else_=1), cases.c.opened_at).limit(_MOST_EARLIER))
    rows = [row for row in rows if not row.named.get(DENIED)]
    others = {*about.beside(tx, about.job_id, about.purchase_id), *about.unknown}
    of_nothing = about.job_id is None and about.purchase_id is None
    return [row for row in rows if _names(row, others, exactly=of_nothing or row.state != CaseState.REVIEW.value)][:1]


def continued(tx: Tx, about: About, answers: Sequence[str]) -> Sequence[Row[Any]]:
    """The case that a further mail of the account, vouched for, goes on with; empty where there is none.

    It completes an earlier mail that named nothing our books hold, where all that it names was there by then. Else it goes to the
    case of the mail that it answers, where it names nothing itself. Only confirmed mails are gone on with: anybody may have
    written another.
    """
    theirs = cases.c.account_id == about.account_id, requests.c.confirmed_at.is_not(None), requests.c.automatic.is_(False)
    if about.things:
        earlier = next((row for row in _lacking(tx, theirs, answers) if _there_by(tx, about, row.received_at)), None)
        if earlier is not None and open_case_of(tx, about, confirmed=True) is None:
            return [earlier]
    if about.by_name or about.unknown or not answers:
        return ()
    on_top = select(cases).join(requests, requests.c.case_id == cases.c.case_id).where(*theirs)
    rows = tx.all(on_top.where(tx.among(requests.c.message_id, answers)).order_by(requests.c.received_at.desc()).limit(1))
    return () if about.things and any(row.state == CaseState.WAITING.value for row in rows) else rows


def _lacking(tx: Tx, theirs: Sequence[ColumnElement[bool]], answers: Sequence[str]) -> list[Row[Any]]:
    """The parked mails among these that name nothing that our books hold, the one that is answered first. One that calls
    something an order is completed only by an answer to it.
    """
    opened = cases.c.kind == CaseKind.REQUEST.value, cases.c.state == CaseState.WAITING.value, *theirs
    nothing = requests.c.job_id.is_(None), requests.c.purchase_id.is_(None)
    asked = select(cases).join(requests, requests.c.request_id == cases.c.subject).where(*opened, *nothing)
    columns = requests.c.received_at, requests.c.message_id, requests.c.named
    rows = tx.all(asked.add_columns(*columns).order_by(requests.c.received_at).limit(_MOST_EARLIER))
    fits = [row for row in rows if row.message_id in answers or not row.named.get(UNKNOWN)]
    return sorted(fits, key=lambda row: row.message_id not in answers)


def _there_by(tx: Tx, about: About, at: datetime) -> bool:
    """True where everything that it names was there at `at`: what was bought later was not asked for by then."""
    p, j = purchases.c, layer_jobs.c
    bought = tx.all(select(p.purchase_id).where(tx.among(p.purchase_id, about.bought), p.paid_at <= at))
    ran = tx.all(select(j.job_id).where(tx.among(j.job_id, about.jobs), j.submitted_at <= at))
    return len(bought) + len(ran) == len(about.things)


def _names(row: Row[Any], others: set[str], *, exactly: bool) -> bool:
    """Whether the earlier mail names these `others` as well, known or not; `exactly`: and nothing else."""
    named = {*row.named.get(BESIDE, ()), *row.named.get(UNKNOWN, ())}
    return others == named if exactly else others <= named


def completed(tx: Tx, request: Row[Any], about: About, **named: Sequence[str]) -> dict[str, Any]:
    """What the request is about and names, completed by what was found since; of what it `named` these lists are new."""
    known = {"job_id": request.job_id or about.job_id, "purchase_id": request.purchase_id or about.purchase_id}
    new = {**named, BESIDE: [*request.named.get(BESIDE, ()), *about.beside(tx, **known)]}
    return {**known, "named": {**request.named, **{name: list(dict.fromkeys(found)) for name, found in new.items()}}}


def confirmed(about: About, mail: Mail | Row[Any]) -> bool:
    """True where our own mail host vouches that the account's own address wrote, and a person did: what a stranger makes a
    mailbox answer by itself is vouched for as well.
    """
    return about.own and mail.verdict == SenderVerdict.VERIFIED and not mail.automatic


def _one(tx: Tx, owners: Sequence[str], hinted: Sequence[str]) -> str | None:
    """The one owner; of several with the same address, the one whose job or purchase the mail names; where it names none of any,
    the one that is not deleted.
    """
    distinct = list(dict.fromkeys(owners))
    if len(distinct) < 2:
        return next(iter(distinct), None)
    fits = [owner for owner in distinct if owner in hinted]
    if not fits:
        there = select(accounts.c.account_id).where(tx.among(accounts.c.account_id, distinct), accounts.c.status != "deleted")
        fits = [row.account_id for row in tx.all(there)]
    return fits[0] if len(fits) == 1 else None


def _jobs(tx: Tx, named: Named) -> list[Row[Any]]:
    rows = tx.all(select(layer_jobs.c.job_id, layer_jobs.c.account_id).where(tx.among(layer_jobs.c.job_id, named.ids)))
    return sorted(rows, key=lambda row: named.ids.index(row.job_id))


def _purchases(tx: Tx, named: Named) -> list[Row[Any]]:
    p, ids = purchases.c, named.ids
    columns = (p.purchase_id, p.order_id, p.transaction_id, p.account_id)
    # three lookups by key instead of one scan for any of three
    found: dict[str, Row[Any]] = {}
    for column in (p.purchase_id, p.order_id, p.transaction_id):
        for row in tx.all(select(*columns).where(tx.among(column, ids))):
            found.setdefault(row.purchase_id, row)
    return sorted(found.values(), key=lambda row: min(ids.index(x) for x in row[:3] if x in ids))


def _spelling(tx: Tx, account_id: str, named: Named) -> dict[str, str]:
    """As our books spell what the mail names in other capitals, where that is one thing alone of the account's: telephones begin
    a line with a capital.
    """
    j, p = layer_jobs.c, purchases.c
    found: dict[str, dict[str, str]] = {}
    names = ((j.job_id, j.job_id), *((p.purchase_id, name) for name in (p.purchase_id, p.order_id, p.transaction_id)))
    for thing, name in names:
        alike = tx.among(func.lower(name, type_=Text), [one.lower() for one in named.ids])
        for row in tx.all(select(thing.label("thing"), name.label("name")).where(thing.table.c.account_id == account_id, alike)):
            found.setdefault(row.name.lower(), {})[row.thing] = row.name
    exact = {name for things in found.values() for name in things.values()}
    other = [one for one in named.ids if one not in exact and len(found.get(one.lower(), ())) == 1]
    return {one: next(iter(found[one.lower()].values())) for one in other}
