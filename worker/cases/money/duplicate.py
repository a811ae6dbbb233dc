"""A charge that was made twice becomes a claim, or a person's: its case is judged beside all charges of the same thing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from policy import ChargeFacts, Terms, decide_charge, find_duplicates, same_things
from policy.decision import Decision, Outcome
from policy.duplicates import earlier_of, stands
from policy.facts import PurchaseFacts
from policy.lifecycle import CaseKind, CaseState, PaymentState
from worker.cases.book.bench import Bench
from worker.cases.book.book import BY_PERSON, Case
from worker.cases.book.casework import REMIND, announcement, go, open_case, remind
from worker.cases.book.decided import charge_facts, record
from worker.cases.money import claims
from worker.cases.money.facts import Charge
from worker.cases.money.persons_no import declined_by_a_person, declined_once, keep_to_the_no, meant
from worker.cases.money.used import jobs_under
from worker.credits.ledger import Ledger
from worker.creem.environment import Environment
from worker.settings import Mode
from worker.store.bulk import Record, Tx


@dataclass(slots=True)
class Work:
    """One call's working set."""

    tx: Tx
    now: datetime
    cases: dict[tuple[CaseKind, str], Case]
    payments: dict[str, Row[Any]]
    """By transaction id."""
    behind: set[str]
    """Transactions of which Creem told of a refund that no read has shown yet."""
    claims: list[Record] = field(default_factory=list)
    effects: list[Record] = field(default_factory=list)


