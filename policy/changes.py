"""What would have changed a decision about a job: single changes, the nearest first, each put to the same rules."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from policy.calendar import within_window
from policy.decision import Counterfactual, Outcome
from policy.facts import AccountStatus, JobFacts, Output, PaidWith, Report, ReportKind, RerunState
from policy.faults import failing_reports, is_complete, standing_fault
from policy.nearest import Change, Changes, nearest
from policy.reruns import rerun_delivery, rerun_is_in_flight
from policy.rules import JOB_RULES, first_of, missing_facts
from policy.terms import FaultClass, Terms
from policy.words import count


def counterfactual(facts: JobFacts, terms: Terms, outcome: Outcome) -> Counterfactual | None:
    """The nearest single change of the facts whose outcome is another; None where there is none."""
    return nearest(_NEAREST_FIRST, partial(first_of, JOB_RULES), facts, terms, outcome)


def _nothing_missing(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    lacking = missing_facts(facts)
    if not lacking:
        return None
    debit = max(facts.price, facts.debit, 1)
    there = replace(facts, job_known=True, account_known=True, debit=debit)
    return Change(f"a debit of {count(debit, 'credit')} stood for a known job of a known account", there)


def _not_yet_made_whole(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.reversed_credits == 0:
        return None
    return Change("no credits of the job come back before", replace(facts, reversed_credits=0))


def _money_kept(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if not facts.compensated:
        return None
    return Change("the purchase not been given back", replace(facts, compensated=0))


def _pass_kept(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if not facts.pass_given_back:
        return None
    return Change("the pass not been given back", replace(facts, pass_given_back=False))


def _no_refund_under_way(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if not facts.refund_under_way:
        return None
    return Change("no refund of the purchase been under way", replace(facts, refund_under_way=False))


def _purchase_undisputed(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if not facts.disputed:
        return None
    return Change("the purchase not been disputed", replace(facts, disputed=False))


def _purchase_whole(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if not facts.partly_refunded:
        return None
    return Change("no part of the purchase been given back", replace(facts, partly_refunded=False))


def _no_success_reported(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    left = failing_reports(facts)
    if len(left) == len(facts.reports):
        return None
    return Change("no attempt been reported as a complete success", replace(facts, reports=left))


def _no_figures(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    denied = {report for report in failing_reports(facts) if is_complete(report, facts)}
    if not denied:
        return None
    reports = tuple(replace(report, output=Output(0)) if report in denied else report for report in facts.reports)
    return Change("the figures shown no output", replace(facts, reports=reports))


def _rerun_delivered(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.rerun is None or rerun_delivery(facts) is not None:
        return None
    attempt = facts.rerun.attempt
    earlier = tuple(report for report in facts.reports if report.attempt < attempt)
    answer = Report(attempt, ReportKind.SUCCEEDED, facts.now)
    return Change("the re-run delivered complete output", replace(facts, reports=(*earlier, answer)))


def _rerun_silent(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    rerun = facts.rerun
    if rerun is None or (rerun_delivery(facts) is None and not rerun_is_in_flight(facts)):
        return None
    earlier = tuple(report for report in facts.reports if report.attempt < rerun.attempt)
    expired = replace(rerun, state=RerunState.EXPIRED)
    return Change("the re-run given no answer by its deadline", replace(facts, reports=earlier, rerun=expired))


def _fewer_reversals(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    below = terms.auto_reversals_per_account_per_day - 1
    if not 0 <= below < facts.reversals_today:
        return None
    words = f"the account had at most {count(below, 'automatic reversal')} today instead of {facts.reversals_today}"
    return Change(words, replace(facts, reversals_today=below))


def _outage(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    percent = terms.outage_failure_percent
    calm = facts.service_failure_percent < percent
    if not calm or facts.reversals_today < terms.auto_reversals_per_account_per_day:
        return None
    words = f"at least {percent} % of the service's jobs failed of late instead of {facts.service_failure_percent} %"
    return Change(words, replace(facts, service_failure_percent=percent))


def _doubt_budget_left(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    most = terms.doubt_credits_per_day - facts.standing_debit
    if not 0 <= most < facts.doubt_credits_today:
        return None
    words = f"at most {count(most, 'credit')} been given back in doubt today instead of {facts.doubt_credits_today}"
    return Change(words, replace(facts, doubt_credits_today=most))


def _no_more_than_doubt_budget_left(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    budget = terms.doubt_credits_per_day
    left = budget - facts.doubt_credits_today
    if not 0 < left < facts.standing_debit:
        return None
    words = f"the job taken at most {left} of the day's {count(budget, 'credit')} for doubt instead of {facts.standing_debit}"
    return Change(words, replace(facts, price=left, debit=left, reversed_credits=0, compensated=0))


def _inside_window(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    fault, days = standing_fault(facts, terms), terms.automatic_window_days
    if fault is None or days is None or within_window(fault.report.at, facts.now, days, terms.zone):
        return None
    reports = tuple(replace(report, at=facts.now) for report in facts.reports)
    return Change(f"the job failed within the last {count(days, 'calendar day')}", replace(facts, reports=reports))


def _debit_stood(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.debit > 0:
        return None
    debit = max(facts.price, 1)
    words = f"a debit of {count(debit, 'credit')} stood in the ledger"
    return Change(words, replace(facts, debit=debit, reversed_credits=0))


def _credits_requested(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.credits_requested or facts.paid_with is not PaidWith.CREDITS:
        return None
    return Change("the customer asked for the credits instead", replace(facts, credits_requested=True))


def _credits_not_requested(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if not facts.credits_requested:
        return None
    return Change("the customer not asked for the credits", replace(facts, credits_requested=False))


def _rerun_unused(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.rerun is None:
        return None
    return Change("the one re-run not been used", replace(facts, rerun=None))


def _input_kept(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.input_expires_at is None or facts.now < facts.input_expires_at:
        return None
    return Change("the input not expired", replace(facts, input_expires_at=None))


def _account_active(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.account_status is AccountStatus.ACTIVE:
        return None
    return Change("the account been active", replace(facts, account_status=AccountStatus.ACTIVE))


def _breaker_closed(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    if facts.rerun_available:
        return None
    return Change("the pipeline taken re-runs at the time", replace(facts, rerun_available=True))


def _input_expired(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    return Change("the input expired", replace(facts, input_expires_at=facts.now))


def _doubt_budget_spent(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    budget = terms.doubt_credits_per_day
    words = f"the day's {count(budget, 'credit')} for doubt been spent"
    return Change(words, replace(facts, doubt_credits_today=budget))


def _code(kind: FaultClass, *, rerunnable: bool) -> Callable[[JobFacts, Terms], Change[JobFacts] | None]:
    def change(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
        code = next((code for code in terms.faults[kind] if terms.rerunnable(code) is rerunnable), None)
        fault = standing_fault(facts, terms)
        if code is None or fault is None:
            return None
        words = f"the failure code been one of class {kind}, such as {code}, instead of {fault.code or 'none'}"
        return Change(words, _with_code(facts, code))

    return change


def _started(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    reports = tuple(replace(r, stage="") if r.stage in terms.waiting_stages else r for r in facts.reports)
    return Change("the job started before it was cancelled", replace(facts, reports=reports))


def _with_code(facts: JobFacts, code: str) -> JobFacts:
    failing = set(failing_reports(facts))
    return replace(facts, reports=tuple(replace(r, code=code) if r in failing else r for r in facts.reports))


def _failed_outright(facts: JobFacts, terms: Terms) -> Change[JobFacts] | None:
    for code in terms.faults[FaultClass.SERVER]:
        failure = Report(1, ReportKind.FAILED, facts.now, code)
        return Change(f"the job failed with {code} and delivered nothing", replace(facts, reports=(failure,)))
    return None


_NEAREST_FIRST: Changes[JobFacts] = (
    # what stood in the way of judging at all
    _nothing_missing,
    _not_yet_made_whole,
    _money_kept,
    _pass_kept,
    _purchase_undisputed,
    _purchase_whole,
    _no_figures,
    # limits, with the figure that would have been enough
    _fewer_reversals,
    _outage,
    _doubt_budget_left,
    _no_more_than_doubt_budget_left,
    _inside_window,
    # the re-run
    _rerun_delivered,
    _rerun_silent,
    _input_kept,
    _breaker_closed,
    _no_refund_under_way,
    _credits_not_requested,
    _account_active,
    _rerun_unused,
    # what was taken and what was delivered
    _debit_stood,
    _no_success_reported,
    # the other way round: what would have cost the customer the remedy, or given another
    _credits_requested,
    _input_expired,
    _doubt_budget_spent,
    # the failure itself
    _started,
    _code(FaultClass.SERVER, rerunnable=False),
    _code(FaultClass.CAPACITY, rerunnable=True),
    _code(FaultClass.INPUT, rerunnable=False),
    _failed_outright,
)
