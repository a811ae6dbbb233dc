"""A choice carried out: the move of the case, its postings, its claim and what is told, in the caller's transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from policy.decision import Clause, Outcome
from policy.facts import AccountStatus
from policy.ledger import PostingKind
from policy.lifecycle import CaseKind, CaseState
from worker.cases.book.book import BY_PERSON, NOBODY, Case
from worker.cases.book.casework import REMIND, announcement, effect_of, go
from worker.cases.book.lots import wake_uncovered
from worker.cases.book.notify import NoticeKind, notice, write_effects
from worker.cases.book.woken import wake_about_orders
from worker.cases.book.write import write_cases
from worker.cases.money import charges, claims, holds
from worker.cases.money.close import free_at_last
from worker.cases.money.dispute import disputes_heard
from worker.cases.money.settle import Settler
from worker.cases.requests.rest import leave_the_rest
from worker.cases.review.choices import Act, awaits_word, unasked
from worker.cases.review.scene import Scene
from worker.credits.ledger import Ledger, Posting
from worker.errors import Refused
from worker.settings import Mode
from worker.store.actions import acted
from worker.store.bulk import Record, Tx
from worker.store.effects import EffectKind
from worker.store.tables import accounts, cases, proposals, purchases


@dataclass(frozen=True, slots=True)
class Deed:
    """One choice on its way to be carried out: by whom, why, and under which proposal where there was one."""

    act: Act
    by: str
    reason: str
    proposal_id: str | None = None


def carry_out(tx: Tx, settler: Settler, scene: Scene, deed: Deed) -> str:
    """Makes the choice true within this transaction; returns what was done, in words."""
    return _CARRY[deed.act](_Work(tx, settler, scene, deed))


@dataclass(frozen=True, slots=True)
class _Work:
    tx: Tx
    settler: Settler
    scene: Scene
    deed: Deed

    @property
    def ledger(self) -> Ledger:
        return self.settler.ledger

    @property
    def case(self) -> Case:
        return self.scene.case

    @property
    def now(self) -> datetime:
        return self.scene.now

    def decided(self, outcome: Outcome, clause: Clause | None = None) -> None:
        """The decision on the case is the person's from here on; the facts stay those that the policy handed over."""
        case = self.case
        asked = {"outcome": case.outcome, "rule": case.rule, "reason": case.reason}
        case.outcome, case.rule, case.reason = outcome.value, BY_PERSON, self.deed.reason
        if clause is not None:
            case.clause = clause.value
        case.note("review.decided", choice=self.deed.act.value, by=self.deed.by, reason=self.deed.reason, policy=asked)
        if case.kind is CaseKind.REQUEST:
            money, given = self.deed.act is Act.MONEY, self.deed.act in {Act.MONEY, Act.CREDITS}
            leave_the_rest(self.tx, self.settler.bench, case, money=money, given=given, now=self.now)

    def move(self, target: CaseState, *more: Record, silent: bool = False, **told: Any) -> None:
        """Writes the case in its new state, with its announcement and `more` notices; `silent`: the customer is told nothing. In
        `observe` nobody is, the product neither.
        """
        looks = self.settler.bench.mode is Mode.OBSERVE
        go(self.case, target, next_action_at=None if target.final else self.now + REMIND, now=self.now)
        said = None if looks else announcement(self.case, self.now, **told)
        write_cases(self.tx, [self.case], self.now, self.deed.by)
        write_effects(self.tx, [said] if said else [], more, now=self.now, told=not silent)
        if self.case.kind is CaseKind.JOB:
            wake_about_orders(self.tx, [self.case.account_id], self.now)

    def settle(self) -> None:
        """Judges the charge anew and with it all of the same thing: one that stands again, or was declined and so stays, makes
        a later one a duplicate, and that one's case may have been closed, or never opened. So is what was asked about it.
        """
        if self.scene.charge is not None:
            wake_about_orders(self.tx, [self.scene.charge.facts.account_id], self.now)
            self.settler.settle(self.tx, [self.scene.charge.facts.purchase_id], self.now)

    def note(self, event: str, **detail: Any) -> None:
        """One line of history on a case that stays where it is."""
        self.case.note(event, **detail)
        write_cases(self.tx, [self.case], self.now, self.deed.by)


