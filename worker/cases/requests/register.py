"""The rows of mails: what a mail says and was found to be about, and what answers make of the first of its case."""

import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.bench import Bench
from worker.cases.book.book import WORKER, Case, shown_account
from worker.cases.book.casework import open_case
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.requests.identify import BESIDE, DENIED, SAID, UNKNOWN, About, Named, completed
from worker.clock import new_id
from worker.intake.mail.denial import denies
from worker.intake.mail.named import marked
from worker.intake.mail.reader import Mail
from worker.store.bulk import Tx
from worker.store.tables import cases, requests


class Taken(StrEnum):
    """What became of a mail."""

    OPENED = "opened"
    ATTACHED = "attached"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class TakenMail:
    """What became of a mail, and the case it is with."""

    outcome: Taken
    request_id: str
    case_id: str
    state: str
    account_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Which way a mail came, and when it was received."""

    origin: str
    at: datetime


def record_of(
    tx: Tx, mail: Mail, named: Named, about: About, arrival: Arrival, now: datetime, *, confirmed: bool
) -> dict[str, Any]:
    """The row of this mail; `confirmed`: the account's own mailbox has it now that it wrote it."""
    unreadable = mail.sender is None and not mail.text and not any(map(marked, named.ids))
    return {
        "request_id": new_id("req", now),
        "key": mail.key,
        "case_id": None,
        "origin": arrival.origin,
        "received_at": arrival.at,
        "message_id": mail.message_id,
        "sender": mail.sender,
        "verdict": mail.verdict.value,
        "verdict_detail": mail.verdict_detail,
        "automatic": mail.automatic,
        "subject": mail.subject,
        "text": mail.text,
        "named": {
            **named.document(),
            "unreadable": unreadable,
            "report": mail.report,
            BESIDE: about.beside(tx, about.job_id, about.purchase_id),
            UNKNOWN: list(about.unknown),
            SAID: about.said,
        },
        "problems": list(mail.problems),
        "size": mail.size,
        "account_id": about.account_id,
        "job_id": about.job_id,
        "purchase_id": about.purchase_id,
        "reference": new_reference(),
        "confirmed_at": now if confirmed else None,
    }


def new_reference() -> str:
    """What an answer to a question about a mail has to carry."""
    return f"R-{''.join(secrets.choice('23456789ABCDEFGHJKMNPQRSTVWXYZ') for _ in range(16))}"


def open_request(
    tx: Tx, bench: Bench, request: Mapping[str, Any], account_id: str, *, since: datetime, now: datetime, **noted: Any
) -> Case:
    """The case of this mail, which is in the books, open `since` then and not yet judged; `noted` stands in its history. The row
    of the mail comes after it, for it points to the case, and the judging after both, for the facts are read from the row.
    """
    case = open_case(bench, CaseKind.REQUEST, request["request_id"], account_id, since=since, now=since, job_id=request["job_id"])
    case.note("case.opened", request_id=case.subject, verdict=request["verdict"], **noted)
    case.state, case.reason, case.next_action_at = CaseState.WAITING, "not yet judged", now
    write_cases(tx, [case], now, WORKER)
    return case


def confirm(tx: Tx, request_id: str, named: Named, about: About, text: str, now: datetime) -> None:
    """The first mail is confirmed, and completed by what the answer names; or it is denied, where the `text` of the answer says
    that somebody else wrote it. A mail that was denied is confirmed by no later answer: a person has it.
    """
    one, first = requests.c.request_id == request_id, first_of(tx, request_id)
    if denied(first, text):
        tx.connection.execute(update(requests).where(one).values(named={**first.named, DENIED: True}))
        return
    # what the answer calls a job or an order is looked up again with what the first mail did
    more = {"jobs": named.jobs, "orders": named.orders, UNKNOWN: about.unknown}
    values = completed(tx, first, about, **{name: [*first.named.get(name, ()), *found] for name, found in more.items()})
    tx.connection.execute(update(requests).where(one).values(confirmed_at=first.confirmed_at or now, **values))


def first_of(tx: Tx, request_id: str) -> Row[Any]:
    """The row of this mail: the first of its case."""
    return tx.one(select(requests).where(requests.c.request_id == request_id))


def by_owner(tx: Tx, case_id: str) -> Sequence[Row[Any]]:
    """The mails of this case that the account's own mailbox wrote, in the order received."""
    r = requests.c
    confirmed = r.case_id == case_id, r.automatic.is_(False), r.confirmed_at.is_not(None)
    return tx.all(select(requests).where(*confirmed).order_by(r.received_at))


def asks_for(mail: Row[Any], ids: Set[str]) -> bool:
    """Whether this very mail named one of these: what its answers named is put to the first mail of a case as well."""
    return not ids.isdisjoint(mail.named.get(SAID, ()))


def denied(first: Row[Any], text: str) -> bool:
    """Whether this text, or one before it, says that somebody else wrote the first mail."""
    return bool(first.named.get(DENIED)) or (first.confirmed_at is None and denies(text))


def copies(tx: Tx, mail: Mail) -> Sequence[Row[Any]]:
    """This mail as it was taken before, with the cases it is with: once, or again where a copy said more."""
    r = requests.c
    taken = select(r.request_id, r.verdict, r.automatic, r.confirmed_at, r.named, cases).join(cases, cases.c.case_id == r.case_id)
    return tx.all(taken.where(r.key.in_([mail.key, key_of_copy(mail)])).order_by(r.request_id))


def key_of_copy(mail: Mail) -> str:
    """The key of a further copy of this mail, of which more is known than of the first."""
    return sha256(f"{mail.key} again".encode()).hexdigest()


def says_more(mail: Mail, before: Sequence[Row[Any]]) -> bool:
    """Whether this copy may be the word of the account's own mailbox where those `before` are nobody's: the same mail may reach
    us by a list as well, which makes it a machine's, or by a host that vouches for nobody.
    """
    other = all((row.automatic, row.verdict) != (mail.automatic, mail.verdict.value) for row in before)
    return not mail.automatic and other and all(row.confirmed_at is None for row in before)


def parked(case: Row[Any]) -> bool:
    """True of a request that waits: for the account's own word, or for what it is about."""
    return (case.kind, case.state) == (CaseKind.REQUEST.value, CaseState.WAITING.value)


def parked_by(before: Sequence[Row[Any]]) -> Row[Any] | None:
    """The parked case that this mail opened; none where the account's own mailbox denied it."""
    mine = (row for row in before if row.subject == row.request_id and parked(row))
    return next((row for row in mine if not row.named.get(DENIED)), None)


def known(before: Sequence[Row[Any]]) -> TakenMail:
    """The mail was taken before, as these rows."""
    return with_case(Taken.KNOWN, before[-1].request_id, case_of(before[-1]))


def with_case(outcome: Taken, request_id: str, case: Case) -> TakenMail:
    """The mail is with this case, as that stands."""
    assert case.state is not None, "a case that was read or written has a state"
    return TakenMail(outcome, request_id, case.case_id, case.state.value, shown_account(case.account_id), case.reason)
