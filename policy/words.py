"""The sentences of a verdict: whole, in plain English, with the real values."""

from collections.abc import Sequence
from datetime import timedelta

from policy.decision import Because
from policy.facts import JobFacts, Output, ReportKind
from policy.faults import Fault
from policy.reruns import rerun_ending, rerun_obstacle
from policy.terms import Terms

_WITHOUT_DECIMALS = {
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
}
"""The currencies of ISO 4217 whose minor unit is the currency itself."""


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 credit`, `5 credits`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def money(amount: int, currency: str = "") -> str:
    """Minor units as people write them: `9.00 USD`, `-0.50 EUR`, `900 JPY`; without a currency, as where several are added, with
    two decimals.
    """
    sign, whole = "-" if amount < 0 else "", abs(amount)
    number = str(whole) if currency in _WITHOUT_DECIMALS else f"{whole // 100}.{whole % 100:02}"
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
    if fault.report.kind is ReportKind.FAILED:
        return f"the job failed {_with_code(fault)} and delivered {_delivered(fault.report.output, facts)}"
    if fault.report.output is None:
        return f"the output is incomplete ({fault.code})"
    return f"the output is incomplete ({fault.code}): the job delivered {_delivered(fault.report.output, facts)}"


def what_became_of_it(fault: Fault, facts: JobFacts, terms: Terms) -> str:
    """What went wrong, and why the credits come back instead of a re-run."""
    said = what_failed(fault, facts)
    if facts.rerun is not None:
        return f"{said}, and {rerun_ending(facts.rerun, facts)}"
    if terms.rerunnable(fault.code):
        return f"{said}, and it was not run again because {rerun_obstacle(facts)}"
    return said


def because_of(fault: Fault, facts: JobFacts) -> Because:
    """The deciding facts of a failure, by name."""
    output = fault.report.output
    return {
        "failure_code": fault.code,
        "fault_class": fault.kind.value,
        "attempt": fault.report.attempt,
        "layers_delivered": None if output is None else output.delivered,
        "standing_debit": facts.standing_debit,
    }


def _with_code(fault: Fault) -> str:
    return f"with {fault.code}" if fault.code else "without saying why"


def _delivered(output: Output | None, facts: JobFacts) -> str:
    if output is None or output.delivered == 0:
        return "no output"
    expected = output.expected_for(facts.layers_expected)
    layers = count(output.delivered, "layer") if not expected else f"{output.delivered} of {count(expected, 'layer')}"
    return f"{layers}, {output.corrupted} of them corrupted" if output.corrupted else layers
