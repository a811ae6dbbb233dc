"""What was booked for the accounts of customers at Creem is carried out there: claim, call, record, in transactions of their own.

The call carries the posting's key: a process that dies in the middle, or an answer that is lost, means the same call once more.
Whatever Creem does not do stays due and is seen in `refunds status`; only a customer who has spent the credits there is refused
for good.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from worker.cases.book.book import WORKER
from worker.cases.effects.effects import pause_after
from worker.cases.money import limits
from worker.clock import ROUND_SECONDS, Clock, turns
from worker.credits import at_creem
from worker.credits.at_creem import Due
from worker.creem.client import CreemRefused
from worker.creem.credits import Booked, CreditAnswer, Entry
from worker.errors import TryLater
from worker.observe import log
from worker.store.breakers import CREEM, closed_to
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.history import line
from worker.store.tables import case_history

ROUND = 50
"""Most entries carried out in one call: a task has a time limit."""


class Accounts(Protocol):
    """The accounts at Creem: `worker.creem.credits`."""

    def book(self, entry: Entry, name: str) -> CreditAnswer:
        """Adds or takes credits, once for each key. Raises `TryLater` or `CreemRefused`."""
        ...


@dataclass(frozen=True, slots=True)
class BooksAtCreem:
    """Carries entries out, with its collaborators. `name` is what the accounts are called."""

    store: Store
    accounts: Accounts
    name: str
    clock: Clock
    lease: timedelta
    round_seconds: float = ROUND_SECONDS
    timer: Callable[[], float] = time.monotonic

    def carry_out(self) -> list[str]:
        """Carries out what is due, the oldest first, until nothing is or Creem does not answer; returns each in words."""
        told: list[str] = []
        away = self.store.read(lambda tx: closed_to(tx, [CREEM, limits.KEY], self.clock.now()))
        if away is not None:
            return told
        for _ in turns(ROUND, self.round_seconds, self.timer):
            now = self.clock.now()
            due = self.store.write(partial(at_creem.claim, now=now, lease=self.lease))
            if due is None:
                break
            words, heard = self._carry_out(due)
            told.append(f"{due.key} {words}")
            if not heard:
                break
        return told

    def _carry_out(self, due: Due) -> tuple[str, bool]:
        if due.credits == 0:
            self.store.write(lambda tx: at_creem.dropped(tx, due, self.clock.now()))
            return "dropped", True
        answer = self._ask(due)
        self.store.write(lambda tx: self._record(tx, due, answer, self.clock.now()))
        log.info("credits.booked", case_id=due.case_id, key=due.key, booked=answer.booked.value, detail=answer.detail)
        return answer.booked.value, answer.heard

    def _ask(self, due: Due) -> CreditAnswer:
        if due.customer_id is None:
            return CreditAnswer(Booked.LATER, f"purchase {due.purchase_id} names no customer of Creem's")
        entry = Entry(due.key, due.customer_id, due.credits, due.case_id or due.purchase_id)
        try:
            return self.accounts.book(entry, self.name)
        except CreemRefused as error:
            return CreditAnswer(Booked.LATER, str(error))
        except TryLater as error:
            return CreditAnswer(Booked.LATER, str(error), heard=False)

    def _record(self, tx: Tx, due: Due, answer: CreditAnswer, now: datetime) -> None:
        if answer.booked is Booked.DONE and answer.transaction_id is not None:
            ours = at_creem.done(tx, due, answer.transaction_id, now)
            event, detail = "credits.booked", {"credits": due.credits, "transaction_id": answer.transaction_id}
        elif answer.booked is Booked.SHORT:
            ours = at_creem.refused(tx, due, answer.detail, now)
            event, detail = "credits.refused", {"credits": due.credits, "answer": answer.detail}
        else:
            at_creem.postpone(tx, due, now + pause_after(due.attempt), answer.detail)
            return
        if ours and due.case_id is not None:
            tx.insert(case_history, [line(due.case_id, event, WORKER, now, **detail, at="creem")])
