"""What Creem shows against what we booked: each way in which they can differ is named once, with what to do and by how much."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, update

from policy.lifecycle import PaymentState
from policy.words import money
from tests.cases.world import an_account
from tests.money.world import MoneyWorld
from worker.cases.reconcile.compare import NEVER_AGAIN, Finding, compare
from worker.creem.transactions import Transaction
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import charges, payments

PAID_AT = "2026-03-01T09:00:00Z"
SINCE = datetime(2026, 3, 1, 9, tzinfo=UTC)
SEEN = Transaction(
    id="tran_0",
    mode="test",
    amount=900,
    amount_paid=1071,
    currency="USD",
    status="paid",
    status_verbatim="paid",
    refunded_amount=0,
)
"""The charge as we booked it, the tax on top."""
NO_PURCHASE = "import the purchase, or have Creem send its webhook again from the dashboard"


@pytest.fixture
def world(store: Store) -> Iterator[MoneyWorld]:
    made = MoneyWorld(store)
    made.load(an_account(), made.bought("ord_0", "tran_0", PAID_AT))
    yield made
    made.close()


def found(world: MoneyWorld, *seen: Transaction, since: datetime = SINCE) -> list[Finding]:
    return world.store.read(lambda tx: compare(tx, "cust_1", seen, since))


def told_of_refund(world: MoneyWorld, cents: int) -> None:
    """A webhook said that so much went back."""

    def write(tx: Tx) -> None:
        known = update(charges).where(charges.c.transaction_id == "tran_0").values(refunded=cents, amount_paid=1071)
        tx.connection.execute(known)

    world.store.write(write)


def we_refunded(world: MoneyWorld, cents: int, state: PaymentState = PaymentState.REFUNDED) -> None:
    """A claim of ours on the charge stands like that."""

    def write(tx: Tx) -> None:
        row = {
            "payment_id": "pay_1",
            "environment": "test",
            "transaction_id": "tran_0",
            "case_id": tx.connection.exec_driver_sql("select case_id from cases").scalar_one(),
            "account_id": "acc_1",
            "purchase_id": "ord_0",
            "amount": 900,
            "currency": "USD",
            "state": state.value,
            "next_step": "read",
            "turn": 1,
            "attempts": 1,
            "probes": 1,
            "refusals": 0,
            "refunded": cents,
            "created_at": world.clock.now(),
            "closed_at": world.clock.now(),
        }
        tx.connection.execute(insert(payments).values(**row))

    world.double.pay("tran_0", customer_id="cust_1", amount=900, order_id="ord_0")
    world.double.dispute("tran_0")
    world.double.tick()
    world.sweep()
    world.store.write(write)


@pytest.mark.parametrize(
    "seen",
    [SEEN, replace(SEEN, amount=1071, amount_paid=900), replace(SEEN, amount=1071, amount_paid=None)],
    ids=["price without tax", "what was paid", "nothing said of what was paid"],
)
def test_charge_that_is_as_it_was_booked_is_not_named(world: MoneyWorld, seen: Transaction) -> None:
    assert found(world, seen) == []


DIFFERENT: dict[str, tuple[dict[str, Any], Finding]] = {
    "another currency, and then no word of the amount": (
        {"currency": "EUR", "amount": 800, "amount_paid": 800},
        Finding("currency", "tran_0", "booked in USD, charged in EUR", "correct the purchase in the product's books", 900),
    ),
    "more was charged": (
        {"amount": 1000, "amount_paid": 1190},
        Finding(
            "amount",
            "tran_0",
            "booked as 9.00 USD, charged 11.90 USD",
            "correct the purchase in the product's books; it is not refunded by itself",
            290,
        ),
    ),
    "less was charged": (
        {"amount": 700, "amount_paid": 833},
        Finding(
            "amount",
            "tran_0",
            "booked as 9.00 USD, charged 8.33 USD",
            "correct the purchase in the product's books; it is not refunded by itself",
            67,
        ),
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_charge_that_was_booked_otherwise_is_named_by_how_much(world: MoneyWorld, case: str) -> None:
    shown, finding = DIFFERENT[case]
    assert found(world, replace(SEEN, **shown)) == [finding]


@pytest.mark.parametrize("status", ["paid", "partialRefund", "refunded", "chargedBack"])
@pytest.mark.parametrize(("paid", "refunded"), [(500, 0), (500, 499), (1, 0)])
def test_money_that_was_collected_and_not_booked_is_named_by_what_is_left(
    world: MoneyWorld, status: str, paid: int, refunded: int
) -> None:
    other = replace(SEEN, id="tran_x", status=status, amount_paid=paid, refunded_amount=refunded)
    problem = f"Creem charged cust_1 {money(paid - refunded, 'USD')}; we have no purchase for it"
    assert found(world, SEEN, other) == [Finding("charge_without_purchase", "tran_x", problem, NO_PURCHASE, paid - refunded)]


@pytest.mark.parametrize(
    "shown", [{"refunded_amount": 1071}, {"amount_paid": None}, {"status": "declined"}, {"status": "pending"}], ids=str
)
def test_charge_that_holds_no_money_needs_no_purchase(world: MoneyWorld, shown: dict[str, Any]) -> None:
    assert found(world, SEEN, replace(SEEN, id="tran_x", **shown)) == []


def test_every_charge_is_looked_at(world: MoneyWorld) -> None:
    world.load(world.bought("ord_1", "tran_1", PAID_AT, product_id="prod_other"))
    others = [replace(SEEN, id="tran_x"), replace(SEEN, id="tran_1", currency="EUR"), replace(SEEN, id="tran_y")]
    assert [finding.row for finding in found(world, *others, SEEN)] == ["tran_x", "tran_1", "tran_y"]


def test_purchase_that_creem_does_not_list_is_named_within_the_time_looked_at(world: MoneyWorld) -> None:
    problem = "purchase ord_0 names it; Creem does not list it for cust_1"
    do = "check customer and environment of the purchase; nothing is refunded on it"
    assert found(world) == [Finding("purchase_unknown_to_creem", "tran_0", problem, do, 900)]
    assert found(world, since=SINCE.replace(minute=1)) == []


def test_purchases_of_others_and_those_without_a_transaction_are_nobodys_to_find(world: MoneyWorld) -> None:
    nameless = world.bought("ord_1", "x", PAID_AT, product_id="prod_other")
    del nameless["transaction_id"]
    world.load(an_account("acc_2"), nameless)
    world.load(world.bought("ord_2", "tran_2", PAID_AT, customer_id="cust_2", account_id="acc_2"))
    assert found(world, SEEN) == []


def test_refund_we_were_told_of_and_creem_does_not_show_is_named(world: MoneyWorld) -> None:
    told_of_refund(world, 500)
    said, do = "we knew of 5.00 USD given back; Creem shows 2.00 USD", f"compare with Creem's dashboard; {NEVER_AGAIN}"
    partly = replace(SEEN, refunded_amount=200, status="partialRefund")
    assert found(world, partly) == [Finding("refund_not_shown", "tran_0", said, do, 300)]
    assert found(world, replace(partly, refunded_amount=500)) == []
    assert found(world, replace(SEEN, status="refunded")) == [], "refunded, whatever sum is shown beside"


def test_refund_of_ours_that_creem_does_not_show_any_more_is_named(world: MoneyWorld) -> None:
    we_refunded(world, 1071)
    told_of_refund(world, 1071)
    said = "we have proof of 10.71 USD given back; Creem now shows 10.70 USD"
    finding = Finding("refund_not_shown", "tran_0", said, f"ask Creem, naming the trace id of the call; {NEVER_AGAIN}", 1)
    assert found(world, replace(SEEN, refunded_amount=1070)) == [finding], "and once, though a webhook told of it too"
    assert found(world, replace(SEEN, refunded_amount=1071)) == []
    assert found(world, replace(SEEN, status="refunded")) == []


def test_part_that_we_gave_back_and_creem_shows_is_not_named(world: MoneyWorld) -> None:
    we_refunded(world, 500)
    assert found(world, replace(SEEN, status="partialRefund", refunded_amount=500)) == []


def test_claim_of_ours_that_gave_nothing_back_is_no_proof(world: MoneyWorld) -> None:
    we_refunded(world, 1071, PaymentState.REJECTED)
    assert found(world, SEEN) == []


def test_finding_is_told_whole() -> None:
    told = Finding("amount", "tran_0", "booked as 9.00 USD, charged 8.33 USD", "correct it", 67).document()
    said = {
        "check": "amount",
        "row": "tran_0",
        "problem": "booked as 9.00 USD, charged 8.33 USD",
        "do": "correct it",
        "cents": 67,
    }
    assert told == said
    assert Finding("amount", "tran_0", "", "").cents == 0


@pytest.mark.parametrize("state", [PaymentState.NOT_NEEDED, PaymentState.REJECTED, PaymentState.MISMATCH])
def test_refund_by_another_hand_that_is_not_shown_any_more_is_named_beside_a_claim_of_ours(
    world: MoneyWorld, state: PaymentState
) -> None:
    """Once any claim hid it: the claim ended because somebody else had given the money back, and nobody had."""
    we_refunded(world, 0, state)
    told_of_refund(world, 1071)
    assert [(one.check, one.cents) for one in found(world, SEEN)] == [("refund_not_shown", 1071)]
    assert found(world, replace(SEEN, status="chargedBack", refunded_amount=0)) == [], "a bank that gave it back shows no refund"
