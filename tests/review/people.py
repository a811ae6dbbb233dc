"""What people, banks and the pipeline can do to one customer, in any order, and what has to hold after each of it.

The customer paid the same twice, each time for a hundred credits, with tax; two jobs drew on the first lot.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tests.cases.world import HandClock
from tests.faults import Fault as Wrong
from tests.money.plans import NASTY
from tests.money.whole_way import WholeWay
from tests.requests.world import PeopleWorld, a_mail
from worker.errors import Refused
from worker.notices.mail.notice import NoticeKind
from worker.sandbox.creem.words import Announced, Ending, Fault, Lost, RefundAnswer
from worker.store.engine import Store
from worker.store.tables import cases, notices, payments, purchases

PAID = 1071
CHARGES = ("tran_0", "tran_1")


class Town(WholeWay, PeopleWorld):
    """Everybody who acts is a process behind doors; whoever hands something over does so again until it is taken."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store, journal=folder / "journal", folder=folder, switches=NASTY, clock=HandClock())
        self.history: list[dict[str, Any]] = []
        """What the product knows of the customer."""
        self.events: list[str] = []
        self.mails: list[bytes] = []
        self.blind = False
        """Reads were old for a while: what another hand did then could not be seen, nor prevented from being done twice."""

    def work(self) -> None:
        """What ordinary processes do at this moment, while Creem tells nothing new."""
        self._come_in()
        self.sweep()
        self.pay()
        self._look_after()

    def turn(self) -> None:
        self._come_in()
        super().turn()
        self._look_after()

    def _look_after(self) -> None:
        self.doors.process(self.reviewer.end_stale, "upkeep: ")
        self.doors.process(self.notifier.send, "letters: ")

    def _come_in(self) -> None:
        self._import()
        while self.events and self.doors.process(lambda: self.arrive(self.events[0]), "intake: ") is not None:
            del self.events[0]
        while (
            self.mails and self.doors.process(lambda: self.mailroom.take(self.mails[0], origin="maildir"), "mail: ") is not None
        ):
            del self.mails[0]

    def night(self) -> None:
        """What a machine does once a night."""
        self.doors.process(self.reconciler().reconcile, "reconcile: ")

    def row_of_lot(self, transaction: str) -> Any:
        """The lot of a charge, as it stands in the books."""
        chosen = select(purchases).where(purchases.c.transaction_id == transaction)
        return self.rows(chosen)[0]

    def won(self) -> set[str]:
        """Charges whose last dispute somebody said was won."""
        ended = (cases.c.kind == "dispute", cases.c.state == "declined")
        return {row.subject for row in self.rows(select(cases.c.subject).where(*ended))}


Action = Callable[[Town], object]


def town(store: Store, folder: Path, minutes_apart: int) -> Town:
    """The customer as everything begins; charges more than ten minutes apart go to a person."""
    at = Town(store, folder)
    at.history = at.history_of_charges(tax=171, apart=timedelta(minutes=minutes_apart))
    at.load(*at.history)
    at.happen(at.submitted("job_1", credits=30), at.submitted("job_2", credits=60))
    return at


def happens(*documents: Callable[[Town], str]) -> Action:
    """The pipeline tells of these."""
    return lambda at: at.events.extend(document(at) for document in documents)


def writes(order: str) -> Action:
    """The customer writes for the money of an order."""
    return lambda at: at.mails.append(a_mail(f"Please refund my order {order}.", message_id=f"<{order}@example.org>"))


def decide(kind: str, choice: str, by: str = "ann") -> Action:
    """A person takes a choice for the first case of that kind that waits."""

    def act(at: Town) -> None:
        for case_id in at.queue():
            found = at.case(case_id)
            if found is not None and found["kind"] == kind:
                at.doors.process(partial(at.decide, case_id, choice, by=by, reason="looked at it"), "person: ")
                return
        raise Refused("nothing of that kind waits")

    return act


def withdraw(at: Town) -> None:
    for case_id in at.queue():
        try:
            at.doors.process(partial(at.reviewer.withdraw, case_id, by="bob", reason="not so"), "person: ")
        except Refused:
            continue
        return
    raise Refused("nothing is proposed")


