"""Assess: inbox rows become facts, facts become verdicts, verdicts become postings and intents, in one transaction.

One to N rows, one code path: a single event is a batch of one. The attempt is counted in a commit of its own before the
work; a batch that fails is split into singles; a single that keeps failing goes to the dead letters with its reason. So one
poisonous event costs only itself.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Row

from policy.lifecycle import CaseKind, CaseState
from worker.cases import spans
from worker.cases.bench import Bench
from worker.cases.book import WORKER, Book, Case
from worker.cases.casework import Move, moves_of
from worker.cases.fold import Fate, fold
from worker.cases.gather import Unread, placed, read_all, woken_cases
from worker.cases.judge import judge
from worker.cases.load import (
    held_accounts,
    jobs_of_newly_vouched,
    load_jobs,
    load_lots_money,
    load_purchases,
    load_surroundings,
    lock_accounts,
)
from worker.cases.money.hear import hear
from worker.cases.money.settle import Settled, Settler, woken_purchases
from worker.cases.news import Line, News, of_accepted, read
from worker.cases.requests.judge import judge_requests, wake_about_orders, wake_declined
from worker.cases.write import write
from worker.clock import Clock, growing
from worker.credits.ledger import Ledger
from worker.creem.said import SubscriptionChanged
from worker.errors import CannotProcess, LockedOut, NoGround, OfNewerRelease, one_line
from worker.intake.accept import Accepted, Desk
from worker.intake.entry import Entry
from worker.observe import log
from worker.store import inbox
from worker.store.bulk import Tx
from worker.store.effects import EffectKind
from worker.store.engine import Store
from worker.store.inbox import Claim
from worker.traces import Span, tell

K = TypeVar("K")
OWN_HINT = timedelta(seconds=1)
"""How long a row is left to the task that was sent for it, before another task or the sweep takes it along."""

LONGEST_WAIT = timedelta(days=1)
LEFT_FOR = timedelta(seconds=10)
"""How long an event about a newer release's case is left to its processes before anybody looks at it again."""
HELD_FOR = timedelta(seconds=5)
"""How long an event is left whose account somebody else holds."""


@dataclass(slots=True)
class Assessed:
    """What one call did: rows handled, moves of cases, intents to hint at, failures."""

    handled: int = 0
    waiting: int = 0
    dead: int = 0
    failed: int = 0
    moves: list[Move] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    """Payments claimed, by id."""
    spans: list[Span] = field(default_factory=list)
    """To be told once the transaction stands; not added up."""

    def __iadd__(self, other: "Assessed") -> "Assessed":
        self.handled += other.handled
        self.waiting += other.waiting
        self.dead += other.dead
        self.failed += other.failed
        self.moves += other.moves
        self.effects += other.effects
        self.claims += other.claims
        return self

    @property
    def events(self) -> int:
        """How many it took up, whatever came of them."""
        return self.handled + self.waiting + self.dead + self.failed

    @property
    def busy(self) -> bool:
        """True when anything at all was done."""
        return bool(self.events or self.moves)


