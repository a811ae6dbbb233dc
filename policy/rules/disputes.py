"""Rules about a charge that the buyer disputes at the bank: everything stops, and a person answers with the evidence."""

from policy.decision import Because, Clause, Outcome, Verdict
from policy.facts import ChargeDispute, PurchaseFacts
from policy.terms import Terms
from policy.words import count, money


def disputed_after_refund(facts: ChargeDispute, terms: Terms) -> Verdict | None:
    """We had given the money back before the buyer went to the bank: a person shows the bank the proof."""
    back = facts.refunded_by_us
    if not back:
        return None
    reason = f"we had already given {money(back, facts.charge.currency)} back when the buyer disputed the charge"
    return _review(reason, facts)


def disputed_while_refunding(facts: ChargeDispute, terms: Terms) -> Verdict | None:
    """Our refund may be on its way: a person sees to it that the money goes back once."""
    if not facts.refund_started:
        return None
    return _review("the buyer disputed the charge while our own refund of it was under way", facts)


def charge_disputed(facts: ChargeDispute, terms: Terms) -> Verdict:
    """A person answers the bank with what the charge was used for."""
    used = f"{count(facts.jobs, 'job')}, {facts.delivered} of them delivered and {count(facts.downloads, 'download')}"
    price = money(facts.dispute.amount, facts.dispute.currency)
    return _review(f"the buyer disputes the charge of {price} at the bank; it paid for {used}", facts)


def bank_gave_back(charge: PurchaseFacts) -> str:
    """Why nothing more is owed for a charge whose dispute was lost, as who asked for its money is told."""
    return f"the bank gave the {money(charge.amount, charge.currency)} back after the charge was disputed there"


def _review(reason: str, facts: ChargeDispute) -> Verdict:
    because: Because = {
        "charge": facts.charge.purchase_id,
        "disputed_amount": facts.dispute.amount,
        "jobs": facts.jobs,
        "delivered": facts.delivered,
        "downloads": facts.downloads,
        "failed": facts.failed,
        "refunded_by_us": facts.refunded_by_us,
    }
    return Verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, reason, because=because)
