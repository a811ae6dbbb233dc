"""The measurement of growth runs from its first step to its picture: it is made by hand, and seldom."""

import json
from pathlib import Path

import pytest

from bench import growth


@pytest.mark.nightly
def test_growth_measures_every_step_and_draws_it(tmp_path: Path) -> None:
    results, picture = tmp_path / "growth.json", tmp_path / "growth.png"
    growth.main(["--steps", "200", "--events", "50"], results, picture)
    steps = json.loads(results.read_text())["steps"]
    assert [step["cases"] for step in steps] == [200]
    assert all(step[what]["pages"] > 0 for step in steps for what in ("drain", "status", "scrape", "audit"))
    assert [step["audit"]["said"] for step in steps] == [[]]
    assert picture.read_bytes().startswith(b"\x89PNG")
