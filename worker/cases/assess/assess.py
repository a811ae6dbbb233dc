"""The assess step: inbox rows become facts, facts become verdicts, verdicts become postings and intents, in one transaction.

One to N rows, one code path: a single event is a batch of one. Who takes which rows, and what becomes of those that fail, is in
`assessor.py`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from policy.lifecycle import CaseKind, CaseState
from worker.cases.assess.carry_out import announce_ended
from worker.cases.assess.fold import Fate, fold
from worker.cases.assess.gather import Unread, placed, read_all, woken_cases
from worker.cases.assess.judge import judge
from worker.cases.assess.surroundings import load_surroundings
from worker.cases.book import spans
from worker.cases.book.bench import Bench
from worker.cases.book.book import WORKER, Book, Case
from worker.cases.book.casework import Move, moves_of
from worker.cases.book.load import jobs_of_newly_vouched, load_jobs, load_lots_money, load_purchases
from worker.cases.book.locks import lock_accounts
from worker.cases.book.lots import debit_what_is_here, offer_what_came_back
from worker.cases.book.news import Line, News, read
from worker.cases.book.woken import wake_about_orders
from worker.cases.book.write import write
from worker.cases.money.close import hand_over_untaken
from worker.cases.money.hear import hear
from worker.cases.money.settle import Settled, Settler, woken_purchases
from worker.cases.requests.judge import judge_requests, wake_declined
from worker.clock import Clock
from worker.credits.ledger import Ledger
from worker.creem.said import SubscriptionChanged
from worker.creem.webhooks import Webhook
from worker.errors import CannotProcess
from worker.intake.records import PurchaseRecord
from worker.store import inbox
from worker.store.bulk import Tx
from worker.store.effects import ANNOUNCING
from worker.traces import Span


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

    def __str__(self) -> str:
        """What people search for in Flower: the outcome first."""
        moves = [f"{move.state} {move.case_id} {move.subject}" for move in self.moves]
        if len(moves) == 1:
            return moves[0]
        if moves:
            return f"{_counted(Counter(move.state for move in self.moves))} of {self.handled} events"
        fates = {"noted": self.handled, "waiting": self.waiting, "dead": self.dead, "failed": self.failed}
        return _counted(Counter({fate: times for fate, times in fates.items() if times})) or "nothing due"


def _counted(words: Counter[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in sorted(words.items()))


@dataclass(frozen=True, slots=True)
class Assessment:
    """The step with its collaborators."""

    ledger: Ledger
    bench: Bench
    settler: Settler
    clock: Clock
    lease: timedelta

    def work(
        self,
        tx: Tx,
        news: Sequence[News] = (),
        unread: Sequence[Unread] = (),
        *,
        case_ids: Sequence[str] = (),
        named: Sequence[tuple[str, str]] = (),
        at_once: bool = False,
    ) -> Assessed:
        """What follows from this news, from cases that are woken and from jobs that are named, is in the database. Where news is
        taken in and handled `at_once` its rows stand as handled already, and announcements are claimed for the caller. Raises
        `LockedOut` where somebody else holds an account of theirs.
        """
        book = Book(self.clock.now())
        # stand as handled already, if that is what becomes of them
        standing = {item.row.id for item in news} if at_once else set()
        news, woken, unreadable = self._gather(tx, book, news, case_ids, named)
        dead = [*unread, *unreadable]
        self._load(tx, book, news, woken, named)
        fates, contradicting = self._fold(tx, book, news)
        dead += contradicting
        self._judge(tx, book)
        self._write(tx, book, at_once)
        settled, moved = self._settle(tx, book, news, woken)
        inbox.settle(tx, [f for f in fates if f["id"] not in standing or f["state"] != Fate.HANDLED.value])
        bury(tx, dead, book.now)
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
            tx, book, [a for n in news for a in n.account_ids] + [row.account_id for row in woken] + [a for _, a in named]
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
        """What is touched is judged, with what judging asks for beside it. Credits that come back cover jobs that wait for
        some, and these are judged in their turn.
        """
        debit_what_is_here(book)
        while book.touched:
            load_lots_money(tx, book)
            load_surroundings(tx, book, self.bench)
            judge(book, sorted(book.touched), self.bench)
            book.touched = offer_what_came_back(tx, book, self.ledger)

    def _write(self, tx: Tx, book: Book, at_once: bool) -> None:
        """The book is in the database; announcements of what is handled `at_once` are claimed for the caller."""
        announce_ended(book)
        for effect in book.effects:
            if at_once and effect["kind"] in ANNOUNCING:
                effect.update(state="claimed", attempts=1, due_at=book.now + self.lease)
        write(tx, book, self.ledger, WORKER, told=self.bench.told)

    def _settle(self, tx: Tx, book: Book, news: Sequence[News], woken: Sequence[Row[Any]]) -> tuple[Settled, list[Case]]:
        """What follows for charges and requests is done. Returns that of charges, and the cases that moved beside it."""
        _wake_about_orders(tx, book, news)
        book.purchases_touched |= woken_purchases(tx, [(row.kind, row.subject) for row in woken])
        settled = self.settler.settle(tx, book.purchases_touched, book.now)
        asked = [row.case_id for row in woken if row.kind == CaseKind.REQUEST.value]
        _wake_declined(tx, book)
        moved = judge_requests(tx, self.ledger, self.bench, asked, book.accounts, book.now) if asked else []
        if woken:
            # after all others who may move these cases
            moved += hand_over_untaken(tx, [row.case_id for row in woken], self.bench, book.now)
        return settled, moved


def _no_longer_waiting(tx: Tx, news: Sequence[News]) -> Sequence[Row[Any]]:
    return inbox.waiting_for(tx, [item.job_id for item in news if item.introduces_job and item.job_id])


def _hear_what_waits(tx: Tx, book: Book) -> None:
    """What was reported about jobs that are woken and still not known: a person who reviews them wants to see it."""
    unknown = [job_id for job_id in book.touched if job_id not in book.jobs]
    for row in inbox.waiting_for(tx, unknown):
        fold(book, read(row))


def _wake_declined(tx: Tx, book: Book) -> None:
    """Whoever was told no for want of a cancellation is looked at again where there is word of one."""
    bought = [row["purchase_id"] for row in book.purchases_changed.values() if row["cancelled_at"]]
    heard = [hook.said for hook in book.heard if isinstance(hook.said, SubscriptionChanged)]
    subscriptions = [said.subscription_id for said in heard if said.cancelled_at]
    if bought or subscriptions:
        wake_declined(tx, bought, subscriptions, book.now)


def _wake_about_orders(tx: Tx, book: Book, news: Sequence[News]) -> None:
    """What a person has about a purchase is looked at again where something became of one of its jobs, or was told of a charge of
    the account.
    """
    jobs = [job.account_id for job in book.jobs.values() if job.changed or job.added]
    moved = [case.account_id for case in book.cases.values() if case.state is not case.was]
    told = [one for item in news if isinstance(item.said, PurchaseRecord | Webhook) for one in item.account_ids]
    if (jobs or moved or told) and book.asked_about:
        wake_about_orders(tx, sorted({*jobs, *moved, *told}), book.now)


def _touch_vouched(book: Book, news: Sequence[News]) -> None:
    accounts = {item.account_id for item in news}
    book.touched |= {
        case.subject for case in book.cases.values() if case.state is CaseState.WAITING and case.account_id in accounts
    }


def bury(tx: Tx, dead: Sequence[tuple[Line | Row[Any], CannotProcess]], now: datetime) -> int:
    """These rows lie with the dead letters, each with what is wrong with it. Returns how many letters that made."""
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
