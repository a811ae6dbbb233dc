"""Rules about a charge that may have been made twice. Money goes back as a whole charge or not at all."""

from datetime import timedelta

from policy.decision import Because, Clause, Outcome, Verdict
from policy.duplicates import amounts_differ
from policy.facts import Billing, ChargeFacts
from policy.rules.disputes import bank_gave_back
from policy.terms import Terms
from policy.words import count, lasting, money


def charge_under_dispute(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A charge that the buyer disputes at the bank is not also refunded by us."""
    if not facts.charge.disputed:
        return None
    reason = f"the charge of {_price(facts)} is under dispute at the bank, so nothing is sent beside it"
    return _verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, reason, facts)


def charge_already_refunded(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed for a charge that was given back in full, by whoever did it."""
    if not facts.charge.given_back:
        return None
    if facts.charge.lost_at_bank:
        return _verdict(Outcome.NOTHING_OWED, Clause.DISPUTE_HOLD, bank_gave_back(facts.charge), facts)
    return _verdict(Outcome.NOTHING_OWED, Clause.DUPLICATE_CHARGE, f"the {_price(facts)} has already been refunded", facts)


def charge_partly_refunded(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A person looks at a charge of which a part went back: only what is left could be sent, which is not what is owed."""
    back = facts.charge.refunded_amount
    if not back:
        return None
    reason = f"{money(back, facts.charge.currency)} of the charge of {_price(facts)} has already been refunded"
    return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts, refunded_amount=back)


def earlier_charge_disputed(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A person looks where the charge that was to stay is disputed: were both gone, the customer would have paid for nothing."""
    if facts.first is None or not facts.first.disputed:
        return None
    reason = f"the earlier charge, {facts.first.purchase_id}, which was to stay, is under dispute at the bank"
    return _verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, reason, facts)


def earlier_charge_partly_refunded(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A person looks where a part of the charge that was to stay went back: it stands all the same, and what is owed is open."""
    first = facts.first
    if first is None or first.given_back or not first.refunded_amount:
        return None
    back = money(first.refunded_amount, first.currency)
    reason = f"{back} of the earlier charge, {first.purchase_id}, which was to stay, has already been refunded"
    return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts, first_refunded_amount=first.refunded_amount)


def no_earlier_charge_stands(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed where no earlier charge for the same thing stands: then this one is the one that does."""
    if facts.first is not None and not facts.first.given_back:
        return None
    reason = "no earlier charge for the same thing stands, so this one is the one that stays valid"
    return _verdict(Outcome.NOTHING_OWED, Clause.DUPLICATE_CHARGE, reason, facts)


def duplicate_lot_used(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A person looks where credits of the later charge were spent, or jobs ran under it: a whole charge would give back what was
    used.
    """
    if facts.jobs:
        reason = f"{count(facts.jobs, 'job')} already ran under the later charge's pass, and only a whole charge can go back"
        return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts, jobs=facts.jobs)
    if facts.charge.untouched:
        return None
    spent = count(facts.charge.spent, "credit")
    reason = f"{spent} of the later charge's {facts.charge.granted} were already used, and only a whole charge can go back"
    return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts, credits_spent=facts.charge.spent)


def charge_without_transaction(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A person looks at a charge that is not known to Creem: there is no other way for money to go back."""
    if facts.charge.transaction_id is not None:
        return None
    reason = "the charge names no transaction at Creem, and money goes back by no other way"
    return _verdict(Outcome.REVIEW, Clause.ORIGINAL_METHOD, reason, facts)


def duplicate_in_doubt(facts: ChargeFacts, terms: Terms) -> Verdict | None:
    """A person looks where the charges are further apart than chance allows and no checkout ties them together, or where the same
    price was paid with another tax or discount.
    """
    first, charge = facts.first, facts.charge
    if first is not None and amounts_differ(first, charge):
        prices = f"{_price(facts)} was paid, and {money(first.amount, first.currency)} for {first.purchase_id}"
        reason = f"the same was charged again at another amount: {prices}; it may have been meant"
        return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts, first_amount=first.amount)
    if _apart(facts) <= timedelta(minutes=terms.duplicate_auto_minutes) or _one_checkout(facts):
        return None
    reason = (
        f"the same was charged again after {lasting(_apart(facts))}, "
        f"more than {count(terms.duplicate_auto_minutes, 'minute')}: it may have been meant"
    )
    return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts, automatic_minutes=terms.duplicate_auto_minutes)


def duplicate_charge(facts: ChargeFacts, terms: Terms) -> Verdict:
    """The later of two charges for the same thing goes back."""
    assert facts.first is not None, "without an earlier charge `no_earlier_charge_stands` has answered"
    how = "by the same checkout " if _one_checkout(facts) else ""
    reason = (
        f"the same {_price(facts)} was charged {how}{lasting(_apart(facts))} after {facts.first.purchase_id}, which stays valid"
    )
    charge = facts.charge
    because = _because(facts)
    return Verdict(
        Outcome.REFUND_PAYMENT, Clause.DUPLICATE_CHARGE, reason, because=because, amount=charge.amount, currency=charge.currency
    )


def _verdict(outcome: Outcome, clause: Clause, reason: str, facts: ChargeFacts, **more: int) -> Verdict:
    return Verdict(outcome, clause, reason, because={**_because(facts), **more})


def _because(facts: ChargeFacts) -> Because:
    first = facts.first
    return {
        "charge": facts.charge.purchase_id,
        "amount": facts.charge.amount,
        "currency": facts.charge.currency,
        "paid_at": facts.charge.paid_at.isoformat(),
        "first_charge": None if first is None else first.purchase_id,
        "first_paid_at": None if first is None else first.paid_at.isoformat(),
        "charges_of_the_same": facts.group,
    }


def _price(facts: ChargeFacts) -> str:
    return money(facts.charge.amount, facts.charge.currency)


def _apart(facts: ChargeFacts) -> timedelta:
    return timedelta(0) if facts.first is None else facts.charge.paid_at - facts.first.paid_at


def _one_checkout(facts: ChargeFacts) -> bool:
    # a renewal may carry the request id of the checkout that began the subscription, so there it says nothing
    first, charge = facts.first, facts.charge
    tied = first is not None and charge.request_id is not None and charge.request_id == first.request_id
    return tied and charge.billing is Billing.FIRST
