"""What follows from what is known of charges: duplicate charges become claims, disputes stop everything, money that went back by
another hand takes its credits along.

One step for every way the news can come: import, webhook, a read at Creem, reconcile, a case whose time has come. It joins the
caller's transaction, and the caller holds the locks of the accounts: they are the remedy budget.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from policy.lifecycle import CaseKind, PaymentState
from worker.cases.book.bench import Bench
from worker.cases.book.book import WORKER, Case
from worker.cases.book.casework import Move, moves_of
from worker.cases.book.notify import write_effects
from worker.cases.book.rows import case_of
from worker.cases.book.write import write_cases
from worker.cases.money import claims, holds
from worker.cases.money.dispute import open_dispute
from worker.cases.money.duplicate import Duplicates, Work
from worker.cases.money.facts import Charge, charges_for_the_same
from worker.cases.requests.alone import judge_alone
from worker.credits.ledger import Ledger
from worker.creem.environment import Environment
from worker.creem.receive import Accepts
from worker.observe import log
from worker.store.bulk import Record, Tx
from worker.store.tables import cases, purchases


@dataclass(slots=True)
class Settled:
    """What one call did: moves of cases, claims made, intents written."""

    moves: list[Move] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    effects: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settler:
    """The step with its collaborators. Without an `environment` there is no key, and nothing is claimed."""

    ledger: Ledger
    bench: Bench
    environment: Environment | None

    @property
    def can_read(self) -> bool:
        """True where charges can be read at Creem."""
        return self.environment is not None

    @property
    def accepts_mode(self) -> Accepts | None:
        """Which objects of Creem's are of the environment; None where no key says which one that is."""
        return self.environment.accepts if self.environment else None

    def settle(self, tx: Tx, purchase_ids: Iterable[str], now: datetime) -> Settled:
        """Opens and advances the cases of these purchases and of every charge of the same thing, as far as the facts allow."""
        touched = set(purchase_ids)
        if not touched:
            return Settled()
        found = charges_for_the_same(tx, touched)
        kin = {charge.facts.purchase_id: charge for charge in found}
        work = self._work(tx, found, now)
        for group in _groups(found, touched):
            self._duplicates.judge(work, group)
        for purchase_id in sorted(touched & kin.keys()):
            charge = kin[purchase_id]
            open_dispute(tx, self.ledger, self.bench, work.cases, charge, work.payments.get(charge.transaction_id or ""), now)
            self._gone_elsewhere(work, charge)
        return self._write(work)

    def judge_stopped(self, tx: Tx, case: Case, purchase_id: str, now: datetime) -> list[Record] | None:
        """Has the case of a duplicate, whose claim came to nothing, decided by how the charges stand now; returns what is told of
        that. None where it stays decided as it was. The caller writes the case.
        """
        if case.kind is not CaseKind.DUPLICATE_CHARGE:
            return None
        found = charges_for_the_same(tx, [purchase_id])
        work = self._work(tx, found, now)
        work.cases[case.kind, case.subject] = case
        [group] = _groups(found, {purchase_id})
        if not self._duplicates.judge_stopped(work, group, case):
            return None
        judge_alone(tx, self.bench, [case], now)
        return work.effects

    @property
    def _duplicates(self) -> Duplicates:
        return Duplicates(self.ledger, self.bench, self.environment)

    def _work(self, tx: Tx, found: Sequence[Charge], now: datetime) -> Work:
        behind = {charge.transaction_id for charge in found if charge.behind and charge.transaction_id}
        return Work(tx, now, _cases(tx, found), claims.of_charges(tx, found, self.environment), behind)

    def _write(self, work: Work) -> Settled:
        written = list(work.cases.values())
        judge_alone(work.tx, self.bench, written, work.now)
        write_cases(work.tx, written, work.now, WORKER)
        claims.insert(work.tx, self.ledger, work.claims, work.now)
        write_effects(work.tx, work.effects, now=work.now)
        return Settled(moves_of(written), [claim["payment_id"] for claim in work.claims], work.effects)

    def _gone_elsewhere(self, work: Work, charge: Charge) -> None:
        """Of money that went back by another hand the lot gives up its share."""
        payment = work.payments.get(charge.transaction_id or "")
        if not charge.refunded:
            return
        if payment is not None and (payment.closed_at is None or payment.state == PaymentState.REFUNDED.value):
            # an open claim settles the lot when it ends, and one that gave the money back has
            return
        voided = holds.void_gone(work.tx, self.ledger, charge.facts.purchase_id, case_id=None, now=work.now)
        if voided:
            log.error(
                "refund.without_claim",
                transaction_id=charge.transaction_id,
                purchase_id=charge.facts.purchase_id,
                refunded=charge.refunded,
                voided=voided,
            )


def _cases(tx: Tx, found: Iterable[Charge]) -> dict[tuple[CaseKind, str], Case]:
    subjects = {charge.facts.purchase_id for charge in found} | {c.transaction_id for c in found if c.transaction_id}
    kinds = [CaseKind.DUPLICATE_CHARGE.value, CaseKind.DISPUTE.value]
    rows = tx.all(select(cases).where(cases.c.kind.in_(kinds), tx.among(cases.c.subject, subjects)))
    return {(case.kind, case.subject): case for case in map(case_of, rows)}


def _groups(found: Sequence[Charge], touched: set[str]) -> list[list[Charge]]:
    """Charges for one product by the same customer on the same account, where one of them is touched."""
    groups: dict[Any, list[Charge]] = defaultdict(list)
    for charge in found:
        f = charge.facts
        same = (f.account_id, f.customer_id, f.product_id, f.currency)
        # without a customer there is nobody to compare with: such a charge stands alone
        groups[same if f.customer_id else (f.purchase_id,)].append(charge)
    return [group for group in groups.values() if any(charge.facts.purchase_id in touched for charge in group)]


def woken_purchases(tx: Tx, subjects: Iterable[tuple[str, str]]) -> set[str]:
    """The purchases that cases of charges, as (kind, subject), are about."""
    listed = list(subjects)
    orders = [subject for kind, subject in listed if kind == CaseKind.DUPLICATE_CHARGE.value]
    transactions = [subject for kind, subject in listed if kind == CaseKind.DISPUTE.value]
    if not orders and not transactions:
        return set()
    named = or_(tx.among(purchases.c.purchase_id, orders), tx.among(purchases.c.transaction_id, transactions))
    return {row.purchase_id for row in tx.all(select(purchases.c.purchase_id).where(named))}
