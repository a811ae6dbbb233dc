"""No word of a decision changes by accident."""

import json

from tests.policy.build import a_failed_job, a_job
from tests.policy.said import FILE, named, said
from tests.policy.test_charges import twice


def test_policy_says_what_it_always_said() -> None:
    known, now = json.loads(FILE.read_text()), said()
    changed = sorted(name for name in known.keys() | now.keys() if known.get(name) != now.get(name))
    assert not changed, "run `python -m tests.policy.said` and look at the difference"


def test_example_is_named_by_what_it_is_and_not_by_its_place() -> None:
    assert named("charge", twice(), twice()) == "charge, plain"
    assert (
        named("charge", twice(refunded_amount=1, disputed=True), twice())
        == "charge, charge.disputed True; charge.refunded_amount 1"
    )
    shown = named("job", a_failed_job(credits=0), a_job())
    assert shown == "job, reports (attempt 1, kind failed, at 2026-03-02 11:00:00+00:00, code internal_error); price 0; debit 0"
