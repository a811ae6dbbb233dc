"""A mail taken in: its files kept, its row written, the case it belongs to opened or moved, in one transaction.

The identity of a mail is its message id and its content, so taking it twice changes nothing; but for a copy that tells more than
the first did: that a person of the account wrote it. Nothing it says is believed: it names a job or an order, and our own books
say the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, select, update

from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.bench import Bench
from worker.cases.book.book import NOBODY, WORKER, Book, Case
from worker.cases.book.casework import REMIND, go, promise_from
from worker.cases.book.locks import lock_accounts
from worker.cases.book.notify import TO_A_NO, NoticeKind, notice, write_effects
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.requests.answered import Told, about_case, answered, asked_beside, lies_with, own_of, told_of
from worker.cases.requests.files import RAW, Files
from worker.cases.requests.identify import About, Named, confirmed, continued, identify, open_case_of
from worker.cases.requests.judge import advance_and_write
from worker.cases.requests.register import (
    Arrival,
    Taken,
    TakenMail,
    confirm,
    copies,
    denied,
    first_of,
    key_of_copy,
    known,
    open_request,
    parked_by,
    record_of,
    says_more,
    with_case,
)
from worker.clock import Clock, new_id
from worker.credits.ledger import Ledger
from worker.errors import Collision
from worker.intake.mail.reader import Mail, read_mail
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.engine import Store
from worker.store.history import line
from worker.store.tables import accounts, case_history, cases, evidence, requests


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
        before = self.store.read(lambda tx: copies(tx, mail))
        if before and not says_more(mail, before):
            return known(before)
        now = self.clock.now()
        arrival = Arrival(origin, min(received_at or now, now))
        kept: list[Record] = []
        uncommitted = True

        def take(tx: Tx) -> TakenMail:
            nonlocal uncommitted
            uncommitted = True
            taken = self._take(tx, mail, kept, arrival, now)
            uncommitted = False
            return taken

        try:
            for record in self._keep(mail, raw):
                # one by one: what was kept before one fails has to be known
                kept.append(record)
            taken = self.store.write(take)
        except Exception:
            # a disk that is full has no room for the leftovers of every turn. A commit may stand though its answer was lost, also
            # one that is not to be seen yet: then these are the files of its rows, and the sweep finds those without one
            if uncommitted:
                self._drop(kept)
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

    def _drop(self, kept: Sequence[Record]) -> None:
        for record in kept:
            self.files.delete(record["stored"])

    def _take(self, tx: Tx, mail: Mail, kept: Sequence[Record], arrival: Arrival, now: datetime) -> TakenMail:
        named = Named.by(mail)
        letter = answered(tx, mail.references, mail.answers)
        about = identify(tx, mail.sender, named)
        account_id = (letter[0].account_id if letter else about.account_id) or NOBODY
        lock_accounts(tx, Book(now), [account_id])
        vouched, before = confirmed(about, mail), copies(tx, mail)
        if before:
            if not (says_more(mail, before) and (vouched or letter)):
                return known(before)
            mail = replace(mail, key=key_of_copy(mail))
            if vouched and (first := parked_by(before)) is not None and first.account_id == about.account_id:
                return self._vouch(tx, mail, kept, first, about, arrival, now)
        if vouched and not letter:
            letter = continued(tx, about, mail.answers)
        if letter:
            return self._answer(tx, mail, kept, letter, arrival, now)
        request = record_of(tx, mail, named, about, arrival, now, confirmed=vouched)
        return self._place(tx, kept, request, named, about, now)

    def _place(self, tx: Tx, kept: Sequence[Record], request: Record, named: Named, about: About, now: datetime) -> TakenMail:
        """The mail joins the open case about the same, or opens its own. If that case is parked, it waited for this word.

        A mail that may say that somebody else wrote the parked one opens its own: it was not asked, so this counts neither for
        that one nor against it.
        """
        standing = open_case_of(tx, about, confirmed=request["confirmed_at"] is not None)
        if standing is None or standing.account_id != about.account_id:
            return self._open(tx, kept, request, now)
        parked = (standing.kind, standing.state) == (CaseKind.REQUEST.value, CaseState.WAITING.value)
        if parked and denied(first_of(tx, standing.subject), request["text"]):
            return self._open(tx, kept, request, now)
        taken = self._attach(tx, kept, request, standing, now)
        if not parked:
            return taken
        # the word of the account's own mailbox that it was parked for
        confirm(tx, standing.subject, named, about, request["text"], now)
        return self._judge(tx, case_of(standing), request["request_id"], Taken.ATTACHED, now)

    def _vouch(
        self, tx: Tx, mail: Mail, kept: Sequence[Record], parked: Row[Any], about: About, arrival: Arrival, now: datetime
    ) -> TakenMail:
        """Another copy of the parked mail came with the word that it waited for: a person of the account wrote it."""
        request = record_of(tx, mail, Named.by(mail), about, arrival, now, confirmed=True)
        self._attach(tx, kept, request, parked, now)
        first = requests.c.request_id == parked.subject
        tx.connection.execute(update(requests).where(first).values(confirmed_at=now, automatic=False))
        return self._judge(tx, case_of(parked), request["request_id"], Taken.ATTACHED, now)

    def _open(self, tx: Tx, kept: Sequence[Record], request: Record, now: datetime) -> TakenMail:
        # its place in the queue and its promise are those of the mail, however long it lay in the Maildir
        since, account_id = request["received_at"], request["account_id"] or NOBODY
        case = open_request(tx, self.bench, request, account_id, since=since, now=now, files=len(kept))
        request = {**request, "case_id": case.case_id}
        self._file(tx, kept, request, now)
        case = case_of(tx.one(select(cases).where(cases.c.case_id == case.case_id)))
        return self._judge(tx, case, request["request_id"], Taken.OPENED, now)

    def _attach(self, tx: Tx, kept: Sequence[Record], request: Record, standing: Row[Any], now: datetime) -> TakenMail:
        request = {**request, "case_id": standing.case_id}
        self._file(tx, kept, request, now)
        told = {name: request[name] for name in ("request_id", "verdict", "automatic")}
        _note(tx, standing.case_id, "request.attached", now, **told)
        return with_case(Taken.ATTACHED, request["request_id"], case_of(standing))

    def _answer(
        self, tx: Tx, mail: Mail, kept: Sequence[Record], letter: Sequence[Row[Any]], arrival: Arrival, now: datetime
    ) -> TakenMail:
        """An answer to a letter of ours came out of the account's own mailbox: it confirms what was asked, and a no that the
        customer answers is looked at by a person. What a machine answered is on record, and is nobody's word.
        """
        account_id, named = letter[0].account_id, Named.by(mail)
        found = identify(tx, _address(tx, account_id), named)
        about = found if found.account_id == account_id else About(account_id)

        def row(about: About) -> Record:
            return record_of(tx, mail, named, about, arrival, now, confirmed=not mail.automatic)

        if mail.automatic:
            request = row(about)
            if mail.returned:
                _note(tx, letter[0].case_id, "notice.returned", now, request_id=request["request_id"], why=mail.subject)
            return self._attach(tx, kept, request, letter[0], now)
        told = told_of(tx, letter, about)
        # of all that the letter told of, what the customer writes of; where that is none of it, each
        meant = [one for one in told if about.by_name and one.own & about.things] or told
        taking = [one for one in meant if not one.over]
        if not taking:
            # what was told of is over: the answer is a request about it, its own or one that waits
            about = about_case(tx, about, meant[0].case)
            return self._place(tx, kept, row(about), named, about, now)
        first, other = lies_with(taking), asked_beside(about, taking)
        if other is None:
            request = row(about)
            self._file(tx, kept, {**request, "case_id": first.case.case_id}, now)
            taken = with_case(Taken.ATTACHED, request["request_id"], first.case)
        else:
            # nothing holds back what it was not about, or ends that with it
            taken = self._place(tx, kept, row(other), named, other, now)
        for one in (one for one in taking if not one.a_no):
            _note(tx, one.case.case_id, "request.answered", now, request_id=taken.request_id, put_to=taken.case_id)
        self._look_again(tx, [one for one in taking if one.a_no], named, about, mail.text, taken, now)
        if other is not None:
            return taken
        if first.a_no or first.case.kind is not CaseKind.REQUEST:
            return with_case(Taken.ATTACHED, taken.request_id, first.case)
        confirm(tx, first.case.subject, named, about.without(own_of(taking) - first.own), mail.text, now)
        return self._judge(tx, first.case, taken.request_id, Taken.ATTACHED, now)

    def _look_again(
        self, tx: Tx, noes: Sequence[Told], named: Named, about: About, text: str, taken: TakenMail, now: datetime
    ) -> None:
        """A person has each of these noes again, which the mail that was `taken` answers: the promise runs anew from when it was
        received, and the customer is told until when.
        """
        told = []
        for one in noes:
            case = one.case
            confirm(tx, case.subject, named, about.only(one.own), text, now)
            case.note("request.answered", request_id=taken.request_id, put_to=taken.case_id)
            elsewhere = "" if case.case_id == taken.case_id else f", in a mail that is with {taken.case_id}"
            case.reason = f"the customer answered the letter about it{elsewhere}"
            said, closed = first_of(tx, taken.request_id), case.closed_at is not None
            go(case, CaseState.REVIEW, next_action_at=now + REMIND)
            if closed:
                promise_from(self.bench, case, said.received_at)
                told.append(notice(case, NoticeKind.IN_REVIEW, now, taken.request_id, **TO_A_NO))
        write_cases(tx, [one.case for one in noes], now, WORKER)
        write_effects(tx, [], told, now=now)

    def _judge(self, tx: Tx, case: Case, request_id: str, outcome: Taken, now: datetime) -> TakenMail:
        advance_and_write(tx, self.ledger, self.bench, case, first_of(tx, case.subject), now)
        return with_case(outcome, request_id, case)

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


def _address(tx: Tx, account_id: str | None) -> str | None:
    row = tx.first(select(accounts.c.email).where(accounts.c.account_id == account_id))
    return row.email if row else None


def _note(tx: Tx, case_id: str, event: str, now: datetime, **detail: Any) -> None:
    tx.insert(case_history, [line(case_id, event, WORKER, now, **detail)])
