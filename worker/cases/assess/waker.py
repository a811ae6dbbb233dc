"""Who takes cases whose time has come to the assess step, and what becomes of those that fail.

A waking is claimed in a commit of its own before the work, and its beginning counted. Cases that nobody began go together; a
batch that fails is split into singles; one over which somebody died before goes alone, and is a person's once five beginnings
came to no end. So a case that cannot be judged, or that ends its process, costs only itself.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, not_, select, update

from policy.lifecycle import CaseState
from worker.cases.assess.assess import Assessed
from worker.cases.assess.assessor import Assessor
from worker.cases.book.book import WORKER
from worker.clock import Clock, growing
from worker.errors import LockedOut, NoGround, one_line
from worker.observe import log
from worker.store import wakings
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.history import line
from worker.store.tables import case_history, cases
from worker.store.tables import wakings as wakings_table

STUCK_AFTER = 5
STUCK_FOR = timedelta(days=1)
UNMOVED = "its time came, and nothing in the books moves it: what it is about, or of which kind it is, is not as it was written"


@dataclass(frozen=True, slots=True)
class Waker:
    """Takes due cases to the step, so that none of them spoils another."""

    store: Store
    assessor: Assessor
    clock: Clock

    def wake(self, due: Mapping[str, int], done: Assessed) -> int:
        """Wakes the cases, each with how often that began and did not end, adds what came of it to `done`, and returns how many
        were woken. Raises `TryLater` when the database is away.
        """
        woken = self._together([case_id for case_id, begun in due.items() if not begun], done)
        # somebody died over these: those that were begun least often first, each claimed when it begins
        for case_id, begun in sorted(due.items(), key=lambda one: one[1]):
            if begun >= STUCK_AFTER:
                self._give_up(case_id, f"its process ended in {begun} attempts, and none came to an end", begun)
            elif begun and self._claim([case_id]):
                woken += self._alone(case_id, done)
        return woken

    def _together(self, new: Sequence[str], done: Assessed) -> int:
        ours = self._claim(new)
        if not ours:
            return 0
        try:
            return self._wake(ours, done)
        except NoGround:
            self._give_back(ours)
            raise
        except Exception as error:
            log.warning("wake.split", cases=len(ours), error=one_line(error))
        return sum(self._alone(case_id, done) for case_id in ours)

    def _alone(self, case_id: str, done: Assessed) -> int:
        try:
            return self._wake([case_id], done)
        except NoGround:
            self._give_back([case_id])
            raise
        except Exception as error:
            log.exception("case.stuck", case_id=case_id)
            why = f"{type(error).__name__}: {one_line(error)}"
        self._give_up(case_id, why)
        return 0

    def _wake(self, case_ids: Sequence[str], done: Assessed) -> int:
        """Takes claimed cases to the step. One that it does not know what to do with is not looked at again in every sweep, for
        ever and in the place of others: a person has to hear of it.
        """
        began = self.clock.now()
        done += self.assessor.wake(case_ids)
        for case_id in self.store.read(lambda tx: _unmoved(tx, case_ids, began)):
            log.error("case.stuck", case_id=case_id, error=UNMOVED)
            self._give_up(case_id, UNMOVED)
        return len(case_ids)

    def _claim(self, case_ids: Sequence[str]) -> list[str]:
        """Those of the cases that are ours to wake now."""
        if not case_ids:
            return []
        now = self.clock.now()
        ours = self.store.write(lambda tx: wakings.claim(tx, case_ids, now, self.assessor.lease))
        return [case_id for case_id in case_ids if case_id in ours]

    def _give_back(self, case_ids: Sequence[str]) -> None:
        """What kept them from being woken is no fault of theirs; where even this cannot be written, the claim ends by itself."""
        with contextlib.suppress(Exception):
            self.store.write(lambda tx: wakings.give_back(tx, case_ids, self.clock.now()))

    def _give_up(self, case_id: str, why: str, begun: int = 0) -> None:
        try:
            self.store.write(lambda tx: _set_aside(tx, case_id, why, self.clock.now(), begun))
        except LockedOut as error:
            log.warning("case.held", case_id=case_id, error=str(error))
            self._give_back([case_id])
        except NoGround:
            raise
        except Exception:
            # it stays due as it is: the others are served all the same
            log.exception("case.not_set_aside", case_id=case_id)
            self._give_back([case_id])


def _unmoved(tx: Tx, case_ids: Sequence[str], began: datetime) -> list[str]:
    """Those of the cases that were woken, are due as before, and that nobody else is at or left to others."""
    c, w = cases.c, wakings_table.c
    due = tx.among(c.case_id, case_ids), c.next_action_at <= began, not_(exists().where(w.case_id == c.case_id))
    return [row.case_id for row in tx.all(select(c.case_id).where(*due))]


def _set_aside(tx: Tx, case_id: str, why: str, now: datetime, begun: int) -> None:
    """A case that cannot be judged is tried again with growing delay, then handed to a person with the error."""
    c = cases.c
    row = tx.one(select(c.state, c.stuck, c.next_action_at).where(c.case_id == case_id).with_for_update())
    if begun and row.stuck >= begun and row.next_action_at is not None and row.next_action_at > now:
        return  # by another sweep, at the same moment
    stuck = max(row.stuck + 1, begun)
    values: dict[str, Any] = {"stuck": stuck, "next_action_at": now + growing(stuck, STUCK_FOR)}
    if stuck >= STUCK_AFTER and not CaseState(row.state).final:
        values |= {"state": CaseState.REVIEW.value, "owner": "person", "next_action_at": now + STUCK_FOR}
        values["reason"] = f"the worker could not judge it: {why}"
    tx.connection.execute(update(cases).where(cases.c.case_id == case_id, cases.c.state == row.state).values(values))
    tx.insert(case_history, [line(case_id, "case.stuck", WORKER, now, error=why, times=stuck)])
    if not begun:
        # it came to an end, if to a bad one: what has ended its process stays on record until somebody puts it back
        wakings.end(tx, [case_id])
