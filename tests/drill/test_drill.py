"""One exercise of the drill at every commit; `make drill` goes through all. The rules it judges by are those of production."""

from pathlib import Path

import pytest
import yaml

from tests.drill.drill import drill
from tests.drill.prometheus import BINARY, RULES, short_rules
from tests.postgres import start_postgres
from worker.sandbox.servers import start_redis


def test_the_rules_differ_in_patience_alone() -> None:
    real = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    short = [rule for group in short_rules()["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in short] == [rule["alert"] for rule in real]
    assert all(rule["labels"] == was["labels"] for rule, was in zip(short, real, strict=True))
    changed = {was["alert"] for rule, was in zip(short, real, strict=True) if rule["expr"] != was["expr"]}
    assert changed == {
        "RefundsBacklogOld",
        "RefundsStreamUnread",
        "RefundsEffectsLate",
        "RefundsPaymentUnproved",
        "RefundsPaymentsLate",
        "RefundsNoticesLate",
        "RefundsMailsWaiting",
    }


@pytest.mark.nightly
@pytest.mark.skipif(BINARY is None, reason="needs prometheus (Debian: apt install prometheus)")
def test_a_redis_that_dies_is_named_and_everything_heals(tmp_path: Path) -> None:
    with start_postgres() as postgres, start_redis(tmp_path / "redis") as cache:
        drilled = drill(tmp_path, (postgres, cache), lambda what: None, "Redis")
    assert drilled.wrong == []
    assert [lesson.alert for lesson in drilled.lessons] == ["RefundsRedisDown"]
