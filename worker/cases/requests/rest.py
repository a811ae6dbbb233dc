"""What the mails of a request ask for beside what a person decided of it: each other thing is a request of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, select, update

from worker.cases.book.bench import Bench
from worker.cases.book.book import WORKER, Case
from worker.cases.money.facts import charge_of
from worker.cases.money.used import paid_for
from worker.cases.requests.facts import names_of
from worker.cases.requests.identify import BESIDE, OF_MAIL, SAID, UNKNOWN, About, Named, duplicates
from worker.cases.requests.joins import open_case_of
from worker.cases.requests.register import asks_for, by_owner, confirm, first_of, new_reference, open_request, parked
from worker.clock import new_id
from worker.store.bulk import Tx
from worker.store.history import line
from worker.store.tables import case_history, cases, evidence, layer_jobs, requests


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing that a mail may ask for: a job, a purchase, or a job with the purchase that paid for it."""

    job_id: str | None
    purchase_id: str | None

    @property
    def ids(self) -> list[str]:
        """Both, as far as there are both."""
        return [one for one in (self.job_id, self.purchase_id) if one is not None]

    def about(self, account_id: str) -> About:
        """A mail of this account that asks for this and nothing else."""
        jobs, bought = (() if of is None else (of,) for of in (self.job_id, self.purchase_id))
        return About(account_id, True, self.job_id, self.purchase_id, jobs, bought)


def leave_the_rest(tx: Tx, bench: Bench, case: Case, *, money: bool, given: bool, now: datetime) -> None:
    """A person decides one thing of this case now; whatever else its mails ask for becomes a request of its own, received when
    the first mail that names it came. `money`: the purchase is decided, even beside a job that it did not pay for. Where nothing
    is `given` and the account never confirmed the mail, the rest ends with the case.

    To be called before the case is written, behind the lock of its account.
    """
    first = first_of(tx, case.subject)
    if first.confirmed_at is None and not given:
        return
    decided = _decided(tx, first, money=money)
    rest = _rest(tx, first, decided)
    if not rest:
        return
    values = {"job_id": decided.job_id, "purchase_id": decided.purchase_id, "named": {**first.named, BESIDE: []}}
    tx.connection.execute(update(requests).where(requests.c.request_id == first.request_id).values(**values))
    case.job_id = decided.job_id
    if decided.purchase_id != first.purchase_id:
        # it was that of the other thing; a job is called by its own name
        case.order_id = None
    mails = by_owner(tx, case.case_id)
    put = [(thing, _put(tx, bench, case, thing, _asked_in(tx, thing, mails, first), now)) for thing in rest]
    case.note("request.rest", **{" and ".join(thing.ids): case_id for thing, case_id in put})


def _decided(tx: Tx, first: Row[Any], *, money: bool) -> Thing:
    whole = Thing(first.job_id, first.purchase_id)
    if first.job_id is None or first.purchase_id is None or paid_for(tx, first.purchase_id, first.job_id):
        return whole
    return Thing(None, first.purchase_id) if money else Thing(first.job_id, None)


def _rest(tx: Tx, first: Row[Any], decided: Thing) -> list[Thing]:
    named = dict.fromkeys(one for one in (first.job_id, first.purchase_id, *first.named.get(BESIDE, ())) if one is not None)
    # of a charge and its duplicate the duplicate is meant; the one that stays valid is no other thing
    kept = duplicates(tx, first.account_id) if first.account_id is not None else {}
    ids = [one for one in named if one not in {*decided.ids, *(kept.get(each) for each in named)}]
    jobs = {row.job_id for row in tx.all(select(layer_jobs.c.job_id).where(tx.among(layer_jobs.c.job_id, ids)))}
    bought, found = [one for one in ids if one not in jobs], []
    for job_id in (one for one in ids if one in jobs):
        purchase_id = next((one for one in bought if paid_for(tx, one, job_id)), None)
        bought = [one for one in bought if one != purchase_id]
        found.append(Thing(job_id, purchase_id))
    return found + [Thing(None, one) for one in bought]


def _asked_in(tx: Tx, thing: Thing, mails: Sequence[Row[Any]], first: Row[Any]) -> Row[Any]:
    """The mail that the thing was first asked for in: it keeps the time of that one (decision 64)."""
    charge = charge_of(tx, thing.purchase_id) if thing.purchase_id is not None else None
    ids = names_of(thing.job_id, charge)
    return next((mail for mail in mails if asks_for(mail, ids)), first)


def _put(tx: Tx, bench: Bench, was_with: Case, thing: Thing, mail: Row[Any], now: datetime) -> str:
    """The case that the mail, as one about this thing alone, is with: the open one about that, else one of its own."""
    key = sha256(f"{mail.key} {' '.join(thing.ids)}".encode()).hexdigest()
    before = tx.first(select(requests.c.case_id).where(requests.c.key == key))
    if before is not None:
        return str(before.case_id)
    request = {
        **mail._asdict(),
        "request_id": new_id("req", now),
        "key": key,
        # who answers the mail answers the one that came
        "message_id": None,
        "named": {**mail.named, BESIDE: [], UNKNOWN: [], SAID: thing.ids, OF_MAIL: mail.named.get(OF_MAIL, mail.key)},
        "job_id": thing.job_id,
        "purchase_id": thing.purchase_id,
        "reference": new_reference(),
    }
    about = thing.about(was_with.account_id)
    standing = open_case_of(tx, about, confirmed=mail.confirmed_at is not None)
    if standing is not None and standing.account_id == was_with.account_id:
        request["case_id"] = standing.case_id
        tx.insert(requests, [request])
        told = {"request_id": request["request_id"], "verdict": mail.verdict, "automatic": mail.automatic}
        tx.insert(case_history, [line(standing.case_id, "request.attached", WORKER, now, **told, was_with=was_with.case_id)])
        _wake_parked(tx, standing, about, now)
    else:
        # judged by the sweep, with the promise and the place in the queue of the mail
        since = mail.received_at
        case = open_request(tx, bench, request, was_with.account_id, since=since, now=now, was_with=was_with.case_id)
        request["case_id"] = case.case_id
        tx.insert(requests, [request])
    # what came with the mail is needed for as long as something of it is undecided; from there on the sweep hands it on
    files = evidence.c.request_id == mail.request_id, evidence.c.state == "kept"
    moved = {"request_id": request["request_id"], "case_id": request["case_id"]}
    tx.connection.execute(update(evidence).where(*files).values(**moved))
    return str(request["case_id"])


def _wake_parked(tx: Tx, standing: Row[Any], about: About, now: datetime) -> None:
    """A parked request that waited for this word of the account's own mailbox is confirmed, and judged by the sweep."""
    if not parked(standing):
        return
    confirm(tx, standing.subject, Named(), about, "", now)
    tx.connection.execute(update(cases).where(cases.c.case_id == standing.case_id).values(next_action_at=now))
