"""No word of a decision changes by accident."""

import json

from tests.policy.said import FILE, said


def test_policy_says_what_it_always_said() -> None:
    known, now = json.loads(FILE.read_text()), said()
    changed = {name: (known.get(name), now.get(name)) for name in known.keys() | now.keys() if known.get(name) != now.get(name)}
    assert not changed, f"run `python -m tests.policy.said` and look at the difference: {changed}"
