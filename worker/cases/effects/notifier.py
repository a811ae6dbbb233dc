"""Notices sent: claim, post, record, in three steps around the one outside call.

A mail is posted once. Where it is certain that nothing was taken it is tried again; where that is not certain it stays `unknown`
and a person sees it: nobody is told the same twice. Notices of one kind to one account that are due together are one mail.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, exists, func, or_, select, update

from policy import Editions
from policy.lifecycle import CaseState
from worker.cases.book import spans
from worker.cases.book.book import NOBODY, WORKER
from worker.cases.book.locks import held_accounts
from worker.clock import ROUND_SECONDS, Clock, growing, moment, new_id, turns
from worker.domains import as_hosts_write
from worker.errors import LockedOut
from worker.notices.mail.letters import About, Letter, NoticeKind, compose
from worker.notices.mail.postbox import Postbox, Posted, Receipt
from worker.observe import log
from worker.store.breakers import MAIL, answered, in_vain
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.history import line
from worker.store.statements import one_of
from worker.store.tables import accounts, case_history, cases, notices, requests
from worker.traces import tell

KINDS = tuple(kind.value for kind in NoticeKind)
OPEN = ("due", "sending")
ROUND = 20
"""Most mails in one turn: a task has a time limit."""
MOST_TOGETHER = 500
DIGEST = timedelta(hours=1)
"""At most one mail of a kind to an account in this time; what comes meanwhile goes out together."""
TOO_OLD = timedelta(days=7)
"""What could not be told for so long is not told any more."""
LEASE = timedelta(minutes=2)
HELD_FOR = timedelta(seconds=30)
"""What is for an account that somebody holds waits so long, and what is for others does not."""
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(hours=1)
SAID_OF = {NoticeKind.IN_REVIEW: CaseState.REVIEW, NoticeKind.DECLINED: CaseState.DECLINED}
"""Where a case has to stand for what a letter says of it to be so; what was given stays given."""


@dataclass(frozen=True, slots=True)
class Mailer:
    """How mail leaves: the postbox, who it is from, where answers go.

    `repeatable`: posting the same mail again is harmless. `gather`: how long a notice waits for others of the same kind, so that
    an incident is one mail; a question waits for nothing.
    """

    postbox: Postbox
    sender: str
    reply_to: str | None
    repeatable: bool
    gather: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Batch:
    kind: NoticeKind
    to: str
    message_id: str
    rows: Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class Notifier:
    """The step with its collaborators. Without a mailer nobody is written to, and what would have been told is dropped."""

    store: Store
    mailer: Mailer | None
    editions: Editions
    clock: Clock
    round_seconds: float = ROUND_SECONDS
    timer: Callable[[], float] = time.monotonic

    def send(self) -> int:
        """Sends what is due, up to a round; returns how many mails left."""
        mailer = self.mailer
        if mailer is None:
            self.store.write(lambda tx: _drop_all(tx, self.clock.now(), "no way to send mail is configured"))
            return 0
        sent = 0
        # a task that is ended in the middle of a letter leaves one of which nobody knows whether it was taken
        for _ in turns(ROUND, self.round_seconds, self.timer):
            now = self.clock.now()
            try:
                batch = self.store.write(partial(_claim, mailer=mailer, now=now))
            except LockedOut:
                if not self.store.write(partial(_walk_around, mailer=mailer, now=now)):
                    raise
                continue
            if batch is None:
                break
            if not batch.rows:
                continue
            receipt = _post(mailer, self.editions, batch, now)
            self.store.write(partial(_record, batch=batch, receipt=receipt, now=self.clock.now()))
            outcome, told = receipt.outcome.value, [row.case_id for row in batch.rows[:5]]
            log.info("notice.posted", kind=batch.kind.value, notices=len(batch.rows), outcome=outcome, case_ids=told)
            if receipt.outcome is Posted.SENT:
                tell(spans.notices(batch.rows, now), self.clock.now())
                sent += 1
        return sent


def _claim(tx: Tx, mailer: Mailer, now: datetime) -> _Batch | None:
    """The next mail's notices, taken; an empty batch where they were settled without one; None where nothing is due."""
    _give_up_on_the_dead(tx, mailer, now)
    first = _first(tx, mailer, now)
    if not first:
        return None
    kind, account_id = NoticeKind(first[0].kind), first[0].account_id
    # one sender at a time for one account: two would each take half of an incident
    known = tx.all(select(accounts).where(accounts.c.account_id == account_id).with_for_update())
    alike = [_due(now), notices.c.kind == kind.value, notices.c.account_id == account_id]
    if kind is NoticeKind.QUESTION:
        alike.append(notices.c.notice_id == first[0].notice_id)
    # one that may be out already goes out again as it was, and takes nothing more along
    begun = first[0].message_id
    alike.append(notices.c.message_id.is_(None) if begun is None else notices.c.message_id == begun)
    rows = tx.all(select(notices).where(*alike).order_by(notices.c.notice_id).limit(MOST_TOGETHER).with_for_update())
    nothing = _Batch(kind, "", "", [])
    if not rows:
        return nothing
    why = _why_not(known[0] if known else None)
    if why:
        _end(tx, rows, "dropped", why, now)
        return nothing
    old = [row for row in rows if row.created_at <= now - TOO_OLD]
    if old:
        _settle(tx, old, "dropped", f"too old to be told; {old[0].detail or 'nobody tried'}", now)
        return nothing
    if begun is None and _moved_on(tx, kind, rows, now):
        return nothing
    wait = _digest(tx, account_id, kind, now)
    if wait is not None:
        _postpone(tx, rows, wait, "gathered into the next mail", attempts=0)
        return nothing
    domain = mailer.sender.rpartition("@")[2]
    message_id = begun or f"<{new_id('notice', now)}@{domain}>"
    taken = update(notices).where(tx.among(notices.c.notice_id, [row.notice_id for row in rows]))
    values = {"state": "sending", "due_at": now + LEASE, "message_id": message_id, "sent_to": known[0].email}
    tx.connection.execute(taken.values(attempts=notices.c.attempts + 1, **values))
    return _Batch(kind, known[0].email, message_id, _with_cases(tx, rows, known[0].email))


