"""After a restore: what the witnesses know and the database does not, put back as unknown; and the stop that a person lifts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, Select, and_, or_, select, update

from policy import ChargeFacts, decide_charge
from policy.decision import Outcome
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import BY_PERSON, Case
from worker.cases.book.casework import REMIND, go
from worker.cases.book.decided import record
from worker.cases.book.locks import lock_account
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.money import claims, epoch, limits
from worker.cases.money.close import Closing
from worker.cases.money.duplicate import open_case_of
from worker.cases.money.facts import charges_of
from worker.cases.money.journal import Armed, Call, Journal, Key
from worker.cases.money.remember import as_unknown
from worker.cases.money.settle import Settler
from worker.cases.money.used import jobs_under
from worker.clock import Clock, moment
from worker.creem.environment import Environment
from worker.errors import Refused
from worker.observe import log
from worker.store.actions import acted
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import breakers, cases, epochs, payments, purchases

CHUNK = 500
QUARANTINE = timedelta(hours=24)
"""How long money stays still after a lift where no journal tells what was sent: a day shows most refunds at Creem."""
FROM_BACKUP = "it came out of a backup, and no journal tells whether its call was sent"


@dataclass(frozen=True, slots=True)
class Checked:
    """The marks side by side, and every call that the journal knows and the database does not."""

    mark: int
    remembered: epoch.Remembered
    stopped: str | None
    """Why money waits for a person, if it does."""
    whole: bool
    """True where the journal tells of every call that a restore could have lost."""
    missing: tuple[Call, ...]
    """The last call of each charge whose claim does not know it."""
    journal: Journal | None

    @property
    def wrong(self) -> str | None:
        """What is wrong, in one line; None where all is well. That nobody can be asked is not well."""
        missing = f"the journal knows calls on {len(self.missing)} charges that the database does not" if self.missing else None
        return self.stopped or epoch.behind(self.mark, self.remembered) or missing or self.unasked

    @property
    def unasked(self) -> str | None:
        """Why nobody can say whether the database was set back; None where somebody can."""
        return epoch.unasked(self.remembered)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        kept = self.journal
        return {
            "ok": self.wrong is None,
            "wrong": self.wrong,
            "stopped": self.stopped,
            "marks": {"database": self.mark, "redis": self.remembered.redis, "journal": self.remembered.journal},
            "redis_error": self.remembered.redis_away,
            "journal": kept
            and {"folder": str(kept.folder), "calls": len(kept), "begins": kept.begins, "unreadable_lines": kept.unreadable},
            "journal_tells_all": self.whole,
            "missing": [_told(call) for call in self.missing],
        }


@dataclass(slots=True)
class Recovered:
    """What one recovery did."""

    remembered: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    """Calls whose purchase the database does not know: their history has to be imported first."""
    events: int = 0
    unasked: str | None = None
    """Why nobody can say whether that was all; None where somebody can."""

    @property
    def ok(self) -> bool:
        """True where nothing is left, and somebody can say so."""
        return not self.left and self.unasked is None

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        counted = {"remembered": self.remembered, "left": self.left, "events_read_again": self.events}
        return {"ok": self.ok, **counted, "unasked": self.unasked}


@dataclass(frozen=True, slots=True)
class Restorer:
    """The steps with their collaborators."""

    store: Store
    witnesses: epoch.Witnesses
    settler: Settler
    clock: Clock

    def check(self) -> Checked:
        """Compares database and witnesses; changes nothing."""
        remembered, journal = self.witnesses.ask(self.store), self.witnesses.journal
        mark, stopped = self.store.read(lambda tx: (epoch.mark_of(tx), _stopped(tx)))
        highest = max(mark, remembered.highest or 0)
        # its first line is older than the database as it stands, its last as young as anything that is remembered
        whole = journal is not None and journal.begins is not None and journal.begins <= mark
        whole = whole and remembered.journal is not None and remembered.journal >= highest - 1
        return Checked(mark, remembered, stopped, whole, tuple(self._missing()), journal)

    def recover(self, *, by: str, reason: str, events: int = 0) -> Recovered:
        """Puts every call that only the journal knows on its claim, as unknown; claims that are not there are made again."""
        now = self.clock.now()
        # from here on nothing is armed until a person lifts it, whoever noticed the restore first
        remembered = self.witnesses.ask(self.store)
        done = Recovered(events=events, unasked=epoch.unasked(remembered))
        self.store.write(lambda tx: epoch.held_back(tx, remembered, now))
        for last in self._missing():
            calls = self.witnesses.calls(last.key)
            said = self.store.write(partial(self._put_back, last=last, calls=calls, by=by, reason=reason))
            (done.left if said is None else done.remembered).append(_told(last) | {"done": said})
        what = f"{len(done.remembered)} put back, {len(done.left)} left, {events} events read again: {reason}"
        self.store.write(lambda tx: acted(tx, "restore.recover", limits.MONEY, by=by, reason=what, now=now))
        log.warning("restore.recovered", put_back=len(done.remembered), left=len(done.left), events=events, by=by)
        return done

    def lift(self, *, by: str, reason: str) -> dict[str, Any]:
        """Ends the stop. Raises `Refused` where there is none, while the journal knows more than the database, and while Redis
        cannot be told.

        Where the journal does not tell all, what came out of the backup unsent only reads from now on, and money stays still for
        `QUARANTINE` longer.
        """
        found, now = self.check(), self.clock.now()
        if found.stopped is None:
            raise Refused("money is not stopped for a restore; there is nothing to lift")
        if found.missing:
            raise Refused(f"the journal knows calls on {len(found.missing)} charges that the database does not: recover first")
        if found.remembered.redis_away is not None:
            raise Refused(f"Redis cannot be told: {found.remembered.redis_away}")
        doubted = 0 if found.whole else self._doubt()
        until = now if found.whole else now + QUARANTINE
        mark = self.store.write(lambda tx: _lift(tx, until, found, by=by, reason=reason, now=now))
        if self.witnesses.journal is not None:
            self.witnesses.journal.add(mark, now)
        untold = self.witnesses.tell(mark)
        if untold is not None:
            # the next look finds Redis behind or empty, which the journal makes good, or a person lifts it again
            log.error("restore.redis_not_told", error=untold)
        log.warning("restore.lifted", mark=mark, by=by, doubted=doubted, until=until.isoformat())
        return {"lifted": True, "by": by, "mark": mark, "money_from": moment(until), "claims_only_read": doubted}

    def _missing(self) -> list[Call]:
        journal = self.witnesses.journal
        if journal is None:
            return []
        told = journal.whole()
        keys, found = list(told), list[Call]()
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            known = self.store.read(partial(_attempts, keys=part))
            found += [last for last in (told[key][-1] for key in part) if known.get(last.key, -1) < last.attempt]
        return sorted(found, key=lambda call: call.armed_at)

    def _put_back(self, tx: Tx, last: Call, calls: Sequence[Armed], by: str, reason: str) -> str | None:
        """What was done, in words; None where the purchase is not known."""
        now = self.clock.now()
        lot = tx.all(select(purchases.c.account_id).where(purchases.c.purchase_id == last.purchase_id))
        if not lot:
            return None
        lock_account(tx, lot[0].account_id)
        if _claim(tx, last.key) is None:
            # what the facts lead to by themselves; nothing of it is sent before the lift
            self.settler.settle(tx, [last.purchase_id], now)
        payment = _claim(tx, last.key) or self._claim_again(tx, last, by, reason)
        if payment.attempts >= calls[-1].attempt:
            # armed just now, by a process that had not committed when we looked
            return "known meanwhile"
        case = case_of(tx.one(select(cases).where(cases.c.case_id == payment.case_id).with_for_update()))
        return as_unknown(tx, payment, case, calls, self._closing())

    def _claim_again(self, tx: Tx, call: Call, by: str, reason: str) -> Row[Any]:
        """A claim that our facts do not lead to: a person approved it, or the charge shows as refunded by now."""
        now = self.clock.now()
        found = {charge.facts.purchase_id: charge for charge in charges_of(tx, [call.purchase_id])}
        kept = next((c.facts for c in found.values() if c.transaction_id == (call.kept_transaction_id or "")), None)
        charge = found[call.purchase_id]
        # where the case is lost too, which kind it was matters no more: its charge does
        case = _case(tx, call) or open_case_of(self.settler.bench, charge, now)
        sent = (
            f"a refund was sent on {call.armed_at:%Y-%m-%d %H:%M} UTC, as the claim journal says; the database was set back since"
        )
        if case.facts is None:
            # what the policy says of the charge as it stands now, beside what a person says below
            facts = ChargeFacts(now=now, charge=charge.facts, first=kept, group=len(found), jobs=jobs_under(tx, charge))
            record(case, decide_charge(facts, self.settler.bench.terms_at(charge.facts.paid_at)), facts)
        case.outcome, case.rule, case.reason = Outcome.REFUND_PAYMENT.value, BY_PERSON, sent
        case.note("review.decided", choice="recover", by=by, reason=reason)
        go(case, CaseState.UNKNOWN, next_action_at=now + REMIND)
        write_cases(tx, [case], now, by)
        claim = claims.make(Environment(call.environment), case, charge, kept, now)
        claims.insert(tx, self.settler.ledger, [{**claim, "transaction_id": call.transaction_id}], now)
        return tx.one(select(payments).where(payments.c.payment_id == claim["payment_id"]))

    def _doubt(self) -> int:
        """Claims that came unsent out of the backup only read from now on; returns how many."""
        listed = self.store.read(lambda tx: [row.payment_id for row in tx.all(_unsent_in_backup())])
        return sum(self.store.write(partial(self._doubt_one, payment_id=one)) for one in listed)

    def _doubt_one(self, tx: Tx, payment_id: str) -> bool:
        now, account = self.clock.now(), select(payments.c.account_id).where(payments.c.payment_id == payment_id)
        lock_account(tx, tx.one(account).account_id)
        payment = tx.first(_unsent_in_backup().where(payments.c.payment_id == payment_id).with_for_update(of=payments))
        if payment is None:
            return False
        case = case_of(tx.one(select(cases).where(cases.c.case_id == payment.case_id).with_for_update()))
        perhaps = Armed(payment.attempts + 1, now, now)
        as_unknown(tx, payment, case, [perhaps], self._closing(), FROM_BACKUP)
        return True

    def _closing(self) -> Closing:
        return Closing(self.settler, self.clock.now())


def _stopped(tx: Tx) -> str | None:
    waits = (breakers.c.name == limits.RESTORE, breakers.c.needs_person)
    row = tx.first(select(breakers.c.last_error).where(*waits))
    return str(row.last_error) if row else None


def _attempts(tx: Tx, keys: Sequence[Key]) -> dict[Key, int]:
    p = payments.c
    rows = tx.all(select(p.environment, p.transaction_id, p.attempts).where(tx.among(p.transaction_id, [key[1] for key in keys])))
    return {(row.environment, row.transaction_id): int(row.attempts) for row in rows}


def _claim(tx: Tx, key: Key) -> Row[Any] | None:
    wanted = (payments.c.environment == key[0], payments.c.transaction_id == key[1])
    return tx.first(select(payments).where(*wanted).with_for_update())


def _case(tx: Tx, call: Call) -> Case | None:
    """The case that the claim was of, else the one that the charge has now."""
    c = cases.c
    same = and_(c.kind == call.case_kind, c.subject == call.subject)
    charge = and_(c.kind == CaseKind.DUPLICATE_CHARGE.value, c.subject == call.purchase_id)
    rows = tx.all(select(cases).where(or_(c.case_id == call.case_id, same, charge)).with_for_update())
    best = sorted(rows, key=lambda row: (row.case_id != call.case_id, row.kind != call.case_kind))
    return case_of(best[0]) if best else None


def _unsent_in_backup() -> Select[Any]:
    since = select(epochs.c.stopped_at).where(epochs.c.name == epoch.MONEY).scalar_subquery()
    p = payments.c
    return select(payments).where(p.closed_at.is_(None), p.next_step == claims.SEND, p.created_at <= since)


def _lift(tx: Tx, until: datetime, found: Checked, *, by: str, reason: str, now: datetime) -> int:
    values = {"open_until": until, "needs_person": False, "failures": 0, "last_error": f"lifted by {by}: {reason}"}
    tx.connection.execute(update(breakers).where(breakers.c.name == limits.RESTORE).values(values))
    acted(tx, "restore.lift", limits.MONEY, by=by, reason=reason, now=now)
    if until <= now:
        limits.go_on(tx, now)
    return epoch.rise(tx, now, above=found.remembered.highest or 0)


def _told(call: Call) -> dict[str, Any]:
    return {
        "transaction_id": call.transaction_id,
        "environment": call.environment,
        "attempt": call.attempt,
        "armed_at": moment(call.armed_at),
        "amount": call.amount,
        "currency": call.currency,
        "account_id": call.account_id,
        "purchase_id": call.purchase_id,
        "case_id": call.case_id,
    }
