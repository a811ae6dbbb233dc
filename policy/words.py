"""The sentences of a verdict: whole, in plain English, with the real values."""

from collections.abc import Sequence
from datetime import timedelta

from policy.decision import Because
from policy.facts import JobFacts, Output, Rerun, RerunState
from policy.faults import Fault, rerun_fault
from policy.reruns import is_answered, rerun_obstacle
from policy.terms import Terms

_WITH_DECIMALS = {
    0: ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
    3: ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"),
    4: ("CLF", "UYW"),
}
_DECIMALS = {currency: places for places, currencies in _WITH_DECIMALS.items() for currency in currencies}
"""The currencies of ISO 4217 whose minor unit is not a hundredth: how many decimals they have."""


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 credit`, `5 credits`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def money(amount: int, currency: str = "") -> str:
    """Minor units as people write them: `9.00 USD`, `-0.50 EUR`, `900 JPY`, `1.500 KWD`; without a currency, as where several are
    added, with two decimals.
    """
    sign, places = "-" if amount < 0 else "", _DECIMALS.get(currency, 2)
    whole, part = divmod(abs(amount), 10**places)
    number = f"{whole}.{part:0{places}}" if places else str(whole)
    return f"{sign}{number} {currency}".rstrip()


def listed(names: Sequence[str]) -> str:
    """Names as people list them: `ord_1, ord_2 and job_1`; ten of them at most."""
    shown = [*names[:10], *([f"{len(names) - 10} more"] if len(names) > 10 else [])]
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)


def lasting(span: timedelta) -> str:
    """A span of time in its two largest units: `3 hours 20 minutes`, `0 seconds`."""
    left = int(span.total_seconds())
    parts = []
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        number, left = divmod(left, size)
        if number:
            parts.append(count(number, noun))
    return " ".join(parts[:2]) or count(0, "second")


def what_failed(fault: Fault, facts: JobFacts) -> str:
    """What went wrong: `the job failed with worker_crashed and delivered no output`."""
    return _what_failed(fault, facts, "the job", "the output", "the job")


def what_became_of_it(fault: Fault, facts: JobFacts, terms: Terms) -> str:
    """What went wrong, and why the credits come back instead of a re-run."""
    said = what_failed(fault, facts)
    if facts.rerun is not None:
        return f"{said}, and {_rerun_ending(facts.rerun, facts, terms)}"
    if terms.rerunnable(fault.code):
        return f"{said}, and it was not run again because {rerun_obstacle(facts)}"
    return said


def because_of(fault: Fault, facts: JobFacts, terms: Terms) -> Because:
    """The deciding facts of a failure, by name, and beside them those of the re-run that did not mend it."""
    again = rerun_fault(facts, terms)
    return {
        "failure_code": fault.code,
        "fault_class": fault.kind.value,
        "attempt": fault.report.attempt,
        "layers_delivered": _layers(fault),
        **({} if again is None else _of_the_rerun(again)),
        "standing_debit": facts.standing_debit,
    }


def _of_the_rerun(fault: Fault) -> Because:
    return {
        "rerun_failure_code": fault.code,
        "rerun_fault_class": fault.kind.value,
        "rerun_attempt": fault.report.attempt,
        "rerun_layers_delivered": _layers(fault),
    }


def _layers(fault: Fault) -> int | None:
    return None if fault.report.output is None else fault.report.output.delivered


def _rerun_ending(rerun: Rerun, facts: JobFacts, terms: Terms) -> str:
    fault = rerun_fault(facts, terms)
    if fault is not None:
        return _what_failed(fault, facts, "its re-run", "the output of its re-run", "it")
    if is_answered(rerun, facts):
        return "its re-run did not mend it"
    if rerun.state is RerunState.REFUSED:
        return "its re-run was refused"
    return "its re-run gave no answer by its deadline"


def _what_failed(fault: Fault, facts: JobFacts, it: str, its_output: str, who: str) -> str:
    delivered = _delivered(fault.report.output, facts)
    if not fault.about_output:
        return f"{it} failed {_with_code(fault)} and delivered {delivered}"
    if fault.report.output is None:
        return f"{its_output} is incomplete ({fault.code})"
    return f"{its_output} is incomplete ({fault.code}): {who} delivered {delivered}"


def _with_code(fault: Fault) -> str:
    return f"with {fault.code}" if fault.code else "without saying why"


def _delivered(output: Output | None, facts: JobFacts) -> str:
    if output is None or output.delivered == 0:
        return "no output"
    expected = output.expected_for(facts.layers_expected)
    layers = count(output.delivered, "layer") if not expected else f"{output.delivered} of {count(expected, 'layer')}"
    return f"{layers}, {output.corrupted} of them corrupted" if output.corrupted else layers
