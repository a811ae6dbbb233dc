"""People around money in a simulated town: who decides cases, who writes for money back, who acts at the bank and at Creem.

Each of them is a process that may die at every door; what they do is drawn. What must come of it is said by the oracles of
`tests.review`, not by the reference, which only knows what the policy does by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from email.message import EmailMessage

from sqlalchemy import select

from tests.requests.world import a_mail
from tests.review import oracles
from tests.review.people import the_bank_has_said, withdraw_what_there_is
from tests.simulation.hub import Doors, Step
from tests.simulation.stories import DoubleCharge, Told
from tests.simulation.town import Town
from worker.cases.effects.notifier import Mailer
from worker.errors import Refused
from worker.notices.mail.postbox import Outbox, Receipt
from worker.store.tables import notices, payments


@dataclass
class DoorOutbox:
    """An outbox behind a door: a sender may die before or after its letter is in it."""

    doors: Doors
    inner: Outbox

    def post(self, message: EmailMessage) -> Receipt:
        posted: Receipt = self.doors.through("letter", lambda: self.inner.post(message))
        return posted


class People:
    """Everybody who acts in the town beside its machines."""

    def __init__(self, town: Town, told: Told) -> None:
        self.town, self.told, self.chance = town, told, town.hub.chance
        self.mails: list[bytes] = []
        """What lies in the mailbox and is not taken in."""
        self.happened: Counter[str] = Counter()

    def draw(self) -> None:
        """Draws who comes, and what befalls the charges."""
        hub = self.town.hub
        for number in range(self.chance.randint(1, 3)):
            hub.start(f"person{number}", "person", "never", lambda who=f"p{number}@example.org": self._person(who))  # type: ignore[misc]
        hub.start("letters", "letters", "never", self._letters)
        hub.start("mailbox", "mailbox", "never", self._mailbox)
        for charge in self.told.charges:
            for _ in range(self.chance.choice([0, 1, 2, 4, 6])):
                charge.touched = True
                self._befalls(charge, self.chance.choice([self._mail, self._mail, self._gives_back, self._disputes, self._works]))

    def _befalls(self, charge: DoubleCharge, what: Callable[[DoubleCharge, str], None]) -> None:
        which = self.chance.choice(charge.both)
        at = charge.at + timedelta(days=self.chance.uniform(0, self.town.size.days / 3))
        self.town.hub.at(at, what.__name__, lambda: what(charge, which))

    # what befalls a charge

    def _mail(self, charge: DoubleCharge, transaction: str) -> None:
        self.happened["mail written"] += 1
        order, owner = transaction.replace("tran", "ord"), f"{charge.account}@example.org"
        message_id = f"<{order}-{self.happened['mail written']}@example.org>"
        self.mails.append(a_mail(f"Please refund my order {order}.", sender=owner, message_id=message_id))

    def _gives_back(self, charge: DoubleCharge, transaction: str) -> None:
        if not charge.trouble and not self._on_its_way(transaction) and not self.town.double.gone(transaction, "chargeback"):
            try:
                self.town.double.refund_in_dashboard(transaction, self.chance.choice([None, 300]))
                self.happened["refund in the dashboard"] += 1
            except ValueError:
                return  # nothing is left to give

    def _disputes(self, charge: DoubleCharge, transaction: str) -> None:
        if not charge.trouble and not self._on_its_way(transaction):
            self.town.double.dispute(transaction)
            self.happened["dispute"] += 1

    def _works(self, charge: DoubleCharge, transaction: str) -> None:
        """A job of theirs fails, or is delivered and downloaded."""
        town, job = self.town, f"job_of_{charge.account}_{len(self.told.besides)}"
        self.told.besides.add(job)
        town.send(town.submitted(job, charge.account, credits=self.chance.choice([3, 8])))
        if self.chance.random() < 0.5:
            town.send(town.failed(job, charge.account))
        else:
            town.send(town.succeeded(job, charge.account), town.event("downloaded", job, charge.account))

    def _on_its_way(self, transaction: str) -> bool:
        """True while a refund of ours may be on its way: who looks there sees it, and leaves it alone."""
        still_open = (payments.c.transaction_id == transaction, payments.c.closed_at.is_(None))
        return bool(self.town.rows(select(payments.c.payment_id).where(*still_open)))

    # the processes

    def _person(self, who: str) -> Step:
        reviewer = replace(self.town.reviewer, store=self.town.sim, clock=self.town.a_clock())

        def work() -> timedelta:
            rests = timedelta(hours=self.chance.uniform(0.2, 8))
            waiting = reviewer.queue(limit=100, after=None)[0]
            if self.town.gates.calm or not waiting:
                return rests
            case_id = self.chance.choice(waiting)["case_id"]
            offered = [each["choice"] for each in reviewer.look(case_id, by=who)["choices"] if each["refused"] is None]
            try:
                if not offered or self.chance.random() < 0.1:
                    withdraw_what_there_is(reviewer, case_id, by=who)
                    self.happened["person: withdraw"] += 1
                else:
                    choice = self.chance.choice(offered)
                    the_bank_has_said(self.town, case_id, choice)
                    done = reviewer.decide(case_id, choice, by=who, reason="looked at it")["done"]
                    self.happened[f"person: {choice}{'' if done else ' proposed'}"] += 1
                self.town.hub.stir("rows", "money")
            except Refused:
                pass
            return rests

        return work

    def _letters(self) -> Step:
        mailer = Mailer(DoorOutbox(self.town.gates, Outbox(self.town.outbox)), "support@layers.example", None, repeatable=True)
        clock, seconds = self.town.a_clock(), self.town.seconds
        notifier = replace(self.town.notifier, store=self.town.sim, mailer=mailer, clock=clock, timer=seconds)

        def work() -> timedelta:
            notifier.send()
            return timedelta(hours=self.chance.uniform(1, 6))

        return work

    def _mailbox(self) -> Step:
        clock = self.town.a_clock()
        mailroom = replace(self.town.mailroom, store=self.town.sim, clock=clock)
        reviewer = replace(self.town.reviewer, store=self.town.sim, clock=clock)

        def work() -> timedelta:
            reviewer.end_stale()
            while self.mails:
                mailroom.take(self.mails[0], origin="maildir")
                del self.mails[0]
            return timedelta(hours=self.chance.uniform(0.5, 6))

        return work

    # the oracles

    def waiting(self) -> bool:
        """Whether mails wait to be taken in, or letters for their writer: both rest for hours between two turns."""
        unwritten = select(notices.c.notice_id).where(notices.c.state.in_(["due", "sending"])).limit(1)
        return bool(self.mails or self.town.rows(unwritten))

    def wrong(self, *, disturbed: bool) -> Iterator[str]:
        """What does not hold at the end. Where books or Redis were lost, what was told is in no book."""
        if self.mails:
            yield f"{len(self.mails)} mails were never taken in"
        calm = [transaction for charge in self.told.charges if not charge.trouble for transaction in charge.both]
        yield from oracles.worth(self.town, calm)
        yield from oracles.nobody_is_stuck(self.town, calm)
        if not disturbed:
            yield from oracles.everybody_is_told(self.town)
