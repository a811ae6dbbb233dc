"""Rules about money: charges made twice, and charges the buyer disputes."""

from datetime import timedelta

from policy.decision import Clause, Outcome, Verdict
from policy.facts import Billing, ChargeDispute, ChargeFacts
from policy.terms import Terms


def _v(outcome: Outcome, clause: Clause, reason: str, facts: ChargeFacts, amount: int = 0) -> Verdict:
    because = {"amount": facts.charge.amount, "first": facts.first.purchase_id if facts.first else None}
    return Verdict(outcome, clause, reason, because=because, amount=amount, currency=facts.charge.currency if amount else "")


def charge_under_dispute(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    if facts.charge.disputed:
        return _v(Outcome.REVIEW, Clause.DISPUTE_HOLD, "the charge is under dispute", facts)
    return None


def charge_already_refunded(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    if facts.charge.refunded_amount >= facts.charge.amount > 0:
        return _v(Outcome.NOTHING_OWED, Clause.DUPLICATE_CHARGE, "the charge was given back already", facts)
    return None


def charge_partly_refunded(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    if facts.charge.refunded_amount:
        return _v(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, "part of the charge was given back already", facts)
    return None


def no_earlier_charge_stands(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    if facts.first is None or facts.first.refunded_amount:
        return _v(Outcome.NOTHING_OWED, Clause.DUPLICATE_CHARGE, "the earlier charge does not stand, so this is the one that does", facts)
    if facts.first.disputed:
        return _v(Outcome.REVIEW, Clause.DISPUTE_HOLD, "the earlier charge is under dispute", facts)
    return None


def duplicate_lot_used(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    if not facts.charge.untouched:
        return _v(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, f"{facts.charge.spent} credits of the later charge were spent", facts)
    return None


def charge_without_transaction(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    if facts.charge.transaction_id is None:
        return _v(Outcome.REVIEW, Clause.ORIGINAL_METHOD, "the charge names no transaction at Creem", facts)
    return None


def duplicate_in_doubt(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    assert facts.first is not None
    apart = facts.charge.paid_at - facts.first.paid_at
    same = facts.charge.request_id is not None and facts.charge.request_id == facts.first.request_id
    if apart <= timedelta(minutes=terms.duplicate_auto_minutes) or (same and facts.charge.billing is Billing.FIRST):
        return None
    return _v(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, f"the charges are {apart} apart", facts)


def duplicate_charge(facts: ChargeFacts, terms: Terms) -> Verdict:
    assert facts.first is not None
    reason = f"the same was charged {facts.charge.paid_at - facts.first.paid_at} after {facts.first.purchase_id}"
    return _v(Outcome.REFUND_PAYMENT, Clause.DUPLICATE_CHARGE, reason, facts, facts.charge.amount)


def disputed_after_refund(facts: ChargeDispute, terms: Terms) -> Verdict | None:
    if facts.refunded_by_us:
        return Verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, "the charge was refunded before it was disputed")
    return None


def disputed_while_refunding(facts: ChargeDispute, terms: Terms) -> Verdict | None:
    if facts.refund_started:
        return Verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, "the charge was disputed while our refund was on its way")
    return None


def charge_disputed(facts: ChargeDispute, terms: Terms) -> Verdict:
    because = {"jobs": facts.jobs, "delivered": facts.delivered, "downloads": facts.downloads, "failed": facts.failed}
    return Verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, "the buyer disputes the charge at the bank", because=because)


CHARGE_RULES = (charge_under_dispute, charge_already_refunded, charge_partly_refunded, no_earlier_charge_stands, duplicate_lot_used,
                charge_without_transaction, duplicate_in_doubt, duplicate_charge)
DISPUTE_RULES = (disputed_after_refund, disputed_while_refunding, charge_disputed)