def _first(tx: Tx, mailer: Mailer, now: datetime) -> Sequence[Row[Any]]:
    gathered = or_(notices.c.kind == NoticeKind.QUESTION.value, notices.c.created_at <= now - mailer.gather)
    return tx.all(select(notices).where(_due(now), gathered).order_by(notices.c.due_at, notices.c.notice_id).limit(1))


def _walk_around(tx: Tx, mailer: Mailer, now: datetime) -> bool:
    """Puts off what is next where it is for an account that somebody holds; False where that is not what was in the way."""
    held = held_accounts(tx, [row.account_id for row in _first(tx, mailer, now)])
    rows = tx.all(select(notices).where(_due(now), notices.c.account_id.in_(held)).limit(MOST_TOGETHER))
    _postpone(tx, rows, now + HELD_FOR, "somebody holds the account")
    return bool(rows)


def _give_up_on_the_dead(tx: Tx, mailer: Mailer, now: datetime) -> None:
    """A sender that died in the middle may have sent: only a postbox that takes the same mail once is tried again."""
    dead = and_(_stands("sending"), notices.c.due_at <= now)
    if mailer.repeatable:
        tx.connection.execute(update(notices).where(dead).values(state="due"))
        return
    rows = tx.all(select(notices).where(dead).with_for_update(skip_locked=True))
    _settle(tx, rows, "unknown", "the sender died in the middle; it may have been sent", now)


def _post(mailer: Mailer, editions: Editions, batch: _Batch, now: datetime) -> Receipt:
    payload = batch.rows[0].payload
    letter = Letter(
        kind=batch.kind,
        to=batch.to,
        about=tuple(_about(row, editions) for row in batch.rows),
        message_id=batch.message_id,
        at=now,
        reference=payload.get("reference"),
        answers=_one_thread(batch.rows),
    )
    try:
        message = compose(letter, sender=mailer.sender, reply_to=mailer.reply_to)
    except ValueError as error:
        return Receipt(Posted.REFUSED, str(error))
    return mailer.postbox.post(message)


def notices_overview(tx: Tx) -> dict[str, int]:
    """How many notices stand in each state that somebody may want to know of."""
    # each pair by the index of its own, in which none of those sent is
    found = dict[str, int]()
    for pair in (OPEN, ("unknown", "refused")):
        counted = select(notices.c.state, func.count()).where(one_of(notices.c.state, pair)).group_by(notices.c.state)
        found |= dict.fromkeys(pair, 0) | {state: int(number) for state, number in tx.connection.execute(counted)}
    return found


