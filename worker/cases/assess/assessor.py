"""Who takes rows of the inbox to the assess step, and what becomes of those that fail.

What comes for the first time is taken in and handled in one commit (`at_once`). Where something stands in the way of that, and
for whatever comes again, the attempt is counted in a commit of its own before the work; a batch that fails is split into singles;
a single that keeps failing goes to the dead letters with its reason. So one poisonous event costs only itself, and an account
that somebody holds costs only its own: what is about it is left for later, and the rest goes on.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from worker.cases.assess.assess import Assessed, Assessment, bury
from worker.cases.assess.gather import placed, read_all, woken_cases
from worker.cases.book.bench import Bench
from worker.cases.book.locks import held_accounts
from worker.cases.book.news import of_accepted
from worker.cases.money.settle import Settler
from worker.clock import Clock, growing
from worker.credits.ledger import Ledger
from worker.errors import CannotProcess, LockedOut, NoGround, OfNewerRelease, Unhandled, one_line
from worker.intake.accept import Desk, Reading
from worker.intake.entry import Entry
from worker.observe import log
from worker.store import inbox, wakings
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.inbox import Claim
from worker.traces import tell

K = TypeVar("K")
OWN_HINT = timedelta(seconds=1)
"""How long a row is left to the task that was sent for it, before another task or the sweep takes it along."""

LONGEST_WAIT = timedelta(days=1)
LEFT_FOR = timedelta(seconds=10)
"""How long an event about a newer release's case is left to its processes before anybody looks at it again."""
HELD_FOR = timedelta(seconds=5)
"""How long an event is left whose account somebody else holds."""