def _credits(work: _Work) -> str:
    case, shares = work.case, work.scene.shares
    credits = sum(share.credits for share in shares)
    job_id = case.job_id
    assert job_id is not None, "credits stand only for a job"
    work.ledger.book(
        work.tx,
        [Posting(PostingKind.REVERSAL, s.purchase_id, s.credits, job_id=job_id, case_id=case.case_id) for s in shares],
        work.now,
    )
    lots = {share.purchase_id for share in shares}
    void = sum(holds.void_gone(work.tx, work.ledger, lot, case_id=case.case_id, now=work.now) for lot in sorted(lots))
    wake_uncovered(work.tx, lots, work.now)
    work.decided(Outcome.REVERSE_CREDITS)
    case.credits_owed = case.credits_reversed = credits
    case.note("credits.reversed", credits=credits, lots={share.purchase_id: share.credits for share in shares})
    if not void:
        work.move(CaseState.REFUNDED)
        return f"{credits} credits came back"
    case.note("lot.voided", credits=void)
    work.move(CaseState.REFUNDED, credits_void=void)
    return f"{credits} credits came back, {void} of them void: their money went back before"


def _money(work: _Work) -> str:
    case, charge = work.case, work.scene.charge
    assert charge is not None, "refused without a charge"
    environment = work.settler.environment
    assert environment is not None, "refused without a key"
    short = work.ledger.short(work.tx, charge.facts.purchase_id)
    if short is not None:
        raise Refused(f"{case.case_id}: no money goes back while {short}")
    waits = work.scene.payment if awaits_word(work.scene) else None
    work.decided(Outcome.REFUND_PAYMENT)
    told: dict[str, Any] = {"amount": charge.facts.amount, "currency": charge.facts.currency}
    case.note("payment.claimed", transaction_id=charge.transaction_id, **told)
    work.move(CaseState.REFUNDING, **told)
    if waits is not None:
        claims.go_on(work.tx, waits.payment_id, work.now)
    else:
        claims.insert(work.tx, work.ledger, [claims.make(environment, case, charge, None, work.now)], work.now)
    return "the refund is claimed and goes through the procedure at Creem now"


def _decline(work: _Work) -> str:
    work.decided(Outcome.DECLINE)
    # whoever never asked was told that nothing would happen
    work.move(CaseState.DECLINED, silent=unasked(work.scene))
    if work.case.kind is CaseKind.DUPLICATE_CHARGE:
        work.settle()
    return "the case is declined"


def _won(work: _Work) -> str:
    work.decided(Outcome.DECLINE, Clause.DISPUTE_HOLD)
    released = voided = 0
    freed: list[Record] = []
    charge = work.scene.charge
    if charge is not None:
        lot = charge.facts.purchase_id
        # by whatever it was frozen when the dispute was heard of: the dispute alone held it since
        released = charge.facts.frozen - work.scene.proposed
        _release(work, lot, released)
        charges.stand_again(work.tx, work.case.subject)
        # of what went back beside the dispute, the share could not be voided while it was frozen
        voided = holds.void_gone(work.tx, work.ledger, lot, case_id=work.case.case_id, now=work.now)
        # a claim that the dispute ended had left them frozen
        freed = free_at_last(work.tx, lot, work.now) if released and not (voided or charge.facts.void) else []
    work.case.note("lot.released", credits=released)
    if voided:
        work.case.note("lot.voided", credits=voided)
    _wake_held(work)
    work.move(CaseState.DECLINED, *freed)
    work.settle()
    return f"{released - voided} credits can be spent again"


def _lost(work: _Work) -> str:
    work.decided(Outcome.NOTHING_OWED, Clause.DISPUTE_HOLD)
    voided = 0
    charge = work.scene.charge
    if charge is not None:
        occasion = f"lost.{work.case.case_id}"
        lot = charge.facts.purchase_id
        voided = holds.void(work.tx, work.ledger, lot, occasion=occasion, case_id=work.case.case_id, now=work.now)
        charges.give_up(work.tx, work.case.subject, charge.facts.amount)
    work.case.note("lot.voided", credits=voided)
    _wake_held(work)
    work.move(CaseState.EXTERNAL)
    work.settle()
    return f"{voided} credits are void"


def _suspend(work: _Work) -> str:
    _standing(work, AccountStatus.SUSPENDED.value)
    work.note("account.suspended", by=work.deed.by, reason=work.deed.reason)
    _tell_owner(work, NoticeKind.SUSPENSION)
    return f"{work.scene.account.account_id} is suspended"


def _reinstate(work: _Work) -> str:
    _standing(work, AccountStatus.ACTIVE.value)
    work.note("account.reinstated", by=work.deed.by, reason=work.deed.reason)
    _tell_owner(work, NoticeKind.REINSTATED)
    return f"{work.scene.account.account_id} is active"