def refund(transaction: str, cents: int | None) -> Action:
    """Somebody gives money back in Creem's dashboard."""

    def act(at: Town) -> None:
        at.double.refund_in_dashboard(transaction, cents)

    return act


def answer(**switches: Any) -> Action:
    """Creem answers refunds otherwise from here on."""

    def act(at: Town) -> None:
        at.double.switches = replace(NASTY, **switches)

    return act


def lag(at: Town) -> None:
    answer(get_lag=86_400.0)(at)
    at.blind = True


ACTIONS: dict[str, Action] = {
    "job fails": happens(lambda at: at.failed("job_1")),
    "second job fails": happens(lambda at: at.failed("job_2")),
    "job ends well": happens(lambda at: at.succeeded("job_1"), lambda at: at.event("downloaded", "job_1")),
    "first goes back": refund("tran_0", None),
    "part of the first goes back": refund("tran_0", 400),
    "second goes back": refund("tran_1", None),
    "part of the second goes back": refund("tran_1", 400),
    "first is disputed": lambda at: at.double.dispute("tran_0"),
    "second is disputed": lambda at: at.double.dispute("tran_1"),
    "refunds fail": answer(answer=RefundAnswer.FAILED),
    "refunds go on for ever": answer(ends=Ending.NEVER, turns_early=False),
    "refunds come to nothing later": answer(ends=Ending.FAILED, settle_after=3600.0, announced=Announced.BOTH, turns_early=False),
    "calls are lost": answer(post=Fault.TIMEOUT, post_side=Lost.BEFORE_COMMIT),
    "answers are lost": answer(post=Fault.TIMEOUT, post_side=Lost.AFTER_COMMIT),
    "the balance is too low": answer(low_balance=2),
    "reads lag by a day": lag,
    "Creem is away": answer(get=Fault.ERROR_503, probe=Fault.ERROR_503, post=Fault.ERROR_503),
    "Creem is as usual": answer(),
    "webhooks are lost": lambda at: setattr(at, "hears", False),
    "webhooks come": lambda at: setattr(at, "hears", True),
    "a mail asks for the first": writes("ord_0"),
    "a mail asks for the second": writes("ord_1"),
    "person: job gets credits": decide("job", "credits"),
    "person: request gets money": decide("request", "money"),
    "person: request gets credits": decide("request", "credits"),
    "person: duplicate gets money": decide("duplicate_charge", "money"),
    "person: duplicate declined": decide("duplicate_charge", "decline"),
    "person: request declined": decide("request", "decline"),
    "person: dispute won": decide("dispute", "won"),
    "person: dispute lost": decide("dispute", "lost"),
    "person: forfeit": decide("dispute", "forfeit"),
    "other person: forfeit": decide("dispute", "forfeit", by="bob"),
    "person: request forfeits": decide("request", "forfeit"),
    "proposal is withdrawn": withdraw,
    "night": Town.night,
    "history comes again": lambda at: at.exported(at.history),
    "two days go by": lambda at: at.settle_down(days=2),
    "a moment goes by": lambda at: at.settle_down(days=0.02),
}


def play(at: Town, acts: Sequence[tuple[str, Wrong | None]]) -> Iterator[str]:
    """Does these things one after another; yields what does not hold. One that is not possible is passed over.

    Something may go wrong at each: at the nth door that is passed from there on.
    """
    for name, wrong in acts:
        if wrong is not None:
            at.doors.faults |= {replace(wrong, passage=wrong.passage + len(at.doors.names))}
        try:
            ACTIONS[name](at)
        except (Refused, ValueError):
            continue
        at.work()
        yield from (f"after {name}: {wrong}" for wrong in _books(at))
    at.hears, at.double.switches, at.doors.faults = True, NASTY, frozenset()
    for days in (1, 3):
        at.settle_down(days=days, done=lambda: False)
        at.night()
        at.sweep()
    yield from _books(at)
    yield from _values(at)
    yield from _nobody_is_stuck(at)
    yield from _everybody_is_told(at)


# where time stands still between two actions, nothing has had its turn yet
LATE = {"effects_are_not_forgotten", "claims_take_their_turns"}


