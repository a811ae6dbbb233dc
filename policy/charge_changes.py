"""What would have changed a decision about a charge: single changes, the nearest first, each put to the same rules."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from policy.decision import Counterfactual, Outcome
from policy.duplicates import amounts_differ
from policy.facts import ChargeFacts
from policy.nearest import Change, Changes, nearest
from policy.rules import CHARGE_RULES, first_of
from policy.terms import Terms
from policy.words import count


def charge_counterfactual(facts: ChargeFacts, terms: Terms, outcome: Outcome) -> Counterfactual | None:
    """The nearest single change of the facts whose outcome is another; None where there is none."""
    return nearest(_NEAREST_FIRST, partial(first_of, CHARGE_RULES), facts, terms, outcome)


def _no_dispute(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if not facts.charge.disputed or facts.first is None:
        # cases decided before decision 60 kept no earlier charge beside a disputed one: what it was without is not known
        return None
    return Change("the charge not been disputed", replace(facts, charge=replace(facts.charge, disputed=False)))


def _first_undisputed(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if facts.first is None or not facts.first.disputed:
        return None
    return Change("the earlier charge not been disputed", replace(facts, first=replace(facts.first, disputed=False)))


def _first_whole(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if facts.first is None or not facts.first.refunded_amount:
        return None
    return Change("none of the earlier charge gone back", replace(facts, first=replace(facts.first, refunded_amount=0)))


def _nothing_back(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if not facts.charge.refunded_amount:
        return None
    return Change("none of the charge gone back before", replace(facts, charge=replace(facts.charge, refunded_amount=0)))


def _lot_untouched(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if facts.charge.untouched:
        return None
    whole = replace(facts.charge, remaining=facts.charge.granted, frozen=0, void=0)
    return Change("none of the later charge's credits been used", replace(facts, charge=whole))


def _pass_unused(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if not facts.jobs:
        return None
    return Change("no job been run under the later charge's pass", replace(facts, jobs=0))


def _transaction_known(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if facts.charge.transaction_id is not None:
        return None
    named = replace(facts.charge, transaction_id="known")
    return Change("the charge's transaction at Creem been known", replace(facts, charge=named))


def _paid_alike(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if facts.first is None or not amounts_differ(facts.first, facts.charge):
        return None
    return Change("the same amount been paid for both", replace(facts, charge=replace(facts.charge, amount=facts.first.amount)))


def _closer(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    first, most = facts.first, timedelta(minutes=terms.duplicate_auto_minutes)
    if first is None or facts.charge.paid_at - first.paid_at <= most:
        return None
    words = f"the charges been at most {count(terms.duplicate_auto_minutes, 'minute')} apart"
    return Change(words, replace(facts, charge=replace(facts.charge, paid_at=first.paid_at + most)))


def _first_stands(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    if facts.first is not None:
        return None
    earlier = replace(facts.charge, purchase_id="earlier", disputed=False, refunded_amount=0)
    return Change("an earlier charge for the same thing stood at the same moment", replace(facts, first=earlier))


def _no_first(facts: ChargeFacts, terms: Terms) -> Change[ChargeFacts] | None:
    return Change("no earlier charge for the same thing stood", replace(facts, first=None))


_NEAREST_FIRST: Changes[ChargeFacts] = (
    # what stands in the way of the refund
    _no_dispute,
    _first_undisputed,
    _first_whole,
    _nothing_back,
    _lot_untouched,
    _pass_unused,
    _transaction_known,
    _paid_alike,
    _closer,
    _first_stands,
    # the other way round: what would have cost the customer the refund
    _no_first,
)