def _forfeit(work: _Work) -> str:
    voided = 0
    for lot, credits in holds.frozen_for(work.tx, proposals.c.proposal_id == work.deed.proposal_id).items():
        void = Posting(PostingKind.VOID, lot, credits, case_id=work.case.case_id, occasion=f"forfeit.{work.deed.proposal_id}")
        work.ledger.book(work.tx, [void], work.now)
        voided += credits
    _record(work, "account.forfeited")
    work.note("credits.forfeited", credits=voided, by=work.deed.by, reason=work.deed.reason)
    _tell_owner(work, NoticeKind.FORFEITURE, credits=voided)
    return f"{voided} credits are void"


def freeze_for(tx: Tx, ledger: Ledger, scene: Scene, proposal_id: str) -> int:
    """Freezes everything the account could spend, for a proposal to forfeit it; returns how many credits that is."""
    lots = tx.all(select(purchases.c.purchase_id).where(purchases.c.account_id == scene.row.account_id))
    return sum(
        holds.freeze(tx, ledger, lot.purchase_id, occasion=f"forfeit.{proposal_id}", case_id=scene.case.case_id, now=scene.now)
        for lot in lots
    )


def unfreeze_for(tx: Tx, ledger: Ledger, scene: Scene, proposal_id: str) -> int:
    """Gives back what was frozen for a proposal that came to nothing, but for what had its money returned meanwhile, and for what
    a dispute or a claim holds by now; returns how many credits can be spent again.
    """
    frozen = holds.frozen_for(tx, proposals.c.proposal_id == proposal_id)
    for lot in holds.held(tx, frozen):
        del frozen[lot]
    occasion = f"forfeit.{proposal_id}"
    back = [Posting(PostingKind.RELEASE, lot, n, case_id=scene.case.case_id, occasion=occasion) for lot, n in frozen.items()]
    ledger.book(tx, back, scene.now)
    gone = sum(holds.void_gone(tx, ledger, lot, case_id=scene.case.case_id, now=scene.now) for lot in frozen)
    wake_uncovered(tx, frozen, scene.now)
    return sum(frozen.values()) - gone


def _release(work: _Work, purchase_id: str, credits: int) -> None:
    if credits:
        # the bank may come back to it, and that may be won too
        occasion = f"won.{work.case.case_id}.{len(disputes_heard(work.tx, work.case.case_id))}"
        release = Posting(PostingKind.RELEASE, purchase_id, credits, case_id=work.case.case_id, occasion=occasion)
        work.ledger.book(work.tx, [release], work.now)
        wake_uncovered(work.tx, [purchase_id], work.now)


def _wake_held(work: _Work) -> None:
    """What waited for the end of the dispute is judged anew, at once."""
    c = cases.c
    held = (c.account_id == work.case.account_id, c.state == CaseState.REVIEW.value, c.clause == Clause.DISPUTE_HOLD.value)
    work.tx.connection.execute(update(cases).where(*held, c.case_id != work.case.case_id).values(next_action_at=work.now))


def _standing(work: _Work, status: str) -> None:
    account_id = work.scene.account.account_id
    stands = {"status": status, "suspended_here": status == AccountStatus.SUSPENDED.value}
    work.tx.connection.execute(update(accounts).where(accounts.c.account_id == account_id).values(**stands))
    # the product locks its own doors
    said = {"type": f"account.{status}", "account_id": account_id, "reason": work.deed.reason}
    key = f"announce:{work.case.case_id}:account.{status}:{work.deed.proposal_id or work.now.isoformat()}"
    write_effects(work.tx, [effect_of(work.case, EffectKind.ANNOUNCE, key, work.now, **said)], now=work.now)
    _record(work, f"account.{status}")


def _record(work: _Work, action: str) -> None:
    acted(work.tx, action, work.scene.account.account_id, by=work.deed.by, reason=work.deed.reason, now=work.now)


def _tell_owner(work: _Work, kind: NoticeKind, **payload: Any) -> None:
    if work.case.account_id == NOBODY:
        return
    occasion = work.deed.proposal_id or work.now.isoformat()
    told = notice(
        work.case, kind, work.now, occasion, **{"clause": Clause.DISPUTE_ABUSE.value, "reason": work.deed.reason, **payload}
    )
    write_effects(work.tx, [], [told], now=work.now)


_CARRY: dict[Act, Callable[[_Work], str]] = {
    Act.CREDITS: _credits,
    Act.MONEY: _money,
    Act.DECLINE: _decline,
    Act.WON: _won,
    Act.LOST: _lost,
    Act.SUSPEND: _suspend,
    Act.REINSTATE: _reinstate,
    Act.FORFEIT: _forfeit,
}
