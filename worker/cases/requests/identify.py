"""What a mail is about in our own books: the account, its job, its purchase, the request it answers.

The mail only names; what it names counts where our books have it. Whose the account is decides who is asked and answered: always
the address of the account, never the sender's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, func, literal, select

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.known import accounts_at
from worker.cases.money.used import paid_for
from worker.intake.mail.named import SHORTEST, marked, read_names
from worker.intake.mail.reader import Mail
from worker.intake.mail.sender import SenderVerdict
from worker.store.bulk import Tx
from worker.store.tables import accounts, cases, layer_jobs, purchases, requests

BESIDE = "beside"
"""Key in `requests.named`: what of our books the mail, or an answer to it, names beside what it is about."""
UNKNOWN = "unknown"
"""Key there: what these call a job or an order, and our books do not hold as the account's, or not yet."""
SAID = "said"
"""Key there: everything that this very mail named, known or not, without what answers add."""
DENIED = "denied"
"""Key there: true where the account's own mailbox said that it did not write the mail."""
OF_MAIL = "of_mail"
"""Key there, of a request that is one other thing of a mail: the key of that mail."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a mail names, kept with it under these names so that it can be looked up again when more is known."""

    jobs: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
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
        return cls(*(tuple(document.get(field.name, ())) for field in fields(cls)))

    def document(self) -> dict[str, list[str]]:
        """As it is stored."""
        return {name: list(values) for name, values in asdict(self).items()}

    def spelled(self, book: Mapping[str, str]) -> "Named":
        """What the mail names, spelled as our books do."""
        return Named(*(tuple(dict.fromkeys(book.get(one, one) for one in ones)) for ones in astuple(self)))

    def written(self, *ids: str | None) -> bool:
        """True where the sender wrote one of these; labels count only where they did."""
        return any(one in written for written in (self.jobs, self.orders, self.own) for one in ids)

    @property
    def ids(self) -> list[str]:
        """Everything that may be an id of ours, what the mail calls one first."""
        return list(dict.fromkeys([*self.jobs, *self.orders, *self.words]))

    @property
    def telling(self) -> frozenset[str]:
        """Those that tell whose the mail is: not what is short or letters alone, which anybody may write of anything."""
        return frozenset({*self.jobs, *self.orders, *(word for word in self.words if len(word) >= SHORTEST and marked(word))})


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
    jobs, bought = _jobs(tx, named), _purchases(tx, named)
    owners = accounts_at(tx, [sender] if sender else [])
    own = bool(owners)
    if not owners:
        telling = [row.account_id for row in [*jobs, *bought] if not named.telling.isdisjoint(row[:3])]
        owners = accounts_at(tx, named.addresses) or telling
    owner = _one(tx, owners, [row.account_id for row in [*jobs, *bought]])
    if owner is None:
        return About()
    spelled = named.spelled(_spelling(tx, owner, named))
    if spelled != named:
        named, jobs, bought = spelled, _jobs(tx, spelled), _purchases(tx, spelled)
    theirs = [row for row in bought if row.account_id == owner]
    its_jobs = [row.job_id for row in jobs if row.account_id == owner]
    if not its_jobs:
        # an order beside a job is that of the purchase which paid for the job
        theirs = list({row.purchase_id: row for row in (_last_by_order(tx, row, named) for row in theirs)}.values())
    return _about(tx, owner, own, named, its_jobs, theirs)


def _about(tx: Tx, owner: str, own: bool, named: Named, jobs: Sequence[str], bought: Sequence[Row[Any]]) -> About:
    """What a mail that names these jobs and purchases of its account is about."""
    wrote_jobs = [job_id for job_id in jobs if named.written(job_id)]
    wrote_of = [row.purchase_id for row in bought if named.written(*row[:3])]
    by_name = bool(wrote_jobs or wrote_of)
    if not by_name:
        # "both orders below": what is quoted is then what the sender means, and none of it goes before the rest
        wrote_jobs, wrote_of = list(jobs), [row.purchase_id for row in bought]
    kept = duplicates(tx, owner) if len(wrote_of) > 1 else {}
    later = [one for one in wrote_of if kept.get(one) in wrote_of]
    # a job that is only quoted goes along with an order that was written of
    job = next(iter([*wrote_jobs, *jobs]), None)
    # of several orders beside a job its own; one that is only quoted beside what was written is none of the mail's, unless it is
    # the job's
    its_own = [row.purchase_id for row in bought if job is not None and paid_for(tx, row.purchase_id, job)]
    purchase = next(iter([*its_own, *later, *wrote_of]), None)
    known = {*jobs, *(one for row in bought for one in row[:3])}
    unknown = tuple(one for one in dict.fromkeys([*named.jobs, *named.orders]) if one not in known)
    return About(owner, own, job, purchase, tuple(wrote_jobs), tuple(wrote_of), kept.get(purchase or ""), unknown, by_name)


def duplicates(tx: Tx, account_id: str) -> dict[str, str]:
    """The account's purchases that are duplicates, each with the one that stays valid; without those found to be none."""
    none = (CaseState.DECLINED.value, CaseState.NOTHING_OWED.value)
    ours = cases.c.account_id == account_id, cases.c.kind == CaseKind.DUPLICATE_CHARGE.value
    rows = tx.all(select(cases.c.subject, cases.c.facts).where(*ours, cases.c.state.not_in(none)).order_by(cases.c.case_id))
    first = {row.subject: (row.facts or {}).get("first") for row in rows}
    return {later: kept["purchase_id"] for later, kept in first.items() if kept is not None}


def charged_again(first_of: Mapping[str, str], purchase_id: str) -> tuple[str, ...]:
    """The duplicates of this purchase, which stays valid, of the account's `duplicates`."""
    return tuple(later for later, first in first_of.items() if first == purchase_id)


def about_same(job_id: str | None, purchase_id: str | None) -> ColumnElement[bool]:
    """That a mail is about this job; of one about none, that it is about this purchase."""
    r = requests.c
    return r.job_id == job_id if job_id is not None else r.job_id.is_(None) & (r.purchase_id == purchase_id)


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
    columns = (p.purchase_id, p.order_id, p.transaction_id, p.account_id, p.subscription_id)
    # three lookups by key instead of one scan for any of three
    found: dict[str, Row[Any]] = {}
    for column in (p.purchase_id, p.order_id, p.transaction_id):
        for row in tx.all(select(*columns).where(tx.among(column, ids))):
            found.setdefault(row.purchase_id, row)
    return sorted(found.values(), key=lambda row: min(ids.index(x) for x in row[:3] if x in ids))


def _last_by_order(tx: Tx, row: Row[Any], named: Named) -> Row[Any]:
    """What whoever names this purchase means. A renewal makes no order of its own (creem-api.md, 5): of a subscription that is
    named by its order alone, that is the last charge.
    """
    if row.subscription_id is None or not {row.purchase_id, row.transaction_id}.isdisjoint(named.ids):
        return row
    p = purchases.c
    columns = (p.purchase_id, literal(row.order_id).label("order_id"), p.transaction_id, p.account_id, p.subscription_id)
    of_it = select(*columns).where(p.account_id == row.account_id, p.subscription_id == row.subscription_id)
    return tx.one(of_it.order_by(p.paid_at.desc(), p.purchase_id.desc()).limit(1))


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
