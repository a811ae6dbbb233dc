"""Everything the policy says about every row of every table, kept in `said.json`: what customers were told changes on purpose
or not at all. `python -m tests.policy.said` writes the file anew; its difference is what a review looks at.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from policy import Decision, decide, decide_charge, decide_dispute, decide_request
from tests.policy import test_charges, test_counterfactuals, test_decisions, test_reasons, test_requests
from tests.policy.build import TERMS, a_job, failed, terms

FILE = Path(__file__).with_name("said.json")


def decisions() -> Iterator[tuple[str, Decision]]:
    """Each decision under a name that stays the same while its table does."""
    jobs = [row.facts for row in test_decisions.EVERY_ROW]
    jobs += [facts for facts, _ in test_reasons.SENTENCES] + [facts for facts, *_ in test_counterfactuals.CHANGES]
    charges = [facts for table in (test_charges.DECISIONS, test_charges.REASONS, test_charges.CHANGES) for facts, *_ in table]
    requests = [facts for table in (test_requests.DECISIONS, test_requests.COUNTERFACTUALS) for facts, *_ in table]
    dispute = test_charges.a_dispute()
    disputes = [
        *(dispute, replace(dispute, jobs=3, delivered=2, downloads=1)),
        *(replace(dispute, refund_started=True), replace(dispute, refund_started=True, refunded_by_us=900)),
    ]
    yield from ((f"job {number}", decide(facts, TERMS)) for number, facts in enumerate(jobs))
    yield "job after the window", decide(a_job(failed(at=TERMS.starts_at)), terms(automatic_window_days=7))
    yield from ((f"charge {number}", decide_charge(facts, TERMS)) for number, facts in enumerate(charges))
    yield from ((f"dispute {number}", decide_dispute(facts, TERMS)) for number, facts in enumerate(disputes))
    yield from ((f"request {number}", decide_request(facts, TERMS)) for number, facts in enumerate(requests))


def said() -> dict[str, dict[str, Any]]:
    """Every decision as a document."""
    return {name: _document(decision) for name, decision in decisions()}


def _document(decision: Decision) -> dict[str, Any]:
    other = decision.counterfactual
    names = ("outcome", "rule", "clause", "terms", "reason", "credits", "settled", "amount", "currency")
    found = {name: getattr(decision, name) for name in names} | {"because": dict(decision.because)}
    document: dict[str, Any] = json.loads(json.dumps(found | {"counterfactual": asdict(other) if other else None}))
    return document


if __name__ == "__main__":
    FILE.write_text(json.dumps(said(), indent=0, sort_keys=True) + "\n")