class _Group:
    """Charges of one group, compared: each with the earlier one that stays beside it, and with all of the same thing. An account
    may have thousands, so what not all of them are asked for is found when they are.
    """

    def __init__(self, work: Work, group: Sequence[Charge], terms_at: Callable[[datetime], Terms]) -> None:
        self._charged = [charge.facts for charge in group]
        self._terms_at = terms_at
        self._let_stand = {case.subject for case in work.cases.values() if meant(case)}
        self.duplicates = find_duplicates(self._charged, terms_at, self._let_stand)
        self.same = same_things(self._charged)

    def first(self, charge: PurchaseFacts) -> PurchaseFacts | None:
        """The earlier one that stays, if any."""
        if stands(charge):
            return self.duplicates.get(charge.purchase_id)
        return earlier_of(charge, self._charged, self._terms_at, self._let_stand)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The step with its collaborators. Without an `environment` there is no key, and nothing is claimed."""

    ledger: Ledger
    bench: Bench
    environment: Environment | None

    def judge(self, work: Work, group: Sequence[Charge]) -> None:
        """Each charge of a group for the same thing, as far as it has a case or is found to be charged again."""
        compared = _Group(work, group, self.bench.terms_at)
        for charge in group:
            case = work.cases.get((CaseKind.DUPLICATE_CHARGE, charge.facts.purchase_id))
            if case is not None or charge.facts.purchase_id in compared.duplicates:
                self._judge(work, charge, compared, case)

    def judge_stopped(self, work: Work, group: Sequence[Charge], case: Case) -> bool:
        """Decides the charge of this case, whose claim has just ended, anew where the charges stand otherwise than when it was
        decided, so that another rule has the word. False where none has.
        """
        charge = next(charge for charge in group if charge.facts.purchase_id == case.subject)
        compared = _Group(work, group, self.bench.terms_at)
        first = compared.first(charge.facts)
        facts, terms = _facts(work, charge, first, compared), self.bench.terms_at(charge.facts.paid_at)
        decision = decide_charge(facts, terms)
        # the one claim is spent: what is owed all the same only a person can send
        if decision.outcome is Outcome.REFUND_PAYMENT or decision.rule == decide_charge(charge_facts(case), terms).rule:
            return False
        target, held = self._target(work, decision, charge, first, case)
        self._carry_out(work, case, charge, decision, facts, target, held)
        return True

    def _judge(self, work: Work, charge: Charge, compared: _Group, case: Case | None) -> None:
        now, payment = work.now, work.payments.get(charge.transaction_id or "")
        if case is None:
            case = open_case_of(self.bench, charge, now)
            work.cases[case.kind, case.subject] = case
        elif case.state in {CaseState.REFUNDED, CaseState.EXTERNAL}:
            return
        elif payment is not None and payment.case_id == case.case_id and payment.closed_at is None:
            # money is on its way: the claim looks at these facts itself, before it sends and after
            remind(case, now)
            return
        first = compared.first(charge.facts)
        facts = _facts(work, charge, first, compared)
        decision = decide_charge(facts, self.bench.terms_at(charge.facts.paid_at))
        target, held = self._target(work, decision, charge, first, case)
        if declined_by_a_person(case) and not (case.state is CaseState.REVIEW and target.final):
            keep_to_the_no(case, facts, {each.purchase_id for each in compared.same(charge.facts) if stands(each)}, now)
            return
        if payment is not None and decision.outcome is Outcome.REFUND_PAYMENT:
            # one claim on a charge, for ever: what became of it is a person's to judge
            _stay_with_a_person(case, payment, now, decision, facts)
            return
        self._carry_out(work, case, charge, decision, facts, target, held)

    def _carry_out(
        self,
        work: Work,
        case: Case,
        charge: Charge,
        decision: Decision,
        facts: ChargeFacts,
        target: CaseState,
        held: str | None,
    ) -> None:
        # whoever looks has to see why it is held; what is told outside is why it is owed
        why = f"{decision.reason}; not sent by itself: {held}" if held else decision.reason
        if case.state is target and _rests_on(case, decision, facts) and case.reason == why:
            remind(case, work.now, REMIND if target is CaseState.REVIEW else None)
            return
        record(case, decision, facts)
        if held:
            case.note("effect.held", why=held, outcome=decision.outcome.value)
        case.reason = why
        if target is CaseState.REFUNDING:
            assert self.environment is not None, "money is held back where there is no key"
            assert facts.first is not None, "a duplicate is one of an earlier charge"
            claim = claims.make(self.environment, case, charge, facts.first, work.now)
            work.claims.append(claim)
            case.note("payment.claimed", transaction_id=charge.transaction_id, amount=decision.amount, currency=decision.currency)
        next_at = None if target.final else work.now + REMIND
        go(case, target, next_action_at=next_at, now=work.now)
        gives = {"amount": decision.amount or charge.facts.amount, "currency": charge.facts.currency}
        told = announcement(case, work.now, **gives, reason=decision.reason)
        if told is not None and self.bench.mode is not Mode.OBSERVE:
            work.effects.append(told)

    def _target(
        self, work: Work, decision: Decision, charge: Charge, first: PurchaseFacts | None, case: Case
    ) -> tuple[CaseState, str | None]:
        """Where the decision puts the case, and why it is held back where it is."""
        match decision.outcome:
            case Outcome.REFUND_PAYMENT:
                held = self._held() or self.ledger.short(work.tx, charge.facts.purchase_id) or _won_before(work, charge, first)
                held = held or declined_once(work.tx, case) or _first_is_nameless(first) or _first_may_go(work, first)
                return (CaseState.REVIEW if held else CaseState.REFUNDING), held
            case Outcome.NOTHING_OWED:
                return (CaseState.EXTERNAL if charge.facts.refunded_amount else CaseState.NOTHING_OWED), None
            case Outcome.DECLINE:
                return CaseState.DECLINED, None
            case _:
                return CaseState.REVIEW, None

    def _held(self) -> str | None:
        if self.bench.mode is not Mode.FULL:
            return f"no money leaves in mode {self.bench.mode.value}"
        return "no Creem key is configured" if self.environment is None else None


def open_case_of(bench: Bench, charge: Charge, now: datetime) -> Case:
    """A case about this charge, open and not yet stored."""
    case = open_case(
        bench,
        CaseKind.DUPLICATE_CHARGE,
        charge.facts.purchase_id,
        charge.facts.account_id,
        since=min(charge.facts.paid_at, now),
        now=now,
        order_id=charge.order_id,
    )
    case.note("case.opened", purchase_id=charge.facts.purchase_id, transaction_id=charge.transaction_id)
    return case


def _facts(work: Work, charge: Charge, first: PurchaseFacts | None, compared: _Group) -> ChargeFacts:
    group = len(compared.same(charge.facts))
    return ChargeFacts(now=work.now, charge=charge.facts, first=first, group=group, jobs=jobs_under(work.tx, charge))


def _rests_on(case: Case, decision: Decision, facts: ChargeFacts) -> bool:
    """True where the case was decided by the same rule, and beside the same earlier charge."""
    before, first = (case.facts or {}).get("first"), facts.first
    return (case.rule, before and before["purchase_id"]) == (decision.rule, first and first.purchase_id)


def _won_before(work: Work, charge: Charge, first: PurchaseFacts | None) -> str | None:
    """Why no money leaves by itself for a charge that the bank once had, nor beside an earlier one: that it stands is a person's
    word, and reads may go on showing it as charged back, which would end a claim of ours for ever.
    """
    for which, transaction_id in (("charge", charge.transaction_id), ("earlier charge", first and first.transaction_id)):
        dispute = work.cases.get((CaseKind.DISPUTE, transaction_id or ""))
        if dispute is not None and dispute.state is CaseState.DECLINED:
            return f"the {which} was disputed and won, and Creem may still show it as charged back"
    return None


def _first_is_nameless(first: PurchaseFacts | None) -> str | None:
    """Why nothing is claimed while it cannot be read whether the earlier charge stands: the one claim would end on that."""
    if first is None or first.transaction_id is not None:
        return None
    tells = "`refunds reconcile`, or an import that names it, tells"
    return f"the earlier charge {first.purchase_id} names no transaction at Creem, and may be this very one: {tells}"


def _first_may_go(work: Work, first: PurchaseFacts | None) -> str | None:
    transaction_id = (first and first.transaction_id) or ""
    return first_may_go(transaction_id, work.payments.get(transaction_id), behind=transaction_id in work.behind)


def first_may_go(transaction_id: str, payment: Row[Any] | None, *, behind: bool) -> str | None:
    """Why nothing is claimed while the earlier charge, which was to stay, may go back itself; how that ends, judges it anew.

    `behind`: Creem told of a refund of it that no read shows.
    """
    if behind or (payment is not None and payment.closed_at is None):
        return f"a refund of the earlier charge {transaction_id} is under way: if it goes back, this one stays"
    return None


def _stay_with_a_person(case: Case, payment: Row[Any], now: datetime, decision: Decision, facts: ChargeFacts) -> None:
    became = "is" if payment.closed_at is None else "ended as"
    said = f"the charge was claimed before, by {payment.case_id}, and that claim {became} {payment.state}"
    # why it came to nothing stays the explanation but where that was how the charges stood, which is another thing by now
    ended = payment.detail if payment.state != PaymentState.NOT_NEEDED.value else None
    by_person = case.rule == BY_PERSON and case.state is CaseState.REVIEW
    if case.state is CaseState.REVIEW and case.reason in {said, ended} and (by_person or _rests_on(case, decision, facts)):
        remind(case, now)
        return
    if not by_person:
        record(case, decision, facts)
    case.note("case.handed_over", why=said)
    case.reason = said
    go(case, CaseState.REVIEW, next_action_at=now + REMIND)