@dataclass(frozen=True, slots=True)
class Assessor:
    """The assess step with its collaborators."""

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
            for claim in claims:
                if claim.attempt > 1:
                    # somebody failed or died over this row before: it may not spoil others
                    done += self._together([claim])
        except NoGround:
            self._give_back(claims)
            raise
        return done

    def take(self, accepted: Sequence[Accepted]) -> Assessed:
        """Handles rows that came in claimed (`Desk.accept` with a lease), without reading their text again; announcements
        that follow are claimed for the caller to make. Raises `TryLater` when the database is away.
        """
        claims = [Claim(row.inbox_id, 1, row.event_id, row.job_id) for row in accepted]
        try:
            return self._together(claims, {row.inbox_id: of_accepted(row) for row in accepted})
        except NoGround:
            self._give_back(claims)
            raise

    def at_once(self, desk: Desk, entries: Sequence[Entry]) -> Assessed | None:
        """Takes entries in and handles them, in one transaction; announcements that follow are claimed for the caller to make.

        Only for what comes for the first time: no attempt is counted. None where something stands in the way of any of them:
        then nothing of it stands, and they go the way where attempts are. Raises `TryLater` when the database is away.
        """
        reading = desk.read(entries)
        if any(event.account_id in self.held for _, event in reading.events.values()):
            return None

        def work(tx: Tx) -> Assessed:
            return self._work(tx, [of_accepted(row) for row in desk.take_in(tx, reading)], held=True, recorded=True)

        try:
            return self._commit(work)
        except LockedOut:
            return None
        except NoGround:
            raise
        except Exception as error:
            log.warning("batch.split", rows=len(entries), error=one_line(error))
            return None

    def wake(self, case_ids: Sequence[str]) -> Assessed:
        """Judges cases again whose time has come, by the same path and without news. Those whose account somebody else holds
        stay due.
        """

        def whose() -> dict[str, str]:
            return {row.case_id: row.account_id for row in self.store.read(lambda tx: woken_cases(tx, case_ids))}

        def work(held: Set[str]) -> Assessed:
            return self._commit(lambda tx: self.judge_in(tx, [case_id for case_id in case_ids if case_id not in held]))

        return self._around(whose, work)

    def judge_jobs(self, jobs: Sequence[tuple[str, str]]) -> Assessed:
        """Judges jobs, as (job id, account id), whether or not they have a case: what a lost step left undone is done."""
        return self._commit(lambda tx: self._work(tx, [], named=jobs))

    def judge_in(self, tx: Tx, case_ids: Sequence[str]) -> Assessed:
        """Judges these cases again, without news, within the caller's transaction: what comes of it stands once that commits, and
        a rehearsal undoes it. Raises `LockedOut` where somebody else holds an account of theirs.
        """
        return self._work(tx, [], case_ids=case_ids)

    def _commit(self, work: Callable[[Tx], Assessed]) -> Assessed:
        """What the work did, once it is committed; what was done within traces is told."""
        done = self.store.write(work)
        if done.spans:
            tell(done.spans, self.clock.now())
        return done

    def _together(self, claims: Sequence[Claim], at_hand: Mapping[int, News] | None = None) -> Assessed:
        def work(held: Set[int]) -> Assessed:
            done = self._leave([claim for claim in claims if claim.id in held])
            done += self._all([claim for claim in claims if claim.id not in held], at_hand)
            return done

        return self._around(lambda: self._whose(claims, at_hand), work)

    def _all(self, claims: Sequence[Claim], at_hand: Mapping[int, News] | None) -> Assessed:
        if not claims:
            return Assessed()
        if len(claims) == 1:
            return self._alone(claims[0])
        try:
            return self._commit(lambda tx: self._work(tx, *_claimed(tx, claims, at_hand), held=at_hand is not None))
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
            return self._commit(lambda tx: self._work(tx, *_claimed(tx, [claim], None)))
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
        """What comes of `work`, which is told what to leave because its account is held by somebody else: of what `whose` gives,
        as (what, account id). Raises `LockedOut` where something else is held.
        """
        held = self._held(whose()) if self.held else set[K]()
        try:
            return work(held)
        except LockedOut:
            if (more := self._held(whose())) <= held:
                raise
        return work(more)

    def _held(self, whose: Mapping[K, str]) -> set[K]:
        """Those of these whose account somebody else holds at this moment, which is kept in mind; what no longer is so is not."""
        named = {*whose.values(), *self.held}
        now = self.store.write(lambda tx: held_accounts(tx, named))
        self.held.clear()
        self.held.update(now)
        return {what for what, account_id in whose.items() if account_id in now}

    def _whose(self, claims: Sequence[Claim], at_hand: Mapping[int, News] | None) -> dict[int, str]:
        """The account of each claimed row that is about one, by the row's id."""

        def look(tx: Tx) -> dict[int, str]:
            news, _ = placed(tx, _claimed(tx, claims, at_hand)[0], self.settler.accepts_mode)
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

    def _bury(self, claim: Claim, reason: str, detail: str) -> Assessed:
        def bury(tx: Tx) -> int:
            rows = inbox.lock(tx, [claim])
            return _bury(tx, [(row, CannotProcess(reason, detail)) for row in rows], self.clock.now())

        return Assessed(dead=self.store.write(bury))

    def _work(
        self,
        tx: Tx,
        news: Sequence[News],
        unread: Sequence[Unread] = (),
        *,
        case_ids: Sequence[str] = (),
        named: Sequence[tuple[str, str]] = (),
        held: bool = False,
        recorded: bool = False,
    ) -> Assessed:
        book = Book(self.clock.now())
        # stand as handled already, if that is what becomes of them
        standing = {item.row.id for item in news} if recorded else set()
        news, woken, unreadable = self._gather(tx, book, news, case_ids, named)
        dead = [*unread, *unreadable]
        self._load(tx, book, news, woken, named)
        fates, contradicting = self._fold(tx, book, news)
        dead += contradicting
        self._judge(tx, book)
        self._write(tx, book, held)
        settled, moved = self._settle(tx, book, woken)
        inbox.settle(tx, [f for f in fates if f["id"] not in standing or f["state"] != Fate.HANDLED.value])
        _bury(tx, dead, book.now)
        return _account_for([*book.cases.values(), *moved], book, settled, fates, len(dead))

    def _gather(
        self, tx: Tx, book: Book, news: Sequence[News], case_ids: Sequence[str], named: Sequence[tuple[str, str]]
    ) -> tuple[list[News], Sequence[Row[Any]], list[Unread]]:
        """The news in order, with what waited for a job in it, and the cases that are woken, behind the locks of their accounts.
        Returns news, cases, and rows that cannot be read or placed.
        """
        news, unplaced = placed(tx, news, self.settler.accepts_mode)
        woken = woken_cases(tx, case_ids)
        lock_accounts(
            tx, book, [n.account_id for n in news if n.account_id] + [row.account_id for row in woken] + [a for _, a in named]
        )
        released, unreadable = read_all(_no_longer_waiting(tx, news))
        news = sorted([*news, *released], key=lambda item: item.rank)
        lock_accounts(tx, book, [n.account_id for n in released if n.account_id])
        return news, woken, [*unplaced, *unreadable]

    def _load(
        self, tx: Tx, book: Book, news: Sequence[News], woken: Sequence[Row[Any]], named: Sequence[tuple[str, str]]
    ) -> None:
        """Jobs and purchases that the news is about, that are woken or named, are in the book."""
        jobs = {n.job_id for n in news if n.job_id} | {row.job_id for row in woken if row.job_id}
        jobs |= {job_id for job_id, _ in named}
        load_jobs(tx, book, jobs | jobs_of_newly_vouched(tx, news), self.ledger)
        load_purchases(tx, book, news, self.ledger)
        book.touched |= {row.job_id for row in woken if row.job_id} | {job_id for job_id, _ in named}

    def _fold(self, tx: Tx, book: Book, news: Sequence[News]) -> tuple[list[dict[str, Any]], list[Unread]]:
        """The news is in the book. Returns what becomes of each row, and those that contradict what cannot be two ways."""
        _hear_what_waits(tx, book)
        fates: list[dict[str, Any]] = []
        refused: list[Unread] = []
        for item in news:
            try:
                fate = fold(book, item)
            except CannotProcess as refusal:
                refused.append((item.row, refusal))
                continue
            fates.append({"id": item.row.id, "state": fate.value, "handled_at": book.now, "due_at": book.now})
        _touch_vouched(book, news)
        hear(tx, book, self.settler.can_read)
        return fates, refused

    def _judge(self, tx: Tx, book: Book) -> None:
        """What is touched is judged, with what judging asks for beside it."""
        load_lots_money(tx, book)
        load_surroundings(tx, book, self.bench)
        for job_id in sorted(book.touched):
            judge(book, job_id, self.bench)

    def _write(self, tx: Tx, book: Book, held: bool) -> None:
        """The book is in the database; announcements are claimed for the caller where they are `held` for it."""
        for effect in book.effects:
            if held and effect["kind"] == EffectKind.ANNOUNCE.value:
                effect.update(state="claimed", attempts=1, due_at=book.now + self.lease)
        write(tx, book, self.ledger, WORKER, told=self.bench.told)

    def _settle(self, tx: Tx, book: Book, woken: Sequence[Row[Any]]) -> tuple[Settled, list[Case]]:
        """What follows for charges and requests is done. Returns that of charges, and the requests' cases."""
        book.charges_touched |= woken_purchases(tx, [(row.kind, row.subject) for row in woken])
        settled = self.settler.settle(tx, book.charges_touched, book.now)
        asked = [row.case_id for row in woken if row.kind == CaseKind.REQUEST.value]
        _wake_declined(tx, book)
        _wake_about_orders(tx, book)
        return settled, judge_requests(tx, self.ledger, self.bench, asked, book.accounts, book.now) if asked else []


