"""How the pipeline's reports are read: what was delivered, what failed, and whose fault that was.

Reports are a set. Nothing here depends on their order or on how often one of them arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

from policy.decision import Clause
from policy.facts import JobFacts, Output, Report, ReportKind
from policy.terms import FaultClass, Terms

MISSING_LAYERS = "missing_layers"
CORRUPTED_OUTPUT = "corrupted_output"


T = TypeVar("T")


def _once_a_job(reading: Callable[[JobFacts, Terms], T]) -> Callable[[JobFacts, Terms], T]:
    """Keeps the last answer: a dozen rules ask the same of the same frozen facts, one after another."""
    last: tuple[JobFacts, Terms, T] | None = None

    @wraps(reading)
    def ask(facts: JobFacts, terms: Terms) -> T:
        nonlocal last
        known = last
        if known is None or known[0] is not facts or known[1] is not terms:
            known = last = (facts, terms, reading(facts, terms))
        return known[2]

    return ask


@dataclass(frozen=True, slots=True)
class Fault:
    """A failing report as the terms read it.

    `code` is the report's own, or what its figures amount to where it has none that is known.
    """

    kind: FaultClass
    code: str
    report: Report

    @property
    def about_output(self) -> bool:
        """True where the job came to an end and its output is at fault, not the job."""
        return self.kind is FaultClass.OUTPUT or self.report.kind is not ReportKind.FAILED

    @property
    def clause(self) -> Clause:
        """The clause that covers it."""
        return Clause.INCOMPLETE_OUTPUT if self.about_output else Clause.FAILED_JOB


def delivered_attempts(facts: JobFacts) -> frozenset[int]:
    """The attempts that succeeded with complete output, and of which nothing else was said."""
    succeeded = _succeeded(facts)
    return succeeded and succeeded - {report.attempt for report in failing_reports(facts)}


def failing_reports(facts: JobFacts) -> tuple[Report, ...]:
    """The reports that say something went wrong; a success whose output is short is one of them."""
    return tuple(r for r in facts.reports if r.kind is not ReportKind.SUCCEEDED or _is_short(r, facts))


def contradicted_attempts(facts: JobFacts, terms: Terms) -> frozenset[int]:
    """The attempts reported both as a complete success and as failed.

    A word about the output of an attempt is no contradiction: the download was corrupted, and that overrides the success.
    """
    succeeded = _succeeded(facts)
    if not succeeded:
        return succeeded
    failing = _faults(facts, terms)
    spoilt = {fault.report.attempt for fault in failing if fault.about_output}
    return (succeeded & {fault.report.attempt for fault in failing}) - spoilt


@_once_a_job
def standing_fault(facts: JobFacts, terms: Terms) -> Fault | None:
    """The one fault the job is judged by; None where nothing failed.

    A proven fault of the system goes before an unknown code, and that before what the customer brought about; then the
    lowest attempt, the earliest report. A report that its own figures deny counts only where there is no other.
    """
    failing = _faults(facts, terms)
    return min(_sound(failing, facts, terms) or failing, key=_weight, default=None)


def rerun_fault(facts: JobFacts, terms: Terms) -> Fault | None:
    """What went wrong with the re-run, chosen as the job's fault is; None where no report says so, or its figures deny it."""
    rerun = facts.rerun
    if rerun is None:
        return None
    answers = [fault for fault in _faults(facts, terms) if fault.report.attempt >= rerun.attempt]
    return min(_sound(answers, facts, terms), key=_weight, default=None)


def denied_by_figures(facts: JobFacts, terms: Terms) -> bool:
    """True where something is said to have failed and every report saying so shows complete output."""
    fault = standing_fault(facts, terms)
    return fault is not None and _denies_itself(fault, facts, terms)


def standing_clause(facts: JobFacts, terms: Terms) -> Clause:
    """The clause that covers what failed, that of incomplete output where the output of the re-run is what failed in the end;
    `failed-job` where nothing did.
    """
    found = (standing_fault(facts, terms), rerun_fault(facts, terms))
    return Clause.INCOMPLETE_OUTPUT if any(fault and fault.about_output for fault in found) else Clause.FAILED_JOB


def is_complete(report: Report, facts: JobFacts) -> bool:
    """True where the report has figures and they show that nothing is missing, which they do only where it is known how many
    layers there should be.
    """
    output = report.output
    return output is not None and output.expected_for(facts.layers_expected) > 0 and output.complete_for(facts.layers_expected)


def _succeeded(facts: JobFacts) -> frozenset[int]:
    successes = (r for r in facts.reports if r.kind is ReportKind.SUCCEEDED)
    return frozenset(r.attempt for r in successes if not _is_short(r, facts))


def _is_short(report: Report, facts: JobFacts) -> bool:
    return report.output is not None and not report.output.complete_for(facts.layers_expected)


def _faults(facts: JobFacts, terms: Terms) -> list[Fault]:
    return [_read(report, facts, terms) for report in failing_reports(facts)]


def _sound(faults: list[Fault], facts: JobFacts, terms: Terms) -> list[Fault]:
    return [fault for fault in faults if not _denies_itself(fault, facts, terms)]


def _read(report: Report, facts: JobFacts, terms: Terms) -> Fault:
    kind = terms.fault_of(report.code)
    proven = kind is not FaultClass.UNKNOWN or report.kind is ReportKind.FAILED
    if proven or (report.code and not _is_short(report, facts)):
        return Fault(kind, report.code, report)
    return Fault(FaultClass.OUTPUT, _code_of_figures(report), report)


def _code_of_figures(report: Report) -> str:
    return CORRUPTED_OUTPUT if report.output is not None and report.output.corrupted > 0 else MISSING_LAYERS


def _denies_itself(fault: Fault, facts: JobFacts, terms: Terms) -> bool:
    if not is_complete(fault.report, facts):
        return False
    if fault.report.kind is ReportKind.FAILED:
        return not terms.about_content(fault.code)
    return not fault.report.code


def _weight(fault: Fault) -> tuple[object, ...]:
    # down to the last word: of two reports the same one is chosen, whichever came first
    report = fault.report
    return _precedence(fault.kind), report.attempt, report.at, report.code, report.kind, _figures(report.output), report.stage


def _figures(output: Output | None) -> tuple[int, int, int]:
    if output is None:
        return -1, -1, -1
    return output.delivered, -1 if output.expected is None else output.expected, output.corrupted


def _precedence(kind: FaultClass) -> int:
    if kind.of_the_system:
        return 0
    return 1 if kind is FaultClass.UNKNOWN else 2
