"""Everything the policy says about every row of every table, kept in `said.json`: what customers were told changes on purpose
or not at all. `python -m tests.policy.said` writes the file anew; its difference is what a review looks at.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from policy import Decision, decide, decide_charge, decide_dispute, decide_request
from tests.policy import test_charges, test_counterfactuals, test_decisions, test_reasons, test_requests
from tests.policy.build import TERMS, a_job, failed, terms

FILE = Path(__file__).with_name("said.json")


def decisions() -> Iterator[tuple[str, Decision]]:
    """Each decision under the name of its example: its kind, and what sets it apart from a plain one of that kind."""
    jobs = [row.facts for row in test_decisions.EVERY_ROW]
    jobs += [facts for facts, _ in test_reasons.SENTENCES] + [facts for facts, *_ in test_counterfactuals.CHANGES]
    charges = [facts for table in (test_charges.DECISIONS, test_charges.REASONS, test_charges.CHANGES) for facts, *_ in table]
    requests = [facts for table in (test_requests.DECISIONS, test_requests.COUNTERFACTUALS) for facts, *_ in table]
    dispute = test_charges.a_dispute()
    disputes = [
        *(dispute, replace(dispute, jobs=3, delivered=2, downloads=1)),
        *(replace(dispute, refund_started=True), replace(dispute, refund_started=True, refunded_by_us=900)),
    ]
    yield from ((named("job", facts, a_job()), decide(facts, TERMS)) for facts in jobs)
    yield "job after the window", decide(a_job(failed(at=TERMS.starts_at)), terms(automatic_window_days=7))
    yield from ((named("charge", facts, test_charges.twice()), decide_charge(facts, TERMS)) for facts in charges)
    yield from ((named("dispute", facts, dispute), decide_dispute(facts, TERMS)) for facts in disputes)
    yield from ((named("request", facts, test_requests.asked()), decide_request(facts, TERMS)) for facts in requests)


def named(kind: str, facts: Any, plain: Any) -> str:
    """A name that other rows, wherever they are put in, do not change."""
    return f"{kind}, {'; '.join(_apart(facts, plain)) or 'plain'}"


def _apart(facts: Any, plain: Any) -> Iterator[str]:
    for field in fields(facts):
        value, usual = getattr(facts, field.name), getattr(plain, field.name)
        if value == usual:
            continue
        if is_dataclass(value) and type(value) is type(usual):
            yield from (f"{field.name}.{more}" for more in _apart(value, usual))
        else:
            yield f"{field.name} {_words(value)}"


def _words(value: Any) -> str:
    if is_dataclass(value):
        given = ((field.name, getattr(value, field.name), field.default) for field in fields(value))
        return f"({', '.join(f'{name} {_words(said)}' for name, said, default in given if said != default)})"
    return " ".join(map(_words, value)) if isinstance(value, tuple) else str(value)


def said() -> dict[str, dict[str, Any]]:
    """Every decision as a document. The same example in two tables is one."""
    found: dict[str, dict[str, Any]] = {}
    for name, decision in decisions():
        document = _document(decision)
        assert found.setdefault(name, document) == document, f"two examples that differ have the name {name!r}"
    return found


def _document(decision: Decision) -> dict[str, Any]:
    other = decision.counterfactual
    names = ("outcome", "rule", "clause", "terms", "reason", "credits", "settled", "amount", "currency")
    found = {name: getattr(decision, name) for name in names} | {"because": dict(decision.because)}
    document: dict[str, Any] = json.loads(json.dumps(found | {"counterfactual": asdict(other) if other else None}))
    return document


if __name__ == "__main__":
    FILE.write_text(json.dumps(said(), indent=0, sort_keys=True) + "\n")