def _about(claim: Claim) -> dict[str, Any]:
    """Of whom a line of the log is: not of the job that the task was sent for, where it took others along."""
    return {"inbox_id": claim.id, "event_id": claim.event_id, "job_id": claim.job_id}


def _claimed(tx: Tx, claims: Sequence[Claim], at_hand: Mapping[int, News] | None) -> tuple[list[News], list[Unread]]:
    """What the claimed rows say that are still ours, and those that can no longer be read."""
    if at_hand is None:
        return read_all(inbox.lock(tx, claims))
    ours = inbox.lock_again(tx, claims)
    return [at_hand[claim.id] for claim in claims if claim.id in ours], []


def _no_longer_waiting(tx: Tx, news: Sequence[News]) -> Sequence[Row[Any]]:
    return inbox.waiting_for(tx, [item.job_id for item in news if item.introduces_job and item.job_id])


def _hear_what_waits(tx: Tx, book: Book) -> None:
    """What was reported about jobs that are woken and still not known: a person who reviews them wants to see it."""
    unknown = [job_id for job_id in book.touched if job_id not in book.jobs]
    for row in inbox.waiting_for(tx, unknown):
        fold(book, read(row))


def _wake_declined(tx: Tx, book: Book) -> None:
    """Whoever was told no for want of a cancellation is looked at again where there is word of one."""
    bought = [row["purchase_id"] for row in book.purchases_changed if row["cancelled_at"]]
    heard = [hook.said for hook in book.heard if isinstance(hook.said, SubscriptionChanged)]
    subscriptions = [said.subscription_id for said in heard if said.cancelled_at]
    if bought or subscriptions:
        wake_declined(tx, bought, subscriptions, book.now)


