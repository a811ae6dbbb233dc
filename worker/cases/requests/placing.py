"""One mail, put to the case that it belongs to in one transaction, and that case judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from worker.cases.requests.identify import About, Named, confirmed, identify
from worker.cases.requests.joins import continued, open_case_of
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
    parked,
    parked_by,
    record_of,
    says_more,
    with_case,
)
from worker.clock import new_id
from worker.credits.ledger import Ledger
from worker.errors import Collision
from worker.intake.mail.reader import Mail
from worker.store.bulk import Record, Tx
from worker.store.history import line
from worker.store.tables import accounts, case_history, cases, evidence, requests


@dataclass(frozen=True, slots=True)
class Placing:
    """One mail with what it names and its files that are `kept`, and the transaction that it is placed in."""

    tx: Tx
    ledger: Ledger
    bench: Bench
    mail: Mail
    named: Named
    kept: Sequence[Record]
    arrival: Arrival
    now: datetime

    def take(self) -> TakenMail:
        """The mail is on the case it belongs to, and that is judged."""
        tx, mail = self.tx, self.mail
        # a letter of ours that comes back as it was is put to its case, like a report that brings it along
        itself = (mail.message_id,) if mail.automatic and mail.message_id is not None else ()
        letter = answered(tx, mail.references, (*mail.answers, *itself))
        about = identify(tx, mail.sender, self.named)
        account_id = (letter[0].account_id if letter else about.account_id) or NOBODY
        lock_accounts(tx, Book(self.now), [account_id])
        vouched, before = confirmed(about, mail), copies(tx, mail)
        if not before:
            return self._new(about, letter, vouched=vouched)
        if not (says_more(mail, before) and (vouched or letter)):
            return known(before)
        copy = replace(self, mail=replace(mail, key=key_of_copy(mail)))
        if vouched and (first := parked_by(before)) is not None and first.account_id == about.account_id:
            return copy._vouch(first, about)
        return copy._new(about, letter, vouched=vouched)

    def _new(self, about: About, letter: Sequence[Row[Any]], *, vouched: bool) -> TakenMail:
        if vouched and not letter:
            letter = continued(self.tx, about, self.mail.answers)
        return self._answer(letter) if letter else self._place(self._row(about, confirmed=vouched), about)

    def _row(self, about: About, *, confirmed: bool) -> Record:
        return record_of(self.tx, self.mail, self.named, about, self.arrival, self.now, confirmed=confirmed)

    def _place(self, request: Record, about: About) -> TakenMail:
        """The mail joins the open case about the same, or opens its own. If that case is parked, it waited for this word.

        A mail that may say that somebody else wrote the parked one opens its own: it was not asked, so this counts neither for
        that one nor against it.
        """
        standing = open_case_of(self.tx, about, confirmed=request["confirmed_at"] is not None)
        if standing is None or standing.account_id != about.account_id:
            return self._open(request)
        if parked(standing) and denied(first_of(self.tx, standing.subject), self.mail.text):
            return self._open(request)
        taken = self._attach(request, standing)
        if not parked(standing):
            return taken
        # the word of the account's own mailbox that it was parked for
        self._confirm(standing.subject, about)
        return self._judge(case_of(standing), request["request_id"], Taken.ATTACHED)

    def _vouch(self, waiting: Row[Any], about: About) -> TakenMail:
        """Another copy of the parked mail came with the word that it waited for: a person of the account wrote it."""
        request = self._row(about, confirmed=True)
        self._attach(request, waiting)
        first = requests.c.request_id == waiting.subject
        self.tx.connection.execute(update(requests).where(first).values(confirmed_at=self.now, automatic=False))
        return self._judge(case_of(waiting), request["request_id"], Taken.ATTACHED)

    def _open(self, request: Record) -> TakenMail:
        # its place in the queue and its promise are those of the mail, however long it lay in the Maildir
        since, account_id = request["received_at"], request["account_id"] or NOBODY
        case = open_request(self.tx, self.bench, request, account_id, since=since, now=self.now, files=len(self.kept))
        self._file({**request, "case_id": case.case_id})
        case = case_of(self.tx.one(select(cases).where(cases.c.case_id == case.case_id)))
        return self._judge(case, request["request_id"], Taken.OPENED)

    def _attach(self, request: Record, standing: Row[Any]) -> TakenMail:
        self._file({**request, "case_id": standing.case_id})
        told = {name: request[name] for name in ("request_id", "verdict", "automatic")}
        self._note(standing.case_id, "request.attached", **told)
        return with_case(Taken.ATTACHED, request["request_id"], case_of(standing))

    def _answer(self, letter: Sequence[Row[Any]]) -> TakenMail:
        """An answer to a letter of ours came out of the account's own mailbox: it confirms what was asked, and a no that the
        customer answers is looked at by a person.
        """
        account_id = letter[0].account_id
        found = identify(self.tx, _address(self.tx, account_id), self.named)
        about = found if found.account_id == account_id else About(account_id)
        if self.mail.automatic:
            return self._answer_by_machine(letter[0], about)
        told = told_of(self.tx, letter, about)
        # of all that the letter told of, what the customer writes of; where that is none of it, each
        meant = [one for one in told if about.by_name and one.own & about.things] or told
        taking = [one for one in meant if not one.over]
        if not taking:
            # what was told of is over: the answer is a request about it, its own or one that waits
            about = about_case(self.tx, about, meant[0].case)
            return self._place(self._row(about, confirmed=True), about)
        return self._answer_to(taking, about)

    def _answer_by_machine(self, answers: Row[Any], about: About) -> TakenMail:
        """What a machine answered is on record, and is nobody's word."""
        request = self._row(about, confirmed=False)
        if self.mail.returned:
            self._note(answers.case_id, "notice.returned", request_id=request["request_id"], why=self.mail.subject)
        return self._attach(request, answers)

    def _answer_to(self, taking: Sequence[Told], about: About) -> TakenMail:
        """The answer is put to these cases, none of which is over; what it asks for beside them is a request of its own."""
        first, other = lies_with(taking), asked_beside(about, taking)
        if other is None:
            request = self._row(about, confirmed=True)
            self._file({**request, "case_id": first.case.case_id})
            taken = with_case(Taken.ATTACHED, request["request_id"], first.case)
        else:
            # nothing holds back what it was not about, or ends that with it
            taken = self._place(self._row(other, confirmed=True), other)
        for one in (one for one in taking if not one.a_no):
            self._note(one.case.case_id, "request.answered", request_id=taken.request_id, put_to=taken.case_id)
        self._look_again([one for one in taking if one.a_no], about, taken)
        if other is not None:
            return taken
        if first.a_no or first.case.kind is not CaseKind.REQUEST:
            return with_case(Taken.ATTACHED, taken.request_id, first.case)
        self._confirm(first.case.subject, about.without(own_of(taking) - first.own))
        return self._judge(first.case, taken.request_id, Taken.ATTACHED)

    def _look_again(self, noes: Sequence[Told], about: About, taken: TakenMail) -> None:
        """A person has each of these noes again, which the mail that was `taken` answers: the promise runs anew from when it was
        received, and the customer is told until when.
        """
        told = []
        for one in noes:
            case = one.case
            self._confirm(case.subject, about.only(one.own))
            case.note("request.answered", request_id=taken.request_id, put_to=taken.case_id)
            elsewhere = "" if case.case_id == taken.case_id else f", in a mail that is with {taken.case_id}"
            case.reason = f"the customer answered the letter about it{elsewhere}"
            closed = case.closed_at is not None
            go(case, CaseState.REVIEW, next_action_at=self.now + REMIND)
            if closed:
                promise_from(self.bench, case, self.arrival.at)
                told.append(notice(case, NoticeKind.IN_REVIEW, self.now, taken.request_id, **TO_A_NO))
        write_cases(self.tx, [one.case for one in noes], self.now, WORKER)
        write_effects(self.tx, [], told, now=self.now)

    def _confirm(self, request_id: str, about: About) -> None:
        confirm(self.tx, request_id, self.named, about, self.mail.text, self.now)

    def _judge(self, case: Case, request_id: str, outcome: Taken) -> TakenMail:
        advance_and_write(self.tx, self.ledger, self.bench, case, first_of(self.tx, case.subject), self.now)
        return with_case(outcome, request_id, case)

    def _file(self, request: Record) -> None:
        if not self.tx.insert_new(requests, [request], requests.c.request_id):
            raise Collision("the mail was taken in meanwhile")
        longest = timedelta(days=self.bench.terms_at(self.now).evidence_days_max)
        rows = [
            {
                "evidence_id": new_id("ev", self.now),
                "request_id": request["request_id"],
                "case_id": request["case_id"],
                "state": "kept",
                "received_at": self.now,
                "delete_by": self.now + longest,
                **record,
            }
            for record in self.kept
        ]
        self.tx.insert(evidence, rows)

    def _note(self, case_id: str, event: str, **detail: Any) -> None:
        self.tx.insert(case_history, [line(case_id, event, WORKER, self.now, **detail)])


def _address(tx: Tx, account_id: str | None) -> str | None:
    row = tx.first(select(accounts.c.email).where(accounts.c.account_id == account_id))
    return row.email if row else None
