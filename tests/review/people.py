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
from tests.review import oracles
from worker.cases.review.reviewer import Reviewer
from worker.errors import Refused
from worker.sandbox.creem.words import Announced, Ending, Fault, Lost, RefundAnswer
from worker.store.engine import Store
from worker.store.tables import cases

PAID = 1071
CHARGES = ("tran_0", "tran_1")


class Town(WholeWay, PeopleWorld):
    """Everybody who acts is a process behind doors; whoever hands something over does so again until it is taken."""

    def __init__(self, store: Store, folder: Path, *, key: bool) -> None:
        super().__init__(store, journal=folder / "journal", folder=folder, switches=NASTY, clock=HandClock(), key=key)
        self.key = key
        """Without a key nothing is read or sent: all that is known of charges, webhooks tell."""
        if not key:
            self.reviewer = replace(self.reviewer, environment=None)
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

    def pay(self) -> list[str]:
        return super().pay() if self.key else []

    def night(self) -> None:
        """What a machine does once a night."""
        reconciler = self.reconciler() if self.key else replace(self.reconciler(), creem=None)
        self.doors.process(reconciler.reconcile, "reconcile: ")


Action = Callable[[Town], object]


def town(store: Store, folder: Path, minutes_apart: int, *, key: bool = True) -> Town:
    """The customer as everything begins; charges more than ten minutes apart go to a person."""
    at = Town(store, folder, key=key)
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
                the_bank_has_said(at, case_id, choice)
                at.doors.process(partial(at.decide, case_id, choice, by=by, reason="looked at it"), "person: ")
                return
        raise Refused("nothing of that kind waits")

    return act


def the_bank_has_said(world: PeopleWorld, case_id: str, choice: str) -> None:
    """Nobody says that a dispute was won before the bank gave the money back, nor that one was lost whose money is here. Raises
    `Refused` where it would not be true.
    """
    if choice not in {"won", "lost"}:
        return
    transaction = str(world.rows(select(cases.c.subject).where(cases.c.case_id == case_id))[0].subject)
    held = world.double.gone(transaction, "chargeback")
    if choice == "won" and held:
        world.double.win_dispute(transaction)
    if choice == "lost" and not held:
        raise Refused("the bank gave it back")


def withdraw(at: Town) -> None:
    for case_id in at.queue():
        try:
            at.doors.process(partial(withdraw_what_there_is, at.reviewer, case_id, by="bob"), "person: ")
        except Refused:
            continue
        return
    raise Refused("nothing is proposed")


def withdraw_what_there_is(reviewer: Reviewer, case_id: str, *, by: str) -> None:
    """As the command does, which shows it and then names it."""
    planned = reviewer.plan_withdraw(case_id, by=by, reason="not so")
    reviewer.withdraw(case_id, planned["choice"], by=by, reason="not so")


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


def go_deaf(at: Town) -> None:
    if not at.key:
        raise Refused("nothing else would ever tell of it")
    at.hears = False


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
    "webhooks are lost": go_deaf,
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
        at.clock.pass_(seconds=1)
        at.work()
        yield from (f"after {name}: {wrong}" for wrong in _books(at))
    at.hears, at.double.switches, at.doors.faults = True, NASTY, frozenset()
    for days in (1, 3):
        at.settle_down(days=days, done=lambda: False)
        at.night()
        at.sweep()
    yield from _books(at)
    yield from oracles.worth(at, CHARGES)
    yield from oracles.nobody_is_stuck(at, CHARGES)
    yield from oracles.everybody_is_told(at)


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
