"""Effects performed: claim, act, record, in three separate transactions around the one outside call.

Both kinds here are safe to repeat: an announcement carries a stable identity, a re-run its idempotency key. A process that dies
in the middle leaves a claim that ends by itself, and the effect is done again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select, update

from policy.facts import RerunState
from policy.lifecycle import CaseState
from worker.cases.book import spans
from worker.cases.book.book import WORKER
from worker.cases.book.casework import announcement
from worker.cases.book.rows import case_of
from worker.clock import ROUND_SECONDS, Clock, growing, turns, written
from worker.errors import TryLater
from worker.notices.outcomes import Outcome, OutcomeStream
from worker.observe import log
from worker.reruns import Answer, RerunOrder, Reruns
from worker.store import effects
from worker.store.breakers import BREAK_FOR, PIPELINE, answered, unheard
from worker.store.bulk import Record, Tx
from worker.store.effects import Effect, EffectKind
from worker.store.engine import Store
from worker.store.history import line
from worker.store.tables import case_history, cases, reruns
from worker.traces import tell

ROUND = 20
"""Most re-runs asked for in one call: a task has a time limit."""
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Performer:
    """Does what was intended, with its collaborators."""

    store: Store
    reruns: Reruns
    outcomes: OutcomeStream
    clock: Clock
    batch: int
    lease: timedelta
    acts: bool = True
    """False in mode observe: what was intended before stays due until the mode is another."""
    round_seconds: float = ROUND_SECONDS
    timer: Callable[[], float] = time.monotonic

    def announce(self) -> int:
        """Announces what is due, a batch at a time until none is left or its time is over; returns how many announcements are on
        the stream now.
        """
        announced = 0
        if not self.acts:
            return announced
        for _ in turns(self.batch, self.round_seconds, self.timer):
            now = self.clock.now()
            alone, for_all, told = self.store.write(partial(_due, limit=self.batch, now=now, lease=self.lease))
            if told:
                announced += self._announce([*for_all, *alone], told)
            if not for_all and len(alone) < self.batch:
                break
        return announced

    def _announce(self, taken: Sequence[Effect], told: Sequence[Effect]) -> int:
        """Announces what is `told`, which is what the `taken` effects are to tell."""
        began = self.clock.now()
        try:
            self.outcomes.announce([_outcome(effect) for effect in told])
        except TryLater as error:
            self._postpone(taken, str(error))
            raise
        now = self.clock.now()
        self.store.write(lambda tx: effects.finish(tx, taken, state="done", result="announced", now=now))
        tell(spans.announcements(told, began), now)
        return len(told)

    def announce_claimed(self, written: Sequence[Record]) -> None:
        """Makes the announcements that the caller's own transaction wrote as claimed. What is not made is found by the sweep
        when the claim ends.
        """
        claimed = [record for record in written if record["state"] == "claimed"] if self.acts else []
        if claimed:
            self._announce([*map(_claimed, claimed)], [_claimed(one) for record in claimed for one in effects.each(record)])

    def rerun(self, keys: Sequence[str] = ()) -> list[str]:
        """Asks the pipeline for the re-runs named, or for any that are due; returns `<answer> <job>` for each.

        One is claimed at a time, so that a slow pipeline never makes a claim lapse before its turn; a call that nobody
        hears ends the round, for the next would not be heard either.
        """
        told: list[str] = []
        if not self.acts:
            return told
        for _ in turns(ROUND, self.round_seconds, self.timer):
            read_at, now = self.timer(), self.clock.now()
            one = partial(effects.claim, kind=EffectKind.RERUN, keys=keys, limit=1, now=now, lease=self.lease)
            taken = self.store.write(one)
            if not taken:
                break
            # a process that stood still meanwhile must not send what another may have made good in credits
            left = min(self.lease, datetime.fromisoformat(taken[0].payload["deadline_at"]) - now)
            told.append(self._rerun(taken[0], read_at + left.total_seconds()))
            if told[-1].startswith(Answer.NOT_HEARD.value):
                break
        return told

    def _rerun(self, effect: Effect, until: float) -> str:
        job_id = effect.job_id or ""
        if effect.case_state != CaseState.RERUNNING.value:
            # the deadline passed, or the customer was made whole meanwhile: a re-run now would be a second remedy
            self._end(effect, state="dropped", result=f"the case is {effect.case_state}")
            return f"dropped {job_id}"
        order = RerunOrder(
            job_id=job_id,
            attempt=int(effect.payload["attempt"]),
            case_id=effect.case_id,
            sent_as=effect.sent_as,
            asked_at=effect.created_at,
            traceparent=effect.payload.get("traceparent"),
        )
        began = self.clock.now()
        reply = self.reruns.ask(order, until)
        log.info("rerun.asked", case_id=effect.case_id, job_id=job_id, answer=reply.answer.value, detail=reply.detail)
        match reply.answer:
            case Answer.ACCEPTED:
                self._end(effect, state="done", result=reply.detail)
            case Answer.REFUSED:
                self._end(effect, state="done", result=reply.detail, refused=True)
            case Answer.NOT_HEARD:
                self._postpone([effect], reply.detail)
                self.store.write(lambda tx: unheard(tx, PIPELINE, reply.detail, self.clock.now(), BREAK_FOR))
            case Answer.NOT_SENT:
                self._postpone([effect], reply.detail)
        if reply.answer in {Answer.ACCEPTED, Answer.REFUSED}:
            tell(spans.rerun(effect, reply.answer.value, began), self.clock.now())
        return f"{reply.answer.value} {job_id}"

    def _end(self, effect: Effect, *, state: str, result: str, refused: bool = False) -> None:
        now = self.clock.now()

        def end(tx: Tx) -> None:
            if not effects.finish(tx, [effect], state=state, result=result, now=now):
                return
            event = "rerun.dropped" if state == "dropped" else ("rerun.refused" if refused else "rerun.sent")
            tx.insert(case_history, [line(effect.case_id, event, WORKER, now, answer=result)])
            if refused:
                asked = (reruns.c.job_id == effect.job_id, reruns.c.state == RerunState.ASKED.value)
                tx.connection.execute(update(reruns).where(*asked).values(state=RerunState.REFUSED.value, ended_at=now))
                # the sweep, or the caller's hint, judges the case again at once
                woken = (cases.c.case_id == effect.case_id, cases.c.state == CaseState.RERUNNING.value)
                tx.connection.execute(update(cases).where(*woken).values(next_action_at=now))
            elif state == "done":
                tx.connection.execute(update(reruns).where(reruns.c.job_id == effect.job_id).values(sent_at=now))
            if state == "done":
                answered(tx, PIPELINE)

        self.store.write(end)

    def _postpone(self, waiting: Sequence[Effect], why: str) -> None:
        tries = max(effect.attempt for effect in waiting)
        due_at = self.clock.now() + pause_after(tries)
        self.store.write(lambda tx: effects.postpone(tx, waiting, due_at=due_at, result=why))


def pause_after(tries: int) -> timedelta:
    """How long what may be repeated waits after so many tries that came to nothing."""
    return growing(tries, LONGEST_WAIT)


def _claimed(record: Record) -> Effect:
    key = record["key"]
    sent_as = record["effect_id"]
    return Effect(key, sent_as, record["case_id"], record["job_id"], record["payload"], 1, record["created_at"], "")


def _due(tx: Tx, limit: int, now: datetime, lease: timedelta) -> tuple[list[Effect], list[Effect], list[Effect]]:
    """Due effects that announce, claimed: those of one case each, and one of those that are for many, which may be a batch or two
    cases; and the announcements that all of them are for.
    """
    alone = effects.claim(tx, EffectKind.ANNOUNCE, keys=(), limit=limit, now=now, lease=lease)
    for_all = effects.claim(tx, EffectKind.ANNOUNCE_ALL, keys=(), limit=1, now=now, lease=lease)
    return alone, for_all, [*(one for effect in for_all for one in _each(tx, effect)), *alone]


def _each(tx: Tx, effect: Effect) -> Iterator[Effect]:
    """What is announced of each case that an effect names, as it was announced when they ended, if it was."""
    rows = {row.case_id: row for row in tx.all(select(cases).where(tx.among(cases.c.case_id, effect.payload["cases"])))}
    for case_id in effect.payload["cases"]:
        record = announcement(case_of(rows[case_id]), effect.created_at)
        assert record is not None, "nothing leads away from the end that is told of"
        one = replace(_claimed(record), attempt=effect.attempt)
        # an intent of a release before may be on the stream already, under the keys
        yield one if effects.SUBJECTS in effect.payload else replace(one, sent_as=one.key)


def _outcome(effect: Effect) -> Outcome:
    kept = {name: value for name, value in effect.payload.items() if name not in {"type", "traceparent"}}
    data = {"case_id": effect.case_id, "job_id": effect.job_id, **kept}
    return Outcome(
        # before migration 0013 the id of a row was never that of its announcement
        id=effect.sent_as if effect.sent_as.startswith("announce:") else effect.key,
        type=effect.payload["type"],
        time=written(effect.created_at),
        subject=effect.job_id or effect.case_id,
        data=data,
        traceparent=effect.payload.get("traceparent"),
    )
