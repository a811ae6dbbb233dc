"""A mail taken in: its files kept, its row written, the case it belongs to opened or moved, in one transaction.

The identity of a mail is its message id and its content, so taking it twice changes nothing. Nothing it says is believed: it
names a job or an order, and our own books say the rest.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book import NOBODY, WORKER, Book, Case
from worker.cases.casework import REMIND, go, open_case
from worker.cases.judge import Bench
from worker.cases.load import case_of, lock_accounts
from worker.cases.notify import intend
from worker.cases.requests.answered import Told, answered, told_of
from worker.cases.requests.files import RAW, Files
from worker.cases.requests.identify import (
    BESIDE,
    DENIED,
    SAID,
    UNKNOWN,
    About,
    Named,
    completed,
    confirmed,
    continued,
    identify,
    open_case_of,
)
from worker.cases.requests.judge import advance
from worker.cases.write import write_cases
from worker.clock import Clock, new_id
from worker.credits.ledger import Ledger
from worker.errors import Collision
from worker.intake.mail.denial import denies
from worker.intake.mail.reader import Mail, read_mail
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.store.tables import accounts, case_history, cases, evidence, requests


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


@dataclass(frozen=True, slots=True)
class Mailroom:
    """The step with its collaborators. `trusted` are the names under which our own mail host vouches for senders."""

    store: Store
    ledger: Ledger
    bench: Bench
    files: Files
    trusted: frozenset[str]
    clock: Clock

    def take(self, raw: bytes, *, origin: str, received_at: datetime | None = None) -> TakenMail:
        """The mail is in the books with its files, on the case it belongs to, as one received then, or now where nobody knows
        when. Raises `TryLater` where it cannot be kept.
        """
        mail = read_mail(raw, trusted=self.trusted)
        if received_at is not None and not mail.marked:
            # the day it was delivered tells it from one of the same words
            mail = replace(mail, key=sha256(f"{mail.key} {received_at:%Y-%m-%d}".encode()).hexdigest())
        known = self.store.read(lambda tx: _known(tx, mail.key))
        if known is not None:
            return known
        now = self.clock.now()
        arrival = Arrival(origin, min(received_at or now, now))
        kept: list[Record] = []
        try:
            for record in self._keep(mail, raw):
                # one by one: what was kept before one fails has to be known
                kept.append(record)
            taken = self.store.write(lambda tx: self._take(tx, mail, kept, arrival, now))
        except Exception:
            self._drop_uncommitted(mail, kept)
            raise
        if taken.outcome is Taken.KNOWN:
            self._drop(kept)
        log.info("request.taken", outcome=taken.outcome.value, case_id=taken.case_id, state=taken.state, files=len(kept))
        return taken

    def _keep(self, mail: Mail, raw: bytes) -> Iterator[Record]:
        parts = [(RAW, "message/rfc822", "mail", raw)]
        parts += [(a.name, a.declared_type, a.kind, a.content) for a in mail.attachments]
        for name, declared, kind, content in parts:
            yield {
                "name": name,
                "declared_type": declared,
                "kind": kind,
                "size": len(content),
                "sha256": sha256(content).hexdigest(),
                "stored": self.files.keep(content),
            }

    def _drop_uncommitted(self, mail: Mail, kept: Sequence[Record]) -> None:
        """What was kept for nothing is gone: a disk that is full has no room for the leftovers of every turn.

        A commit may stand though its answer was lost; then these are the files of its rows. Where that cannot be read the sweep
        finds those without a row.
        """
        if self.store.read(lambda tx: _known(tx, mail.key)) is None:
            self._drop(kept)

    def _drop(self, kept: Sequence[Record]) -> None:
        for record in kept:
            self.files.delete(record["stored"])

    def _take(self, tx: Tx, mail: Mail, kept: Sequence[Record], arrival: Arrival, now: datetime) -> TakenMail:
        named = Named.by(mail)
        letter = answered(tx, mail.references, mail.answers)
        about = identify(tx, mail.sender, named)
        account_id = (letter[0].account_id if letter else about.account_id) or NOBODY
        lock_accounts(tx, Book(now), [account_id])
        known = _known(tx, mail.key)
        if known is not None:
            return known
        vouched = confirmed(about, mail)
        if vouched and not letter:
            letter = continued(tx, about, mail.answers)
        if letter:
            return self._answer(tx, mail, kept, letter, arrival, now)
        request = _record(tx, mail, named, about, arrival, now)
        if vouched:
            request["confirmed_at"] = now
        return self._place(tx, kept, request, named, about, now)

    def _place(self, tx: Tx, kept: Sequence[Record], request: Record, named: Named, about: About, now: datetime) -> TakenMail:
        """The mail is with the open case about the same, or opens its own. It answers no question about another mail: what may be
        read as that somebody else wrote that one is said neither for it nor against it.
        """
        standing = open_case_of(tx, about, confirmed=request["confirmed_at"] is not None)
        if standing is None or standing.account_id != about.account_id:
            return self._open(tx, kept, request, now)
        parked = (standing.kind, standing.state) == (CaseKind.REQUEST.value, CaseState.WAITING.value)
        if parked and _denied(_first(tx, standing.subject), request["text"]):
            return self._open(tx, kept, request, now)
        taken = self._attach(tx, kept, request, standing, now)
        if not parked:
            return taken
        # the word of the account's own mailbox that it was parked for
        _confirm(tx, standing.subject, named, about, request["text"], now)
        return self._judge(tx, case_of(standing), request["request_id"], Taken.ATTACHED, now)

    def _open(self, tx: Tx, kept: Sequence[Record], request: Record, now: datetime) -> TakenMail:
        # its place in the queue and its promise are those of the mail, however long it lay in the Maildir
        since = request["received_at"]
        terms, calendar = self.bench.at(since)
        case = open_case(
            CaseKind.REQUEST,
            request["request_id"],
            request["account_id"] or NOBODY,
            since=since,
            now=since,
            terms=terms,
            calendar=calendar,
            job_id=request["job_id"],
        )
        case.note("case.opened", request_id=case.subject, verdict=request["verdict"], files=len(kept))
        request = {**request, "case_id": case.case_id}
        # the row of the request points to the case, and the facts of the case are read from the row: both stand before it moves
        case.state, case.reason, case.next_action_at = CaseState.WAITING, "not yet judged", now
        write_cases(tx, [case], now, WORKER)
        self._file(tx, kept, request, now)
        case = case_of(tx.all(select(cases).where(cases.c.case_id == case.case_id))[0])
        return self._judge(tx, case, request["request_id"], Taken.OPENED, now)

    def _attach(self, tx: Tx, kept: Sequence[Record], request: Record, standing: Row[Any], now: datetime) -> TakenMail:
        request = {**request, "case_id": standing.case_id}
        self._file(tx, kept, request, now)
        known = {name: request[name] for name in ("request_id", "verdict", "automatic")}
        _note(tx, standing.case_id, "request.attached", now, **known)
        return _told(Taken.ATTACHED, request["request_id"], case_of(standing))

    def _answer(
        self, tx: Tx, mail: Mail, kept: Sequence[Record], letter: Sequence[Row[Any]], arrival: Arrival, now: datetime
    ) -> TakenMail:
        """An answer to a letter of ours came out of the account's own mailbox: it confirms what was asked, and a no that the
        customer answers is looked at by a person. What a machine answered is on record, and is nobody's word.
        """
        account_id, named = letter[0].account_id, Named.by(mail)
        found = identify(tx, _address(tx, account_id), named)
        about = found if found.account_id == account_id else About(account_id)
        request = _record(tx, mail, named, about, arrival, now)
        if mail.automatic:
            if mail.returned:
                _note(tx, letter[0].case_id, "notice.returned", now, request_id=request["request_id"], why=mail.subject)
            return self._attach(tx, kept, request, letter[0], now)
        request["confirmed_at"] = now
        told = told_of(tx, letter, about)
        # of all that the letter told of, what the customer writes of; where that is none of it, each
        meant = [one for one in told if about.by_name and one.own & about.things]
        taking = [one for one in meant or told if not one.over]
        if not taking:
            # what was told of is over: the answer is a request of its own about it
            case = (meant or told)[0].case
            bought = case.subject if case.kind is CaseKind.DUPLICATE_CHARGE else _bought(tx, case.subject)
            about = replace(about, job_id=about.job_id or case.job_id, purchase_id=about.purchase_id or bought)
            return self._open(tx, kept, {**_record(tx, mail, named, about, arrival, now), "confirmed_at": now}, now)
        noes, judged = [one for one in taking if one.a_no], [one for one in taking if one.to_be_judged]
        first, own = (noes or judged or taking)[0], _own(taking)
        other = about.only(about.things - own - {about.kept})
        more = (about.by_name and other.things) or (about.unknown and not noes)
        apart = bool(more) and (bool(noes) or not judged)
        if apart:
            # nothing holds back what it was not about, or ends that with it
            request = {**_record(tx, mail, named, other, arrival, now), "confirmed_at": now}
            taken = self._place(tx, kept, request, named, other, now)
        else:
            self._file(tx, kept, {**request, "case_id": first.case.case_id}, now)
            taken = _told(Taken.ATTACHED, request["request_id"], first.case)
        for one in (one for one in taking if not one.a_no):
            _note(tx, one.case.case_id, "request.answered", now, request_id=taken.request_id, put_to=taken.case_id)
        self._look_again(tx, noes, named, about, mail.text, taken, now)
        if apart:
            return taken
        if noes or first.case.kind is not CaseKind.REQUEST:
            return _told(Taken.ATTACHED, taken.request_id, first.case)
        _confirm(tx, first.case.subject, named, about.without(own - first.own), mail.text, now)
        return self._judge(tx, first.case, taken.request_id, Taken.ATTACHED, now)

    def _look_again(
        self, tx: Tx, noes: Sequence[Told], named: Named, about: About, text: str, taken: TakenMail, now: datetime
    ) -> None:
        """A person has each of these noes again, which the mail that was `taken` answers."""
        for one in noes:
            case = one.case
            _confirm(tx, case.subject, named, about.only(one.own), text, now)
            case.note("request.answered", request_id=taken.request_id, put_to=taken.case_id)
            elsewhere = "" if case.case_id == taken.case_id else f", in a mail that is with {taken.case_id}"
            case.reason = f"the customer answered the letter about it{elsewhere}"
            go(case, CaseState.REVIEW, next_action_at=now + REMIND)
        write_cases(tx, [one.case for one in noes], now, WORKER)

    def _judge(self, tx: Tx, case: Case, request_id: str, outcome: Taken, now: datetime) -> TakenMail:
        told = advance(tx, self.ledger, self.bench, case, _first(tx, case.subject), now)
        write_cases(tx, [case], now, WORKER)
        intend(tx, *told, now=now)
        return _told(outcome, request_id, case)

    def _file(self, tx: Tx, kept: Sequence[Record], request: Record, now: datetime) -> None:
        if not tx.insert_new(requests, [request], requests.c.request_id):
            raise Collision("the mail was taken in meanwhile")
        longest = timedelta(days=self.bench.terms_at(now).evidence_days_max)
        rows = [
            {
                "evidence_id": new_id("ev", now),
                "request_id": request["request_id"],
                "case_id": request["case_id"],
                "state": "kept",
                "received_at": now,
                "delete_by": now + longest,
                **record,
            }
            for record in kept
        ]
        tx.insert(evidence, rows)


def _record(tx: Tx, mail: Mail, named: Named, about: About, arrival: Arrival, now: datetime) -> dict[str, Any]:
    unreadable = mail.sender is None and not mail.text and not named.ids
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
        "reference": f"R-{''.join(secrets.choice('23456789ABCDEFGHJKMNPQRSTVWXYZ') for _ in range(16))}",
        "confirmed_at": None,
    }


def _confirm(tx: Tx, request_id: str, named: Named, about: About, text: str, now: datetime) -> None:
    """The first mail is confirmed, and completed by what the answer names; or it is denied, where the `text` of the answer says
    that somebody else wrote it. What was denied once no answer confirms: a person has it.
    """
    one, first = requests.c.request_id == request_id, _first(tx, request_id)
    if _denied(first, text):
        tx.connection.execute(update(requests).where(one).values(named={**first.named, DENIED: True}))
        return
    # what the answer calls a job or an order is looked up again with what the first mail did
    more = {"jobs": named.jobs, "orders": named.orders, UNKNOWN: about.unknown}
    values = completed(tx, first, about, **{name: [*first.named.get(name, ()), *found] for name, found in more.items()})
    tx.connection.execute(update(requests).where(one).values(confirmed_at=first.confirmed_at or now, **values))


def _first(tx: Tx, request_id: str) -> Row[Any]:
    return tx.all(select(requests).where(requests.c.request_id == request_id))[0]


def _denied(first: Row[Any], text: str) -> bool:
    """Whether this text, or one before it, says that somebody else wrote the first mail."""
    return bool(first.named.get(DENIED)) or (first.confirmed_at is None and denies(text))


def _own(told: Sequence[Told]) -> frozenset[str]:
    return frozenset(one for each in told for one in each.own)


def _address(tx: Tx, account_id: str | None) -> str | None:
    rows = tx.all(select(accounts.c.email).where(accounts.c.account_id == account_id))
    return rows[0].email if rows else None


def _bought(tx: Tx, request_id: str) -> str | None:
    """The purchase that the request was about; None for what is no request's id."""
    rows = tx.all(select(requests.c.purchase_id).where(requests.c.request_id == request_id))
    return rows[0].purchase_id if rows else None


def _known(tx: Tx, key: str) -> TakenMail | None:
    rows = tx.all(
        select(requests.c.request_id, cases).join(cases, cases.c.case_id == requests.c.case_id).where(requests.c.key == key)
    )
    return _told(Taken.KNOWN, rows[0].request_id, case_of(rows[0])) if rows else None


def _told(outcome: Taken, request_id: str, case: Case) -> TakenMail:
    assert case.state is not None, "a case that was read or written has a state"
    account = None if case.account_id == NOBODY else case.account_id
    return TakenMail(outcome, request_id, case.case_id, case.state.value, account, case.reason)


def _note(tx: Tx, case_id: str, event: str, now: datetime, **detail: Any) -> None:
    tx.insert(case_history, [{"case_id": case_id, "at": now, "event": event, "by": WORKER, "detail": detail}])