@dataclass(frozen=True, slots=True)
class Assessor:
    """Takes rows and due cases to the step, so that none of them spoils another."""

    store: Store
    ledger: Ledger
    bench: Bench
    settler: Settler
    clock: Clock
    batch: int
    lease: timedelta
    max_attempts: int
    held: set[str] = field(default_factory=set)
    """Accounts that somebody else held when this process last looked: their events and cases do not wait for them again."""

    def assess(self, inbox_ids: Sequence[int] = (), *, waited: timedelta = inbox.NO_TIME) -> Assessed:
        """Handles the rows named and those that are due since `waited`, up to a batch.

        Raises `TryLater` when the database is away.
        """
        now = self.clock.now()
        claims = self.store.write(
            lambda tx: inbox.claim(tx, ids=inbox_ids, limit=self.batch, now=now, lease=self.lease, waited=waited)
        )
        try:
            done = self._together([claim for claim in claims if claim.attempt == 1])
            # somebody failed or died over the others before: none of them may spoil any
            done += self._one_by_one([claim for claim in claims if claim.attempt > 1], now + self.lease)
        except NoGround:
            self._give_back(claims)
            raise
        return done

    def at_once(self, desk: Desk, entries: Sequence[Entry]) -> Assessed | None:
        """Takes entries in and handles them, in one transaction; announcements that follow are claimed for the caller to make.
        What is about an account that somebody else holds is taken in and left to the sweep.

        Only for what comes for the first time: no attempt is counted. None where something else stands in the way: then nothing
        of it stands, and they go the way where attempts are. Raises `TryLater` when the database is away.
        """
        reading = desk.read(entries)
        accounts = {event.account_id: event.account_id for _, event in reading.events.values() if event.account_id}
        try:
            return self._around(lambda: accounts, lambda left: self._commit(lambda tx: self._taken_in(tx, desk, reading, left)))
        except LockedOut:
            return None
        except NoGround:
            raise
        except Exception as error:
            log.warning("batch.split", rows=len(entries), error=one_line(error))
            return None

    def wake(self, case_ids: Sequence[str]) -> Assessed:
        """Judges claimed cases again whose time has come, by the same path and without news, and ends their claim. Those whose
        account somebody else holds stay due, and are given back.
        """

        def whose() -> dict[str, str]:
            return {row.case_id: row.account_id for row in self.store.read(lambda tx: woken_cases(tx, case_ids))}

        def work(left: Set[str]) -> Assessed:
            return self._commit(lambda tx: self._woken(tx, [case_id for case_id in case_ids if case_id not in left], left))

        return self._around(whose, work)

    def _woken(self, tx: Tx, case_ids: Sequence[str], left: Set[str]) -> Assessed:
        done = self.judge_in(tx, case_ids)
        wakings.end(tx, case_ids)
        if left:
            wakings.give_back(tx, left, self.clock.now())
        return done

    def judge_jobs(self, jobs: Sequence[tuple[str, str]]) -> Assessed:
        """Judges jobs, as (job id, account id), whether or not they have a case: what a lost step left undone is done."""
        return self._commit(lambda tx: self._step.work(tx, named=jobs))

    def judge_in(self, tx: Tx, case_ids: Sequence[str]) -> Assessed:
        """Judges these cases again, without news, within the caller's transaction: what comes of it stands once that commits, and
        a rehearsal undoes it. Raises `LockedOut` where somebody else holds an account of theirs.
        """
        return self._step.work(tx, case_ids=case_ids)

    def _commit(self, work: Callable[[Tx], Assessed]) -> Assessed:
        """What the work did, once it is committed; what was done within traces is told."""
        done = self.store.write(work)
        if done.spans:
            tell(done.spans, self.clock.now())
        return done

    def _taken_in(self, tx: Tx, desk: Desk, reading: Reading, left: Set[str]) -> Assessed:
        news = [of_accepted(row) for row in desk.take_in(tx, reading, left)]
        ours = [item for item in news if item.account_id not in left]
        done = self._step.work(tx, ours, at_once=True)
        done.failed += len(news) - len(ours)
        return done

    def _together(self, claims: Sequence[Claim]) -> Assessed:
        def work(left: Set[int]) -> Assessed:
            done = self._leave([claim for claim in claims if claim.id in left])
            done += self._all([claim for claim in claims if claim.id not in left])
            return done

        return self._around(lambda: self._whose(claims), work)

    def _one_by_one(self, claims: Sequence[Claim], until: datetime) -> Assessed:
        """Each row is counted when it begins, those that began least often first: one that ends this process costs the others no
        attempt. What is not begun stays claimed `until` then.
        """
        done, waiting = Assessed(), sorted(claims, key=lambda claim: claim.attempt)
        if len(waiting) > 1:
            self.store.write(lambda tx: inbox.release(tx, waiting[1:], until))
        for claim in waiting:
            if claim is waiting[0] or self.store.write(partial(inbox.begin, claim=claim)):
                done += self._together([claim])
        return done

    def _all(self, claims: Sequence[Claim]) -> Assessed:
        if not claims:
            return Assessed()
        if len(claims) == 1:
            return self._alone(claims[0])
        try:
            return self._commit(lambda tx: self._step.work(tx, *read_all(inbox.lock(tx, claims))))
        except NoGround:
            raise
        except Exception as error:
            log.warning("batch.split", rows=len(claims), error=one_line(error))
        done = Assessed()
        for claim in claims:
            done += self._together([claim])
        return done

    def _alone(self, claim: Claim) -> Assessed:
        if claim.attempt > self.max_attempts:
            return self._bury(claim, "kills_its_worker", f"{self.max_attempts} attempts began and none ended")
        try:
            return self._commit(lambda tx: self._step.work(tx, *read_all(inbox.lock(tx, [claim]))))
        except NoGround:
            raise
        except OfNewerRelease as error:
            # two releases run side by side: a process of the newer one takes it
            log.warning("event.left_for_newer_release", **_about(claim), error=str(error))
            due_at = self.clock.now() + LEFT_FOR
            self.store.write(lambda tx: inbox.release(tx, [claim], due_at))
            return Assessed(failed=1)
        except Exception as error:
            log.exception("event.failed", **_about(claim), attempt=claim.attempt)
            why = f"{type(error).__name__}: {one_line(error)}"
        if claim.attempt >= self.max_attempts:
            return self._bury(claim, "keeps_failing", why)
        due_at = self.clock.now() + growing(claim.attempt, LONGEST_WAIT)
        self.store.write(lambda tx: inbox.postpone(tx, claim, why, due_at))
        return Assessed(failed=1)

    def _around(self, whose: Callable[[], Mapping[K, str]], work: Callable[[Set[K]], Assessed]) -> Assessed:
        """What comes of `work`, which is told what is to be left because its account is held by somebody else: of what `whose`
        gives, as (what, account id). Raises `LockedOut` where something else is held.
        """
        left = self._of_held(whose()) if self.held and self._look(self.held) else set[K]()
        try:
            return work(left)
        except LockedOut:
            named = whose()
            self._look({*named.values(), *self.held})
            if (more := self._of_held(named)) <= left:
                raise
        return work(more)

    def _look(self, account_ids: Set[str]) -> bool:
        """Whether somebody else holds any of these at this moment. Which they are is kept in mind, of all others nothing."""
        now = self.store.write(lambda tx: held_accounts(tx, account_ids) | self.ledger.held(tx, account_ids))
        self.held.clear()
        self.held.update(now)
        return bool(now)

    def _of_held(self, whose: Mapping[K, str]) -> set[K]:
        return {what for what, account_id in whose.items() if account_id in self.held}

    def _whose(self, claims: Sequence[Claim]) -> dict[int, str]:
        """The account of each claimed row that is about one, by the row's id."""

        def look(tx: Tx) -> dict[int, str]:
            news, _ = placed(tx, read_all(inbox.lock(tx, claims))[0], self.settler.accepts_mode)
            return {item.row.id: item.account_id for item in news if item.account_id}

        return self.store.write(look)

    def _leave(self, claims: Sequence[Claim]) -> Assessed:
        """Leaves rows whose account somebody else holds for later, uncounted."""
        if claims:
            log.warning("account.held", accounts=sorted(self.held)[:5], rows=len(claims), next="tried again")
            due_at = self.clock.now() + HELD_FOR
            self.store.write(lambda tx: inbox.release(tx, claims, due_at))
        return Assessed(failed=len(claims))

    def _give_back(self, claims: Sequence[Claim]) -> None:
        """The ground gave way, which is no fault of these rows; where it is still away, their claim ends by itself."""
        with contextlib.suppress(NoGround):
            self.store.write(lambda tx: inbox.release(tx, claims, self.clock.now()))

    def _bury(self, claim: Claim, reason: Unhandled, detail: str) -> Assessed:
        def work(tx: Tx) -> int:
            rows = inbox.lock(tx, [claim])
            return bury(tx, [(row, CannotProcess(reason, detail)) for row in rows], self.clock.now())

        return Assessed(dead=self.store.write(work))

    @property
    def _step(self) -> Assessment:
        return Assessment(self.ledger, self.bench, self.settler, self.clock, self.lease)


def _about(claim: Claim) -> dict[str, Any]:
    """Of whom a line of the log is: not of the job that the task was sent for, where it took others along."""
    return {"inbox_id": claim.id, "event_id": claim.event_id, "job_id": claim.job_id}