def _wake_about_orders(tx: Tx, book: Book) -> None:
    """Whoever asked for the money of a purchase is looked at again where something became of one of its jobs."""
    jobs = [job.account_id for job in book.jobs.values() if job.changed or job.added]
    moved = [case.account_id for case in book.cases.values() if case.state is not case.was]
    if (jobs or moved) and book.asked_about:
        wake_about_orders(tx, sorted({*jobs, *moved}), book.now)


def _touch_vouched(book: Book, news: Sequence[News]) -> None:
    accounts = {item.account_id for item in news}
    book.touched |= {
        case.subject for case in book.cases.values() if case.state is CaseState.WAITING and case.account_id in accounts
    }


def _bury(tx: Tx, dead: Sequence[tuple[Line | Row[Any], CannotProcess]], now: datetime) -> int:
    letters = [
        inbox.new_letter(
            key=inbox.letter_key(row.id),
            reason=refusal.reason,
            detail=refusal.detail,
            raw=row.raw.encode(),
            received_at=row.received_at,
            now=now,
            inbox_id=row.id,
        )
        for row, refusal in dead
    ]
    buried = inbox.bury(tx, letters)
    inbox.settle(tx, [{"id": row.id, "state": "dead", "handled_at": now} for row, _ in dead])
    return buried


def _account_for(
    moved: Sequence[Case],
    book: Book,
    settled: Settled,
    fates: Sequence[dict[str, Any]],
    dead: int,
) -> Assessed:
    done = Assessed(dead=dead, effects=[*book.effects, *map(dict, settled.effects)], claims=settled.claims)
    done.spans = spans.moves(moved, book.now)
    done.handled = sum(fate["state"] == Fate.HANDLED.value for fate in fates)
    done.waiting = len(fates) - done.handled
    done.moves = moves_of(moved) + settled.moves
    return done
