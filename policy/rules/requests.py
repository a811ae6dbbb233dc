"""Rules about a request by mail: what a customer asks for, held against our own books.

Money only as a whole charge and only by a person's hand: a mail is a request, never an instruction. What can be answered from
the books alone is answered at once; for everything else a person gets the reason why it cannot be.
"""

from datetime import datetime

from policy.calendar import within_window
from policy.decision import Because, Clause, Outcome, Verdict
from policy.facts import Billing, PurchaseFacts, PurchaseKind, RequestedJob, RequestFacts
from policy.rules.disputes import bank_gave_back
from policy.terms import Terms
from policy.words import count, listed, money


def missing_in_request(facts: RequestFacts) -> tuple[str, ...]:
    """What has to be asked of the account's own address before the request can be judged; nothing where it cannot be read, or
    where that address has said that it did not write it.
    """
    if not facts.readable or facts.denied:
        return ()
    lacking = []
    if not facts.sender_confirmed:
        lacking.append("a word from the account's own mailbox")
    if facts.job is None and facts.purchase is None:
        lacking.append("an order or a job of the account")
    return tuple(lacking)


def request_unreadable(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """What cannot be read is in the queue for a person."""
    if facts.readable:
        return None
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, "the mail could not be read by the worker", facts)


def report_of_a_machine(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Nobody asks for anything in a mail host's report that names nothing of ours; it is on record."""
    if not facts.report or facts.job is not None or facts.purchase is not None:
        return None
    reason = "a mail host reported about a mail, and names no job and no order: nobody asks for anything"
    return _verdict(Outcome.NOTHING_OWED, Clause.REQUEST_BY_MAIL, reason, facts)


def request_denied(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person reads what the account's own mailbox says against a mail in its name."""
    if not facts.denied:
        return None
    reason = "the account's own mailbox answered that it did not write the mail"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts)


def request_unanswered(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A request that lacks something keeps its place in the queue while the account's own address is asked."""
    lacking = missing_in_request(facts)
    if not lacking:
        return None
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, f"the request lacks {' and '.join(lacking)}", facts)


def request_names_several(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person answers a mail about more than one thing: what is right for one is no answer for the others, and none of them is
    ended by it.
    """
    if not facts.others:
        return None
    reason = f"the mail names {listed([_named(facts), *facts.others])}, and what is right for one may be wrong for another"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts)


def request_names_unknown(facts: RequestFacts, found: Verdict) -> Verdict:
    """What would end the request is a person's while the mail names what our books do not hold: it may be on its way to us, and
    a no about one thing is no answer for the other.
    """
    reason = f"the mail also names {listed(facts.unknown)}, of which our books know nothing; of what they know, {found.reason}"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts)


def request_answers_a_no(facts: RequestFacts, found: Verdict) -> Verdict:
    """What would be the second no to the same thing is a person's: a letter that says no promises one to whoever answers, and so
    does one that tells of a suspension or a forfeiture.
    """
    no = "a letter about the same said no, or told of a suspension or a forfeiture"
    reason = f"{no}, and a person reads what is said to that; {found.reason}"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts)


def request_answers_a_payment(facts: RequestFacts, found: Verdict) -> Verdict:
    """What is said to a letter about money that was sent is a person's: the letter asks to be told where it does not show up, and
    our books know nothing of the customer's bank.
    """
    reason = f"a letter said that the money was sent, and a person reads what is said to that; {found.reason}"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts)


def requested_under_dispute(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """What is under dispute at the bank is not also refunded by us; a job holds on to every purchase that paid for it."""
    other = facts.job.disputed_elsewhere if facts.job is not None else None
    if facts.purchase is not None and facts.purchase.disputed:
        reason = f"the charge of {_price(facts.purchase)} is under dispute at the bank, so nothing is sent beside it"
    elif other is not None:
        reason = f"{other}, which paid for the job as well, is under dispute at the bank, so nothing is sent beside it"
    else:
        return None
    return _verdict(Outcome.REVIEW, Clause.DISPUTE_HOLD, reason, facts)


def requested_is_duplicate(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """The charge is given back already, as a duplicate or on another request; this one adds nothing, unless another purchase
    paid for the job with it.
    """
    if not facts.claimed or _paid_elsewhere(facts):
        return None
    reason = "a refund of the charge is under way already, or was sent before"
    return _verdict(Outcome.NOTHING_OWED, Clause.ORIGINAL_METHOD, reason, facts)


def requested_failed_jobs(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Jobs of the purchase that failed are made good in credits, whatever becomes of the rest (policy.md, "Precedence")."""
    if facts.job is not None or not facts.use.failed_credits:
        return None
    hold = "failed job of this purchase still holds" if facts.use.failed == 1 else "failed jobs of this purchase still hold"
    reason = f"{facts.use.failed} {hold} {count(facts.use.failed_credits, 'credit')}"
    return _verdict(
        Outcome.REVERSE_CREDITS,
        facts.use.failed_clause or Clause.FAILED_JOB,
        reason,
        facts,
        credits=facts.use.failed_credits,
        failed=facts.use.failed,
    )


def requested_already_refunded(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed for money that went back in full, by whoever sent it. A job that other purchases paid for as well is not
    settled by the money of one: what it took of them is judged like any job's.
    """
    if facts.purchase is None or not facts.purchase.given_back or _paid_elsewhere(facts):
        return None
    if facts.purchase.lost_at_bank:
        return _verdict(Outcome.NOTHING_OWED, Clause.DISPUTE_HOLD, bank_gave_back(facts.purchase), facts)
    return _verdict(
        Outcome.NOTHING_OWED, Clause.ORIGINAL_METHOD, f"the {_price(facts.purchase)} has already been refunded", facts
    )


def requested_partly_refunded(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person looks at a charge of which a part went back."""
    if facts.purchase is None or not facts.purchase.refunded_amount or facts.purchase.given_back:
        return None
    back = money(facts.purchase.refunded_amount, facts.purchase.currency)
    reason = f"{back} of the charge of {_price(facts.purchase)} has already been refunded"
    return _verdict(Outcome.REVIEW, Clause.ORIGINAL_METHOD, reason, facts)


def requested_job_made_whole(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed for a job that took credits which came back."""
    job = facts.job
    if job is None or not job.debit or job.standing_debit:
        return None
    clause, reason = job.own_clause or Clause.FAILED_JOB, "the credits of the job have already come back"
    return _verdict(Outcome.NOTHING_OWED, clause, reason, facts, terms=job.own_terms)


def requested_job_was_judged(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A mail about a job is judged like its failure (policy.md, "Request about a job"): the answer is what its own case came to
    by the policy, in the edition of that. Where the mail names the pass as well it may ask for the money of that, of which the
    job's case says nothing.
    """
    own_no = facts.job.own_no if facts.job is not None else None
    if facts.job is None or own_no is None or (_is_pass(facts) and facts.purchase_named):
        return None
    return _verdict(own_no.outcome, own_no.clause, own_no.reason, facts, terms=facts.job.own_terms)


def requested_cost_nothing(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Nothing is owed for a purchase that cost nothing."""
    if facts.purchase is None or facts.job is not None or facts.purchase.amount:
        return None
    return _verdict(Outcome.NOTHING_OWED, Clause.REQUEST_WINDOW, "the purchase cost nothing", facts)


def requested_was_charged_again(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person reads whether a mail about a charge that stays valid means it or its duplicate (policy.md, "Duplicate charge")."""
    if facts.purchase is None or facts.job is not None or not facts.charged_again:
        return None
    again, kept = listed(facts.charged_again), facts.purchase.purchase_id
    cases = "has a case of its own as a duplicate" if len(facts.charged_again) == 1 else "have cases of their own as duplicates"
    reason = f"the same {_price(facts.purchase)} was charged again as {again}, which {cases}"
    reason += f", and {kept} stays valid: only a person can read whether the mail asks for more than that"
    return _verdict(Outcome.REVIEW, Clause.DUPLICATE_CHARGE, reason, facts)


def window_opens(facts: RequestFacts) -> datetime | None:
    """When the purchase was paid that the window is counted from: of several that paid for a job the newest, whichever the
    mail names. None where no purchase is known.
    """
    if facts.purchase is None:
        return None
    elsewhere = facts.job.paid_elsewhere_at if facts.job is not None else None
    return facts.purchase.paid_at if elsewhere is None else max(elsewhere, facts.purchase.paid_at)


def window_passed(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Nothing on requests that arrive after the window (policy.md, "7 calendar days")."""
    opens = window_opens(facts)
    if opens is None or within_window(opens, facts.received_at, terms.request_window_days, terms.zone):
        return None
    reason = f"the request arrived more than {count(terms.request_window_days, 'calendar day')} after the purchase"
    return _verdict(Outcome.DECLINE, Clause.WINDOW_PASSED, reason, facts, window_days=terms.request_window_days)


def pass_used(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """The 24-Hour Pass is not refunded after substantial use (policy.md, "substantial use"). A mail that names a job alone asks
    for no money of it.
    """
    if not _is_pass(facts) or not facts.purchase_named:
        return None
    if facts.use.completed < terms.pass_jobs_min or facts.use.downloads < terms.pass_downloads_min:
        return None
    used = f"{count(facts.use.completed, 'completed job')} and {count(facts.use.downloads, 'download')}"
    return _verdict(Outcome.DECLINE, Clause.PASS_USED, f"the pass was used for {used}", facts)


def renewal_not_cancelled(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A renewal is not refunded unless it was cancelled before the renewal instant."""
    if facts.purchase is None or facts.job is not None or not _stands_as_renewal(facts.purchase):
        return None
    return _verdict(Outcome.DECLINE, Clause.RENEWAL_NOT_CANCELLED, "the subscription was not cancelled before it renewed", facts)


def output_used(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """Nothing once a successful output was downloaded and then edited by hand or used downstream."""
    job = facts.job
    if job is not None:
        used = job.delivered and job.downloads > 0 and job.edited
        reason = "the job's successful output was downloaded and then edited by hand or used downstream"
    else:
        used = facts.use.edited > 0
        reason = (
            f"the output of {count(facts.use.edited, 'job')} of this purchase was downloaded and then edited or used downstream"
        )
    return _verdict(Outcome.DECLINE, Clause.OUTPUT_USED, reason, facts) if used else None


def job_not_ended(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person asks the pipeline about a job that has reported no end."""
    if facts.job is None or facts.job.ended:
        return None
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, "the pipeline has not said how the job ended", facts)


def job_delivered(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """The books show no fault of ours in the job that is still to be made good: a person looks at what the customer shows."""
    if facts.job is None:
        return None
    reason = f"the pipeline reported {_reported(facts.job)}, and only a person can weigh what the customer says against it"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts)


def purchase_partly_used(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person looks at a purchase that was used in part: only a whole charge can go back."""
    purchase = _bought(facts)
    used = []
    if purchase.spent:
        used.append(f"{purchase.spent} of its {count(purchase.granted, 'credit')}")
    if facts.use.completed or facts.use.downloads:
        used.append(f"{count(facts.use.completed, 'completed job')} and {count(facts.use.downloads, 'download')}")
    if facts.use.running:
        used.append(f"{count(facts.use.running, 'job')} still running")
    if facts.use.kept:
        used.append(f"{count(facts.use.kept, 'download')} of incomplete output")
    if not used:
        return None
    reason = f"the purchase was used for {', '.join(used)}, and only a whole charge can go back"
    running, kept = facts.use.running, facts.use.kept
    return _verdict(Outcome.REVIEW, Clause.REQUEST_BY_MAIL, reason, facts, running=running, kept=kept)


def request_without_transaction(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person looks at a charge that is not known to Creem: there is no other way for money to go back."""
    if _bought(facts).transaction_id is not None:
        return None
    reason = "the charge names no transaction at Creem, and money goes back by no other way"
    return _verdict(Outcome.REVIEW, Clause.ORIGINAL_METHOD, reason, facts)


def requested_before_purchase(facts: RequestFacts, terms: Terms) -> Verdict | None:
    """A person reads what a mail meant that came before the purchase: it can hardly have asked for the money of that."""
    if _bought(facts).paid_at <= facts.received_at:
        return None
    reason = f"the mail arrived before {_bought(facts).purchase_id} was paid, and only a person can read whether it means that"
    return _verdict(Outcome.REVIEW, Clause.REQUEST_WINDOW, reason, facts)


def unused_purchase(facts: RequestFacts, terms: Terms) -> Verdict:
    """A purchase of which nothing was used goes back whole when it is asked for within the window."""
    purchase = _bought(facts)
    days = count(terms.request_window_days, "calendar day")
    reason = f"nothing of the purchase of {_price(purchase)} was used, and the request arrived within {days}"
    because = {**_because(facts), "window_days": terms.request_window_days}
    money_owed = {"amount": purchase.amount, "currency": purchase.currency}
    return Verdict(Outcome.REFUND_PAYMENT, Clause.REQUEST_WINDOW, reason, because=because, **money_owed)  # type: ignore[arg-type]


def _verdict(
    outcome: Outcome,
    clause: Clause,
    reason: str,
    facts: RequestFacts,
    *,
    credits: int = 0,
    terms: str | None = None,
    **more: int,
) -> Verdict:
    return Verdict(outcome, clause, reason, credits=credits, because={**_because(facts), **more}, terms=terms)


def _because(facts: RequestFacts) -> Because:
    purchase, job = facts.purchase, facts.job
    found: dict[str, str | int | bool | None] = {
        "received_at": facts.received_at.isoformat(),
        "sender_confirmed": facts.sender_confirmed,
    }
    if job is not None:
        found |= {"job": job.job_id, "delivered": job.delivered, "downloads": job.downloads, "standing_debit": job.standing_debit}
    if purchase is not None:
        found |= {"purchase": purchase.purchase_id, "paid_at": purchase.paid_at.isoformat(), "credits_spent": purchase.spent}
        found |= {"amount": purchase.amount, "currency": purchase.currency}
    if purchase is not None and job is None:
        found |= {"completed": facts.use.completed, "downloads": facts.use.downloads}
    return found


def _named(facts: RequestFacts) -> str:
    return facts.job.job_id if facts.job is not None else _bought(facts).purchase_id


def _paid_elsewhere(facts: RequestFacts) -> bool:
    return facts.job is not None and facts.job.paid_elsewhere > 0


def _is_pass(facts: RequestFacts) -> bool:
    return facts.purchase is not None and facts.purchase.kind is PurchaseKind.PASS_24H


def _stands_as_renewal(purchase: PurchaseFacts) -> bool:
    renewed_at = purchase.period_start or purchase.paid_at
    cancelled = purchase.cancelled_at is not None and purchase.cancelled_at < renewed_at
    return purchase.billing is Billing.RENEWAL and not cancelled


def _reported(job: RequestedJob) -> str:
    if job.failure is not None:
        return f"the job as failed with {job.failure}"
    return "no fault in the job" if job.delivered else "no whole output of the job"


def _bought(facts: RequestFacts) -> PurchaseFacts:
    assert facts.purchase is not None, "without a purchase `request_unanswered` or `job_delivered` has answered"
    return facts.purchase


def _price(purchase: PurchaseFacts) -> str:
    return money(purchase.amount, purchase.currency)