def notices_late(tx: Tx) -> dict[str, Any]:
    """How many notices were tried in vain and go on being tried, since when the oldest was to be told, and why the last try came
    to nothing. What waits to be gathered, or for its case, is not late.
    """
    n = notices.c
    # one that a sender has in its hands counts that try already; while that goes on, why the one before it came to nothing stays
    in_vain = n.attempts > case((n.state == "sending", 1), else_=0)
    counted = select(func.count(), func.min(n.created_at), func.max(n.detail))
    count, oldest, why = tuple(tx.one(counted.where(one_of(n.state, OPEN), in_vain)))
    return {"count": int(count), "oldest_at": moment(oldest), "last_error": why}


def _due(now: datetime) -> ColumnElement[bool]:
    # not those that only a newer release has words for
    return and_(_stands("due"), notices.c.due_at <= now, notices.c.kind.in_(KINDS))


def _stands(state: str) -> ColumnElement[bool]:
    """The condition that a notice is open, and in this state: SQLite finds those by their index only so."""
    return and_(one_of(notices.c.state, OPEN), notices.c.state == state)


def _why_not(account: Row[Any] | None) -> str | None:
    if account is None or account.account_id == NOBODY:
        return "nobody is known to tell"
    if account.status == "deleted":
        return "the account is deleted"
    return None if account.email else "no address of the account is known"


def _digest(tx: Tx, account_id: str, kind: NoticeKind, now: datetime) -> datetime | None:
    """When the next mail of this kind may go to the account; None where it may go now."""
    if kind is NoticeKind.QUESTION:
        return None
    told = and_(or_(notices.c.state == "sent", notices.c.state == "unknown"), notices.c.ended_at > now - DIGEST)
    last = func.max(notices.c.ended_at).filter(told).label("last")
    # one that another sender has in its hands: what becomes of it is known by then
    under_way = func.max(notices.c.due_at).filter(notices.c.state == "sending").label("under_way")
    alike = (notices.c.account_id == account_id, notices.c.kind == kind.value)
    found = tx.one(select(last, under_way).where(*alike, or_(told, notices.c.state == "sending")))
    if found.last is not None:
        until: datetime = found.last + DIGEST
        return until
    # where nobody can say what became of that one, its turn is not before all others
    return max(found.under_way, now + HELD_FOR) if found.under_way is not None else None


def _moved_on(tx: Tx, kind: NoticeKind, rows: Sequence[Row[Any]], now: datetime) -> bool:
    """Whether there was one of which the letter would not be true any more: it is dropped, or put off where its case may come
    back to it. Of several about one case the last stays. The caller holds the account, and with it its cases.
    """
    if kind not in SAID_OF:
        return False
    found = tx.all(select(cases.c.case_id, cases.c.state).where(tx.among(cases.c.case_id, {row.case_id for row in rows})))
    state, last = {row.case_id: CaseState(row.state) for row in found}, {row.case_id: row.notice_id for row in rows}
    moved = [row for row in rows if state[row.case_id] is not SAID_OF[kind] or row.notice_id != last[row.case_id]]
    # money on its way may need a person after all
    waits = [row for row in moved if kind is NoticeKind.IN_REVIEW and not state[row.case_id].final]
    _postpone(tx, waits, now + DIGEST, "nobody looks at the case now", attempts=0)
    _end(tx, [row for row in moved if row not in waits], "dropped", "no longer so", now)
    return bool(moved)


