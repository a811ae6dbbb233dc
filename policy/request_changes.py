"""What would have changed a decision about a request: single changes, the nearest first, each put to the same rules."""

from dataclasses import replace
from datetime import timedelta

from policy.calendar import window_closes, within_window
from policy.decision import Counterfactual, Outcome
from policy.facts import RequestFacts, Use
from policy.nearest import Change, Changes, nearest
from policy.rules import request_verdict
from policy.rules.requests import window_opens
from policy.terms import Terms
from policy.words import count


def request_counterfactual(facts: RequestFacts, terms: Terms, outcome: Outcome) -> Counterfactual | None:
    """The nearest single change of the facts whose outcome is another; None where there is none."""
    return nearest(_NEAREST_FIRST, request_verdict, facts, terms, outcome)


def _confirmed(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.sender_confirmed:
        return None
    return Change("the account's own mailbox confirmed the request", replace(facts, sender_confirmed=True, denied=False))


def _only_one(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if not facts.others and not facts.unknown:
        return None
    return Change("the mail named one thing alone", replace(facts, others=(), unknown=()))


def _no_before(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    return (
        Change("no letter about the same said no or told of a measure", replace(facts, told_no=False)) if facts.told_no else None
    )


def _no_payment_told(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    return Change("no letter said before that the money was sent", replace(facts, told_paid=False)) if facts.told_paid else None


def _no_dispute(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.purchase is not None and facts.purchase.disputed:
        return Change("the charge not been disputed", replace(facts, purchase=replace(facts.purchase, disputed=False)))
    if facts.job is not None and facts.job.disputed_elsewhere is not None:
        other = facts.job.disputed_elsewhere
        return Change(f"{other} not been disputed", replace(facts, job=replace(facts.job, disputed_elsewhere=None)))
    return None


def _not_claimed(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    return Change("no refund of the charge been under way", replace(facts, claimed=False)) if facts.claimed else None


def _charged_once(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    return Change("the same not been charged again", replace(facts, charged_again=())) if facts.charged_again else None


def _nothing_back(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.purchase is None or not facts.purchase.refunded_amount:
        return None
    return Change("none of the charge gone back before", replace(facts, purchase=replace(facts.purchase, refunded_amount=0)))


def _credits_back(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if not facts.use.failed_credits:
        return None
    return Change("the credits of the failed jobs come back before", replace(facts, use=replace(facts.use, failed_credits=0)))


def _credits_standing(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    job = facts.job
    # what became of credits that stand for a job which failed is its own case's to say, in whatever window
    if job is None or not job.delivered or not job.debit or job.standing_debit:
        return None
    return Change("the job's credits not come back before", replace(facts, job=replace(job, standing_debit=job.debit)))


def _in_time(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    opens, days = window_opens(facts), terms.request_window_days
    if opens is None or within_window(opens, facts.received_at, days, terms.zone):
        return None
    closes = window_closes(opens, days, terms.zone)
    return Change(
        f"the request arrived before {closes:%Y-%m-%d %H:%M} UTC", replace(facts, received_at=closes - timedelta.resolution)
    )


def _paid_before(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.purchase is None or facts.purchase.paid_at <= facts.received_at:
        return None
    paid_before = replace(facts.purchase, paid_at=facts.received_at)
    return Change("the purchase been paid before the mail arrived", replace(facts, purchase=paid_before))


def _too_late(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    opens, days = window_opens(facts), terms.request_window_days
    if opens is None:
        return None
    closes = window_closes(opens, days, terms.zone)
    words = f"the request arrived later than {count(days, 'calendar day')} after the purchase"
    return Change(words, replace(facts, received_at=max(closes, facts.received_at)))


def _cancelled(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.purchase is None:
        return None
    renewed_at = facts.purchase.period_start or facts.purchase.paid_at
    before = replace(facts.purchase, cancelled_at=renewed_at - timedelta.resolution)
    return Change("the subscription been cancelled before it renewed", replace(facts, purchase=before))


def _unused(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    purchase = facts.purchase
    if purchase is None or (facts.use == Use() and purchase.untouched):
        return None
    whole = replace(purchase, remaining=purchase.granted, frozen=0, void=0)
    return Change("nothing of the purchase been used", replace(facts, use=Use(), purchase=whole))


def _output_kept(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.job is None or not facts.job.edited:
        return None
    return Change("the output not been edited or used downstream", replace(facts, job=replace(facts.job, edited=False)))


def _transaction_known(facts: RequestFacts, terms: Terms) -> Change[RequestFacts] | None:
    if facts.purchase is None or facts.purchase.transaction_id is not None:
        return None
    named = replace(facts.purchase, transaction_id="known")
    return Change("the charge's transaction at Creem been known", replace(facts, purchase=named))


_NEAREST_FIRST: Changes[RequestFacts] = (
    # what stands in the way
    _confirmed,
    _only_one,
    _no_before,
    _no_payment_told,
    _no_dispute,
    _not_claimed,
    _charged_once,
    _nothing_back,
    _credits_back,
    _credits_standing,
    _in_time,
    _cancelled,
    _output_kept,
    _unused,
    _transaction_known,
    _paid_before,
    # the other way round: what would have cost the customer the refund
    _too_late,
)
