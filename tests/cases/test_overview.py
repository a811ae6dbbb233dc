"""What the figures of `refunds status` cost, and what they say of what waits for a person."""

from datetime import timedelta

from sqlalchemy import event

from tests.cases.world import START, HandClock
from tests.store.rows import a_case, an_account, given
from worker.cases.overview import overview
from worker.clock import written
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import accounts, cases

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


def test_since_when_the_oldest_case_waits_for_a_person_is_said(store: Store) -> None:
    def waits() -> tuple[int, str | None]:
        found = store.read(lambda tx: overview(tx, START))["review"]
        return found["waiting"], found["oldest_at"]

    given(store, accounts, an_account())
    assert waits() == (0, None)
    for name, hours, more in (
        ("is_worked_on", 90, {}),
        ("is_over", 80, {"state": "declined", "closed_at": START}),
        ("waits", 5, {"state": "review"}),
        ("waits_longest", 70, {"state": "review"}),
    ):
        given(store, cases, a_case(f"case_{name}", f"job_{name}", opened_at=START - timedelta(hours=hours), **more))
    assert waits() == (2, written(START - timedelta(hours=70)))
