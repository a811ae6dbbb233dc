"""Whether what would leave is what was approved: what was read a moment ago at Creem and what our own books say now, compared."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Row, select

from policy.lifecycle import CaseState, PaymentState
from policy.words import count, money
from worker.cases.book.book import BY_PERSON, Case
from worker.cases.book.decided import amount_claimed
from worker.cases.money import charges
from worker.cases.money.facts import charge_of
from worker.cases.money.used import jobs_under
from worker.creem.environment import Environment
from worker.creem.transactions import PAID, Transaction
from worker.store.bulk import Tx
from worker.store.tables import purchases

PENDING = "pending"
End = tuple[PaymentState, CaseState, str]
"""Where claim and case go, and why."""


@dataclass(frozen=True)
class Intent:
    """One call that is meant to leave: its claim and case, locked, and both charges as Creem shows them.

    `kept`: the earlier charge, which was to stay. `environment`: that of our key.
    """

    tx: Tx
    payment: Row[Any]
    case: Case
    seen: Transaction | None
    kept: Transaction | None
    environment: Environment

    @cached_property
    def known(self) -> dict[str, charges.Known]:
        """Both charges as our books know them, by transaction; locked from when they are first asked for."""
        wanted = (self.payment.transaction_id, self.payment.kept_transaction_id)
        return charges.lock(self.tx, [one for one in wanted if one is not None])


def not_as_approved(intent: Intent) -> End | None:
    """Why nothing may be sent, with where claim and case go; None where all is as it was approved."""
    payment, seen, ours = intent.payment, intent.seen, intent.known[intent.payment.transaction_id]
    if ours.disputed_at is not None:
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, "the charge is under dispute: nothing is sent beside it"
    if seen is None:
        return PaymentState.MISMATCH, CaseState.REVIEW, "Creem does not know the transaction"
    wrong = _wrong(intent, seen)
    if wrong is not None:
        return PaymentState.MISMATCH, CaseState.REVIEW, wrong
    if seen.chargeback:
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, "Creem shows the charge as charged back: nothing is sent beside it"
    if not (seen.tells_of_refunds or ours.gone):
        return PaymentState.MISMATCH, CaseState.REVIEW, f"Creem shows the charge as {seen.status_verbatim}, not as paid"
    if seen.refunded_whole or ours.gone:
        why = "the charge was refunded in full by another hand before we sent anything"
        return PaymentState.NOT_NEEDED, CaseState.EXTERNAL, why
    if seen.refunded_amount or ours.refunded:
        part = max(seen.refunded_amount, ours.refunded)
        why = f"{part} of {seen.amount_paid} minor units went back by another hand: what is left is not what was approved"
        return PaymentState.MISMATCH, CaseState.REVIEW, why
    if seen.status != PAID:
        return PaymentState.MISMATCH, CaseState.REVIEW, f"Creem shows the charge as {seen.status_verbatim}, not as paid"
    if payment.kept_transaction_id is None and intent.case.rule == BY_PERSON:
        # a person approved this one charge by itself: nothing has to stay in its place
        return None
    return _kept_is_gone(intent) or _paid_otherwise(intent, seen) or _used_since(intent)


def comes_yet(intent: Intent) -> bool:
    """True where Creem does not show a charge yet, or not yet as paid (creem-api.md, 4.3 and 11.7), and nothing else is known."""
    if any(charge.disputed_at is not None or charge.refunded for charge in intent.known.values()):
        return False
    read = [intent.seen] if intent.payment.kept_transaction_id is None else [intent.seen, intent.kept]
    return any(one is None or one.status == PENDING for one in read) and all(one is None or _is_plain(one) for one in read)


def _is_plain(seen: Transaction) -> bool:
    return seen.status in {PAID, PENDING} and not seen.refunded_amount


def not_as_shown(intent: Intent) -> str | None:
    """Why what a person approved is not what would leave: nobody approves, alone or with a second, what they were not shown."""
    seen = intent.seen
    if intent.case.rule != BY_PERSON or seen is None or seen.amount_paid is None:
        return None
    shown = amount_claimed(intent.tx, intent.case.case_id)
    if shown is None or shown == seen.amount_paid:
        return None
    would, was = money(seen.amount_paid, seen.currency), money(shown, seen.currency)
    return f"{would} would go back, and {was} were approved: what was paid became known since; it has to be approved anew"


def _wrong(intent: Intent, seen: Transaction) -> str | None:
    """Why the transaction is not the charge that was approved."""
    payment = intent.payment
    if seen.id != payment.transaction_id:
        return f"Creem answered with another transaction, {seen.id}"
    if not intent.environment.accepts(seen.mode):
        return f"the transaction is of mode {seen.mode}, the key of {intent.environment.value}"
    booked = intent.tx.one(select(purchases.c.customer_id).where(purchases.c.purchase_id == payment.purchase_id))
    if seen.customer is not None and booked.customer_id is not None and seen.customer != booked.customer_id:
        return f"the transaction is of customer {seen.customer}, the purchase of {booked.customer_id}"
    if seen.currency != payment.currency:
        return f"the transaction is in {seen.currency}, the purchase in {payment.currency}"
    if not seen.amount_paid:
        return "Creem does not say what was paid"
    if payment.amount not in {seen.amount_paid, seen.amount}:
        return f"the transaction is of {seen.amount_paid} minor units, {payment.amount} were approved"
    return None


def _kept_is_gone(intent: Intent) -> End | None:
    """The charge that stays valid must stand: were both gone, the customer would have paid for nothing and we twice."""
    kept, kept_id = intent.kept, intent.payment.kept_transaction_id
    if kept_id is None:
        why = "the earlier charge names no transaction: whether it stands cannot be read"
        return PaymentState.MISMATCH, CaseState.REVIEW, why
    stands = intent.known[kept_id]
    if stands.disputed_at is not None or (kept is not None and kept.chargeback):
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, "the earlier charge, which was to stay, is under dispute"
    if stands.refunded or kept is None or kept.refunded_amount or kept.refunded_whole or kept.status != PAID:
        said = "is not known to Creem" if kept is None else f"stands as {kept.status_verbatim}"
        return PaymentState.NOT_NEEDED, CaseState.REVIEW, f"the earlier charge, which was to stay, {said}"
    return None


def _paid_otherwise(intent: Intent, seen: Transaction) -> End | None:
    """What was paid is compared, whatever went back of it: the policy, told both amounts before, would have asked a person."""
    kept = intent.kept
    assert kept is not None, "a charge that is not there does not stand"
    paid, before = seen.amount_paid, kept.amount_paid or intent.known[intent.payment.kept_transaction_id].amount_paid
    if (paid, seen.currency) == (before, kept.currency):
        return None
    said = "Creem does not say what" if before is None else money(before, kept.currency)
    why = f"{money(paid or 0, seen.currency)} were paid, and for the earlier charge, which was to stay, {said}"
    return PaymentState.MISMATCH, CaseState.REVIEW, why


def _used_since(intent: Intent) -> End | None:
    """Nothing freezes a pass while its claim is open, and its jobs may be told of later. A person who approved it was asked."""
    charge = None if intent.case.rule == BY_PERSON else charge_of(intent.tx, intent.payment.purchase_id)
    jobs = 0 if charge is None else jobs_under(intent.tx, charge)
    if not jobs:
        return None
    why = f"{count(jobs, 'job')} ran under the charge's pass, told of since it was found to be a duplicate"
    return PaymentState.MISMATCH, CaseState.REVIEW, why
