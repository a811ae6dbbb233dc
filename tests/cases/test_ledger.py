"""The ledger makes each posting stand once, whoever books it."""

import pytest
from sqlalchemy import select

from policy.ledger import PostingKind, Share
from tests.cases.world import World, a_purchase, an_account
from worker.credits.ledger import JobCredits, Ledger, Posting
from worker.errors import Collision
from worker.store.engine import Store
from worker.store.tables import purchases


def lot(store: Store) -> tuple[int, int]:
    """Credits of the one lot: remaining and spent."""
    row = store.read(lambda tx: tx.all(select(purchases.c.remaining, purchases.c.spent)))[0]
    return int(row.remaining), int(row.spent)


def test_posting_that_stands_already_moves_no_lot(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase(credits=100))
    world.happen(*(world.submitted(name) for name in ("job_1", "job_2")), world.failed("job_1"))
    assert lot(store) == (95, 5)
    again = [
        Posting(PostingKind.REVERSAL, "ord_1", 5, job_id=name, case_id=str((world.case("job_1") or {})["case_id"]))
        for name in ("job_1", "job_2")
    ]
    with pytest.raises(Collision, match="1 rows of postings appeared"):
        store.write(lambda tx: Ledger().book(tx, again, world.clock.now()))
    assert lot(store) == (95, 5)
    assert world.audit().breaches == []


def test_what_each_job_took_and_got_back_is_told_by_lot_in_the_order_of_booking(store: Store) -> None:
    world = World(store)
    world.load(an_account(), a_purchase("ord_1", credits=5), a_purchase("ord_2", credits=100))
    world.happen(world.submitted("job_1", credits=8), world.submitted("job_2", credits=4), world.failed("job_1"))
    both = (Share("ord_1", 5), Share("ord_2", 3))
    assert store.read(lambda tx: Ledger().of_jobs(tx, ["job_1", "job_2", "job_3"])) == {
        "job_1": JobCredits(debits=both, reversals=both),
        "job_2": JobCredits(debits=(Share("ord_2", 4),)),
    }


def test_lots_are_open_while_they_have_credits_the_oldest_first(store: Store) -> None:
    world = World(store)
    older = a_purchase("ord_9", credits=7, paid_at="2026-02-01T00:00:00Z")
    world.load(an_account(), a_purchase("ord_1", credits=5), older, an_account("acc_2"), a_purchase("ord_2", "acc_2", 3))

    def open_lots() -> list[tuple[str, int]]:
        lots = store.read(lambda tx: Ledger().open_lots(tx, ["acc_1"]))
        assert lots.keys() <= {"acc_1"}
        return [(lot.purchase_id, lot.remaining) for lot in lots.get("acc_1", [])]

    assert open_lots() == [("ord_9", 7), ("ord_1", 5)]
    world.happen(world.submitted("job_1", credits=7))
    assert open_lots() == [("ord_1", 5)]
    world.happen(world.submitted("job_2", credits=5))
    assert open_lots() == []
