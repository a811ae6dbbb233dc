"""What would have changed a decision about a charge: single changes, the nearest first, each put to the same rules."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from policy.decision import Counterfactual, Outcome
from policy.duplicates import amounts_differ
from policy.facts import ChargeDispute, ChargeFacts
from policy.rules import CHARGE_RULES, first_of
from policy.terms import Terms
from policy.words import count

Change = tuple[str, ChargeFacts]


def charge_counterfactual(facts: ChargeFacts, terms: Terms, outcome: Outcome) -> Counterfactual | None:
    """The nearest single change of the facts whose outcome is another; None where there is none."""
    for words, changed in _changes(facts, terms):
        rule, verdict = first_of(CHARGE_RULES, changed, terms)
        if verdict.outcome is not outcome:
            return Counterfactual(words, verdict.outcome, rule)
    return None


def dispute_counterfactual(facts: ChargeDispute, terms: Terms, outcome: Outcome) -> Counterfactual | None:
    """None: whatever the facts of a dispute, a person answers it."""
    return None


def _changes(facts: ChargeFacts, terms: Terms) -> Iterator[Change]:
    tried = (possible(facts, terms) for possible in _NEAREST_FIRST)
    return (change for change in tried if change is not None)


def _no_dispute(facts: ChargeFacts, terms: Terms) -> Change | None:
    if not facts.charge.disputed:
        return None
    return "the charge not been disputed", replace(facts, charge=replace(facts.charge, disputed=False))


def _first_undisputed(facts: ChargeFacts, terms: Terms) -> Change | None:
    if facts.first is None or not facts.first.disputed:
        return None
    return "the earlier charge not been disputed", replace(facts, first=replace(facts.first, disputed=False))


def _first_whole(facts: ChargeFacts, terms: Terms) -> Change | None:
    if facts.first is None or not facts.first.refunded_amount:
        return None
    return "none of the earlier charge gone back", replace(facts, first=replace(facts.first, refunded_amount=0))


def _nothing_back(facts: ChargeFacts, terms: Terms) -> Change | None:
    if not facts.charge.refunded_amount:
        return None
    return "none of the charge gone back before", replace(facts, charge=replace(facts.charge, refunded_amount=0))


def _lot_untouched(facts: ChargeFacts, terms: Terms) -> Change | None:
    if facts.charge.untouched:
        return None
    whole = replace(facts.charge, remaining=facts.charge.granted, frozen=0, void=0)
    return "none of the later charge's credits been used", replace(facts, charge=whole)


def _transaction_known(facts: ChargeFacts, terms: Terms) -> Change | None:
    if facts.charge.transaction_id is not None:
        return None
    named = replace(facts.charge, transaction_id="known")
    return "the charge's transaction at Creem been known", replace(facts, charge=named)


def _paid_alike(facts: ChargeFacts, terms: Terms) -> Change | None:
    if facts.first is None or not amounts_differ(facts.first, facts.charge):
        return None
    return "the same amount been paid for both", replace(facts, charge=replace(facts.charge, amount=facts.first.amount))


def _closer(facts: ChargeFacts, terms: Terms) -> Change | None:
    first, most = facts.first, timedelta(minutes=terms.duplicate_auto_minutes)
    if first is None or facts.charge.paid_at - first.paid_at <= most:
        return None
    words = f"the charges been at most {count(terms.duplicate_auto_minutes, 'minute')} apart"
    return words, replace(facts, charge=replace(facts.charge, paid_at=first.paid_at + most))


def _first_stands(facts: ChargeFacts, terms: Terms) -> Change | None:
    if facts.first is not None:
        return None
    earlier = replace(facts.charge, purchase_id="earlier", disputed=False, refunded_amount=0)
    return "an earlier charge for the same thing stood at the same moment", replace(facts, first=earlier)


def _no_first(facts: ChargeFacts, terms: Terms) -> Change | None:
    return "no earlier charge for the same thing stood", replace(facts, first=None)


_NEAREST_FIRST: tuple[Callable[[ChargeFacts, Terms], Change | None], ...] = (
    # what stands in the way of the refund
    _no_dispute,
    _first_undisputed,
    _first_whole,
    _nothing_back,
    _lot_untouched,
    _transaction_known,
    _paid_alike,
    _closer,
    _first_stands,
    # the other way round: what would have cost the customer the refund
    _no_first,
)
