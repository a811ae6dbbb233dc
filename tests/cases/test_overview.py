"""What the figures of `refunds status` cost."""

from datetime import timedelta

from sqlalchemy import event

from tests.cases.world import HandClock
from worker.cases.overview import overview
from worker.store.bulk import Tx
from worker.store.engine import Store

NARROWED = ("WHERE cases.next_action_at <", "WHERE cases.state =", "WHERE cases.state IN")
"""What an index answers however many cases there are."""


def test_overview_never_passes_over_all_cases(store: Store) -> None:
    asked: list[str] = []

    def listened(tx: Tx) -> None:
        event.listen(tx.connection, "before_cursor_execute", lambda *told: asked.append(" ".join(told[2].split())))
        overview(tx, HandClock().now() + timedelta(days=1))

    store.read(listened)
    about = [statement for statement in asked if "FROM cases" in statement]
    assert [statement for statement in about if not any(one in statement for one in NARROWED)] == []
