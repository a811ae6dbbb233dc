"""The ledger makes each posting stand once, whoever books it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from policy.ledger import Lot, PostingKind, Share, allocate
from tests.cases.world import START, World, a_purchase, an_account
from worker.credits.ledger import JobCredits, Ledger, Posting
from worker.credits.lots import OpenLots
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


COMES_IN = st.tuples(st.integers(0, 3), st.integers(0, 9))
IS_TAKEN = st.integers(0, 12)


@given(happens=st.lists(COMES_IN | IS_TAKEN, max_size=30))
def test_open_lots_give_what_all_of_them_put_in_order_anew_each_time_would(happens: list[tuple[int, int] | int]) -> None:
    lots, plain = OpenLots(), dict[tuple[int, str], int]()
    for number, one in enumerate(happens):
        if isinstance(one, tuple):
            day, credits = one
            # names do not sort as they came
            name = f"ord_{number % 7}_{number}"
            lots.add(START + timedelta(days=day), Lot(name, credits))
            plain[day, name] = credits
        else:
            shares = lots.take(one)
            assert shares == allocate(one, [Lot(name, left) for (_, name), left in sorted(plain.items())])
            taken = {share.purchase_id: share.credits for share in shares or ()}
            plain = {(day, name): left - taken.get(name, 0) for (day, name), left in plain.items()}
        assert list(lots) == [Lot(name, left) for (_, name), left in sorted(plain.items()) if left]
        assert lots.spendable == sum(plain.values())