def _books(at: Town) -> Iterator[str]:
    for breach in at.audit().breaches:
        if breach["check"] not in LATE:
            yield f"{breach['check']}: {breach['row']} {breach['problem']}"
    for transaction in CHARGES:
        gone = sent = 0
        for movement in at.double.movements:
            if movement.transaction_id == transaction:
                gone += movement.amount
                sent += movement.amount if movement.kind == "refund" else 0
                if movement.kind == "refund" and (sent if at.blind else gone) > PAID:
                    yield f"{transaction}: we sent {movement.amount} where {gone - movement.amount} of {PAID} had gone"


def _values(at: Town) -> Iterator[str]:
    """What the customer can still spend of a purchase is worth no more than what we still hold of its money."""
    won = at.won()
    for transaction in CHARGES:
        lot, gone = at.row_of_lot(transaction), at.double.gone
        back = gone(transaction, "refund") + gone(transaction, "dashboard")
        share = lot.granted * min(back, PAID) // PAID
        if lot.remaining > lot.granted - share:
            yield f"{transaction}: {back} of {PAID} went back and {lot.remaining} of {lot.granted} credits can be spent"
        lost = gone(transaction, "chargeback")
        if lost and lot.remaining and transaction not in won:
            yield f"{transaction}: the bank has {lost} and {lot.remaining} credits can be spent"


def _nobody_is_stuck(at: Town) -> Iterator[str]:
    """Every case is over, or goes on by itself, or a person can do something about it; nothing is held unasked."""
    waiting = at.rows(select(cases).where(cases.c.closed_at.is_(None)))
    open_claims = at.rows(select(payments).where(payments.c.closed_at.is_(None)))
    claimed, proposed = {claim.case_id for claim in open_claims}, False
    for row in waiting:
        if row.state != "review":
            if row.case_id not in claimed:
                yield f"{row.kind} of {row.subject} is {row.state}"
            continue
        looked = at.reviewer.look(row.case_id, by="ann")
        proposed = proposed or bool(looked["proposal"])
        refused = [choice["refused"] for choice in looked["choices"]]
        if all(refused) and not looked["proposal"] and row.case_id not in claimed:
            yield f"{row.kind} of {row.subject}: nothing can be chosen: {refused}"
    disputed = {row.subject for row in waiting if row.kind == "dispute"}
    for transaction in CHARGES:
        lot = at.row_of_lot(transaction)
        claims = [claim for claim in open_claims if claim.transaction_id == transaction]
        if lot.frozen and not claims and not proposed and transaction not in disputed:
            yield f"{transaction}: {lot.frozen} credits are frozen and nobody is asked about them"


TOLD = {"refund.credits_reversed": NoticeKind.CREDITS_RETURNED.value, "refund.payment_refunded": NoticeKind.MONEY_SENT.value}


def _everybody_is_told(at: Town) -> Iterator[str]:
    """The product and the customer hear of each remedy once, with its credits, and of none that was not given."""
    told = {one["id"]: one["data"] for one in at.announced() if one["type"] in TOLD}
    written = {row.key: row for row in at.rows(select(notices).where(notices.c.kind.in_(TOLD.values())))}
    for row in at.rows(select(cases).where(cases.c.state == "refunded")):
        kind = "refund.credits_reversed" if row.credits_reversed else "refund.payment_refunded"
        said = told.pop(f"announce:{row.case_id}:{kind}", None)
        if said is None or said["credits"] != row.credits_reversed:
            yield f"{row.kind} of {row.subject} gave {row.credits_reversed} credits back, and the product was told {said}"
        letter = written.pop(f"notice:{row.case_id}:{TOLD[kind]}", None)
        credits = row.credits_reversed - (said or {}).get("credits_void", 0)
        if (letter is None) != (kind == "refund.credits_reversed" and credits == 0):
            yield f"{row.kind} of {row.subject} gave {credits} credits back to be spent, and the customer was told {letter}"
    yield from (f"the product was told of what was not given: {key}" for key in told)
    yield from (f"the customer was told of what was not given: {key}" for key in written)
    for row in at.rows(select(notices).where(notices.c.state != "sent")):
        yield f"the customer was never told: {row.key} is {row.state}: {row.detail}"
    letters = {row.message_id for row in at.rows(select(notices.c.message_id))}
    if len(letters) != len(list(at.outbox.glob("*.eml"))):
        yield f"{len(letters)} letters are in the books, and {len(list(at.outbox.glob('*.eml')))} were written"
