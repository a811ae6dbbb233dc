"""The ledger makes each posting stand once, whoever books it."""

import pytest
from sqlalchemy import select

from policy.ledger import PostingKind
from tests.cases.world import World, a_purchase, an_account
from worker.credits.ledger import Ledger, Posting
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
    with pytest.raises(Collision, match="1 postings already stand"):
        store.write(lambda tx: Ledger().book(tx, again, world.clock.now()))
    assert lot(store) == (95, 5)
    assert world.audit().breaches == []