def _with_cases(tx: Tx, rows: Sequence[Row[Any]], to: str) -> Sequence[Row[Any]]:
    known = (
        cases.c.job_id,
        cases.c.order_id,
        cases.c.due_at.label("promised_at"),
        cases.c.subject,
        cases.c.trace,
        cases.c.terms,
        cases.c.failed_at,
    )
    asked = exists().where(requests.c.case_id == cases.c.case_id, requests.c.automatic.is_(False)).label("asked")
    r = requests.c
    # a stranger's mail in the customer's name is no thread of the customer's
    own = and_(r.confirmed_at.is_not(None), r.automatic.is_(False), func.lower(r.sender) == as_hosts_write(to).lower())
    theirs = select(r.message_id).where(r.case_id == cases.c.case_id, r.message_id.is_not(None), own)
    last = theirs.order_by(r.received_at.desc(), r.request_id.desc()).limit(1).scalar_subquery().label("answers")
    h = case_history.c
    decided = select(h.detail).where(h.case_id == cases.c.case_id, h.event.in_(["case.decided", "review.decided"]))
    newest = decided.order_by(h.id.desc()).limit(1).scalar_subquery().label("decided")
    joined = select(notices, *known, asked, last, newest).join(cases, cases.c.case_id == notices.c.case_id)
    chosen = tx.among(notices.c.notice_id, [row.notice_id for row in rows])
    return tx.all(joined.where(chosen).order_by(notices.c.notice_id))


def _one_thread(rows: Sequence[Row[Any]]) -> str | None:
    """The mail that a letter answers: the last that its reader wrote about the case. None where it tells of several."""
    mails = {row.answers for row in rows}
    return mails.pop() if len(mails) == 1 else None


def _about(row: Row[Any], editions: Editions) -> About:
    said = row.payload
    if row.kind == NoticeKind.IN_REVIEW and "rule" in (row.decided or {}) and not said.get("to_a_no"):
        # a case that is in review by the policy may be so for another reason by now (decision 47)
        said = said | {name: row.decided[name] for name in ("clause", "reason")}
    return About(
        case_id=row.case_id,
        job_id=row.job_id,
        order_id=row.order_id,
        credits=said.get("credits") or 0,
        amount=said.get("amount") or 0,
        currency=said.get("currency") or "",
        clause=said.get("clause"),
        reason=said.get("reason"),
        due_at=row.promised_at,
        terms=editions.judging(row.terms, row.failed_at),
        asked=bool(row.asked),
        by_person=said.get("decided_by") == "person",
    )


def _record(tx: Tx, batch: _Batch, receipt: Receipt, now: datetime) -> None:
    mine = and_(_stands("sending"), notices.c.message_id == batch.message_id)
    rows = tx.all(select(notices).where(mine).with_for_update())
    match receipt.outcome:
        case Posted.LATER:
            tries = max((row.attempts for row in rows), default=1)
            # nothing of it is out: what comes meanwhile may go along
            again_at = now + growing(tries, LONGEST_WAIT, FIRST_WAIT)
            _postpone(tx, rows, again_at, receipt.detail, message_id=None)
        case Posted.SENT | Posted.REFUSED | Posted.UNKNOWN:
            _settle(tx, rows, receipt.outcome.value, receipt.detail, now)
            # one is the fault of its address; letter after letter is ours, or the server's
            if receipt.outcome is Posted.SENT:
                answered(tx, MAIL)
            else:
                in_vain(tx, MAIL, receipt.detail.replace(batch.to, "the recipient"))


def _postpone(tx: Tx, rows: Sequence[Row[Any]], until: datetime, why: str, **more: Any) -> None:
    put_off = {"state": "due", "due_at": until, "detail": why, **more}
    records = [{"notice_id": r.notice_id, "was": r.state, **put_off} for r in rows]
    tx.update(notices, records, by=["notice_id"], expect={"state": "was"})


def _settle(tx: Tx, rows: Sequence[Row[Any]], state: str, why: str, now: datetime) -> None:
    """Ends what there was somebody to tell of; their cases' histories say what became of it."""
    _end(tx, rows, state, why, now)
    tx.insert(case_history, [line(r.case_id, f"notice.{state}", WORKER, now, kind=r.kind, detail=why) for r in rows])


def _end(tx: Tx, rows: Sequence[Row[Any]], state: str, why: str, now: datetime) -> None:
    records = [{"notice_id": r.notice_id, "was": r.state, "state": state, "ended_at": now, "detail": why} for r in rows]
    tx.update(notices, records, by=["notice_id"], expect={"state": "was"})


def _drop_all(tx: Tx, now: datetime, why: str) -> None:
    # what its server took is nobody's concern where no letter is sent any more
    answered(tx, MAIL)
    due = tx.all(select(notices).where(_stands("due")).limit(5000).with_for_update(skip_locked=True))
    if due:
        _end(tx, due, "dropped", why, now)
